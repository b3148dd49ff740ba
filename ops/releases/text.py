"""How releases are written for people."""


def short(image: str) -> str:
    """Name and the beginning of the digest."""
    name, _, digest = image.partition("@sha256:")
    return f"{name.rpartition('/')[2]}@{digest[:12]}" if digest else image


def by(who: str) -> str:
    """The name of the session, and for whom it says that it acts."""
    arn, _, claimed = who.partition(" for ")
    return f"{arn.rpartition('/')[2]} for {claimed}" if claimed else arn.rpartition("/")[2]


def moment(time: str) -> str:
    """An ISO 8601 time in UTC as people read it: to the second, without the zone."""
    return time[:19].replace("T", " ")
