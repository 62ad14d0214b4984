"""The logits that predictions=true keeps: those of the weights that a run keeps, written late too, and checked."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from regexp import Run, run, sweep
from regexp.config.compose import compose_job
from regexp.errors import RunError
from regexp.execution.builders import load_dataset
from regexp.runs.files.kept_logits import PREDICTIONS
from regexp.runs.tensor_file import encode_tensors, read_tensors

BASE = ["epochs=3", "model.hidden_sizes=[8]", "data.train_size=200", "early_stopping=none", "optimizer.lr=0.05"]
# The runs of one cohort: with the best weights, the last ones, without logits, and diverged.
RUNS = {
    "best": [*BASE, "predictions=true"],
    "last": [*BASE, "predictions=true", "early_stopping.restore_best=false"],
    "without": [*BASE, "seed=1"],
    "diverged": [*BASE, "predictions=true", "early_stopping.restore_best=false", "optimizer.lr=1e38"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    outputs = tmp_path_factory.mktemp("outputs")
    with pytest.warns(match="diverged"):
        trained = sweep(list(RUNS.values()), outputs, quiet=True, workers=1)
    return dict(zip(RUNS, trained, strict=True))


@pytest.mark.parametrize("name", ["best", "last"])
def test_the_logits_are_those_of_the_weights_that_the_run_keeps(runs: dict[str, Run], name: str) -> None:
    summary = runs[name].summary
    assert summary is not None
    logits, labels = runs[name].test_logits()
    dataset = load_dataset(compose_job(RUNS[name]).config)
    assert dataset.test is not None
    assert labels.tolist() == dataset.test.labels.tolist()
    with torch.no_grad():
        expected = runs[name].model()(dataset.test.images)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert logits.dtype == np.float32
    assert (logits.argmax(1) == labels).mean() == pytest.approx(summary["test"]["accuracy"])
    probabilities = runs[name].test_logits().probabilities
    assert log_loss(labels, probabilities) == pytest.approx(summary["test"]["loss"], abs=1e-5)


def test_runs_without_predictions_say_what_to_type(runs: dict[str, Run]) -> None:
    for name in ("without", "diverged"):
        with pytest.raises(RunError, match="has kept no predictions; type its command again with predictions=true"):
            runs[name].test_logits()


def test_a_finished_run_gets_its_logits_without_training(runs: dict[str, Run], tmp_path: Path) -> None:
    shutil.copytree(runs["last"].directory.parent, tmp_path / "default")
    directory = tmp_path / "default" / runs["last"].directory.name
    expected = runs["last"].test_logits()
    (directory / PREDICTIONS).unlink()
    summary = (directory / "summary.json").read_bytes()
    again = run(RUNS["last"], tmp_path, quiet=True)
    assert again.directory == directory
    np.testing.assert_allclose(again.test_logits().logits, expected.logits, atol=1e-4)
    assert again.test_logits().labels.tolist() == expected.labels.tolist()
    assert (directory / "summary.json").read_bytes() == summary
    # Weights that do not give what the summary says are not those of the figures.
    (directory / PREDICTIONS).unlink()
    text = summary.decode()
    assert again.summary is not None
    accuracy = again.summary["test"]["accuracy"]
    (directory / "summary.json").write_text(text.replace(f'"accuracy": {accuracy}', '"accuracy": 0.01'))
    with pytest.raises(RunError, match=r"and its summary says 1.00 %"):
        run(RUNS["last"], tmp_path, quiet=True)
    assert not (directory / PREDICTIONS).exists()


def shorten_labels(path: Path) -> bytes:
    tensors, metadata = read_tensors(path)
    return encode_tensors({**tensors, "labels": tensors["labels"][1:]}, metadata)


def rename_labels(path: Path) -> bytes:
    tensors, metadata = read_tensors(path)
    return encode_tensors({"logits": tensors["logits"]}, metadata)


def change_labels(path: Path) -> bytes:
    tensors, metadata = read_tensors(path)
    return encode_tensors({**tensors, "labels": tensors["labels"] + 10}, metadata)


DAMAGES: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "emptied": (lambda path: b"", ""),
    "cut": (lambda path: path.read_bytes()[:-1], ""),
    "a byte changed": (lambda path: path.read_bytes()[:-9] + b"\x55" + path.read_bytes()[-8:], "checksum"),
    "zeros": (lambda path: bytes(1000), ""),
    "labels that do not fit": (shorten_labels, "do not fit"),
    "labels of other classes": (change_labels, "do not fit"),
    "no labels": (rename_labels, "labels"),
    "of another run": (
        lambda path: encode_tensors(read_tensors(path)[0], {"config_hash": "0"}),
        "belongs to another run",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_found_out(runs: dict[str, Run], tmp_path: Path, name: str) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    shutil.copy(runs["best"].directory / "run.json", directory)
    damage, reason = DAMAGES[name]
    (directory / PREDICTIONS).write_bytes(damage(runs["best"].directory / PREDICTIONS))
    with pytest.raises(RunError, match=rf"{PREDICTIONS} is broken: .*{reason}.*Delete it, and type its command again"):
        Run(directory).test_logits()
