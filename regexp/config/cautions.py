"""What is possible but hardly meant: warnings."""

from collections.abc import Iterator

from regexp.config.augmentation_schema import STEPS
from regexp.config.schema import Config

# A mirrored 2 is not a 2.
_HANDED = ("digits", "mnist", "kmnist")
_SMALL_BATCH = 4


def cautions(config: Config, experiment: str | None) -> Iterator[str]:
    """Warnings about a checked configuration; `experiment` is the option of that group, if any was chosen."""
    lesson = experiment is not None and experiment.startswith("lesson")
    for name, step in config.augmentation.items():
        if isinstance(step, STEPS["flip"]) and step.p > 0 and config.data.name in _HANDED and not lesson:
            yield (
                f"augmentation.{name} mirrors the characters of data={config.data.name}, and a mirrored 2 is not a 2; "
                f"~augmentation.{name} drops it"
            )
    patience = config.early_stopping.patience
    if patience is not None and patience >= config.epochs:
        yield (f"epochs={config.epochs} end before early_stopping.patience={patience} can")
    if config.normalization.name == "batch" and config.batch_size < _SMALL_BATCH:
        yield (
            f"normalization=batch estimates its statistics from batches of batch_size={config.batch_size}; "
            f"use {_SMALL_BATCH} or more, or normalization=layer"
        )
