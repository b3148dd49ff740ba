"""What the release functions, the templates that run them and the pipelines agree on."""

LISTED = 200
"""Number of releases of a service that are listed, and can be rolled back to."""
RELEASE_TAG = "release-"
"""Prefix of the tags of images that may be released; the commit follows (.github/workflows/service-release.yml)."""
RELEASED_TAG = "released-"
"""Prefix of the tags of released images; the release's id follows."""
STACK_ENDS = ("UPDATE_COMPLETE", "UPDATE_FAILED", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED")
"""Statuses of a stack whose update is over."""
PLATFORMS = {"arm64": "linux/arm64", "x86_64": "linux/amd64"}
"""Platform names of images, by AWS's name of the architecture."""


def preview_service(slot: int) -> str:
    """The name of a preview slot in the ledger of releases."""
    return f"preview-{slot}"


def database_log_group(instance: str) -> str:
    """Log group to which RDS writes PostgreSQL's log."""
    return f"/aws/rds/instance/{instance}/postgresql"
