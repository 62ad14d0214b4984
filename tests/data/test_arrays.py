"""Arrays in memory, handed to run and sweep: what they may be, their file in the cache, and their identity."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.commands import run_regexp
from helpers.data_files import CLASSES, make_pixels
from helpers.own_module import Drawing
from PIL import Image

from regexp import Arrays, compare, run, sweep
from regexp.data.sources import arrays_directory
from regexp.errors import ConfigError, DataError, StorageError
from regexp.runs.run import Run

SHORT = ["epochs=2", "model.hidden_sizes=[8]"]
LABELS = np.arange(30) % 3
IMAGES = np.stack([make_pixels(label, i, 6, 5) for i, label in enumerate(LABELS)])
ARRAYS = Arrays(IMAGES, LABELS, test_images=IMAGES[:9], test_labels=LABELS[:9], classes=CLASSES)


def data_of(trained_run: Run) -> str:
    """Return the fingerprint of a run's data."""
    return str(trained_run.record["identity"]["data"])


# The same images and labels in other forms.
FORMS: dict[str, Arrays] = {
    "tensors": replace(ARRAYS, images=torch.tensor(IMAGES), labels=torch.tensor(LABELS)),
    "a gradient": replace(ARRAYS, images=torch.tensor(IMAGES / 255, requires_grad=True)),
    "bfloat16": replace(ARRAYS, images=torch.tensor(IMAGES / 255, dtype=torch.bfloat16)),
    "lists": replace(ARRAYS, labels=LABELS.tolist(), classes=list(CLASSES)),
    "channels last": replace(ARRAYS, images=IMAGES[..., None]),
    "channels first": replace(ARRAYS, images=torch.tensor(IMAGES)[:, None]),
    "channels first for the test": replace(ARRAYS, test_images=torch.tensor(IMAGES[:9, None] / 255)),
    "not contiguous": replace(ARRAYS, images=IMAGES.repeat(2, 2)[:, :, ::2]),
    "names": replace(
        ARRAYS,
        labels=np.array(CLASSES)[LABELS],
        test_labels=[CLASSES[label] for label in LABELS[:9]],
        classes=None,
    ),
    "a validation set": replace(ARRAYS, val_images=IMAGES[9:15], val_labels=LABELS[9:15]),
    "no test set": replace(ARRAYS, test_images=None, test_labels=None),
}


@pytest.mark.parametrize("form", FORMS)
def test_arrays_of_every_form_train(form: str) -> None:
    trained_run = run(SHORT, data=FORMS[form], quiet=True)
    assert trained_run.status == "completed"
    assert trained_run.summary is not None
    counts = trained_run.summary["images"]
    assert counts["test"] == (6 if form == "no test set" else 9)
    assert counts["validation"] == (6 if form != "no test set" else 5)
    assert trained_run.model()(torch.rand(2, 1, 6, 5)).shape == (2, 3)
    assert trained_run.classes == CLASSES
    predictions = trained_run.predict(IMAGES[:9] if FORMS[form].test_images is None else FORMS[form].test_images)
    assert set(predictions.labels) <= set(CLASSES)
    if form != "no test set":
        assert (predictions.indices == LABELS[:9]).mean() == trained_run.summary["test"]["accuracy"]


def test_equal_contents_are_the_same_data_and_others_are_not() -> None:
    first = run(SHORT, data=ARRAYS, quiet=True)
    modified = (first.directory / "summary.json").stat().st_mtime_ns
    equal = replace(ARRAYS, images=torch.tensor(IMAGES), labels=LABELS.copy())
    assert run(SHORT, data=equal, quiet=True).directory == first.directory
    assert (first.directory / "summary.json").stat().st_mtime_ns == modified
    [path] = arrays_directory().iterdir()
    inode = path.stat().st_ino
    assert replace(ARRAYS).save() == path
    assert path.stat().st_ino == inode  # it is not written again
    path.unlink()
    assert run(SHORT, data=equal, quiet=True).directory == first.directory
    assert (first.directory / "summary.json").stat().st_mtime_ns == modified
    changed_images = IMAGES.copy()
    changed_images[0, 0, 0] ^= 1
    others = [
        replace(ARRAYS, images=changed_images),
        replace(ARRAYS, test_images=None, test_labels=None, val_images=IMAGES[:9], val_labels=LABELS[:9]),
    ]
    fingerprints = {data_of(first), *(data_of(run(SHORT, data=other, quiet=True)) for other in others)}
    assert len(fingerprints) == 3
    assert first.directory.name == f"data=arrays,path={path.stem[:8]},epochs=2,hidden_sizes=8"


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_sweep_over_arrays_is_compared(workers: int) -> None:
    jobs = [[*SHORT, f"normalization={name}", f"seed={seed}"] for name in ("none", "layer") for seed in (0, 1)]
    runs = sweep(jobs, data=ARRAYS, quiet=True, workers=workers)
    assert [trained_run.status for trained_run in runs] == ["completed"] * 4
    assert len(compare(runs, by="normalization")) == 2
    assert len(list(arrays_directory().iterdir())) == 1


def test_a_run_on_arrays_is_resumed_from_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("regexp.utils.signals.StopRequest.requested", True)
        with pytest.raises(KeyboardInterrupt):
            run(SHORT, data=ARRAYS, quiet=True)
    [directory] = Path("outputs/default").glob("*/run.json")
    assert run_regexp(monkeypatch, *Run(directory.parent).record["overrides"]) == 0
    assert "resumes after epoch 1" in (directory.parent / "run.log").read_text()


FAULTS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "too bright": (lambda: replace(ARRAYS, images=IMAGES / 16), DataError, "if .* is white, type data.scale="),
    "too few labels": (lambda: replace(ARRAYS, labels=LABELS[:5]), DataError, "images holds 30 images, but labels 5"),
    "five channels": (lambda: replace(ARRAYS, images=np.zeros((30, 6, 5, 5))), DataError, "with 1 or 3 channels C"),
    "other sizes": (lambda: replace(ARRAYS, test_images=IMAGES[:9, 1:]), DataError, r"\[1, 5, 5\] in test_images"),
    "one class": (lambda: Arrays(IMAGES, LABELS * 0), DataError, "labels has only one class; at least two"),
    "no test labels": (lambda: replace(ARRAYS, test_labels=None), DataError, "has no array test_labels"),
    "NaN": (lambda: replace(ARRAYS, images=IMAGES * np.nan), DataError, "holds NaN or infinity"),
    "ragged lists": (lambda: replace(ARRAYS, labels=[[1], [2, 3]]), ConfigError, "Arrays: labels is no array"),
    "objects": (lambda: replace(ARRAYS, labels=[object()] * 30), ConfigError, "Arrays: labels holds Python objects"),
    "palettes": (
        lambda: replace(ARRAYS, images=[Image.new("P", (5, 5))] * 30),
        ConfigError,
        r"Arrays: images holds images of Pillow; give numpy\.stack",
    ),
    "a tuple": (lambda: (IMAGES, LABELS), ConfigError, r"data=tuple: must be regexp.Arrays\(images, labels\)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_arrays_is_said_without_their_file(fault: str) -> None:
    make, kind, message = FAULTS[fault]
    with pytest.raises(kind, match=message) as caught:
        run(SHORT, data=make(), quiet=True)
    assert ".npz" not in str(caught.value)


@pytest.mark.parametrize("override", ["data=mnist", "data.path=x.npz", "data.root=x"])
def test_data_can_be_chosen_only_once(override: str) -> None:
    with pytest.raises(ConfigError, match=f"^{override} with data=Arrays.*: both choose the data"):
        sweep([SHORT, [*SHORT, override]], data=ARRAYS)
    assert not arrays_directory().exists()


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv("REGEXP_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match=r"cannot be written: (.|\n)*REGEXP_CACHE=DIR"):
        run(SHORT, data=ARRAYS, quiet=True)


def test_the_output_names_the_file_and_its_size(capsys: pytest.CaptureFixture[str]) -> None:
    run(SHORT, data=ARRAYS)
    [path] = arrays_directory().iterdir()
    output = "".join(capsys.readouterr().out.split())
    assert f"keptin{path}(0.0MB)" in output


@pytest.mark.slow
def test_arrays_train_a_module_of_the_users_own() -> None:
    runs = sweep([[*SHORT[:1], f"seed={seed}"] for seed in (0, 1)], data=ARRAYS, model=Drawing, quiet=True)
    assert [trained_run.status for trained_run in runs] == ["completed"] * 2


def test_other_overrides_work_with_arrays() -> None:
    overrides = [*SHORT, "data.scale=300", "data.train_size=9", "data.val_size=6"]
    trained_run = run(overrides, data=ARRAYS, quiet=True)
    assert trained_run.summary is not None
    assert trained_run.summary["images"] == {"train": 9, "validation": 6, "test": 9}
