"""The logits of the test images of runs that had finished before predictions=true asked for them."""

import math
from collections.abc import Callable, Sequence

from regexp.errors import RegexpError, RunError
from regexp.runs.directories import PlannedRun
from regexp.runs.files.kept_logits import PREDICTIONS, write_logits
from regexp.runs.run import Run
from regexp.utils.messages import say
from regexp.utils.progress import track_progress
from regexp.utils.storage_errors import explain_storage_errors

# So many images are given to a network at a time.
_BATCH_SIZE = 256
# Another device or precision rounds otherwise, and so may change the class of as many of the images, and of two more.
_ROUNDING_SHARE = 1e-3


def add_logits(planned_runs: Sequence[PlannedRun], print_line: Callable[[str], None]) -> list[Exception]:
    """Write predictions.safetensors of finished runs that lack it where predictions=true asks for it.

    It is computed on the CPU from the weights that the runs keep. Nothing is trained.

    Args:
        planned_runs: the runs of the command.
        print_line: prints a line to the user.

    Returns:
        One error for each run whose weights are gone, or do not give the accuracy of its summary.
    """
    lacking_runs = [planned for planned in dict.fromkeys(planned_runs) if _lacks_logits(planned)]
    if not lacking_runs:
        return []
    number = f"{len(lacking_runs)} finished run{'s' if len(lacking_runs) > 1 else ''}"
    print_line(f"{number} without predictions: computing them from the weights that were kept")
    errors: list[Exception] = []
    for planned in track_progress(lacking_runs, "computing predictions"):
        try:
            _add(planned)
        except RegexpError as error:
            errors.append(error)
    return errors


def _lacks_logits(planned: PlannedRun) -> bool:
    """Return whether a finished run is to have logits and has none. One that diverged may have none that are finite."""
    if not (planned.finished and planned.job.config.predictions) or (planned.directory / PREDICTIONS).exists():
        return False
    run = Run(planned.directory)
    return run.status != "diverged" or run.keeps_best


def _add(planned: PlannedRun) -> None:
    """Compute and write the logits of one run."""
    import torch

    from regexp.data.dataset import scale
    from regexp.execution.builders import explain_errors, load_dataset

    run, config = Run(planned.directory), planned.job.config
    with explain_errors([config]), torch.no_grad():
        # The target of a network of the user's own is the one that this very command has named.
        model = run.load_trained_model(target=getattr(config.model, "target", None))
        dataset = load_dataset(config)
        split = dataset.validation if dataset.test is None else dataset.test
        batches = [model.module(scale(images, model.dtype)) for images in split.images.split(_BATCH_SIZE)]
        logits = torch.cat(batches).float()  # [N, classes]
    accuracy = float((logits.argmax(1) == split.labels).double().mean())
    recorded_accuracy = _read_accuracy(run)
    if abs(accuracy - recorded_accuracy) > _ROUNDING_SHARE + 2 / len(split):
        raise RunError(
            f"{planned.directory}: its weights have a test accuracy of {100 * accuracy:.2f} % now, and its summary "
            f"says {100 * recorded_accuracy:.2f} %: other code trained it, which computed otherwise. "
            f"{say('force=true', 'force=True')} trains it again."
        )
    with explain_storage_errors(planned.directory):
        write_logits(planned.directory, logits, split.labels, planned.identity)


def _read_accuracy(run: Run) -> float:
    """Return the accuracy on the test images that the summary of a run has for the weights that it keeps, or NaN."""
    summary = run.summary or {}
    values = summary.get("test") or {}
    if summary.get("validation") == "test":  # the test images validate
        values = {"accuracy": summary["best" if run.keeps_best else "last"]["val_accuracy"]}
    value = values.get("accuracy")
    return math.nan if value is None else float(value)
