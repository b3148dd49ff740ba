"""Writes docs/alarms.md: `make accept`."""

from ops.alarms_page import ENVIRONMENT, PAGE, page
from ops.templates import synthesized


def main() -> None:
    templates = {f"{ENVIRONMENT}/{stack}": template for stack, template in synthesized(ENVIRONMENT).items()}
    PAGE.write_text(page(templates))


if __name__ == "__main__":
    main()
