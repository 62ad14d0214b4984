"""Runs on tables: sweeps that are interrupted and resumed, comparisons, verification, and what a table refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import own_module
from helpers.commands import run_regexp
from helpers.data_files import write_table
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from regexp import compare, load_run, run, sweep
from regexp.config.compose import compose_job
from regexp.config.schema import OPTIONS, cohort_key
from regexp.config.schemas.augmentation import STEPS
from regexp.config.schemas.data import DATA_SOURCES
from regexp.errors import ConfigError
from regexp.execution.builders import load_dataset
from regexp.execution.building.stream_builders import make_stream
from regexp.execution.forecasting import workload
from regexp.preview import preview
from regexp.training.batches import draw_epoch
from regexp.verify import verify

SHORT = ["model.hidden_sizes=[8]", "early_stopping=none", "epochs=2", "optimizer.lr=0.01"]
TABLES = [name for name, source in DATA_SOURCES.items() if source.is_table]


@pytest.fixture
def overrides(tmp_path: Path) -> list[str]:
    path = write_table(tmp_path / "own.csv")
    return ["data=table", f"data.path={path}", "data.label=class", *SHORT]


def jobs_of(overrides: list[str]) -> list[list[str]]:
    """Return a sweep over dropout, noise and seeds."""
    grid = [(dropout, noise, seed) for dropout in (0, 0.3) for noise in ("none", "noise") for seed in (0, 1)]
    return [
        [*overrides, f"model.dropout={dropout}", f"augmentation={noise}", f"seed={seed}"]
        for dropout, noise, seed in grid
    ]


def test_an_interrupted_sweep_goes_on_and_is_compared_and_verified(
    overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = sweep([[*job, "name=whole"] for job in jobs_of(overrides)], quiet=True, workers=1)
    with monkeypatch.context() as patch:
        patch.setattr("regexp.utils.signals.StopRequest.requested", True)
        with pytest.raises(KeyboardInterrupt):
            sweep(jobs_of(overrides), quiet=True, workers=1)
    runs = sweep(jobs_of(overrides), quiet=True, workers=1)
    for resumed, whole in zip(runs, uninterrupted, strict=True):
        assert "resumes after epoch 1" in (resumed.directory / "run.log").read_text()
        assert [row["objective"] for row in resumed.metrics] == [row["objective"] for row in whole.metrics]
        assert resumed.summary is not None
        assert whole.summary is not None
        assert resumed.summary["test"] == whole.summary["test"]
        assert resumed.summary["cohort"]["size"] == 8
        assert not (resumed.directory / "augmentation.png").exists()
    rows = compare("outputs/default", by=["model.dropout"])
    assert len(rows) == 2
    assert any("sample of 12 rows" in note for note in rows.notes)
    monkeypatch.setattr(workload, "count_cores", lambda: 1)  # a worker takes seconds to start
    differences = verify(Path("outputs/default"), 2, [], 0, True)
    assert len(differences) == 2


def test_a_trained_model_takes_rows_encoded_as_its_summary_says(overrides: list[str]) -> None:
    trained_run = run(overrides, quiet=True)
    dataset = load_dataset(compose_job(overrides).config)
    assert dataset.features is not None
    assert dataset.test is not None
    summary = json.loads((trained_run.directory / "summary.json").read_text())
    first, *others = summary["features"]
    assert EventAccumulator(str(trained_run.directory)).Reload().Tags()["images"] == [
        "visuals/confusion",
        "visuals/reliability",
    ]
    assert first == {"column": "x", "mean": dataset.features[0].mean, "std": dataset.features[0].std}
    assert others == [{"column": "kind", "category": category} for category in ("a", "b", "c")]
    logits = load_run(trained_run.directory).model()(dataset.test.images)
    accuracy = (logits.argmax(1) == dataset.test.labels).double().mean()
    assert float(accuracy) == pytest.approx(summary["test"]["accuracy"])


def test_the_output_speaks_of_features(
    overrides: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_regexp(monkeypatch, *overrides, "augmentation=noise") == 0
    output = capsys.readouterr().out
    assert "table: 38 training, 10 validation, 12 test; 4 features" in output
    assert "noise of 0.1" in output
    assert "image" not in output


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("model", OPTIONS["model"])
def test_every_model_takes_rows_or_says_what_to_type(name: str, model: str, overrides: list[str]) -> None:
    words = [f"data={name}", *(overrides[1:3] if name == "table" else []), f"model={model}", "epochs=1"]
    words += [f"model.target={own_module.__file__}:Drawing"] if model == "module" else []
    if OPTIONS["model"][model].needs_images:
        with pytest.raises(ConfigError, match=f"^model={model} with data={name}: needs images, .* use model=mlp$"):
            compose_job(words)
    else:
        assert run(words, quiet=True).status == "completed"


@pytest.mark.parametrize("step", STEPS)
def test_every_step_takes_rows_or_says_what_to_type(step: str, overrides: list[str]) -> None:
    words = [*overrides, f"+augmentation.{step}={{}}"]
    if hasattr(STEPS[step], "suits_tables"):
        assert run(words, quiet=True).status == "completed"
        return
    with pytest.raises(ConfigError, match=f"augmentation.{step} with data=table: needs images.*~augmentation.{step}"):
        compose_job(words)


def test_a_transform_of_torchvision_needs_images(overrides: list[str]) -> None:
    step: dict[str, Any] = {"_target_": "torchvision.transforms.RandomSolarize", "threshold": 0.5}
    words = ", ".join(f"{key}: {value}" for key, value in step.items())
    with pytest.raises(ConfigError, match=r"augmentation\.solarize with data=table: needs images"):
        compose_job([*overrides, f"+augmentation.solarize={{{words}}}"])


def test_noise_has_no_limits_and_another_draw_for_every_row(overrides: list[str]) -> None:
    config = compose_job([*overrides, "augmentation=noise", "augmentation.noise.std=2"]).config
    dataset = load_dataset(config)
    stream = make_stream(config, dataset)
    epoch = draw_epoch(dataset.train, {"a": stream}, 64, 1, torch.float32)
    [batch] = epoch.batches([1])
    order = epoch.groups[0].orders[0]
    noise = batch.images[0] - dataset.train.images[order]
    assert batch.images.shape == (1, 38, 4)
    assert float(noise.std()) == pytest.approx(2, rel=0.2)
    assert float(batch.images.min()) < -1.5
    assert len(noise.unique(dim=0)) == 38


def test_there_is_no_picture_of_a_table(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match="data=table: is a table, which has no images to show"):
        preview(overrides)


def test_options_that_decide_the_features_separate_cohorts_and_runs(overrides: list[str]) -> None:
    jobs = [overrides, [*overrides, "data.drop=[kind]"]]
    assert len({cohort_key(compose_job(job).config) for job in jobs}) == 2
    runs = sweep(jobs, quiet=True, workers=1)
    assert len({finished_run.directory for finished_run in runs}) == 2
    features = [json.loads((item.directory / "summary.json").read_text())["features"] for item in runs]
    assert [len(item) for item in features] == [4, 1]


def test_label_noise_changes_labels_of_training_rows(overrides: list[str]) -> None:
    assert run([*overrides, "data.label_noise=0.3"], quiet=True).status == "completed"


def test_sizes_are_checked_in_rows(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"data\.train_size=100: asks for 100 rows, but there are 38"):
        run([*overrides, "data.train_size=100"], quiet=True)
    with pytest.raises(ConfigError, match=r"data\.train_size=1000: validation leaves 114 training rows"):
        compose_job(["data=wine", "data.train_size=1000"])
