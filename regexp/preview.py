"""python -m regexp.preview [OVERRIDES]: a picture of augmented images, without training."""

import sys
from pathlib import Path

from regexp.config.compose import compose_job
from regexp.runs.identity import label
from regexp.utils import exit_codes
from regexp.utils.atomic_io import storage_errors


def main() -> None:
    """Write augmentation.png to outputs/preview/LABEL and print where it is."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        return
    with exit_codes.exit_with_status():
        print(preview(sys.argv[1:]))


def preview(overrides: list[str], outputs: Path | str = "outputs") -> Path:
    """Write the picture that a run of these overrides would; returns its file."""
    job = compose_job(overrides)
    from regexp.execution.builders import load_dataset, make_stream
    from regexp.execution.images import draw_augmentation_grid, encode_png

    dataset = load_dataset(job.config)
    path = Path(outputs) / "preview" / label(overrides) / "augmentation.png"
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(draw_augmentation_grid(dataset, make_stream(job.config, dataset))).content)
    return path


if __name__ == "__main__":
    main()
