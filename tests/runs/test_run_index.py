"""Runs that other code has trained: they are set aside and trained again, or kept with keep=true."""

import warnings
from pathlib import Path

import pytest
from helpers.data_files import write_arrays

from regexp import load_run, run, sweep
from regexp.config.compose import compose_jobs
from regexp.errors import DoubtfulResult
from regexp.execution.launcher import print_forecast
from regexp.execution.terminal import Terminal
from regexp.runs.provenance.code_hash import code_hash

SHORT = ["epochs=2", "model.hidden_sizes=[8]"]
SEEDS = [[*SHORT, f"seed={seed}"] for seed in (0, 1)]
KEEP = [[*overrides, "keep=true"] for overrides in SEEDS]
DEFAULT = Path("outputs/default")


@pytest.fixture
def first_times(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Train two runs, change the code, and return the runs' `finish_times`."""
    runs = sweep(SEEDS, quiet=True)
    monkeypatch.setattr("regexp.runs.identity.code_hash", lambda: "changed")
    return [
        finished_run.summary["finished"] + str(finished_run.directory.stat().st_ino)
        for finished_run in runs
        if finished_run.summary
    ]


def finish_times(runs: list) -> list[str]:
    """Return, for each run, when it finished and the inode of its directory: equal only for the same training."""
    return [finished_run.summary["finished"] + str(finished_run.directory.stat().st_ino) for finished_run in runs]


def test_runs_of_other_code_are_set_aside_and_trained_again_with_a_message(
    first_times: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    trained_again = sweep(SEEDS)
    assert not set(finish_times(trained_again)) & set(first_times)
    assert len(list(DEFAULT.glob("*.old-*"))) == 2
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "2 finished runs were trained by other code. They are set aside and trained again; keep=true keeps them." in out
    )
    sweep(SEEDS)
    assert "other code" not in capsys.readouterr().out


def test_keep_counts_runs_of_other_code_as_finished(first_times: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert finish_times(sweep(KEEP)) == first_times
    assert list(DEFAULT.glob("*.old-*")) == []
    out = capsys.readouterr().out
    assert "2 finished runs were trained by other code; keep=true keeps them." in out
    assert "2 runs: 0 to train, 2 already finished" in out


def test_keep_restores_runs_that_were_set_aside(first_times: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Add keep=true after an interrupted sweep without it: its unfinished runs are set aside, nothing is lost."""
    with monkeypatch.context() as patch:
        patch.setattr("regexp.utils.signals.StopRequest.requested", True)
        with pytest.raises(KeyboardInterrupt):
            sweep(SEEDS, quiet=True)
    assert len(list(DEFAULT.glob("*.old-*"))) == 2
    kept = sweep(KEEP, quiet=True)
    assert finish_times(kept) == first_times
    assert [finished_run.directory.name for finished_run in kept] == [
        f"seed={seed},epochs=2,hidden_sizes=8" for seed in (0, 1)
    ]
    assert [load_run(path).status for path in DEFAULT.glob("*.old-*")] == ["unfinished"] * 2


def test_keep_prefers_runs_that_this_code_has_trained(first_times: list[str]) -> None:
    trained_again = sweep(SEEDS, quiet=True)
    assert finish_times(sweep(KEEP, quiet=True)) == finish_times(trained_again)


def test_force_overrides_keep(first_times: list[str]) -> None:
    forced = sweep([[*overrides, "force=true"] for overrides in KEEP], quiet=True)
    assert not set(finish_times(forced)) & set(first_times)


def test_an_unfinished_run_of_other_code_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("regexp.utils.signals.StopRequest.requested", True)
        with pytest.raises(KeyboardInterrupt):
            run(SHORT, quiet=True)
    monkeypatch.setattr("regexp.runs.identity.code_hash", lambda: "changed")
    finished_run = run([*SHORT, "keep=true"], quiet=True)
    assert finished_run.status == "completed"
    assert "resumed" not in finished_run.record
    assert len(list(DEFAULT.glob("*.old-*"))) == 1


@pytest.mark.parametrize("keep", [False, True])
def test_a_dry_run_prints_the_same_message_and_changes_nothing(
    keep: bool, first_times: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(DEFAULT.rglob("*"))
    print_forecast(compose_jobs(KEEP if keep else SEEDS), Path("outputs"), Terminal(), None, 1)
    out = capsys.readouterr().out
    ending = "; keep=true" if keep else ". They would be set aside and trained again; keep=true keeps them."
    assert f"2 finished runs were trained by other code{ending}" in out
    assert f"2 runs: {'0 to train, 2 already finished' if keep else '2 to train'}" in out
    assert sorted(DEFAULT.rglob("*")) == before


def test_a_single_run_prints_the_message_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(SHORT, quiet=True)
    monkeypatch.setattr("regexp.runs.identity.code_hash", lambda: "changed")
    run(SHORT)
    out = " ".join(capsys.readouterr().out.split())
    assert "1 finished run was trained by other code. It is set aside and trained again; keep=true keeps it." in out


def test_a_run_that_was_set_aside_is_found_again_when_its_code_comes_back(
    first_times: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when switching between two branches: each run is trained once for each code."""
    second_times = finish_times(sweep(SEEDS, quiet=True))
    monkeypatch.setattr("regexp.runs.identity.code_hash", code_hash)
    assert finish_times(sweep(SEEDS, quiet=True)) == first_times
    monkeypatch.setattr("regexp.runs.identity.code_hash", lambda: "changed")
    assert finish_times(sweep(SEEDS, quiet=True)) == second_times
    assert len(list(DEFAULT.glob("*.old-*"))) == 2


def test_a_run_that_comes_back_leaves_the_run_of_another_configuration_its_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both have the same label."""
    monkeypatch.setattr("regexp.runs.reserving.plan.make_labels", lambda jobs, *_: ["label"] * len(jobs))
    first = run([*SHORT, "seed=0"], quiet=True)
    monkeypatch.setattr("regexp.runs.identity.code_hash", lambda: "changed")
    first.directory.rename(f"{first.directory}.old-20260101-000000")
    other = run([*SHORT, "seed=1"], quiet=True)
    assert other.directory.name == "label"
    kept = run([*SHORT, "seed=0", "keep=true"], quiet=True)
    assert kept.record["identity"] == first.record["identity"]
    assert kept.directory.name.startswith("label-")
    assert load_run(other.directory).record["identity"] == other.record["identity"]


def test_where_nothing_is_printed_python_is_warned(first_times: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*trained")
        sweep(KEEP, quiet=True)  # nothing is trained again
    with pytest.warns(DoubtfulResult, match="2 finished runs were trained by other code. They are set aside"):
        sweep(SEEDS, quiet=True)


def test_runs_that_had_begun_with_other_code_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in sweep(SEEDS, quiet=True):
        (one.directory / "summary.json").unlink()
    monkeypatch.setattr("regexp.runs.identity.code_hash", lambda: "changed")
    print_forecast(compose_jobs(SEEDS), Path("outputs"), Terminal(), max_runs=None, workers=1)
    assert "2 runs had begun with other code. They would start from the beginning." in capsys.readouterr().out
    runs = sweep(SEEDS)
    assert "2 runs had begun with other code. They start from the beginning.\n" in capsys.readouterr().out
    assert all("resumed" not in one.record for one in runs)


@pytest.mark.parametrize("is_finished", [True, False])
def test_runs_on_data_that_have_changed_are_told(
    is_finished: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_arrays(tmp_path / "a.npz")
    write_arrays(tmp_path / "b.npz", count=33)
    words = {name: [*SHORT, "data=arrays", f"data.path={tmp_path / name}.npz", "data.val_size=8"] for name in "ab"}
    first = run(words["a"], quiet=True)
    run(words["b"])  # other data, but they have not changed
    assert "have changed" not in capsys.readouterr().out
    if not is_finished:
        (first.directory / "summary.json").unlink()
    write_arrays(tmp_path / "a.npz", count=36)
    again = run(words["a"])
    out = " ".join(capsys.readouterr().out.split())
    if is_finished:
        expected = "1 finished run was trained on data that have changed since. It is set aside and trained again;"
        assert f"{expected} the old data bring it back." in out
        times = finish_times([again])
        write_arrays(tmp_path / "a.npz")
        assert finish_times([run(words["a"], quiet=True)]) != times
    else:
        assert "1 run had begun on data that have changed since. It starts from the beginning." in out
