"""The environment variables of rehearsals and tests, independent of the shell that starts them."""

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = "SUITE_SHARED"
"""Environment variable with the folder that the processes of `make test` share."""
# All other variables are removed: credentials, profiles and endpoints of AWS, proxies, certificates, PG*, REDIS_URL,
# options of Node and Python, and the hundred common words that MiniStack reads as its settings (AUTH, DEBUG, SERVICES).
_KEPT = {
    *("PATH", "LD_LIBRARY_PATH", "TMPDIR", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ"),
    *("TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CI"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "INFRA_ENVIRONMENTS"),
    # Variables that the Makefile and tools/suite.py pass to tests.
    *(
        "HISTORIES",
        "SEED",
        "MIGRATIONS",
        "REDIS_CALLERS",
        "EDITS",
        "GAME_DAYS",
        "MUTANTS",
        "RESTORES",
        "ROLLBACK_STAGES",
        "REDIS_SERVERS",
        "REDIS_URLS",
        SHARED,
        "ROTATION_REQUESTS",
    ),
}
_KEPT_PREFIXES = ("LC_", "PYTEST_")


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """The harmless ones of these variables, and those that this repository needs."""
    kept = {name: value for name, value in environment.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    home = ROOT / "build" / "home"
    home.mkdir(parents=True, exist_ok=True)
    return {
        **kept,
        # A writable home without ~/.aws, ~/.cdk.json, ~/.npmrc, ~/.netrc and ~/.pgpass.
        "HOME": str(home),
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(_jsii_cache(environment)),
        # Otherwise jsii and the CLI warn about Node 20's end of life in every process.
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
        # Otherwise the CDK CLI reports each command to AWS, from a separate process.
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "AWS_EC2_METADATA_DISABLED": "true",
        # No server listens there: tests that need GitHub set its simulator's address.
        "GITHUB_API_URL": "http://127.0.0.1:9",
        "PYTHONPATH": os.pathsep.join(str(ROOT / each) for each in ("constructs", "runtime", ".")),
    }


def _jsii_cache(environment: Mapping[str, str]) -> Path:
    """Folder in which `make setup` has unpacked CDK on Linux; in this clone if that folder is not writable."""
    shared = Path(environment.get("HOME") or "/nonexistent") / ".cache" / "aws" / "jsii" / "package-cache"
    if name := environment.get("JSII_RUNTIME_PACKAGE_CACHE_ROOT"):
        shared = Path(name)
    try:
        shared.mkdir(parents=True, exist_ok=True)
    except OSError:
        return ROOT / "build" / "jsii"
    return shared if os.access(shared, os.W_OK) else ROOT / "build" / "jsii"


def enter() -> None:
    """Makes this process's environment clean, and so that of every process that it starts."""
    cleaned = clean(os.environ)
    os.environ.clear()
    os.environ.update(cleaned)
