"""The logits of the test images that predictions=true keeps: predictions.safetensors. Imports no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from regexp.errors import RunError
from regexp.runs.identity import Identity
from regexp.runs.tensor_file import encode_tensors, read_content
from regexp.utils.atomic_io import write_atomically
from regexp.utils.messages import first_line, say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

PREDICTIONS = "predictions.safetensors"


class SplitLogits(NamedTuple):
    """The logits of the weights that a run keeps, for each image of a split, and the labels of the images.

    Attributes:
        logits: [N, classes], float32.
        labels: [N], the number of the class of each image.
    """

    logits: "NDArray[np.float32]"
    labels: "NDArray[np.int64]"

    @property
    def probabilities(self) -> "NDArray[np.float64]":
        """The probabilities of the classes, [N, classes]: the softmax of the logits."""
        import numpy as np

        shifted = self.logits.astype(np.float64)
        exponentials = np.exp(shifted - shifted.max(1, keepdims=True))
        table: NDArray[np.float64] = exponentials / exponentials.sum(1, keepdims=True)
        return table


def write_logits(directory: Path, logits: "Tensor", labels: "Tensor", identity: Identity) -> bool:
    """Write predictions.safetensors to the directory of a run, and return whether the logits are finite.

    Those of a run that has diverged may not be. They are of no use, and are not written.

    Args:
        directory: the directory of the run.
        logits: [N, classes].
        labels: [N].
        identity: the identity of the run.

    Raises:
        OSError: the file cannot be written.
    """
    if not logits.isfinite().all():
        return False
    metadata = {"config_hash": identity.config, "data": identity.data}
    content = encode_tensors({"logits": logits.float(), "labels": labels.long()}, metadata)
    write_atomically(directory / PREDICTIONS, content)
    return True


def read_logits(directory: Path, record: Mapping[str, Any]) -> SplitLogits:
    """Return the logits that a run has kept.

    Args:
        directory: the directory of the run.
        record: the content of its run.json.

    Raises:
        RunError: there are none, their file is broken, or it is that of another run.
    """
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = directory / PREDICTIONS
    again = say("type its command again with predictions=true", "make its call again with predictions=True")
    if not path.exists():
        raise RunError(f"{directory} has kept no predictions; {again}")
    try:
        content, metadata = read_content(path)
        if metadata.get("config_hash") != record["identity"]["config"]:
            raise ValueError("it belongs to another run")
        tensors = load(content)
        logits, labels = tensors["logits"], tensors["labels"]
        if logits.dtype != np.float32 or logits.ndim != 2 or labels.dtype != np.int64 or not labels.size:
            raise ValueError("it holds other tensors")
        if labels.shape != logits.shape[:1] or labels.min() < 0 or labels.max() >= logits.shape[1]:
            raise ValueError("its labels do not fit its logits")
        if not np.isfinite(logits).all():
            raise ValueError("its logits are not finite")
    except (RunError, SafetensorError, LookupError, TypeError, ValueError) as error:
        reason = first_line(error).removeprefix(f"{path} is broken: ")[:200]
        raise RunError(f"{path} is broken: {reason}. Delete it, and {again}.") from error
    return SplitLogits(logits, labels)
