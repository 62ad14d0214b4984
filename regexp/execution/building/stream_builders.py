"""Builders that turn configurations into image streams: augmentation, mixing and labels."""

from dataclasses import asdict
from functools import lru_cache, partial
from typing import Any

from torch import Tensor

from regexp.augmentation.image_by_image import wrap_torchvision_transform
from regexp.augmentation.mixing import Mixing
from regexp.augmentation.pipeline import Pipeline, Transform
from regexp.augmentation.user_transform import wrap_user_transform
from regexp.config.schema import Config
from regexp.config.schemas.augmentation import TorchvisionConfig, UserTransformConfig
from regexp.data.dataset import Dataset, add_label_noise
from regexp.errors import ConfigError
from regexp.training.streams import ImageStream
from regexp.user_code.loading import explain_user_failures
from regexp.utils.counts import batch_sizes
from regexp.utils.lazy import load_object


def make_stream(config: Config, dataset: Dataset) -> ImageStream:
    """Make the image stream of a run."""
    pipeline = make_pipeline(config, dataset.shape)
    return ImageStream(config.seed, pipeline, make_noisy_labels(config, dataset), make_mixing(config))


def make_mixing(config: Config) -> Mixing | None:
    """Make the mixing of a run's images; None for a run without it."""
    if config.mixing.transform is None:
        return None
    options = asdict(config.mixing)
    del options["name"]
    mixing: Mixing = load_object(config.mixing.transform)(**options)
    return mixing


def make_noisy_labels(config: Config, dataset: Dataset) -> Tensor | None:
    """Make the training labels [N] of a run with label noise; None for a run without it."""
    noise, split_seed = config.data.label_noise, config.data.split_seed
    if noise == 0:
        return None
    return _mislabel_once(dataset.train.labels, noise, len(dataset.classes), split_seed)


_mislabel_once = lru_cache(maxsize=16)(add_label_noise)  # runs with the same label noise share one tensor


def make_pipeline(config: Config, shape: tuple[int, ...]) -> Pipeline:
    """Make the augmentation of a run for images of this shape, [C, H, W], or for rows of F features, (F,).

    Raises:
        ConfigError: a step, which the message names, does not suit such images.
    """
    channels, height, width = shape if len(shape) == 3 else (1, 1, *shape)
    steps: list[Transform] = []
    for name, step_config in config.augmentation.items():
        size = Pipeline(steps, height, width, channels).output_size
        if isinstance(step_config, UserTransformConfig):
            key = f"augmentation.{name}"
            steps.append(_make_user_transform(key, step_config, (channels, *size), config.batch_size))
            continue
        try:
            steps.append(make_transform(step_config, (channels, *size)))
            Pipeline(steps, height, width, channels)
        except ConfigError as error:
            raise ConfigError(f"augmentation.{name}.{error}") from error
    return Pipeline(steps, height, width, channels)


def make_transform(step_config: Any, shape: tuple[int, int, int]) -> Transform:
    """Make the transform of an augmentation step for images of this shape, [C, H, W].

    The class of the step's configuration decides the transform; the user may call the step anything.
    """
    if isinstance(step_config, TorchvisionConfig):
        return wrap_torchvision_transform(step_config.target, step_config.arguments, shape)
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in asdict(step_config).items()}
    transform: Transform = load_object(step_config.transform)(**options)
    return transform


def _make_user_transform(
    key: str, step_config: UserTransformConfig, shape: tuple[int, int, int], batch_size: int
) -> Transform:
    """Make a transform of the user's own; see `wrap_user_transform`."""
    split = partial(batch_sizes, batch_size=batch_size)
    arguments = step_config.arguments
    with explain_user_failures([step_config.target]):
        return wrap_user_transform(key, step_config.target, arguments, step_config.batched, shape, split)
