"""A command that writes a picture of augmented images, without training.

usage: python -m regexp.preview [OVERRIDES]

The picture shows 8 training images and four draws of each; with mixing, each
is mixed with the image to its left. It is written to
outputs/preview/LABEL/augmentation.png, or below the directory that
hydra.run.dir=DIR names. With -m there is one for each combination of values.
The other flags are those of regexp. For example:

  python -m regexp.preview augmentation=strong data=mnist
  python -m regexp.preview -m augmentation=lesson,affine data=mnist
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from regexp.cli.program import program
from regexp.config.compose import compose_job
from regexp.config.job import Job
from regexp.config.overrides import is_hydra_override
from regexp.config.words.homes import expand_home
from regexp.errors import ConfigError
from regexp.execution.preview_picture import draw_preview
from regexp.runs.labels import make_label
from regexp.utils import exit_codes
from regexp.utils.console import warn_caller
from regexp.utils.storage_errors import explain_storage_errors

# Hydra's own keys that decide what is drawn, and where it is written.
_HYDRA_KEYS = ("hydra.run.dir=", "hydra.sweep.dir=", "hydra.searchpath=", "hydra.mode=")


def main() -> None:
    """Run the command line, and end the process with one of the statuses in regexp.errors."""
    with program() as words:
        if {"-h", "--help"} & set(words):
            print(__doc__, end="")
        else:
            _preview_words(words)


def _preview_words(words: Sequence[str]) -> None:
    from regexp.cli.arguments import read_arguments
    from regexp.cli.command import compose_jobs, run_command

    arguments = read_arguments(words)
    if "--version" in words or not arguments.trains:
        run_command(list(words))  # the answer is the same here
        return
    for override in arguments.overrides:
        if is_hydra_override(override) and not override.startswith(_HYDRA_KEYS):
            raise ConfigError(f"{override}: has no effect on a picture; leave it out")
    _, jobs = compose_jobs(arguments)
    pictures, notes = zip(*(write_preview(job, job.output_directory()) for job in jobs), strict=True)
    for heading, text in dict.fromkeys(note for job_notes in notes for note in job_notes.items()):
        exit_codes.print_error(f"{heading}: {text}")
    print(*dict.fromkeys(pictures), sep="\n")


def preview(overrides: Sequence[str], outputs: Path | str = "outputs") -> Path:
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
    picture, notes = write_preview(job, expand_home(outputs))
    for warning in (*job.warnings, *([notes["warning"]] if "warning" in notes else [])):
        warn_caller(warning)
    return picture


def write_preview(job: Job, outputs: Path) -> tuple[Path, Mapping[str, str]]:
    """Write the picture of augmented images of a job; return its path, and what is known of the images.

    See `preview` for the errors, and data.dataset.Dataset for the notes.
    """
    from regexp.execution.images import encode_png

    drawing, notes = draw_preview(job)
    picture = encode_png(drawing)
    path = outputs / "preview" / make_label(job) / "augmentation.png"
    with explain_storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture.content)
    return path, notes


if __name__ == "__main__":
    main()
