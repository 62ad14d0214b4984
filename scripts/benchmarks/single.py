"""A single run of MNIST against loops that neither measure nor record as much."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.cohorts import LESSON, EpochwiseCohort
from benchmarks.loops import make_bare_epoch, make_lesson_epoch
from benchmarks.timing import Rows, compare_with, counted_turns, take_turns


def benchmark_single(root: Path, epochs: int, augment: bool) -> Rows:
    """Compare the seconds of an epoch of regexp, with all its measuring and recording, with those of simpler loops.

    Args:
        root: the directory that holds MNIST/raw.
        epochs: the number of epochs that count.
        augment: whether to augment the images.
    """
    overrides = LESSON if augment else [*LESSON, "augmentation=none"]
    with tempfile.TemporaryDirectory() as outputs:
        cohort = EpochwiseCohort([overrides], root, epochs + 2, Path(outputs))
        functions: dict[str, Callable[[], None]] = {
            "regexp": cohort,
            "the lesson's loop (DataLoader, PIL transforms)": make_lesson_epoch(root, augment),
        }
        if not augment:
            functions["a bare loop (tensors in memory, fused Adam)"] = make_bare_epoch(root)
        seconds = {name: counted_turns(values, epochs) for name, values in take_turns(functions, epochs + 2).items()}
    recording = {"  of which recording": counted_turns(cohort.recording_seconds, epochs)}
    return compare_with("regexp", {"regexp": seconds["regexp"], **recording, **seconds})
