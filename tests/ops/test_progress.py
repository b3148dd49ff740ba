"""What takes longer than two seconds says on standard error what it waits for."""

import time
from collections.abc import Iterator

import pytest

from ops import progress


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(progress._Wanted, "by_this_process", True)
    monkeypatch.setattr(progress, "AFTER_SECONDS", 0.05)
    yield


def said(seconds: float, capsys: pytest.CaptureFixture[str]) -> str:
    with progress.working("asking AWS"):
        time.sleep(seconds)
    out, err = capsys.readouterr()
    assert out == "", "standard output is the command's own"
    return err


def test_a_slow_call_is_announced_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(0.2, capsys) == "asking AWS …\n"


def test_a_quick_call_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(0.0, capsys) == ""
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_nested_progress_prints_only_the_outer_message(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.working("comparing"):
        assert said(0.2, capsys) == "comparing …\n"


def test_a_failure_is_passed_on_and_the_next_one_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), progress.working("asking"):
        raise ValueError("no")
    assert said(0.2, capsys) == "asking AWS …\n"


def test_a_rehearsal_which_calls_the_same_functions_shows_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress._Wanted, "by_this_process", False)
    assert said(0.2, capsys) == ""
