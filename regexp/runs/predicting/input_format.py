"""What the network of a run takes and gives: the shape and scale of its images or its features, and its classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regexp.config.schema import OPTIONS, Config, source_arguments
from regexp.config.schemas.data import DATA_SOURCES
from regexp.data.sources import locate
from regexp.errors import ConfigError, DataError, RunError

if TYPE_CHECKING:
    from regexp.data.splits import Splits
    from regexp.data.tables.encoding import Feature


@dataclass(frozen=True)
class InputFormat:
    """What the network of a run takes, and the classes that it tells apart.

    Attributes:
        data: the name of the data set.
        classes: the name of each class, in the order of the labels.
        image_shape: [C, H, W] of the images before they are cropped; () for a table.
        scale: the number that is white in the user's images; None for the usual one of their type.
        features: the features of a table; None for images.
        fills_missing: whether a missing value in a table is no mistake.
    """

    data: str
    classes: tuple[str, ...]
    image_shape: tuple[int, ...]
    scale: float | None
    features: "tuple[Feature, ...] | None"
    fills_missing: bool

    @classmethod
    def from_run(cls, directory: Path, record: Mapping[str, Any], summary: Mapping[str, Any] | None) -> "InputFormat":
        """Return the format of a run, from its files, or from its data where an earlier version has trained it.

        Args:
            directory: the directory of the run.
            record: the content of run.json.
            summary: the content of summary.json; None if the run has not ended.

        Raises:
            RunError: the files do not say it, and the data has changed or is gone.
        """
        config, summary = record["config"], summary or {}
        is_table = DATA_SOURCES[config["data"]].is_table
        classes, image_shape = summary.get("classes"), summary.get("image_shape", ())
        if classes is None or not (is_table or image_shape):
            splits = _read_data(directory, record)
            classes, image_shape = splits.classes, splits.train.images.shape[1:]
        features = _read_features(directory, summary) if is_table else None
        return cls(
            data=config["data"],
            classes=tuple(classes),
            image_shape=() if is_table else tuple(image_shape),
            scale=config.get("data.scale"),
            features=features,
            fills_missing=config.get("data.missing") == "fill",
        )


def read_classes(directory: Path, record: Mapping[str, Any], summary: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the names of a run's classes; arguments and errors are those of `InputFormat.from_run`."""
    if summary is not None and "classes" in summary:
        return tuple(summary["classes"])
    return _read_data(directory, record).classes


def _read_features(directory: Path, summary: Mapping[str, Any]) -> "tuple[Feature, ...]":
    from regexp.data.tables.encoding import Feature

    recorded_features: Sequence[Mapping[str, Any]] | None = summary.get("features")
    if recorded_features is None:
        raise RunError(f"{directory} has not ended, and its features are recorded at the end; train it first")
    return tuple(
        Feature(item["column"], item.get("category"), item.get("mean", 0.0), item.get("std", 1.0))
        for item in recorded_features
    )


def _read_data(directory: Path, record: Mapping[str, Any]) -> "Splits":
    """Read the data that a run was trained on; raise RunError if they have changed or are gone."""
    from regexp.data.readers import read_splits

    config = record["config"]
    schema = OPTIONS["data"][config["data"]]
    names = {item.name for item in fields(schema)} - {"name"}
    options = {name: config[f"data.{name}"] for name in names if f"data.{name}" in config}
    why = f"{directory}: the names of its classes are not in its files, as it has not ended or is of an earlier version"
    try:
        source = locate(*source_arguments(Config(data=schema(name=config["data"], **options))))
        if source.fingerprint != record["identity"]["data"]:
            raise DataError(f"data={config['data']}: has changed since the run was trained")
        return read_splits(source)
    except (DataError, ConfigError) as error:
        raise RunError(f"{why}, and its data cannot be read: {error}") from error
