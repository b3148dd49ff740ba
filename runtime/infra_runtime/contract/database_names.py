"""Names of the groups, and of the two logins in each, which are used in turn.

Two, so that a password can change while the old one still opens connections (docs/adr/0013).
"""

from dataclasses import dataclass
from typing import Literal

OWNER, USER = "app_owner", "app_user"
READER = "app_reader"
"""Group of personal logins: reads everything (database/access.py)."""
Mode = Literal["read", "write"]
"""Of a personal login."""
IAM_GROUP = "rds_iam"
"""RDS's group: its members log in with an IAM token, and never with a password."""
_SUFFIXES = ("a", "b")
URL, OWNER_URL = "url", "owner_url"
"""Fields of the secrets. The second is only in a preview's, which holds the one password of both its logins."""

TAKES_OVER_TAG = "infra:takes-over"
"""Tag of an instance that `infra restore` is about to let serve; its value is the name that the instance gets."""
MASTER_DURING_UPGRADES = "MASTER_DURING_UPGRADES"
"""Variable of functions: ARN of the secret with the master login while RDS does not manage it."""


def logins_of(group: str) -> tuple[str, ...]:
    return tuple(f"{group}_{suffix}" for suffix in _SUFFIXES)


def first_login(group: str) -> str:
    return logins_of(group)[0]


def other_login(username: str) -> str:
    """The other login of the same group. Raises `ValueError` for a login that is not ours."""
    for group in (OWNER, USER):
        first, second = logins_of(group)
        if username in (first, second):
            return second if username == first else first
    raise ValueError(f"{username!r} is no login of {OWNER} or {USER}")


@dataclass(frozen=True)
class PreviewNames:
    database: str
    owner: str
    user: str


def preview_names(slot: int) -> PreviewNames:
    """Names of a preview's database and its two logins. The logins are not rotated: each preview has new passwords."""
    return PreviewNames(f"preview_{slot}", f"preview_{slot}_owner", f"preview_{slot}_user")
