"""One run of MNIST against loops that neither measure nor record as much."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.cohorts import LESSON, Turns
from benchmarks.loops import bare_loop, lesson_loop
from benchmarks.timing import Rows, counted, rows_of, take_turns


def benchmark_single(root: Path, epochs: int, augment: bool) -> Rows:
    """Seconds an epoch of regexp, with all its measuring and recording, against loops that do neither."""
    overrides = LESSON if augment else [*LESSON, "augmentation=none"]
    with tempfile.TemporaryDirectory() as folder:
        regexp = Turns([overrides], root, epochs + 2, Path(folder))
        sides: dict[str, Callable[[], None]] = {
            "regexp": regexp,
            "the lesson's loop (DataLoader, PIL transforms)": lesson_loop(root, augment),
        }
        if not augment:
            sides["a bare loop (tensors in memory, fused Adam)"] = bare_loop(root)
        seconds = {name: counted(values, epochs) for name, values in take_turns(sides, epochs + 2).items()}
    recording = {"  of which recording": counted(regexp.recording, epochs)}
    return rows_of({"regexp": seconds["regexp"], **recording, **seconds}, "regexp")
