"""The checkpoint of a run that has ended holds only what is still needed, and its weights are found all the same."""

from pathlib import Path

import pytest
import torch

from regexp import Run, load_run, run, sweep
from regexp.errors import RunError
from regexp.runs.tensor_file import encode_tensors, join_files, read_tensors
from regexp.runs.weights import BEST, LAST, read_checkpoint

BASE = ["epochs=3", "model.hidden_sizes=[2]", "data.train_size=64", "data.val_size=32", "early_stopping.patience=null"]
# The best epoch of the first run is its last one, that of the second is not.
IMPROVES, WORSENS = "optimizer.lr=0.001", "early_stopping.monitor=val_accuracy optimizer.lr=1e-6"


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the directories of finished runs, by what was typed for each."""
    words = [
        IMPROVES,
        WORSENS,
        "schedule=cosine",
        f"early_stopping.patience=1 {WORSENS}",
        f"{WORSENS} early_stopping.restore_best=false",
        f"{IMPROVES} seed=1 keep_checkpoints=false",
        f"{WORSENS} seed=1 keep_checkpoints=false",
        f"{WORSENS} seed=1 keep_checkpoints=false early_stopping.restore_best=false",
    ]
    runs = sweep([[*BASE, *text.split()] for text in words], tmp_path_factory.mktemp("outputs"), quiet=True, workers=1)
    return {text: trained_run.directory for text, trained_run in zip(words, runs, strict=True)}


def stored(directory: Path) -> set[str]:
    """Return the kinds of tensors in the checkpoint of a run."""
    tensors, _ = read_tensors(directory / LAST)
    return {name.partition("/")[0] for name in tensors}


def test_a_finished_checkpoint_leaves_out_what_nobody_needs(directories: dict[str, Path]) -> None:
    assert stored(directories[IMPROVES]) == {"optimizer"}  # the last weights are the best ones
    assert stored(directories[WORSENS]) == {"model", "optimizer"}
    assert stored(directories["schedule=cosine"]) <= {"model"}  # nothing can go on from it
    assert stored(directories[f"early_stopping.patience=1 {WORSENS}"]) == {"model"}
    for text in (IMPROVES, WORSENS):
        content, _ = read_checkpoint(directories[text] / LAST)
        assert {name.partition(b"/")[0] for name in (b"model/", b"best/", b"optimizer/") if name in content} == {
            b"model",
            b"best",
            b"optimizer",
        }


def test_the_last_weights_are_those_of_the_last_epoch(directories: dict[str, Path]) -> None:
    for text in (IMPROVES, WORSENS, "schedule=cosine"):
        trained_run = load_run(directories[text])
        kept = dict(trained_run.model().named_parameters())
        last = dict(trained_run.model("last").named_parameters())
        are_equal = all(torch.equal(kept[name], last[name]) for name in kept)
        assert trained_run.summary is not None
        assert are_equal == (trained_run.summary["best_epoch"] == trained_run.summary["epochs"])


def test_without_checkpoints_the_weights_that_the_run_keeps_stay(directories: dict[str, Path]) -> None:
    text = f"{WORSENS} seed=1 keep_checkpoints=false"
    trained_run = Run(directories[text])
    assert not list(trained_run.directory.glob("checkpoint*"))
    trained_run.model()
    with pytest.raises(RunError, match="has no last weights: trained with keep_checkpoints=false"):
        trained_run.model("last")
    Run(directories[f"{IMPROVES} seed=1 keep_checkpoints=false"]).model("last")  # they are the best ones
    last_run = Run(directories[f"{text} early_stopping.restore_best=false"])
    assert stored(last_run.directory) == {"model"}
    last_run.model()


def test_checkpoints_that_are_not_kept_change_no_identity(tmp_path: Path) -> None:
    first = run(BASE, tmp_path, quiet=True)
    again = run([*BASE, "keep_checkpoints=false"], tmp_path, quiet=True)
    assert (again.directory, again.record["started"]) == (first.directory, first.record["started"])


def test_joined_files_hold_the_tensors_of_all(tmp_path: Path) -> None:
    one = {"a": torch.arange(3.0), "b": torch.ones(2, 2, dtype=torch.float64), "c/d": torch.tensor(7)}
    two = {"a": torch.arange(5, dtype=torch.uint8), "\N{SNOWMAN}": torch.rand(3)}
    path = tmp_path / "joined"
    parts = [("", encode_tensors(one, {"x": "y"})), ("two/", encode_tensors(two, {}))]
    path.write_bytes(join_files(parts, {"quote": '"checksum"'}, left_out=["c/"]))
    tensors, metadata = read_tensors(path)
    assert metadata == {"quote": '"checksum"'}
    expected = {"a": one["a"], "b": one["b"], **{f"two/{name}": tensor for name, tensor in two.items()}}
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(RunError, match="checksum"):
        read_tensors(path)


def test_a_checkpoint_does_not_take_the_best_weights_of_another(directories: dict[str, Path], tmp_path: Path) -> None:
    for name, text in ((LAST, IMPROVES), (BEST, WORSENS)):
        (tmp_path / name).write_bytes((directories[text] / name).read_bytes())
    with pytest.raises(RunError, match=r"does not belong to best\.safetensors beside it"):
        read_checkpoint(tmp_path / LAST)
