"""What augmentation costs, option by option."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.cohorts import Turns
from benchmarks.timing import Rows, counted, rows_of, take_turns
from regexp.config.compose import CONF, compose_job
from regexp.execution.builders import load_dataset, make_stream
from regexp.training.batches import batches


def benchmark_augmentation(root: Path, epochs: int) -> Rows:
    """Seconds that the images of an epoch take, augmented by each option, beside a whole epoch of training without."""
    options = sorted(file.stem for file in (CONF / "augmentation").glob("*.yaml"))
    with tempfile.TemporaryDirectory() as folder:
        regexp = Turns([["data=mnist", "normalization=batch", "early_stopping=none"]], root, epochs + 2, Path(folder))
        sides: dict[str, Callable[[], None]] = {
            "regexp": regexp,
            **{option: images(root, option) for option in options},
        }
        seconds = {name: counted(values, epochs) for name, values in take_turns(sides, epochs + 2).items()}
    recording = {"  of which recording": counted(regexp.recording, epochs)}
    return rows_of({"regexp": seconds["regexp"], **recording, **seconds}, "regexp")


def images(root: Path, option: str) -> Callable[[], None]:
    """An epoch's images of MNIST, with an option of augmentation."""
    config = compose_job(["data=mnist", f"data.root={root}", f"augmentation={option}"]).config
    dataset = load_dataset(config)
    stream = make_stream(config, dataset)

    def epoch() -> None:
        for _ in batches(dataset.train, [stream], [1], config.batch_size, 1, torch.float32):
            pass

    return epoch
