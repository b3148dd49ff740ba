"""`make rehearse`, as its user runs it: two minutes of two cores.

CI lives another product's whole life (tests/rehearsal/test_another_product.py), and makes every check of production in
an account that its tests share (tests/rehearsal/test_checks.py).
"""

import json
from pathlib import Path
from typing import Any

from tests.rehearsal.conftest import rehearse
from tests.templates import plain

ROOT = Path(__file__).resolve().parents[2]


def templates(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.name: plain(json.loads(path.read_text())) for path in folder.glob("*.template.json")}


def test_production_lives_its_whole_life(assembly: Path) -> None:
    """Deploys, reads back, deploys nothing, updates, rolls back, refuses to be destroyed, is destroyed.

    What was deployed is what another synthesis makes, of all environments, in another process and without an emulator.
    """
    process = rehearse("production")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "FAILED" not in output
    assert output.count(" passed ") >= 20
    assert output.count("CREATE_COMPLETE") == 10
    for value in (
        "No-op deploy: touched nothing",
        "the API now bakes 16 minutes, 15 before",
        "UPDATE_ROLLBACK_COMPLETE",
        "A destroy is refused",
        "no stack is left",
        "snapshot is there, bucket is there",
        "The Cloudflare zone is as it was before us",
        "Every request to Cloudflare kept to its contract",
        "a dropped table is back after",
        "not shown here: the rehearsal sends no flood",
    ):
        assert value in output, output
    rehearsed = templates(ROOT / "build" / "rehearsal" / "production" / "cdk.out" / "assembly-production")
    synthesized = templates(assembly / "assembly-production")
    assert len(rehearsed) == 10
    assert rehearsed.keys() == synthesized.keys()
    assert [name for name in rehearsed if rehearsed[name] != synthesized[name]] == []
