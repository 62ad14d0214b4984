"""Pictures of augmentation, from Python."""

from typing import TYPE_CHECKING, Any

from regexp.api.choices import Data, add_choices
from regexp.config.compose import compose_jobs
from regexp.config.words.python_values import Overrides, write_overrides
from regexp.execution.preview_picture import draw_preview
from regexp.utils.console import warn_caller
from regexp.utils.messages import speak_python

if TYPE_CHECKING:
    from PIL import Image


def draw_augmentation(overrides: Overrides = (), data: Data = None, **values: Any) -> "Image.Image":
    """Draw training images and four augmented copies of each, as a run would see them, without training.

    Args:
        overrides: the overrides of the run, as for `run`: {"augmentation": "strong"}.
        data: the data, as for `run`.
        **values: the values of more keys, as for `run`.

    Returns:
        A picture, which a notebook shows: 8 images in the first row, and a draw of each in the rows below.

    Raises:
        ConfigError: the overrides do not make a valid configuration, or the data are a table.
        DataError: the data set is missing, unreadable or too small.

    Example:
        >>> from regexp import draw_augmentation
        >>> draw_augmentation(augmentation="strong", data="mnist").save("strong.png")
    """
    with speak_python():
        [job] = compose_jobs(add_choices([write_overrides(overrides)], data, None, values))
        picture, notes = draw_preview(job)
        for warning in (*job.warnings, *([notes["warning"]] if "warning" in notes else [])):
            warn_caller(warning)
        return picture
