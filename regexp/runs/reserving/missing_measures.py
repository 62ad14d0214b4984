"""Finished runs of which a command asks for more than was measured when they ended. Imports no torch.

It is measured with the weights that they keep, without training: such a run resumes from its last checkpoint, in which
it has ended already, and what is new is added to its summary.
"""

from regexp.config.schema import Config
from regexp.errors import RunError
from regexp.runs.run import Run
from regexp.runs.weights import LAST, explain_missing_checkpoint, read_checkpoint, read_state


def lacks_measures(config: Config, run: Run) -> bool:
    """Return whether a configuration asks for more than the summary of a finished run has, and its data allow.

    A run that has diverged, or has no test images, lacks nothing.
    """
    summary = run.summary
    if not config.evaluation.corruptions or summary is None:
        return False
    return bool(summary.get("test")) and "image_shape" in summary and "corruptions" not in summary


def find_obstacle(run: Run) -> str:
    """Return why nothing can be measured with the weights of a finished run; "" if something can."""
    path = run.directory / LAST
    if not path.exists():
        reason = explain_missing_checkpoint(run.record)
        return f"its checkpoint is gone{reason and f': {reason}'}"
    try:
        status = read_state(path, read_checkpoint(path)[1])["status"]
    except (RunError, KeyError):
        return "its checkpoint is damaged, or of another version"
    return "" if status == run.status else "its checkpoint is older than its summary"
