"""The console on which `./infra` and `make rehearse` print."""

from typing import Any

import rich.console


class Console(rich.console.Console):
    """Prints markup literally: rich reads an emoji in `:secret:` and a style in `[bold]`. Styled parts are `Text`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"emoji": False, "markup": False, **options})
