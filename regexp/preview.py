"""A command that writes a picture of augmented images, without training.

usage: python -m regexp.preview [OVERRIDES]

The picture shows 8 training images and four draws of each. It is written to
outputs/preview/LABEL/augmentation.png. For example:

  python -m regexp.preview augmentation=strong data=mnist
"""

import sys
from pathlib import Path

from regexp.config.compose import compose_job
from regexp.config.words.homes import expand_home
from regexp.runs.identity import make_label
from regexp.utils import exit_codes
from regexp.utils.storage_errors import explain_storage_errors


def main() -> None:
    """Run the command line, and end the process with one of the statuses in regexp.errors."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__, end="")
        return
    with exit_codes.exit_with_status():
        print(preview(sys.argv[1:]))


def preview(overrides: list[str], outputs: Path | str = "outputs") -> Path:
    """Write the picture of augmented images that a run would write, and return its path.

    Args:
        overrides: the overrides of the run, as on the command line.
        outputs: the directory below which the picture is written, as OUTPUTS/preview/LABEL/augmentation.png.

    Raises:
        ConfigError: the overrides do not make a valid configuration.
        DataError: the data set is missing, unreadable or too small.
        StorageError: the picture cannot be written.
    """
    job = compose_job(overrides)
    from regexp.execution.builders import load_dataset, make_stream
    from regexp.execution.images import draw_augmentation_grid, encode_png

    dataset = load_dataset(job.config)
    picture = encode_png(draw_augmentation_grid(dataset, make_stream(job.config, dataset)))
    path = expand_home(outputs) / "preview" / make_label(overrides) / "augmentation.png"
    with explain_storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture.content)
    return path


if __name__ == "__main__":
    main()
