"""Extends MiniStack with the CloudFormation types and refusals that it lacks.

This package is the only place that touches MiniStack's private names; its version is pinned for that reason.
"""

FAULTS = "REHEARSAL_FAULTS"
"""Environment variable that names the file of `simulators.aws.faults`."""
AUTHORITY = "REHEARSAL_AUTHORITY"
"""Environment variable that names the folder of the authority that signs for the account's Redis servers."""
IMAGES = "REHEARSAL_IMAGES"
"""Names the folder with what was pushed, one folder for each digest."""
BALANCER = "REHEARSAL_BALANCER"
"""Names the file that says where the load balancer listens."""
MINUTE = "REHEARSAL_MINUTE_SECONDS"
"""How long a minute of ECS's bake time takes."""
DELIVERIES = "REHEARSAL_DELIVERIES"
"""Names the file of `simulators.aws.deliveries`."""
CALLS = "REHEARSAL_CALLS"
"""Names the file in which each different authorized or denied call is recorded, as JSON lines."""
THROTTLED = "REHEARSAL_THROTTLED"
"""Names the folder in which a file with a service's name makes that service throttle every call."""
CONSOLE = "REHEARSAL_CONSOLE"
"""Names the folder with a file for each thing that only a person can do, in the console: `cost-explorer` turns that on,
`slack-ID` authorizes a workspace."""
LIVE = "REHEARSAL_LIVE"
"""Names the file that, once it exists, has CloudWatch evaluate alarms each minute, and minutes last a minute."""
