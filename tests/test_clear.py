"""Clearing: what was named is deleted after a question, and never what a process trains or others have written."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from helpers.claim_holders import hold_claim
from helpers.commands import run_main

from regexp import Run, compare, load_run, run, sweep
from regexp.clear import main
from regexp.runs.clearing import KINDS, RUN_FILES, clear, find_clearables
from regexp.runs.reserving.claims import Claims
from regexp.runs.reserving.run_index import recorded_identity

BASE = ["epochs=2", "model.hidden_sizes=[2]", "data.train_size=64", "data.val_size=32", "early_stopping.patience=null"]
# The last epoch is not the best one.
LAST_KEPT = [*BASE, "early_stopping.monitor=val_accuracy", "optimizer.lr=1e-6", "early_stopping.restore_best=false"]
EXPERIMENT = Path("outputs/default")
OLD, FAILED = "seed=0.old-20260101-120000", "failed"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return outputs with two finished runs, one of them set aside as well, and one that has failed."""
    outputs = tmp_path_factory.mktemp("outputs")
    runs = sweep([[*BASE, "seed=0"], [*LAST_KEPT, "seed=1"]], outputs, quiet=True, workers=1)
    for name, one in zip(("first", "last kept"), runs, strict=True):
        one.directory.rename(outputs / "default" / name)
    for name in (OLD, FAILED):
        shutil.copytree(outputs / "default" / "first", outputs / "default" / name)
    (outputs / "default" / FAILED / "summary.json").unlink()
    (outputs / "default" / FAILED / "failure.json").write_text('{"message": "the disk was full"}')
    return outputs


@pytest.fixture
def copied(trained: Path) -> Path:
    shutil.copytree(trained, "outputs")
    return EXPERIMENT


def run_clear(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    return run_main(monkeypatch, main, "regexp.clear", *words)


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_the_patterns_match_all_files_of_a_run(trained: Path) -> None:
    directory = trained / "default" / "first"
    matched = {path for pattern in RUN_FILES for path in directory.glob(pattern)}
    assert {path for path in directory.rglob("*") if path.is_file()} == matched


def test_without_a_kind_it_shows_what_could_go(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(copied.rglob("*"))
    assert run_clear(monkeypatch, "outputs") == 0
    out = capsys.readouterr().out
    assert "Nothing was deleted: add --failed or --old or --checkpoints." in out
    assert all(loss in out for loss in KINDS.values())
    assert sorted(copied.rglob("*")) == before


def test_each_kind_deletes_its_own(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = compare("outputs")
    for kind, gone in (("failed", FAILED), ("old", OLD)):
        before = names(copied)
        assert run_clear(monkeypatch, str(copied), f"--{kind}", "--yes") == 0
        assert before - names(copied) == {gone}
    weights = {name: load_run(copied / name).model().state_dict() for name in ("first", "last kept")}
    assert run_clear(monkeypatch, str(copied), "--checkpoints", "--yes") == 0
    assert " freed." in capsys.readouterr().out
    assert {path.parent.name for path in copied.glob("*/run.json")} == {"first", "last kept"}
    assert not (copied / "first" / "checkpoint.safetensors").exists()
    for name, kept in weights.items():
        model = load_run(copied / name).model()
        assert all((tensor == kept[key]).all() for key, tensor in model.state_dict().items())
    for one, other in zip(compare("outputs"), rows, strict=True):
        assert one["test_accuracy"] == other["test_accuracy"]
    assert list(find_clearables(copied)) == []
    assert run_clear(monkeypatch, str(copied), "--checkpoints", "--yes") == 0
    assert "There is nothing to clear." in capsys.readouterr().out


def test_a_run_whose_checkpoint_was_cleared_stays_finished_and_says_why_it_cannot_go_on(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finish_time = (load_run(copied / "first").summary or {})["finished"]
    run_clear(monkeypatch, "outputs", "--checkpoints", "--failed", "--old", "--yes")
    again = run([*BASE, "seed=0"], quiet=True)
    assert (again.summary or {})["finished"] == finish_time
    run(["epochs=3", *BASE[1:], "seed=0"])
    assert "first ended (its checkpoint is gone: cleared on 20" in capsys.readouterr().out


def test_averages_that_a_run_keeps_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    one = run([*LAST_KEPT, "averaging=ema"], quiet=True)
    kept, size = one.model().state_dict(), (one.directory / "checkpoint.safetensors").stat().st_size
    assert run_clear(monkeypatch, "outputs", "--checkpoints", "--yes") == 0
    assert (one.directory / "checkpoint.safetensors").stat().st_size < size / 2
    assert all((tensor == kept[name]).all() for name, tensor in load_run(one.directory).model().state_dict().items())


@pytest.mark.parametrize(("answer", "is_deleted"), [("y", True), ("YES ", True), ("n", False), ("", False)])
def test_a_terminal_is_asked(
    answer: str, is_deleted: bool, copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert run_clear(monkeypatch, "outputs", "--old") == 0
    assert (copied / OLD).exists() != is_deleted
    assert ("Nothing was deleted." in capsys.readouterr().out) != is_deleted


def test_where_nobody_can_answer_nothing_is_deleted(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert run_clear(monkeypatch, "outputs", "--old") == 2
    captured = capsys.readouterr()
    assert "set aside" in captured.out
    assert "nobody can be asked here whether to delete" in captured.err
    assert (copied / OLD).exists()


def test_mistakes_are_answered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_clear(monkeypatch, "nowhere", "--old") == 2
    assert "nowhere: there is no such directory; type a directory of runs" in capsys.readouterr().err
    assert run_clear(monkeypatch, "--old") == 2
    assert run_clear(monkeypatch, "outputs", "--checkpoint") == 2
    assert "did you mean --checkpoints?" in capsys.readouterr().err


def test_a_run_that_another_process_trains_is_left_alone(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with hold_claim(copied, recorded_identity(Run(copied / FAILED))) as pid:
        assert run_clear(monkeypatch, "outputs", "--failed", "--old", "--checkpoints", "--yes") == 0
    out = capsys.readouterr().out
    assert f"{copied / FAILED}: process {pid} on " in out
    assert (copied / FAILED / "run.json").exists()
    assert (copied / "last kept" / "checkpoint.safetensors").stat().st_size < 10_000


def test_files_of_others_and_links_stay(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    shutil.move(copied / "first", outside)
    (copied / "first").symlink_to(outside)
    (copied / OLD / "notes.txt").write_text("mine")
    (copied / FAILED / "metrics.csv").unlink()
    (copied / FAILED / "metrics.csv").symlink_to(outside / "metrics.csv")
    shutil.rmtree(copied / FAILED / ".hydra")
    (copied / FAILED / ".hydra").symlink_to(outside / ".hydra")
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    assert run_clear(monkeypatch, "outputs", "--failed", "--old", "--checkpoints", "--yes") == 0
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before
    assert names(copied / OLD) == {"notes.txt"}
    assert names(copied / FAILED) == {".hydra", "metrics.csv"}
    out = capsys.readouterr().out
    assert f"{copied / OLD}: notes.txt" in out
    assert (copied / "first").is_symlink()


def test_what_has_changed_since_it_was_shown_stays(copied: Path) -> None:
    clearables = {clearable.kind: clearable for clearable in find_clearables(copied)}
    shutil.copy(copied / "first" / "summary.json", copied / FAILED)  # another process has finished it
    with Claims(print) as claims:
        assert clear(clearables["failed"], claims) == 0
    assert (copied / FAILED / "run.json").exists()


def test_a_kill_in_the_middle_leaves_no_run_that_looks_finished(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [old] = [clearable for clearable in find_clearables(copied) if clearable.kind == "old"]
    count = len(list((copied / OLD).rglob("*.*")))
    for _ in range(count):
        calls = iter([True])
        unlink = Path.unlink

        def unlink_once(path: Path, missing_ok: bool = False, unlink=unlink, calls=calls) -> None:  # type: ignore[no-untyped-def]
            if path.parent.name == OLD or path.parent.parent.name == OLD:
                next(calls)
            unlink(path, missing_ok)

        with monkeypatch.context() as patch, Claims(print) as claims:
            patch.setattr(Path, "unlink", unlink_once)
            with suppress(StopIteration, RuntimeError):
                clear(old, claims)
        if not (copied / OLD).exists():
            break
        assert not (copied / OLD / "summary.json").exists()
        [old] = [clearable for clearable in find_clearables(copied) if clearable.kind == "old"]
    assert not (copied / OLD).exists()
