"""Extends MiniStack with the CloudFormation types and refusals that it lacks.

This package is the only place that touches MiniStack's private names; its version is pinned for that reason.
"""

FAULTS = "REHEARSAL_FAULTS"
"""Environment variable that names the file of `simulators.aws.faults`."""
AUTHORITY = "REHEARSAL_AUTHORITY"
"""Environment variable that names the folder of the CA that signs the certificates of the account's Redis servers."""
IMAGES = "REHEARSAL_IMAGES"
"""Names the folder of pushed images, with one folder for each digest."""
BALANCER = "REHEARSAL_BALANCER"
"""Names the file with the load balancer's address and port."""
MINUTE = "REHEARSAL_MINUTE_SECONDS"
"""How long a minute of ECS's bake time takes."""
DELIVERIES = "REHEARSAL_DELIVERIES"
"""Names the file of `simulators.aws.deliveries`."""
CALLS = "REHEARSAL_CALLS"
"""Names the file that records each distinct authorized or denied call, as JSON lines."""
THROTTLED = "REHEARSAL_THROTTLED"
"""Names the folder in which a file with a service's name makes that service throttle every call."""
CONSOLE = "REHEARSAL_CONSOLE"
"""Names the folder with a file for each action that only a person can take, in the console: `cost-explorer` turns that
on, `slack-ID` authorizes a workspace."""
LIVE = "REHEARSAL_LIVE"
"""Names the file whose existence makes CloudWatch evaluate alarms each minute, in real time."""
