"""Cautions: warnings about configurations that are valid but probably not what the user wants."""

from collections.abc import Iterator

from regexp.config.augmentation_schema import STEPS
from regexp.config.data_schema import DATA_SOURCES
from regexp.config.schema import Config

_MIN_BATCH_SIZE_FOR_STATISTICS = 4


def find_cautions(config: Config, experiment: str | None) -> Iterator[str]:
    """Yield the warnings about a valid configuration.

    Args:
        config: the configuration, checked before.
        experiment: the option of the group `experiment`, or None. The lesson's own experiments mirror digits on
            purpose, so they get no warning about that.
    """
    is_lesson = experiment is not None and experiment.startswith("lesson")
    for name, step in config.augmentation.items():
        if (
            isinstance(step, STEPS["flip"])
            and step.p > 0
            and DATA_SOURCES[config.data.name].shows_characters
            and not is_lesson
        ):
            yield (
                f"augmentation.{name} mirrors the characters of data={config.data.name}, and a mirrored 2 is not a 2; "
                f"drop the step with ~augmentation.{name}"
            )
        if isinstance(step, STEPS["crop"]) and step.size == 1 and isinstance(step.size, int):
            yield f"augmentation.{name}.size=1 is one pixel; 1.0 is the whole side"
    for name in ("train_size", "val_size"):
        if getattr(config.data, name) == 1 and isinstance(getattr(config.data, name), int):
            yield f"data.{name}=1 is one image; 1.0 is all of them"
    patience = config.early_stopping.patience
    if patience is not None and patience >= config.epochs:
        yield f"early_stopping.patience={patience} can never stop a run of epochs={config.epochs}"
    if config.normalization.name == "batch" and config.batch_size < _MIN_BATCH_SIZE_FOR_STATISTICS:
        yield (
            f"normalization=batch estimates its statistics from batches of batch_size={config.batch_size}; "
            f"use {_MIN_BATCH_SIZE_FOR_STATISTICS} or more, or normalization=layer"
        )
