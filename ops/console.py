"""Where `./infra` and `make rehearse` print."""

from typing import Any

import rich.console


class Console(rich.console.Console):
    """Leaves ARNs as they are: rich reads an emoji in `:secret:`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)
