"""The environment variables of rehearsals and tests, independent of the shell that starts them."""

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = "SUITE_SHARED"
"""Environment variable: the folder in which the processes of `make test` find what one of them has made."""
# Everything else goes: credentials, profiles and endpoints of AWS, proxies, certificates, PG*, REDIS_URL, options of
# Node and Python, and the hundred common words that MiniStack reads as its settings (AUTH, DEBUG, SERVICES).
_KEPT = {
    *("PATH", "LD_LIBRARY_PATH", "TMPDIR", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ"),
    *("TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CI"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "INFRA_ENVIRONMENTS"),
    # What the Makefile and tools/suite.py hand to tests.
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
    """Those of these variables that are harmless, and those that this repository needs."""
    kept = {name: value for name, value in environment.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    home = ROOT / "build" / "home"
    home.mkdir(parents=True, exist_ok=True)
    return {
        **kept,
        # Without ~/.aws, ~/.cdk.json, ~/.npmrc, ~/.netrc, ~/.pgpass; and it can be written to.
        "HOME": str(home),
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(_jsii_cache(environment)),
        # jsii and the CLI would otherwise print about the age of Node 20 in every process.
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
        # The CDK CLI would report each command to AWS, from a process of its own.
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "AWS_EC2_METADATA_DISABLED": "true",
        # Nothing listens there: what needs GitHub sets its simulator's address.
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
