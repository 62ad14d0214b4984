"""Finished runs that are evaluated on corrupted images later: with the weights kept, without training, nothing lost."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from regexp import Run, compare, load_runs, run, sweep
from regexp.config.compose import compose_job
from regexp.execution.terminal import Terminal
from regexp.runs.clearing import RUN_FILES
from regexp.runs.reserving.plan import plan_runs
from regexp.runs.reserving.planned_notes import list_notes
from regexp.training import loop

BASE = ["model.hidden_sizes=[3]", "data.train_size=96", "data.val_size=32", "device.precision=float64"]
SHORT, ON = [*BASE, "epochs=2", "early_stopping=none"], "evaluation.corruptions=true"


def read_files(one: Run) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in one.directory.iterdir() if path.is_file()}


def refuse_to_train(*arguments: object) -> None:
    raise AssertionError("it trains")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def evaluated_later(outputs: Path) -> tuple[dict[str, bytes], Run]:
    """Return the files of a finished run, and the run when it has been evaluated on corrupted images as well."""
    files = read_files(run(SHORT, outputs, quiet=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "take_step", refuse_to_train)
        return files, run([*SHORT, ON, "tags=[robust]"], outputs, quiet=True)


@pytest.fixture(scope="module")
def evaluated_at_once(outputs: Path) -> Run:
    return run([*SHORT, ON], outputs / "other", quiet=True)


def test_a_finished_run_gets_the_figures_of_one_that_was_evaluated_when_it_ended(
    evaluated_later: tuple[dict[str, bytes], Run], evaluated_at_once: Run
) -> None:
    files, later = evaluated_later
    before, after, at_once = json.loads(files["summary.json"]), later.summary, evaluated_at_once.summary
    assert after is not None
    assert at_once is not None
    assert after["corruptions"] == at_once["corruptions"]
    assert after["test"] == at_once["test"]
    assert {"corrupted_accuracy", "worst_corruption_accuracy"} == set(after["test"]) - set(before["test"])
    # All that was recorded before is as it was: times, cohort, device, figures.
    assert before["test"].items() <= after["test"].items()
    assert {**before, "test": {}}.items() <= {**after, "test": {}}.items()
    changed = {name for name, content in read_files(later).items() if files.get(name) != content}
    event_files = {name for name in files if name.startswith("events.")}
    new_files = {"corruptions.csv", "corruptions.png"}
    assert changed - event_files == {*new_files, "summary.json", "run.json", "run.log"}
    assert later.tags == ["robust"]
    assert new_files <= set(RUN_FILES)


def test_the_files_and_tensorboard_have_the_figures(evaluated_at_once: Run) -> None:
    summary = evaluated_at_once.summary
    assert summary is not None
    with (evaluated_at_once.directory / "corruptions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in rows] == [
        accuracy for accuracies in summary["corruptions"].values() for accuracy in accuracies
    ]
    mean = sum(float(row["accuracy"]) for row in rows) / len(rows)
    assert summary["test"]["corrupted_accuracy"] == pytest.approx(mean)
    with Image.open(evaluated_at_once.directory / "corruptions.png") as picture:
        assert picture.width > 500
    events = EventAccumulator(str(evaluated_at_once.directory)).Reload()
    assert "visuals/corruptions" in events.Tags()["images"]
    for name in ("corrupted_accuracy", "worst_corruption_accuracy"):
        assert events.Scalars(f"values_kept/test_{name}")[-1].value == pytest.approx(summary["test"][name])


def test_records_and_comparisons_have_the_figures(evaluated_at_once: Run, outputs: Path) -> None:
    summary = evaluated_at_once.summary
    assert summary is not None
    [record] = load_runs(outputs / "other").records()
    assert record["test_corrupted_accuracy"] == summary["test"]["corrupted_accuracy"]
    rows = compare(outputs / "other", metric="corrupted_accuracy")  # as test_corrupted_accuracy
    assert rows[0]["test_corrupted_accuracy"] == pytest.approx(summary["test"]["corrupted_accuracy"])


def test_once_evaluated_a_run_is_shown(evaluated_later: tuple[dict[str, bytes], Run], outputs: Path) -> None:
    files = read_files(evaluated_later[1])
    for overrides in (SHORT, [*SHORT, ON]):
        assert read_files(run(overrides, outputs, quiet=True)) == files


def plan_notes(overrides: Sequence[str], outputs: Path) -> list[str]:
    return list_notes(plan_runs([compose_job(overrides)], outputs), dry_run=True)


def test_a_run_without_its_checkpoint_is_shown_and_says_why(tmp_path: Path) -> None:
    words = [*SHORT, "early_stopping.restore_best=true"]
    done = run([*words, "keep_checkpoints=false"], tmp_path, quiet=True)
    files = read_files(done)
    [note] = plan_notes([*words, ON], tmp_path)
    assert note == (
        "1 finished run is not evaluated on corrupted images (its checkpoint is gone: trained with "
        "keep_checkpoints=false); force=true trains again."
    )
    assert read_files(run([*words, ON], tmp_path, quiet=True)) == files
    (done.directory / "checkpoint.safetensors").write_bytes(b"damaged")
    assert "its checkpoint is damaged" in plan_notes([*words, ON], tmp_path)[0]


@pytest.mark.slow
def test_an_evaluation_that_fails_leaves_the_run_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(SHORT, tmp_path, quiet=True)
    files = read_files(done)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "measure_robustness", refuse_to_train)
        with pytest.raises(AssertionError, match="it trains"):
            run([*SHORT, ON], tmp_path, quiet=True)
    changed = {name for name, content in read_files(done).items() if files.get(name) != content}
    assert changed == {"run.json", "run.log"}  # which say that it was tried
    assert done.status == "completed"
    again = run([*SHORT, ON], tmp_path, quiet=True)
    assert again.summary is not None
    assert "corruptions" in again.summary


@pytest.mark.slow
def test_a_sweep_says_how_many_finished_runs_are_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep([[*BASE, "epochs=3", "early_stopping=none", f"seed={seed}"] for seed in (0, 1)], tmp_path, quiet=True)
    jobs = [compose_job([*BASE, "epochs=3", "early_stopping=none", ON, f"seed={seed}"]) for seed in (0, 1, 2)]
    planned_runs = plan_runs(jobs, tmp_path)
    assert list_notes(planned_runs, dry_run=True) == [
        "2 finished runs would be evaluated on corrupted images with the weights kept; nothing is trained for that."
    ]
    Terminal().print_counts(planned_runs)
    assert "3 runs: 1 to train, 2 finished to evaluate" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", ["early_stopping.restore_best=false", "averaging=ema", "model=cnn model.channels=[3]"]
)
def test_an_evaluated_run_goes_on_to_more_epochs_as_any_other(options: str, tmp_path: Path) -> None:
    words = [word for word in SHORT if not (options.startswith("model") and word.startswith("model"))]
    words = [*words, *options.split()]
    longer = [word.replace("epochs=2", "epochs=4") for word in words]
    run(words, tmp_path / "both", quiet=True)
    later = run([*words, ON], tmp_path / "both", quiet=True)
    at_once = run([*words, ON], tmp_path / "at once", quiet=True)
    assert later.summary is not None
    assert at_once.summary is not None
    assert later.summary["corruptions"] == at_once.summary["corruptions"]
    gone_on = run(longer, tmp_path / "both", quiet=True)
    from_the_start = run(longer, tmp_path / "start", quiet=True)
    assert "continues" in gone_on.record
    assert gone_on.summary is not None
    assert from_the_start.summary is not None
    assert gone_on.summary["test"] == from_the_start.summary["test"]


@pytest.mark.slow
def test_a_checkpoint_that_was_cut_down_stays_so(tmp_path: Path) -> None:
    """Nothing can go on from it, whatever the later command says of checkpoints."""
    words = [*SHORT, "early_stopping.restore_best=false"]
    run([*words, "keep_checkpoints=false"], tmp_path, quiet=True)
    later = run([*words, ON], tmp_path, quiet=True)
    assert later.summary is not None
    assert "corruptions" in later.summary
    longer = [word.replace("epochs=2", "epochs=4") for word in words]
    assert "its checkpoint is cut down" in plan_notes(longer, tmp_path)[0]
