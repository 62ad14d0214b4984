"""The tables and pictures that a run leaves when it has ended, beside its weights and its summary."""

from collections.abc import Sequence
from pathlib import Path

from regexp.augmentation.corruptions import CORRUPTIONS
from regexp.execution.corruption_picture import draw_robustness
from regexp.execution.images import Png, draw_confusion_matrix, encode_png
from regexp.execution.reliability_picture import draw_reliability
from regexp.runs.files.confusions import write_confusions
from regexp.runs.files.corruptions import write_corruptions
from regexp.runs.files.kept_logits import write_logits
from regexp.runs.identity import Identity
from regexp.training.member import FinalMeasures
from regexp.utils.atomic_io import write_atomically

# The tags of pictures in TensorBoard are visuals/NAME. They sort after those of all scalars, because TensorBoard has a
# card for each picture.
VISUALS = "visuals/"


def write_result_files(
    directory: Path, measures: FinalMeasures | None, classes: Sequence[str], identity: Identity
) -> dict[str, Png]:
    """Write what the evaluation of a run gives, and return its pictures by their tags in TensorBoard.

    Args:
        directory: the directory of the run.
        measures: what is measured of the run at its end; None: no files and no pictures.
        classes: the names of the classes.
        identity: the identity of the run.

    Raises:
        OSError: a file cannot be written.
    """
    if measures is None:
        return {}
    pictures = {
        "confusion": draw_confusion_matrix(measures.confusion_matrix, classes),
        "reliability": draw_reliability(measures.reliability),
    }
    write_confusions(directory, measures.confusion_matrix.tolist(), classes)
    if measures.robustness is not None:
        pictures["corruptions"] = draw_robustness(measures.robustness)
        write_corruptions(directory, measures.robustness.by_corruption(), CORRUPTIONS)
    if measures.logits is not None:
        write_logits(directory, measures.logits, measures.labels, identity)
    encoded_pictures = {name: encode_png(picture) for name, picture in pictures.items()}
    for name, picture in encoded_pictures.items():
        write_atomically(directory / f"{name}.png", picture.content, sync=False)
    return {f"{VISUALS}{name}": picture for name, picture in encoded_pictures.items()}
