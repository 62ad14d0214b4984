"""The functions for Python: what runs record, and which runs are trained again, resumed or shown."""

import csv
import json
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers.claim_holders import hold_claim
from hydra import compose, initialize_config_dir
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

import regexp
from regexp import compare, draw_augmentation, load_run, load_runs, run, sweep
from regexp.config.compose import compose_job
from regexp.config.hydra_config.search_path import CONF
from regexp.config.metric_registry import COLUMNS, TALLY_METRICS
from regexp.data.dataset import scale
from regexp.errors import ConfigError, DivergedRun, RunBusy, RunError, StorageError
from regexp.execution.builders import load_dataset
from regexp.runs.identity import seed_group
from regexp.runs.reserving.run_index import recorded_identity

SHORT = ["epochs=2", "model.hidden_sizes=[8]"]


def file_names(directory: Path) -> set[str]:
    """Return the names of the files in a directory, "events" for the event file."""
    return {"events" if path.name.startswith("events.") else path.name for path in directory.iterdir()}


def test_a_run_leaves_the_files_that_the_readme_lists() -> None:
    done = run([*SHORT, "normalization=batch", "augmentation=shift", "tags=[a,b]"], quiet=True)
    assert done.directory == Path("outputs/default/epochs=2,hidden_sizes=8,normalization=batch,augmentation=shift")
    assert file_names(done.directory) == {
        ".hydra", "run.json", "events", "metrics.csv", "checkpoint.safetensors", "best.safetensors",
        "summary.json", "run.log", "augmentation.png", "confusion.csv", "confusion.png",
        "reliability.png",
    }  # fmt: skip
    assert file_names(done.directory / ".hydra") == {"config.yaml", "overrides.yaml", "hydra.yaml"}
    with (done.directory / "metrics.csv").open() as file:
        assert next(csv.reader(file)) == list(COLUMNS)
    record = json.loads((done.directory / "run.json").read_text())
    assert record["config"]["normalization"] == "batch"
    assert record["tags"] == ["a", "b"]
    assert set(record["identity"]) == {"config", "data", "code"}
    assert record["versions"]["torch"]
    with Image.open(done.directory / "augmentation.png") as picture:
        assert picture.width > 400
    summary = done.summary
    assert summary is not None
    labels, *rows = csv.reader((done.directory / "confusion.csv").read_text().splitlines())
    assert labels == ["label", *done.classes]
    counts = [list(map(int, row[1:])) for row in rows]
    correct = sum(row[i] for i, row in enumerate(counts))
    assert correct / sum(map(sum, counts)) == pytest.approx(summary["test"]["accuracy"])
    assert summary["class_accuracy"] == {row[0]: int(row[i + 1]) / sum(counts[i]) for i, row in enumerate(rows)}
    class_accuracies = list(summary["class_accuracy"].values())
    assert summary["test"]["worst_class_accuracy"] == pytest.approx(min(class_accuracies))
    assert summary["test"]["balanced_accuracy"] == pytest.approx(sum(class_accuracies) / len(class_accuracies))
    for name in ("confusion", "reliability"):
        with Image.open(done.directory / f"{name}.png") as picture:
            assert picture.width > 350
    assert "completed after epoch 2" in (done.directory / "run.log").read_text()


def test_the_summary_holds_how_the_run_ended() -> None:
    done = run([*SHORT, "seed=3"], quiet=True)
    summary, metrics = done.summary, done.metrics
    assert summary is not None
    assert set(summary) >= {
        "status", "epochs", "best_epoch", "best", "last", "test", "test_last", "seconds", "device", "seed", "overrides",
        "config_hash", "cohort",
    }  # fmt: skip
    assert summary["status"] == done.status == "completed"
    assert summary["epochs"] == len(metrics) == 2
    assert summary["seed"] == 3
    assert summary["overrides"] == [*SHORT, "seed=3"]
    assert set(summary["cohort"]) == {"size", "id"}
    last = {name: metrics[-1][name] for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")}
    assert summary["last"] == last
    assert summary["best"]["val_loss"] == min(row["val_loss"] for row in metrics)
    assert 0 < summary["test"]["accuracy"] <= 1


def test_the_model_is_plain_torch_and_gives_the_recorded_losses() -> None:
    done = run([*SHORT, "normalization=batch", "model.dropout=0.5", "epochs=4"], quiet=True)
    test = load_dataset(compose_job([]).config).test
    assert test is not None
    images = scale(test.images, torch.float32)
    for weights, summary_key in (("kept", "test"), ("best", "test"), ("last", "test_last")):
        model = done.model(weights)
        assert not model.training
        assert {type(layer).__module__.split(".")[0] for layer in model} == {"torch"}
        logits = model(images)
        assert done.summary is not None
        assert F.cross_entropy(logits, test.labels).item() == pytest.approx(done.summary[summary_key]["loss"], abs=1e-6)
    with pytest.raises(ValueError, match="kept"):
        done.model("worst")


def test_a_logistic_regression_has_a_model() -> None:
    done = run(["epochs=1", "model.hidden_sizes=[]", "device.precision=float64"], quiet=True)
    assert [type(layer).__name__ for layer in done.model()] == ["Flatten", "Linear"]
    assert done.model()(torch.rand(2, 1, 8, 8, dtype=torch.float64)).shape == (2, 10)


def test_load_run_reads_a_run_again() -> None:
    done = run(SHORT, quiet=True)
    loaded = load_run(done.directory)
    assert (loaded.config, loaded.metrics, loaded.summary, loaded.status) == (
        done.config, done.metrics, done.summary, done.status,
    )  # fmt: skip
    with pytest.raises(RunError, match="holds no run"):
        load_run("outputs")


def test_a_finished_run_is_not_trained_again(capsys: pytest.CaptureFixture[str]) -> None:
    first = run(["seed=1", *SHORT], quiet=True)
    modified = (first.directory / "summary.json").stat().st_mtime_ns
    again = run([*SHORT, "seed=1"])  # the same run, typed in another order
    assert again.directory == first.directory
    assert (again.directory / "summary.json").stat().st_mtime_ns == modified
    assert "ago; force=true trains it again" in capsys.readouterr().out


def test_force_trains_a_run_again_and_keeps_the_old_one() -> None:
    first = run(SHORT, quiet=True)
    again = run([*SHORT, "force=true"], quiet=True)
    assert again.directory == first.directory
    directories = sorted(path.name for path in first.directory.parent.iterdir())
    assert len(directories) == 2
    assert ".old-" in directories[1]
    assert load_run(first.directory.parent / directories[1]).status == "completed"


def test_changed_code_sets_the_old_run_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(SHORT, quiet=True)
    monkeypatch.setattr("regexp.runs.identity.code_hash", lambda: "changed")
    run(SHORT, quiet=True)
    assert len(list(first.directory.parent.iterdir())) == 2


def test_the_same_label_for_another_configuration_gets_a_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regexp.runs.reserving.plan.make_labels", lambda jobs, *_: ["same"] * len(jobs))
    first, second = run([*SHORT, "seed=1"], quiet=True), run([*SHORT, "seed=2"], quiet=True)
    assert first.directory.name == "same"
    assert second.directory.name.startswith("same-")
    assert run([*SHORT, "seed=2"], quiet=True).directory == second.directory


def test_a_sweep_trains_its_runs_together_and_duplicates_once() -> None:
    grid = [[*SHORT, f"optimizer.lr={lr}", f"seed={seed}"] for lr in (0.01, 0.001) for seed in (0, 1)]
    runs = sweep([*grid, grid[0]], quiet=True)
    assert [r.config["optimizer.lr"] for r in runs] == [0.01, 0.01, 0.001, 0.001, 0.01]
    assert runs[0].directory == runs[4].directory
    assert {r.summary["cohort"]["size"] for r in runs if r.summary} == {4}
    assert len({r.summary["cohort"]["id"] for r in runs if r.summary}) == 1


def test_forced_duplicates_are_trained_once() -> None:
    runs = sweep([[*SHORT, "force=true"]] * 2, quiet=True)
    assert runs[0].directory == runs[1].directory
    assert len(list(runs[0].directory.parent.glob("*/run.json"))) == 1


def test_an_interrupted_run_raises_keyboard_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("regexp.utils.signals.StopRequest.requested", True)
        with pytest.raises(KeyboardInterrupt):
            run(SHORT, quiet=True)
    unfinished = load_run("outputs/default/epochs=2,hidden_sizes=8")
    assert unfinished.status == "unfinished"
    assert len(unfinished.metrics) == 1
    assert "interrupted after epoch 1" in (unfinished.directory / "run.log").read_text()


def test_runs_of_different_shapes_train_in_cohorts_of_their_own() -> None:
    runs = sweep([SHORT, ["epochs=2", "model.hidden_sizes=[4]"], [*SHORT, "normalization=layer"]], quiet=True)
    assert [r.summary["cohort"]["size"] for r in runs if r.summary] == [1, 1, 1]
    assert [r.status for r in runs] == ["completed"] * 3


def test_all_mistakes_of_a_sweep_are_reported_before_anything_trains() -> None:
    with pytest.raises(ConfigError) as caught:
        sweep([SHORT, ["epochs=0"], ["optimizer.lr=-1"]], quiet=True)
    assert "epochs=0" in str(caught.value)
    assert "optimizer.lr=-1" in str(caught.value)
    assert not Path("outputs").exists()


def test_a_diverged_run_is_recorded_as_such() -> None:
    done = run([*SHORT, "optimizer.lr=1e38"], quiet=True)
    assert done.status == "diverged"
    text = (done.directory / "summary.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert run([*SHORT, "optimizer.lr=1e38"], quiet=True).status == "diverged"


def test_a_full_disk_is_reported_and_the_run_can_be_trained_later(monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def raise_disk_full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("regexp.execution.run_recorder.write_atomically", raise_disk_full)
        with pytest.raises(StorageError, match="No space left on device"):
            run(SHORT, quiet=True)
    assert run(SHORT, quiet=True).status == "completed"


@pytest.mark.parametrize("overrides", [SHORT, ["epochs=40", "early_stopping.patience=1", "optimizer.lr=0.05"]])
def test_a_run_that_was_killed_while_it_finished_is_finished_later(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str]
) -> None:
    uninterrupted = run([*overrides, "name=uninterrupted"], quiet=True)

    def raise_interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("regexp.execution.run_recorder.RunRecorder._summarize", raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(overrides, quiet=True)
    again = run(overrides, quiet=True)
    assert again.status == uninterrupted.status
    for name in ("val_loss", "objective", "epoch"):
        assert [row[name] for row in again.metrics] == [row[name] for row in uninterrupted.metrics]
    assert again.summary is not None
    assert uninterrupted.summary is not None
    assert again.summary["test"] == uninterrupted.summary["test"]


@pytest.mark.parametrize("damage", ["", "{", "[]"])
@pytest.mark.parametrize("name", ["summary.json", "run.json", "checkpoint.safetensors", "metrics.csv"])
def test_a_run_with_a_broken_file_is_trained_again(name: str, damage: str) -> None:
    done = run(SHORT, quiet=True)
    summary = done.summary
    (done.directory / name).write_text(damage)
    if name != "run.json":  # as if the power had failed before the end
        (done.directory / "summary.json").write_text(damage)
    again = run(SHORT, quiet=True)
    assert summary is not None
    assert again.summary is not None
    assert again.summary["test"] == summary["test"]
    assert [row["epoch"] for row in again.metrics] == [1, 2]


@pytest.mark.parametrize("code_changed", [False, True])
def test_a_run_that_another_process_trains_is_left_alone(monkeypatch: pytest.MonkeyPatch, code_changed: bool) -> None:
    done = run(SHORT, quiet=True)
    (done.directory / "summary.json").unlink()
    with hold_claim(Path("outputs/default"), recorded_identity(done)) as pid:
        if code_changed:  # its directory must not be set aside either
            monkeypatch.setattr("regexp.runs.identity.code_hash", lambda: "changed")
        with pytest.raises(RunBusy, match=f"is being trained by process {pid} on "):
            run(SHORT, quiet=True)
    assert run(SHORT, quiet=True).status == "completed"


def test_a_finished_run_leaves_no_claim() -> None:
    done = run(SHORT, quiet=True)
    assert list(Path("outputs/default").iterdir()) == [done.directory]


def test_a_resumed_run_keeps_its_start_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("regexp.utils.signals.StopRequest.requested", True)
        with pytest.raises(KeyboardInterrupt):
            run(SHORT, quiet=True)
    before = load_run("outputs/default/epochs=2,hidden_sizes=8").record
    after = run(SHORT, quiet=True).record
    assert after["started"] == before["started"]
    assert len(after["resumed"]) == 1


@pytest.mark.parametrize("sizes", ["[8,7,6]", "[9,8,7,6,5]"])
@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_deep_models_are_read_back(sizes: str, normalization: str) -> None:
    done = run(["epochs=1", f"model.hidden_sizes={sizes}", f"normalization={normalization}"], quiet=True)
    for weights in ("best", "last"):
        assert done.model(weights)(torch.rand(3, 1, 8, 8)).shape == (3, 10)


def test_a_run_works_inside_a_hydra_program() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert run(SHORT, quiet=True).status == "completed"
        assert compose("config", overrides=["seed=3"]).seed == 3


def test_another_hydra_program_in_this_process_keeps_the_types_of_its_keys(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("name: 1.10\nepochs: 1e2\n")
    run([*SHORT, "name=1.10"], quiet=True)
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert compose("config") == {"name": 1.1, "epochs": 100.0}
        assert run([*SHORT, "name=1.20"], quiet=True).config["name"] == "1.20"
        assert compose("config") == {"name": 1.1, "epochs": 100.0}


def test_splits_that_do_not_fit_the_data_are_reported_before_anything_trains() -> None:
    with pytest.raises(ConfigError, match=r"data\.val_size=99999"):
        sweep([SHORT, ["data.val_size=99999"]], quiet=True)
    with pytest.raises(ConfigError, match="a single training image"):
        run(["data.train_size=1", "normalization=batch"], quiet=True)


def test_tensorboard_shows_one_session_and_all_tags() -> None:
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    done = run([*SHORT, "augmentation=shift", "seed=4"], quiet=True)
    [file] = done.directory.glob("events.*")
    events = EventAccumulator(str(file))
    events.Reload()
    tags = events.Tags()
    assert set(tags["scalars"]) == {
        "train/loss", "train/accuracy", "train/objective", "train/lr", "train/seconds", "train/gradient_norm",
        "val/loss", "val/accuracy", "val/gap", "values_of_run/best_epoch", "values_of_run/epochs",
        *(f"values_kept/{name}" for name in ("gap", "val_accuracy", "val_loss", "test_accuracy", "test_loss")),
        *(f"values_kept/test_{name}" for name in TALLY_METRICS),
    }  # fmt: skip
    assert set(tags["images"]) == {
        f"visuals/{name}" for name in ("augmentation", "first_layer", "confusion", "reliability")
    }
    # The Time Series page begins with curves: single dots come below them, and pictures last.
    curves = {tag for tag in tags["scalars"] if len(events.Scalars(tag)) > 1}
    assert max(curves) < min(set(tags["scalars"]) - curves) < min(tags["images"])
    assert "configuration" in tags["tensors"]
    losses = [(event.step, event.value) for event in events.Scalars("val/loss")]
    assert losses == [(int(row["epoch"]), pytest.approx(row["val_loss"])) for row in done.metrics]
    gaps = [event.value for event in events.Scalars("val/gap")]
    assert gaps == [pytest.approx(row["val_loss"] - row["train_loss"]) for row in done.metrics]
    kept = done.metrics[-1]  # early_stopping=none keeps the last weights
    [gap], [epochs] = (events.Scalars(f"values_{tag}") for tag in ("kept/gap", "of_run/epochs"))
    assert (gap.value, epochs.value) == (pytest.approx(kept["val_loss"] - kept["train_loss"]), len(done.metrics))
    start = plugin_data_pb2.HParamsPluginData.FromString(
        events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    ).session_start_info
    assert start.hparams["optimizer.lr"].number_value == 0.001
    assert start.hparams["normalization"].string_value == "none"
    assert start.hparams["augmentation"].string_value == "shift"
    assert "seed" not in start.hparams
    other_seed = compose_job([*SHORT, "augmentation=shift", "seed=5"]).config
    assert start.group_name == seed_group(other_seed, done.record["identity"]["data"])
    assert metadata.EXPERIMENT_TAG not in tags["tensors"]
    with pytest.raises(KeyError):
        events.SummaryMetadata(metadata.EXPERIMENT_TAG)


def test_the_package_has_its_public_names_only() -> None:
    assert callable(regexp.run)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = regexp.nonsense


@pytest.mark.parametrize("workers", [0, -1, True, 1.5, "auto"])
def test_an_impossible_number_of_workers_is_refused(workers: Any) -> None:
    with pytest.raises(ConfigError, match="must be None or a whole number of at least 1"):
        sweep([["seed=0"], ["seed=1"]], workers=workers)


def test_values_are_given_as_a_dictionary_or_as_keywords() -> None:
    typed = run([*SHORT, "optimizer.lr=0.01", "normalization=batch"], quiet=True)
    by_dictionary = run(
        {"model.hidden_sizes": [8], "optimizer.lr": 0.01, "normalization": "batch", "epochs": 2}, quiet=True
    )
    by_keywords = run({"model": {"hidden_sizes": [8]}}, epochs=2, optimizer__lr=0.01, normalization="batch", quiet=True)
    assert typed.directory == by_dictionary.directory == by_keywords.directory
    assert len(list(Path("outputs/default").glob("*/run.json"))) == 1
    assert run(SHORT, data="wine", model="mlp", quiet=True).config["data"] == "wine"


def test_a_sweep_is_a_grid_or_a_list_of_dictionaries() -> None:
    runs = sweep({"seed": [0, 1], "normalization": ["none", "batch"]}, epochs=2, model__hidden_sizes=[8], quiet=True)
    values = [(done.config["seed"], done.config["normalization"]) for done in runs]
    assert values == [(0, "none"), (0, "batch"), (1, "none"), (1, "batch")]
    again = sweep([{"seed": seed, "normalization": name} for seed, name in values] + [[*SHORT]], **dict(KEYWORDS))
    assert [done.directory for done in again[:4]] == [done.directory for done in runs]


KEYWORDS: dict[str, Any] = {"epochs": 2, "model.hidden_sizes": [8], "quiet": True}


def test_runs_that_diverged_are_returned_with_a_warning() -> None:
    diverging = {"optimizer.lr": 1e38}
    for _ in range(2):  # trained, and found
        with pytest.warns(DivergedRun, match="^the run diverged: the loss is not finite") as warnings:
            done = run(diverging, **KEYWORDS)
        assert done.status == "diverged"
        assert warnings[-1].filename == __file__
        with pytest.warns(DivergedRun, match="^1 of 2 runs diverged") as warnings:
            runs = sweep([diverging, {}], **KEYWORDS)
        assert [member.status for member in runs] == ["diverged", "completed"]
        assert str(done.directory) in str(warnings[-1].message)
    with pytest.warns(DivergedRun):  # also where it is printed
        run(diverging, **{**KEYWORDS, "quiet": False})


MISTAKES: dict[str, Callable[[], object]] = {
    "unknown key": lambda: run(lr=0.1),
    "unknown word": lambda: run(qqq=1),
    "several values": lambda: run(["seed=0,1"]),
    "many values": lambda: run(["seed=range(100)"]),
    "range": lambda: run(["seed=0..4"]),
    "interval": lambda: sweep([["seed=interval(0,4)"]]),
    "flag": lambda: run(["-m", "seed=1"]),
    "help": lambda: run(["help"]),
    "spaces": lambda: run(["seed", "=", "1"]),
    "text with spaces": lambda: run(["name=a", "b"]),
    "hydra": lambda: sweep([["hydra.launcher.workers=2"]]),
    "overrides": lambda: run("seed=1"),
    "sweep of texts": lambda: sweep(["seed=1"]),
    "number": lambda: sweep(5),  # type: ignore[arg-type]
    "empty": lambda: sweep({"seed": []}),
    "no list": lambda: run(seed={1}),
    "data twice": lambda: run(["data=wine"], data="digits"),
    "model twice": lambda: run({"model": "cnn"}, model="mlp"),
    "workers": lambda: sweep([{}], workers=0),
    "no sweep": compare,
    "no directory": lambda: compare("nothing"),
    "no runs": lambda: load_runs("nothing"),
    "where": lambda: compare(COMPARED, where="seed"),
    "where key": lambda: compare(COMPARED, where={"sed": 1}),
    "where value": lambda: compare(COMPARED, where={"seed": 7}),
    "by": lambda: compare(COMPARED, by="sed"),
    "baseline": lambda: compare(COMPARED, baseline="normalization"),
    "baseline key": lambda: compare(COMPARED, baseline={"nrm": "none"}),
    "baseline value": lambda: compare(COMPARED, baseline={"normalization": "layer"}),
    "metric": lambda: compare(COMPARED, metric="acc"),
    "seconds": lambda: compare(COMPARED, metric="seconds"),
    "sort": lambda: compare(COMPARED, sort="acc"),
}
COMPARED = "compared/default"
# Words of the command line, which say nothing to who calls a function.
COMMAND_LINE = re.compile(r"(?<!the command regexp) --?\w|\bregexp-|\bregexp \w|shell")


@pytest.fixture(scope="module")
def compared_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory that holds a small sweep."""
    outputs = tmp_path_factory.mktemp("outputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGEXP_CACHE", str(outputs / "cache"))
        sweep({"normalization": ["none", "batch"], "seed": [0, 1]}, outputs, **KEYWORDS)
    return outputs


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_answered_in_the_terms_of_python(mistake: str, compared_runs: Path) -> None:
    Path("compared").symlink_to(compared_runs)
    with pytest.raises((ConfigError, RunError)) as caught:
        MISTAKES[mistake]()
    assert COMMAND_LINE.search(str(caught.value)) is None, str(caught.value)


def test_an_empty_list_of_runs_is_not_the_last_sweep(compared_runs: Path) -> None:
    Path("outputs").symlink_to(compared_runs)
    assert len(compare()) == 2
    for nothing in ([], (), load_runs("outputs")[:0]):
        with pytest.raises(ConfigError, match="there are no runs to compare"):
            compare(nothing)


def test_notes_of_a_comparison_are_in_the_terms_of_python(compared_runs: Path) -> None:
    shutil.copytree(compared_runs, "outputs")
    run({"seed": 5}, epochs=2, quiet=True)
    directories = sorted(Path("outputs/default").glob("*/summary.json"))
    for path in directories[:2]:
        path.unlink()
    shutil.rmtree(directories[2].parent)
    for rows in (compare("outputs/default"), compare("outputs/default", where={"seed": 0})):
        assert not any(COMMAND_LINE.search(note) for note in rows.notes), rows.notes


def test_the_printed_report_names_calls(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(SHORT)
    out = capsys.readouterr().out
    assert f'load     load_run("{done.directory}")' in out
    assert "regexp normalization=" not in out
    sweep([[*SHORT, f"seed={seed}"] for seed in (0, 1)])
    assert "compare  compare()" in capsys.readouterr().out
    sweep([[*SHORT, f"seed={seed}"] for seed in (0, 1)], "elsewhere")
    assert "compare  compare(['elsewhere/default'])" in capsys.readouterr().out


def test_the_public_names_are_listed_and_there() -> None:
    assert {*regexp.__all__, "errors"} == set(dir(regexp))
    assert set(regexp.__all__) == set(regexp._MODULES)
    assert all(getattr(regexp, name).__doc__ for name in dir(regexp))
    with pytest.raises(AttributeError, match="nothing"):
        _ = regexp.nothing
    assert (Path(regexp.__file__).parent / "py.typed").exists()


def test_a_picture_of_augmentation_is_drawn_without_training() -> None:
    picture = draw_augmentation({"augmentation": "shift"}, seed=3)
    assert picture.width > 400
    assert picture.tobytes() == draw_augmentation(augmentation="shift", data="digits", seed=3).tobytes()
    assert picture.tobytes() != draw_augmentation(seed=3).tobytes()
    assert not Path("outputs").exists()
    with pytest.raises(ConfigError, match="is a table"):
        draw_augmentation(data="wine")
