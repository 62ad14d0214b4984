"""The picture of a job's augmentation, drawn without training. Imports no torch until it is drawn."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from regexp.config.job import Job
from regexp.config.schemas.data import DATA_SOURCES
from regexp.errors import ConfigError

if TYPE_CHECKING:
    from PIL import Image


def draw_preview(job: Job) -> "tuple[Image.Image, Mapping[str, str]]":
    """Draw the augmented images of a job; return the picture, and what is known of the images.

    Raises:
        ConfigError: the data are a table, or a step of the augmentation does not suit the images.
        DataError: the data set is missing, unreadable or too small.
    """
    if DATA_SOURCES[job.config.data.name].is_table:
        raise ConfigError(f"data={job.config.data.name}: is a table, which has no images to show")
    from regexp.execution.builders import explain_errors, load_dataset
    from regexp.execution.building.stream_builders import make_stream
    from regexp.execution.images import draw_augmentation_grid

    with explain_errors([job.config]):
        dataset = load_dataset(job.config)
        return draw_augmentation_grid(dataset, make_stream(job.config, dataset)), dataset.notes
