"""Runs that other code has trained: set aside and trained again, or kept."""

from pathlib import Path

import pytest

from regexp import load_run, run, sweep
from regexp.config.compose import compose_jobs
from regexp.execution.launch import print_forecast
from regexp.execution.terminal import Terminal

SHORT = ["epochs=2", "model.hidden_sizes=[8]"]
SEEDS = [[*SHORT, f"seed={seed}"] for seed in (0, 1)]
KEEP = [[*overrides, "keep=true"] for overrides in SEEDS]
DEFAULT = Path("outputs/default")


@pytest.fixture
def finished_times(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """When two runs have finished, before the code changes."""
    runs = sweep(SEEDS, quiet=True)
    monkeypatch.setattr("regexp.runs.identity.code_hash", lambda: "changed")
    return [done.summary["finished"] + str(done.directory.stat().st_ino) for done in runs if done.summary]


def times(runs: list) -> list[str]:
    return [done.summary["finished"] + str(done.directory.stat().st_ino) for done in runs]


def test_they_are_set_aside_and_trained_again_and_the_command_says_so(
    finished_times: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    again = sweep(SEEDS)
    assert not set(times(again)) & set(finished_times)
    assert len(list(DEFAULT.glob("*.old-*"))) == 2
    out = " ".join(capsys.readouterr().out.split())
    assert "2 finished runs were trained by other code: set aside, to train again; to count them as finished" in out
    assert "instead, add keep=true" in out
    sweep(SEEDS)
    assert "other code" not in capsys.readouterr().out


def test_keep_counts_them_as_finished(finished_times: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert times(sweep(KEEP)) == finished_times
    assert list(DEFAULT.glob("*.old-*")) == []
    out = capsys.readouterr().out
    assert "2 finished runs were trained by other code, and counted as finished (keep=true)" in out
    assert "2 runs: 0 to train, 2 already finished" in out


def test_keep_finds_them_after_they_were_set_aside(finished_times: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As after the message: what was reserved or begun in their place is set aside in exchange, and nothing is lost."""
    with monkeypatch.context() as patch:
        patch.setattr("regexp.utils.signals.StopRequest.requested", True)
        with pytest.raises(KeyboardInterrupt):
            sweep(SEEDS, quiet=True)
    assert len(list(DEFAULT.glob("*.old-*"))) == 2
    kept = sweep(KEEP, quiet=True)
    assert times(kept) == finished_times
    assert [done.directory.name for done in kept] == [f"epochs=2,hidden_sizes=8,seed={seed}" for seed in (0, 1)]
    assert [load_run(path).status for path in DEFAULT.glob("*.old-*")] == ["unfinished"] * 2


def test_keep_prefers_what_this_code_has_trained(finished_times: list[str]) -> None:
    again = sweep(SEEDS, quiet=True)
    assert times(sweep(KEEP, quiet=True)) == times(again)


def test_force_outweighs_keep(finished_times: list[str]) -> None:
    assert not set(times(sweep([[*overrides, "force=true"] for overrides in KEEP], quiet=True))) & set(finished_times)


def test_an_unfinished_run_of_other_code_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("regexp.utils.signals.StopRequest.requested", True)
        with pytest.raises(KeyboardInterrupt):
            run(SHORT, quiet=True)
    monkeypatch.setattr("regexp.runs.identity.code_hash", lambda: "changed")
    done = run([*SHORT, "keep=true"], quiet=True)
    assert done.status == "completed"
    assert "resumed" not in done.record
    assert len(list(DEFAULT.glob("*.old-*"))) == 1


@pytest.mark.parametrize("keep", [False, True])
def test_a_dry_run_says_the_same_and_changes_nothing(
    keep: bool, finished_times: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(DEFAULT.rglob("*"))
    print_forecast(compose_jobs(KEEP if keep else SEEDS), Path("outputs"), Terminal(), None)
    out = capsys.readouterr().out
    assert "2 finished runs were trained by other code" in out
    assert f"2 runs: {'0 to train, 2 already finished' if keep else '2 to train'}" in out
    assert sorted(DEFAULT.rglob("*")) == before


def test_a_single_run_says_so_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(SHORT, quiet=True)
    monkeypatch.setattr("regexp.runs.identity.code_hash", lambda: "changed")
    run(SHORT)
    out = " ".join(capsys.readouterr().out.split())
    assert "1 finished run was trained by other code: set aside, to train again; to count it as finished" in out
