"""The layout that the imports rest on, and what the repository may not contain."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import constructs
import pytest
import yaml

from simulators.redis.server import Server, running

ROOT = Path(__file__).resolve().parents[2]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


_TOOLS = re.compile(r"^ *(?:from|import) tools\b", re.MULTILINE)


def test_only_people_and_ci_run_the_tools() -> None:
    """Only tools import tools: code that others need belongs into another folder."""
    assert _TOOLS.search("from tools import suite")
    assert _TOOLS.search((ROOT / "tools" / "bench.py").read_text())
    code = [path for path in tracked() if path.suffix == ".py" and ROOT / "tools" not in path.parents]
    assert [path for path in code if _TOOLS.search(path.read_text())] == []


@pytest.mark.parametrize("folder", ["constructs", "tests/constructs", "runtime"])
def test_source_roots_are_not_packages(folder: str) -> None:
    assert (ROOT / folder).is_dir()
    assert not (ROOT / folder / "__init__.py").exists()


def test_the_name_constructs_belongs_to_the_library() -> None:
    assert constructs.__file__ is not None
    assert ROOT / "constructs" not in Path(constructs.__file__).parents


def test_importing_the_composition_root_does_nothing() -> None:
    """No environment is read and nothing is synthesized before `main` is called."""
    probe = "import app, pathlib; assert not hasattr(app, 'environments'); print('imported')"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "imported\n", "")


def test_types_of_every_service_in_use_are_checked() -> None:
    """To mypy, everything in a module that pyproject.toml does not list is `Any`."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    (followed,) = [each["module"] for each in settings if each.get("follow_imports") == "normal"]
    code = "\n".join(path.read_text() for path in tracked() if path.suffix == ".py")
    used = {f"aws_cdk.{name}" for name in re.findall(r"^ *from aws_cdk import (\w+)", code, re.MULTILINE)}
    assert {"aws_cdk.aws_s3", "aws_cdk.assertions"} < used
    assert {each for each in followed if re.search(r"aws_cdk\.(aws_|assertions)", each)} == used
    assert not re.search(r"^ *(from aws_cdk\.|import aws_cdk\.)", code, re.MULTILINE)


@pytest.mark.parametrize("file", ["requirements.in", "requirements-dev.in"])
def test_every_direct_dependency_says_why(file: str) -> None:
    lines = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith(("#", "-r"))]
    assert len(lines) > 10
    assert [line for line in lines if not re.match(r"[a-z0-9-]+(\[\w+\])?(==\S+)?\s+# \S+ \S+", line)] == []


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt", "runtime/requirements.txt"])
def test_every_locked_requirement_is_pinned_and_hashed(file: str) -> None:
    text = (ROOT / file).read_text().replace("\\\n", " ")
    entries = [line for line in text.splitlines() if re.match(r"[a-z]", line)]
    assert len(entries) > 10
    assert [line for line in entries if not re.match(r"\S+==\S+.* --hash=sha256:[0-9a-f]{64}", line)] == []


def test_both_locks_agree() -> None:
    """Tests and deployments use the same versions."""
    deployed, tested = (
        dict(re.findall(r"^([a-z0-9-]+)(?:\[\w+\])?==(\S+)", (ROOT / file).read_text(), re.MULTILINE))
        for file in ("requirements.txt", "requirements-dev.txt")
    )
    assert deployed.items() < tested.items()


def test_a_deployment_needs_nothing_of_the_development_tools() -> None:
    """`make setup-deploy` installs requirements.in alone. Of ops/, only the model of egress needs more, and says so."""
    distributions = packages_distributions()
    direct = set(re.findall(r"^([a-z0-9-]+)", (ROOT / "requirements.in").read_text(), re.MULTILINE))
    # CDK's packages bring jsii, boto3 brings botocore.
    direct |= {"jsii", "botocore"}
    ours = {"config", "stacks", "ops", "infra_constructs", "infra_runtime", "app"}
    files = [path for path in tracked() if path.suffix == ".py"]
    folders = ("config", "stacks", "constructs", "runtime", "ops")
    used = (
        {
            name
            for path in files
            if path.relative_to(ROOT).parts[0] in folders and path.parent.name != "egress"
            for name in re.findall(r"(?:^ *(?:from|import) |find_spec\(\")([a-z]\w*)", path.read_text(), re.MULTILINE)
        }
        - ours
        - set(sys.stdlib_module_names)
    )
    assert {"aws_cdk", "cfnlint"} <= used
    assert {name for name in used if name in distributions and not direct & set(distributions[name])} == set()


def test_no_registry_is_named() -> None:
    """Users choose their registry: lock files with addresses would tie them to ours."""
    hosts = re.compile(r"registry\." + r"npmjs|files\." + r"pythonhosted|pypi\." + r"org|deb\." + r"debian\.org")
    assert hosts.search("https://registry." + "npmjs.org/x")  # the positive control
    found = [path for path in tracked() if path.suffix != ".png" and hosts.search(path.read_text(errors="replace"))]
    assert found == []


def test_the_cli_is_pinned_exactly() -> None:
    """The newest version on npm was published by accident in 2025 and cannot read our assembly."""
    assert '"aws-cdk": "2.1148.1"' in (ROOT / "package.json").read_text()
    assert '"node_modules/aws-cdk": {\n      "version": "2.1148.1"' in (ROOT / "package-lock.json").read_text()


def test_local_development_has_redis_and_postgresql() -> None:
    """REQUIREMENTS: redis://localhost:6379 without auth, `redis-cli ping` every 10 s."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert set(services) == {"redis", "postgres"}
    health = services["redis"]["healthcheck"]
    assert (health["test"], health["interval"]) == (["CMD", "redis-cli", "ping"], "10s")
    assert not [word for word in services["redis"]["command"] if "pass" in word]
    # It listens on this machine only, as it has no password.
    assert services["redis"]["ports"] == ["127.0.0.1:6379:6379"]
    assert all(port.startswith("127.0.0.1:") for each in services.values() for port in each["ports"])


def test_redis_of_local_development_takes_its_command(tmp_path: Path) -> None:
    """The test passes the arguments to a real redis-server."""
    program, *arguments = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["redis"]["command"]
    assert program == "redis-server"
    pairs = zip(arguments[::2], arguments[1::2], strict=True)
    options = [name.removeprefix("--") + " " + (value or '""') for name, value in pairs]
    server = Server(tmp_path, options=options)
    with running(server):
        assert server.client().config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-ttl"}
