"""The cost of augmentation, option by option."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.cohorts import EpochwiseCohort
from benchmarks.timing import Rows, compare_with, counted_turns, take_turns
from regexp.config.compose import compose_job
from regexp.config.hydra_config.search_path import CONF
from regexp.execution.builders import load_dataset
from regexp.execution.building.stream_builders import make_stream
from regexp.training.batches import draw_epoch

# Options with a transform of torchvision that does the same, image by image.
TORCHVISION = {"trivial": "TrivialAugmentWide", "randaugment": "RandAugment"}


def benchmark_augmentation(root: Path, epochs: int) -> Rows:
    """Compare the seconds that each option needs for the images of an epoch with an epoch of training without any.

    Beside two of them stands torchvision's own transform, image by image.
    """
    options = sorted(file.stem for file in (CONF / "augmentation").glob("*.yaml"))
    overrides = ["data=mnist", "normalization=batch", "early_stopping=none"]
    with tempfile.TemporaryDirectory() as outputs:
        cohort = EpochwiseCohort([overrides], root, epochs + 2, Path(outputs))
        functions: dict[str, Callable[[], None]] = {
            "regexp": cohort,
            **{option: make_image_epoch(root, f"augmentation={option}") for option in options},
            **{
                f"  {option}, torchvision's": make_image_epoch(
                    root, f"+augmentation.own={{_target_: torchvision.transforms.v2.{transform}}}"
                )
                for option, transform in TORCHVISION.items()
            },
        }
        seconds = {name: counted_turns(values, epochs) for name, values in take_turns(functions, epochs + 2).items()}
    recording = {"  of which recording": counted_turns(cohort.recording_seconds, epochs)}
    return compare_with("regexp", {"regexp": seconds["regexp"], **recording, **seconds})


def make_image_epoch(root: Path, override: str) -> Callable[[], None]:
    """Return a function that makes the images of an epoch of MNIST with the augmentation of an override."""
    config = compose_job(["data=mnist", f"data.root={root}", override]).config
    dataset = load_dataset(config)
    stream = make_stream(config, dataset)

    def epoch() -> None:
        images = draw_epoch(dataset.train, {"stream": stream}, config.batch_size, 1, torch.float32)
        for _ in images.batches([1]):
            pass

    return epoch
