"""Files of a run that are damaged, cut or changed: found out, said, and never silently wrong."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from helpers.faulty_disk import Killed, list_leftovers
from kill_runs import read_figures

from regexp import load_run, run
from regexp.errors import RunError
from regexp.execution.checkpoint_file import LAST, PREVIOUS, load_checkpoint
from regexp.execution.run_recorder import RunRecorder
from regexp.runs.tensor_file import read_tensors

RUN = ["epochs=5", "augmentation=shift", "model.hidden_sizes=[2]", "data.train_size=64", "data.val_size=32"]
# The last epoch of the interrupted run that was recorded. Checkpoints are those of epochs 3 and 2.
LAST_EPOCH = 4
FILES = ["run.json", "metrics.csv", "events.out.tfevents", LAST, PREVIOUS, "augmentation.png", "run.log"]
SLOW = pytest.mark.slow


def flip(content: bytes, position: int, bit: int = 0) -> bytes:
    """Return bytes of which one bit differs."""
    return content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "deleted": lambda content: None,
    "emptied": lambda content: b"",
    "halved": lambda content: content[: len(content) // 2],
    "cut by a byte": lambda content: content[:-1],
    "one byte changed": lambda content: flip(content, len(content) // 3),
    "overwritten with zeros": lambda content: bytes(len(content)),
    "appended to": lambda content: content + b"1,2,3\n",
}


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return the outputs of a run that was killed after its fourth epoch, and the undisturbed figures."""
    outputs = tmp_path_factory.mktemp("outputs")
    record_checkpoint = RunRecorder.record_checkpoint

    def killed(self: RunRecorder, checkpoint: Any) -> None:
        if checkpoint.metadata["epoch"] == LAST_EPOCH:
            raise Killed
        record_checkpoint(self, checkpoint)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("regexp.training.loop.CHECKPOINT_SHARE", 0)
        figures = read_figures(run(RUN, outputs / "undisturbed", quiet=True).directory)
        patch.setattr(RunRecorder, "record_checkpoint", killed)
        with suppress(Killed):
            run(RUN, outputs / "killed", quiet=True)
    [directory] = (outputs / "killed" / "default").iterdir()
    assert len(load_run(directory).metrics) == LAST_EPOCH
    return outputs / "killed", figures


def copy(outputs: Path, target: Path) -> Path:
    """Copy the outputs of a run, and return the copy of its directory."""
    shutil.copytree(outputs, target)
    [directory] = (target / "default").iterdir()
    return directory


def damage_file(directory: Path, name: str, damage: str) -> None:
    """Damage the file of a run whose name begins like this."""
    [path] = directory.glob(f"{name}*")
    content = DAMAGES[damage](path.read_bytes())
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def test_an_interrupted_run_leaves_these_files(interrupted: tuple[Path, dict[str, Any]]) -> None:
    [directory] = (interrupted[0] / "default").iterdir()
    names = {path.name.partition(".tfevents")[0] for path in directory.iterdir() if path.is_file()}
    assert names == {name.partition(".tfevents")[0] for name in FILES}


@pytest.mark.parametrize(
    "damage",
    [damage if damage in ("halved", "one byte changed") else pytest.param(damage, marks=SLOW) for damage in DAMAGES],
)
@pytest.mark.parametrize("name", FILES)
def test_a_run_goes_on_to_the_same_figures_whatever_file_is_damaged(
    interrupted: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    damage: str,
) -> None:
    outputs, figures = interrupted
    directory = copy(outputs, tmp_path / "copy")
    damage_file(directory, name, damage)
    finished = run(RUN, tmp_path / "copy")
    assert read_figures(finished.directory) == figures
    assert not list_leftovers(finished.directory)
    words = capsys.readouterr().out
    needed = name in ("metrics.csv", "events.out.tfevents", LAST)
    # What was appended after the checkpoint is cut off, and without a last checkpoint the previous one is as good.
    harmless = damage in ("cut by a byte", "appended to") and name in ("metrics.csv", "events.out.tfevents")
    if name == LAST and damage == "deleted":
        assert "resuming after epoch 2" in words
    elif needed and not harmless:
        assert str(directory / LAST) in words
        assert "resuming after epoch 2" in words if name == LAST else "The run starts from the beginning" in words
    elif name == "run.json" and damage != "one byte changed":
        assert "The directory is set aside as" in words or "run.json is missing" in words
    elif name != "run.json":
        assert "resuming after epoch 3" in words


def test_a_damaged_checkpoint_does_not_take_the_place_of_the_previous_one(
    interrupted: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is killed again, between the two files of its next checkpoint."""
    directory = copy(interrupted[0], tmp_path / "copy")
    damage_file(directory, LAST, "halved")
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        if source.suffix == ".part" and target.name == LAST:
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("regexp.training.loop.CHECKPOINT_SHARE", 0)
        patch.setattr(os, "replace", killed)
        with pytest.raises(Killed):
            run(RUN, tmp_path / "copy", quiet=True)
    checkpoint = load_checkpoint(directory)
    assert checkpoint is not None
    assert checkpoint.metadata["epoch"] == 2


def check_damaged_checkpoints(directory: Path, damaged_path: Path, stride: int, bits: range) -> tuple[int, int]:
    """Read a checkpoint cut at every length and with every bit flipped; return how often that was found out, or not.

    Args:
        directory: the directory of the run.
        damaged_path: where to write damaged checkpoints.
        stride: only every so many bytes are tried.
        bits: the bits that are flipped in each of these bytes.

    Returns:
        The number of damages that raised RunError, and the number of those that changed nothing that is read.
    """
    content = (directory / LAST).read_bytes()
    tensors, metadata = read_tensors(directory / LAST)
    cut = [content[:length] for length in range(0, len(content), stride)]
    flipped = (flip(content, position, bit) for position in range(0, len(content), stride) for bit in bits)
    num_errors = num_harmless = 0
    for damaged in (*cut, *flipped):
        damaged_path.write_bytes(damaged)
        try:
            damaged_tensors, damaged_metadata = read_tensors(damaged_path)
        except RunError:
            num_errors += 1
            continue
        num_harmless += 1
        assert damaged_metadata["state"] == metadata["state"]
        assert {name: tensor.tolist() for name, tensor in damaged_tensors.items()} == {
            name: tensor.tolist() for name, tensor in tensors.items()
        }
    return num_errors, num_harmless


def test_a_damaged_checkpoint_is_never_silently_wrong(interrupted: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    [directory] = (interrupted[0] / "default").iterdir()
    num_errors, num_harmless = check_damaged_checkpoints(directory, tmp_path / "damaged", stride=17, bits=range(1))
    assert num_errors > 500
    # In the name of the checksum's entry: the file counts as one of an earlier version.
    assert num_harmless <= 2


@pytest.mark.slow
def test_every_damaged_bit_of_a_checkpoint_is_found_out(
    interrupted: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    [directory] = (interrupted[0] / "default").iterdir()
    num_errors, num_harmless = check_damaged_checkpoints(directory, tmp_path / "damaged", stride=1, bits=range(8))
    print(f"checkpoint: {num_errors} damages found out, {num_harmless} that change nothing that is read")
    assert num_harmless <= 8 * len("checksum")


@pytest.mark.parametrize("name", ["metrics.csv", "events.out.tfevents"])
def test_a_file_cut_in_the_middle_of_a_record_is_cut_back_to_the_checkpoint(
    interrupted: tuple[Path, dict[str, Any]], tmp_path: Path, name: str
) -> None:
    """The checkpoint is that of epoch 3, and the records of epoch 4 are cut at several lengths."""
    outputs, figures = interrupted
    [directory] = (outputs / "default").iterdir()
    checkpoint = load_checkpoint(directory)
    assert checkpoint is not None
    [path] = directory.glob(f"{name}*")
    start = checkpoint.metadata["metrics" if name == "metrics.csv" else "events"]["size"]
    end = path.stat().st_size
    assert end > start
    for length in range(start, end, (end - start) // 5):
        target = tmp_path / str(length)
        [copied_path] = copy(outputs, target).glob(f"{name}*")
        copied_path.write_bytes(path.read_bytes()[:length])
        assert read_figures(run(RUN, target, quiet=True).directory) == figures


@pytest.mark.parametrize("damage", ["deleted", "emptied", "halved", "one byte changed"])
@pytest.mark.parametrize(("name", "weights"), [("best.safetensors", "best"), (LAST, "last")])
def test_broken_weights_of_a_finished_run_raise_an_error_that_names_the_file(
    tmp_path: Path, name: str, weights: str, damage: str
) -> None:
    finished = run([*RUN, "optimizer=sgd", "optimizer.lr=5"], tmp_path, quiet=True)
    assert finished.summary is not None
    assert finished.summary["best_epoch"] < finished.summary["epochs"]  # else best.safetensors has the last weights too
    damage_file(finished.directory, name, damage)
    with pytest.raises(RunError, match=f"{name} is (broken|missing)") as caught:
        finished.model(weights)
    assert str(finished.directory) in str(caught.value)
    if weights == "best":
        with pytest.raises(RunError, match=name):  # the last weights are no replacement
            finished.model()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    finished = run(RUN, tmp_path, quiet=True)
    other = run([*RUN, "normalization=batch"], tmp_path, quiet=True)
    shutil.copy(other.directory / "best.safetensors", finished.directory)
    with pytest.raises(RunError, match=r"best\.safetensors does not hold the weights of this run: "):
        finished.model()


def test_weights_without_a_checksum_are_those_of_an_earlier_version(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    finished = run(RUN, tmp_path, quiet=True)
    tensors, metadata = read_tensors(finished.directory / "best.safetensors")
    save_file(tensors, finished.directory / "best.safetensors", metadata)
    finished.model()


def test_a_line_that_is_being_written_does_not_count(tmp_path: Path) -> None:
    finished = run(RUN, tmp_path, quiet=True)
    path = finished.directory / "metrics.csv"
    content = path.read_bytes()
    for length in range(content.rindex(b"\n5,") + 1, len(content)):
        path.write_bytes(content[:length])
        assert [row["epoch"] for row in finished.metrics] == [1, 2, 3, 4]
    path.write_bytes(content.replace(b"\n3,", b"\nx,"))
    with pytest.raises(RunError, match=r"metrics\.csv is broken: "):
        finished.metrics  # noqa: B018


def test_data_that_changed_since_the_start_train_a_run_of_their_own(tmp_path: Path) -> None:
    """The run that was interrupted is set aside, and goes on when its data come back."""
    import numpy as np

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 4, 4), dtype=np.uint8)
    labels = np.arange(60) % 3
    overrides = ["data=arrays", f"data.path={tmp_path / 'data.npz'}", "epochs=2", "early_stopping=none"]
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("regexp.utils.signals.StopRequest.requested", True)
        with pytest.raises(KeyboardInterrupt):
            run(overrides, tmp_path / "outputs", quiet=True)
    np.savez(tmp_path / "data.npz", images=255 - images, labels=labels)
    other = run(overrides, tmp_path / "outputs", quiet=True)
    assert "resumed" not in other.record
    assert len(list((tmp_path / "outputs" / "default").glob("*.old-*"))) == 1
