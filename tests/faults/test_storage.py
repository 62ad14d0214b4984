"""Disks that are full or read-only, and files that other programs delete or change while runs train."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import read_summaries, run_regexp
from helpers.disks import grow_disk, read_only, small_disk
from helpers.faulty_disk import list_leftovers
from kill_runs import read_figures
from PIL import Image

from regexp import load_run, run, sweep
from regexp.errors import RunError, StorageError
from regexp.execution.run_recorder import RunRecorder
from regexp.training.metrics import EpochMetrics
from regexp.utils import storage_errors
from regexp.utils.storage_errors import describe_storage_error, explain_storage_errors

RUN = ["epochs=4", "model.hidden_sizes=[4]", "data.train_size=64", "data.val_size=32", "early_stopping=none"]
PAGE = 4096


def act_in_epoch_3(
    patch: pytest.MonkeyPatch, action: Callable[[RunRecorder], Any], seed: int = 0, epoch: int = 3
) -> None:
    """Do something just before a run records an epoch, with a checkpoint of each epoch before it."""
    record_epoch = RunRecorder.record_epoch

    def method(self: RunRecorder, metrics: EpochMetrics) -> None:
        if self.planned.job.config.seed == seed and metrics.epoch == 3:
            action(self)
        record_epoch(self, metrics)

    patch.setattr("regexp.training.loop.CHECKPOINT_SHARE", 0)
    patch.setattr(RunRecorder, "record_epoch", method)


@contextmanager
def suppress_full_disk() -> Iterator[None]:
    """Go on after the error of a full disk, if it says what to do."""
    try:
        yield
    except StorageError as error:
        if "No space left on device\nFree some space, or choose another directory" not in str(error):
            raise


def fill_disk(tmp_path: Path, num_bytes: int, figures: dict[str, Any]) -> bool:
    """Train on a disk of this size, give it more room, and train again; return whether it had been too small."""
    disk = tmp_path / f"disk of {num_bytes} bytes"
    with small_disk(disk, num_bytes):
        was_full = True
        with suppress_full_disk():
            was_full = run(RUN, disk, quiet=True).status != "completed"
        grow_disk(disk)
        finished = run(RUN, disk, quiet=True)
        assert read_figures(finished.directory) == figures
        assert not list_leftovers(finished.directory)
    return was_full


@pytest.mark.parametrize("pages", [6, 16])
def test_a_run_on_a_full_disk_goes_on_when_there_is_room(tmp_path: Path, pages: int) -> None:
    figures = read_figures(run(RUN, tmp_path / "undisturbed", quiet=True).directory)
    assert fill_disk(tmp_path, pages * PAGE, figures)


@pytest.mark.slow
def test_a_run_goes_on_wherever_its_disk_was_full(tmp_path: Path) -> None:
    """The disk is full at each of the run's files in turn, because it is a page larger each time."""
    figures = read_figures(run(RUN, tmp_path / "undisturbed", quiet=True).directory)
    sizes = [pages * PAGE for pages in range(3, 30)]
    count = sum(fill_disk(tmp_path, num_bytes, figures) for num_bytes in sizes)
    print(f"full disk: {count} runs of {len(sizes)} disks, all with the undisturbed figures in the end")
    assert 10 < count < len(sizes)


MEASURES = {"predictions": ["predictions=true"], "corruptions": ["evaluation.corruptions=true"]}
MEASURES["both"] = [word for words in MEASURES.values() for word in words]


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURES)
def test_a_finished_run_keeps_its_figures_while_there_is_no_room_for_more_measures(tmp_path: Path, name: str) -> None:
    words = [*RUN, *MEASURES[name]]
    expected = run(words, tmp_path / "undisturbed", quiet=True)
    figures_at_the_end = read_figures(expected.directory)
    disk, filler = tmp_path / "disk", tmp_path / "disk" / "filler"
    num_failures = 0
    with small_disk(disk, 2**21):
        finished = run(RUN, disk, quiet=True)
        figures = read_figures(finished.directory)
        for pages in (0, 1, 2, 3, 4, 6, 8, 12, 16):
            space = os.statvfs(disk)
            filler.write_bytes(bytes((space.f_bavail - pages) * space.f_frsize))
            num_failures += 1
            with suppress_full_disk():
                run(words, disk, quiet=True)
                num_failures -= 1
            figures_now = read_figures(finished.directory)
            assert all(curve in figures_now["curves"].items() for curve in figures["curves"].items()), pages
            assert figures_now["weights"] == figures["weights"]
            assert figures_now["metrics"] == figures["metrics"]
            for picture in finished.directory.glob("*.png"):
                with Image.open(picture) as image:
                    image.load()
            assert figures_now["summary"] in (figures["summary"], figures_at_the_end["summary"])
            assert not list_leftovers(finished.directory)
            filler.unlink()
        measured = run(words, disk, quiet=True)
        assert num_failures > 1
        assert measured.directory == finished.directory
        assert read_figures(measured.directory) == figures_at_the_end
        assert (measured.directory / "predictions.safetensors").exists() == ("predictions=true" in words)
        if "predictions=true" in words:
            assert measured.test_logits().logits == pytest.approx(expected.test_logits().logits, abs=1e-4)
        assert not list_leftovers(measured.directory)


SWEEP = [[*RUN, f"seed={seed}"] for seed in (0, 1, 2)]


def test_a_run_whose_directory_is_read_only_stops_no_sweep(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("regexp.utils.signals.StopRequest.requested", True)
        with pytest.raises(KeyboardInterrupt):
            run(SWEEP[1], quiet=True)
    [directory] = Path("outputs/default").iterdir()
    with read_only(directory):
        with pytest.raises(RunError) as caught:
            sweep(SWEEP)
        assert str(caught.value).startswith(f"{directory}/run.json cannot be written: ")
        assert "The other runs have finished; make the same call again" in str(caught.value)
        assert "3 runs: 2 to train, 1 that cannot be stored" in capsys.readouterr().out
        assert len(read_summaries()) == 2
    sweep(SWEEP)
    assert "3 runs: 1 to train (1 to resume), 2 already finished" in capsys.readouterr().out
    assert len(read_summaries()) == 3


def test_finished_runs_are_shown_from_a_read_only_directory(capsys: pytest.CaptureFixture[str]) -> None:
    sweep(SWEEP, quiet=True)
    with read_only(Path("outputs")):
        sweep(SWEEP)
        run(SWEEP[0])
    streams = capsys.readouterr()
    assert "3 runs: 0 to train, 3 already finished" in streams.out
    assert streams.err.startswith("regexp: warning: outputs/default/sweeps/")


def test_a_disk_that_becomes_read_only_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    figures = read_figures(run(RUN, tmp_path / "undisturbed", quiet=True).directory)
    disk = tmp_path / "disk"
    with small_disk(disk, 2**26):
        with pytest.MonkeyPatch.context() as patch:
            act_in_epoch_3(patch, lambda recorder: os.system(f"mount -o remount,ro '{disk}'"))
            with pytest.raises(StorageError, match="Read-only file system\nMake the file system writable, or"):
                run(RUN, disk, quiet=True)
        os.system(f"mount -o remount,rw '{disk}'")
        finished = run(RUN, disk, quiet=True)
        assert read_figures(finished.directory) == figures
        assert "resumes after epoch 2" in (finished.directory / "run.log").read_text()


def test_a_directory_that_is_deleted_while_its_run_trains_stops_no_other_run() -> None:
    with pytest.MonkeyPatch.context() as patch:
        act_in_epoch_3(patch, lambda recorder: shutil.rmtree(recorder.directory), seed=1)
        with pytest.raises(RunError) as caught:
            sweep(SWEEP, quiet=True)
    message = str(caught.value)
    assert "cannot be written: No such file or directory\nPut back what was deleted or renamed, or" in message
    assert len(read_summaries()) == 2
    sweep(SWEEP, quiet=True)
    assert len(read_summaries()) == 3


@pytest.mark.parametrize("name", ["metrics.csv", "events.out.tfevents*"])
@pytest.mark.parametrize("change", ["deleted", "cut", "appended to"])
def test_a_file_that_is_changed_while_its_run_trains_is_an_error(tmp_path: Path, name: str, change: str) -> None:
    """It would silently lack epochs, or hold those of two processes."""

    def act(recorder: RunRecorder) -> None:
        [path] = recorder.directory.glob(name)
        if change == "deleted":
            path.unlink()
        else:
            content = path.read_bytes()
            path.write_bytes(content[:-9] if change == "cut" else content + b"9")

    figures = read_figures(run(RUN, tmp_path / "undisturbed", quiet=True).directory)
    with pytest.MonkeyPatch.context() as patch:
        act_in_epoch_3(patch, act)
        with pytest.raises(StorageError, match=r"cannot be written: No such file|was changed by another program"):
            run(RUN, tmp_path, quiet=True)
    assert read_figures(run(RUN, tmp_path, quiet=True).directory) == figures


@pytest.mark.parametrize("words", [[], ["-m", "seed=0,1"]])
@pytest.mark.parametrize("obstacle", ["outputs", "outputs/default"])
def test_a_file_where_a_directory_should_be_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], obstacle: str, words: list[str]
) -> None:
    Path(obstacle).parent.mkdir(exist_ok=True)
    Path(obstacle).write_text("mine")
    assert run_regexp(monkeypatch, *words, *RUN) == 4
    err = capsys.readouterr().err
    assert f"cannot be written: {obstacle} is a file, not a directory\nMove that file away, or choose" in " ".join(
        err.split(" ")
    ).replace(f"{Path.cwd()}/", "")
    assert Path(obstacle).read_text() == "mine"


@pytest.mark.parametrize("number", [*storage_errors._FIRST_STEPS, errno.EBUSY])
def test_the_remedy_fits_the_error(tmp_path: Path, number: int) -> None:
    with pytest.raises(StorageError) as caught, explain_storage_errors(tmp_path):
        raise OSError(number, os.strerror(number))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path} cannot be written: {os.strerror(number)}\n")
    assert ("Free some" in message) == (number in (errno.ENOSPC, errno.EDQUOT))
    assert "hoose another directory with hydra.run.dir=DIR" in message
    assert message.endswith("The same command then goes on from what is stored there.")


def test_a_message_names_the_file_that_the_system_names(tmp_path: Path) -> None:
    error = OSError(errno.EACCES, "Permission denied", str(tmp_path / "file"))
    assert describe_storage_error(error, tmp_path, "pray").splitlines() == [
        f"{tmp_path / 'file'} cannot be written: Permission denied",
        "Change its permissions, or pray.",
    ]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"identity": 3}'])
def test_a_broken_run_json_is_said_and_kept(capsys: pytest.CaptureFixture[str], content: str) -> None:
    directory = run(RUN, quiet=True).directory
    (directory / "run.json").write_text(content)
    run(RUN)
    out = " ".join(capsys.readouterr().out.split())
    [old] = Path("outputs/default").glob("*.old-*")
    assert f"{directory}/run.json is broken: " in out
    assert f"The directory is set aside as {old.name}; its run starts anew." in out
    assert (old / "run.json").read_text() == content
    assert load_run(directory).status == "completed"


def test_many_errors_of_one_kind_are_counted() -> None:
    sweep([[*RUN, "seed=99"]], quiet=True)
    runs = [[*RUN, f"seed={seed}"] for seed in (99, *range(14))]

    def fail(self: RunRecorder) -> None:
        raise StorageError(f"{self.directory} cannot be written: Input/output error\nCheck the disk.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunRecorder, "record_start", fail)
        with pytest.raises(RunError) as caught:
            sweep(runs, quiet=True)
    lines = str(caught.value).splitlines()
    assert len(lines) == 13
    assert lines[10:12] == ["and 4 more", "Check the disk."]
