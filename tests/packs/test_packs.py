"""No finding of a public rule pack stays unacknowledged, over all packs, environments and ways of Redis: `make packs`.

AwsSolutions and CDK's own rules are part of every synthesis; here are the four others of cdk-nag, and Control Tower's
proactive controls, over all of them. What bandit asks is in ruff's rules S; ShellCheck and squawk have nothing to say
(docs/adr/0040).
"""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from config import ENVIRONMENTS, Environment, load
from config.loader import OWN
from rehearsal.variants import WAYS_OF_REDIS, with_redis
from tests.packs.acknowledged import ACKNOWLEDGED, CONTROL_TOWER
from tests.packs.findings import Finding, findings, unacknowledged

USED: set[str] = set()


@pytest.fixture(scope="module")
def judged(context: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Finding]]:
    """Findings of a folder of environments."""
    import aws_cdk as cdk
    import cdk_nag

    import app

    control_tower = import_module("cdklabs.cdk_validator_cfnguard").CfnGuardValidator
    packs: list[Callable[..., cdk.IPolicyValidationPlugin]] = [
        cdk_nag.NIST80053R5Checks,
        cdk_nag.HIPAASecurityChecks,
        cdk_nag.PCIDSS321Checks,
        cdk_nag.ServerlessChecks,
    ]

    def judge(environments: Mapping[str, Environment]) -> list[Finding]:
        output = tmp_path_factory.mktemp("packs") / "cdk.out"
        # The findings are read, not raised.
        lenient = {**copy.deepcopy(context), "@aws-cdk/core:failSynthOnValidationErrors": False}
        root = cdk.App(context=lenient, outdir=str(output))
        app.build(root, environments)
        nag = [each(root, verbose=True) for each in packs]
        cdk.Validations.of(root).add_plugins(*nag, control_tower(control_tower_rules_enabled=True))
        root.synth()
        report = json.loads((output / "validation-report.json").read_text())
        ran = {each["pluginName"] for each in report["pluginReports"]}
        assert ran >= {"NIST.800.53.R5", "HIPAA.Security", "cdk-validator-cfnguard"}
        found = list(findings(output, environments))
        USED.update(rule for rule, *_ in found)
        return found

    return judge


@pytest.mark.parametrize("name", sorted(load(directory=OWN)))
def test_every_environment_passes_the_rule_packs(name: str, judged: Callable[..., list[Finding]]) -> None:
    found = judged(load([name], directory=OWN))
    assert len(found) > 100, "the positive control"
    _require_none(unacknowledged(iter(found)))


@pytest.mark.parametrize("way", WAYS_OF_REDIS)
def test_every_kind_of_redis_passes_the_rule_packs(
    way: str, judged: Callable[..., list[Finding]], tmp_path: Path
) -> None:
    environments = with_redis(ENVIRONMENTS, "dev", {"main": way}, serves="main", into=tmp_path / "environments")
    _require_none(unacknowledged(iter(judged(load(["dev"], directory=environments)))))


def _require_none(left: Sequence[str]) -> None:
    assert not left, "\n".join(["mend it, or say in tests/packs/acknowledged.py why it stays:", *left])


def test_each_acknowledgement_is_needed() -> None:
    """Runs after the other tests, which record the used acknowledgements."""
    assert {*ACKNOWLEDGED, *CONTROL_TOWER} - USED == set()
