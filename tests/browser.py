"""A real browser, which tools/setup.sh installs."""

import shutil

_NAMES = ("chromium", "chromium-headless-shell", "google-chrome")


def browser() -> str:
    """Path of the browser. Raises `AssertionError` if there is none."""
    found = next((path for each in _NAMES if (path := shutil.which(each))), None)
    assert found is not None, f"none of {', '.join(_NAMES)} is installed: make setup"
    return found
