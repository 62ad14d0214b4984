"""Every model in the schema trains the same alone and in a cohort, resumes with the same bits, and can be loaded."""

from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.cohorts import DOUBLE, MemoryRecorder, QuietReporter, make_cohort, train_runs
from helpers.command_lines import REQUIRED_OVERRIDES

from regexp import load_run, run
from regexp.config.compose import compose_job
from regexp.config.schemas.model import MODEL_SCHEMAS, rate_names
from regexp.data.dataset import scale
from regexp.execution.builders import load_dataset
from regexp.training.checkpoints import Checkpoint
from regexp.training.loop import train
from regexp.utils.signals import StopRequest

# Small networks, and what a model needs to have all its layers.
OPTIONS_OF_MODELS = {
    "mlp": ["model.hidden_sizes=[8,8,8]", "model.residual=true"],
    "cnn": ["model.channels=[2,4]", "model.hidden_sizes=[6]"],
    "resnet": ["model.width=2"],
    "module": REQUIRED_OVERRIDES["module"],
}


def list_runs(model: str) -> list[list[str]]:
    """Return the overrides of four runs of a model that differ in seed, rates and number of epochs."""
    common = [f"model={model}", *OPTIONS_OF_MODELS.get(model, []), "normalization=batch", DOUBLE]
    common += ["data.train_size=60", "data.val_size=30", "batch_size=32", "optimizer.lr=0.01", "early_stopping=none"]
    runs = [["seed=1", "epochs=3"], ["seed=2", "epochs=2"], ["seed=1", "epochs=3"], ["seed=3", "epochs=3"]]
    for k, words in enumerate(runs):
        words += [f"model.{name}={0.1 * k}" for name in rate_names(MODEL_SCHEMAS[model])]
    return [[*common, *words] for words in runs]


@cache
def train_together(model: str) -> list[MemoryRecorder]:
    """Train the four runs of a model in one cohort, once for all tests."""
    return train_runs(*list_runs(model))


@pytest.mark.parametrize("model", MODEL_SCHEMAS)
def test_a_run_trains_in_a_cohort_as_it_does_alone(model: str) -> None:
    runs, together = list_runs(model), train_together(model)
    for words, recorder in zip(runs, together, strict=True):
        [alone] = train_runs(words)
        for name in ("objective", "train_loss", "val_loss", "gradient_norm"):
            assert recorder.column(name) == pytest.approx(alone.column(name), rel=1e-9, abs=1e-9), name
        for name, tensor in alone.final_result.checkpoint.tensors.items():
            torch.testing.assert_close(recorder.final_result.checkpoint.tensors[name], tensor, rtol=1e-9, atol=1e-9)
    rates = rate_names(type(compose_job(runs[0]).config.model))
    assert not rates or together[0].column("objective") != together[2].column("objective")


def train_to_epoch(
    runs: list[list[str]], last_epoch: int, checkpoints: list[Checkpoint | None] | None = None
) -> list[MemoryRecorder]:
    cohort, recorders = make_cohort(*runs, checkpoints=checkpoints)
    stop_request = StopRequest()
    train(cohort, QuietReporter(stop_request, last_epoch), stop_request)
    return recorders


@pytest.mark.parametrize("model", MODEL_SCHEMAS)
def test_a_run_goes_on_with_the_same_bits_after_an_interruption(model: str) -> None:
    runs = list_runs(model)
    first = train_to_epoch(runs, 1)
    second = train_to_epoch(runs, 0, [recorder.checkpoint for recorder in first])
    for expected, before, after in zip(train_together(model), first, second, strict=True):
        assert len(before.epochs) == 1
        assert before.column("val_loss") + after.column("val_loss") == expected.column("val_loss")
        for name, tensor in expected.final_result.checkpoint.tensors.items():
            assert torch.equal(after.final_result.checkpoint.tensors[name], tensor), name


@pytest.mark.parametrize("model", MODEL_SCHEMAS)
def test_the_loaded_model_gives_the_stored_test_figures(model: str, tmp_path: Path) -> None:
    overrides = [*list_runs(model)[3], "epochs=1"]
    recorded = run(overrides, outputs=tmp_path, quiet=True)
    test = load_dataset(compose_job(overrides).config).test
    assert test is not None
    with torch.no_grad():
        network = load_run(recorded.directory).model(target=recorded.config.get("model.target"))
        logits = network(scale(test.images, torch.float64))
    assert recorded.summary is not None
    stored = recorded.summary["test"]
    assert float(F.cross_entropy(logits, test.labels)) == pytest.approx(stored["loss"], abs=1e-9)
    assert float((logits.argmax(1) == test.labels).double().mean()) == pytest.approx(stored["accuracy"], abs=1e-9)
