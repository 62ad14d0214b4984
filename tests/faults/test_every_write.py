"""A run whose process or disk fails at any operation that writes: the same command ends with the same figures."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from helpers.faulty_disk import FAULTS, FaultyDisk, Killed, list_leftovers
from kill_runs import read_figures

from regexp import run
from regexp.errors import StorageError

RUN = ["epochs=3", "model.hidden_sizes=[4]", "data.train_size=64", "data.val_size=32", "early_stopping=none"]
# In the fast suite, every so many operations.
STRIDE = 23


@pytest.fixture(autouse=True)
def _checkpoint_after_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regexp.training.loop.CHECKPOINT_SHARE", 0)


def train(outputs: Path) -> Path:
    return run(RUN, outputs, quiet=True).directory


def undisturbed(tmp_path: Path) -> tuple[dict[str, Any], int]:
    """Return the figures of the run when nothing fails, and the number of its operations."""
    with pytest.MonkeyPatch.context() as patch:
        disk = FaultyDisk(patch, tmp_path)
        figures = read_figures(train(tmp_path / "undisturbed"))
    assert not disk.failed
    return figures, len(disk.operations)


def disturb(tmp_path: Path, fault: str, first: int, recovers: bool) -> tuple[Path, FaultyDisk]:
    """Train in a directory whose disk fails at an operation, then again, and return the directory of the run."""
    outputs = tmp_path / f"{fault} {first} {recovers}"
    with pytest.MonkeyPatch.context() as patch:
        disk = FaultyDisk(patch, tmp_path, fault, first, recovers)
        with suppress(Killed, StorageError):  # no other error
            train(outputs)
    return train(outputs), disk


def check(tmp_path: Path, fault: str, recovers: bool, stride: int) -> int:
    """Disturb a run at every operation, or at some, and return how often that happened."""
    expected, num_operations = undisturbed(tmp_path)
    num_failures = 0
    for first in range(len(fault) % stride, num_operations, stride):
        directory, disk = disturb(tmp_path, fault, first, recovers)
        message = f"{fault} at {first}: {disk.operations[first]}"
        assert read_figures(directory) == expected, message
        assert not list_leftovers(directory), message
        num_failures += disk.failed
    return num_failures


def test_content_is_on_the_disk_before_its_name_and_the_name_before_what_builds_on_it(tmp_path: Path) -> None:
    """As a power cut at any moment requires."""
    with pytest.MonkeyPatch.context() as patch:
        disk = FaultyDisk(patch, tmp_path)
        directory = train(tmp_path)
    operations = [operation.replace(f".{os.getpid()}.part", "") for operation in disk.operations]
    [events] = [path.name for path in directory.glob("events*")]
    for name in ("checkpoint.safetensors", "best.safetensors", "summary.json"):
        # A checkpoint is also renamed to the previous one, just before.
        replaced = [
            number
            for number, operation in enumerate(operations)
            if operation == f"replace {name}" and operations[number + 1] != f"replace {name}"
        ]
        assert all(f"fsync {name}" in operations[number - 2 : number] for number in replaced), name
        assert replaced, name
        assert all(operations[number + 1] == f"fsync {directory.name}" for number in replaced), name
    first_checkpoint = operations.index("replace checkpoint.safetensors")
    for name in ("run.json", "metrics.csv", events, directory.parent.name, tmp_path.name):
        assert f"fsync {name}" in operations[:first_checkpoint], name
    summary = operations.index("replace summary.json")
    last_write = max(number for number, operation in enumerate(operations) if operation == f"write {events}")
    assert f"fsync {events}" in operations[last_write:summary]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_some_operation_changes_no_figure(tmp_path: Path, fault: str) -> None:
    assert check(tmp_path, fault, recovers=False, stride=STRIDE) > 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "recovers"),
    [(fault, recovers) for fault in FAULTS for recovers in (False, True) if (fault, recovers) != ("killed", True)],
)
def test_a_fault_at_any_operation_changes_no_figure(tmp_path: Path, fault: str, recovers: bool) -> None:
    count = check(tmp_path, fault, recovers, stride=1)
    print(f"{fault}, {'once' if recovers else 'from then on'}: {count} operations, all with the undisturbed figures")
    assert count > 20
