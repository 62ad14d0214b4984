"""Records of runs: the parts of their files that a comparison needs. Imports no torch."""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from regexp.config.metric_registry import FINAL_METRICS, list_curves, list_metrics
from regexp.config.schema import add_omitted_values
from regexp.errors import RunError
from regexp.runs.identity import DATA_PATH_KEYS, IGNORED_KEYS, Identity, data_paths
from regexp.runs.provenance.commit import format_commit
from regexp.runs.reserving.claims import find_holder
from regexp.runs.run import Run

# Metrics that every run has; a run of an earlier version may lack one that is new.
_REQUIRED = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
# Errors that reading a file can raise, if it is incomplete or was edited by hand.
READ_ERRORS = (RunError, LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
# The statuses of runs that are compared, and of those that are not.
FINISHED_STATUSES = ("completed", "stopped_early")
EXCLUDED_STATUSES = ("diverged", "pruned", "failed", "running", "interrupted", "broken")


@dataclass(frozen=True)
class RunRecord:
    """The record of one run: the parts of its files that a comparison needs.

    Attributes:
        directory: the directory of the run.
        overrides: the overrides that the run was trained with.
        seed: the seed of the run.
        config: the flat configuration, without the seed and the keys that cannot change the result.
        data_paths: the paths of its data, by key, as far as it names any.
        configuration_key: the configuration as text; equal for runs that differ in their seed only.
        code: the hash of the code that trained the run.
        started: the time at which the run was first started.
        status: one of FINISHED_STATUSES or EXCLUDED_STATUSES.
        metric_values: the metrics in its summary, as far as it has them, by the names in metric_registry.RUN_METRICS.
        last_epoch: the last epoch that it recorded.
        max_epochs: the most epochs that it may train.
        image_counts: the number of images in each split of its data, by the split's name.
        validation: the images that validated: "holdout" or "test"; empty if the run has no summary.
        problem: the problem with its files, or the reason why it failed; None if there is neither.
        command: the command that trains it again.
        ended: the time at which it ended, in seconds since 1970; None if it has not, or if that was not recorded.
        epoch_seconds: how long its epochs took, in its cohort.
        tags: the words to find it by.
        commit: the commit of the repository that it was typed in, shortened; empty if there is none.
    """

    directory: Path
    overrides: tuple[str, ...]
    seed: int
    config: dict[str, Any]
    data_paths: dict[str, str]
    configuration_key: str
    code: str
    started: str
    status: str
    metric_values: dict[str, float]
    last_epoch: int
    max_epochs: int
    image_counts: dict[str, int]
    validation: str
    problem: str | None
    command: str
    ended: float | None = None
    epoch_seconds: float = 0.0
    tags: tuple[str, ...] = ()
    commit: str = ""

    @property
    def finished(self) -> bool:
        """Whether the run ended as planned and is compared."""
        return self.status in FINISHED_STATUSES


def read_run_record(run: Run) -> RunRecord:
    """Return the record of a run; a broken summary.json becomes its problem.

    Raises:
        RunError, LookupError, TypeError, ValueError: run.json is incomplete.
    """
    record = run.record
    seed, max_epochs = record["config"]["seed"], record["config"]["epochs"]
    config, paths = read_configuration(run)
    metric_values: dict[str, float] = {}
    image_counts: dict[str, int] = {}
    validation, problem, last_epoch = "", None, 0
    ended, epoch_seconds = None, 0.0
    try:
        summary = run.summary
        if summary is None:
            status, problem = _unfinished_status(run)
            last_epoch = _count_recorded_epochs(run.directory)
        else:
            status, validation, last_epoch = str(summary["status"]), str(summary["validation"]), int(summary["epochs"])
            metric_values = _metric_values(summary, run.config)
            ended, epoch_seconds = read_time(summary.get("finished")), float(summary["seconds"])
            image_counts = {split: int(images) for split, images in (summary.get("images") or {}).items()}
            if status not in (*FINISHED_STATUSES, "diverged", "pruned"):
                raise RunError(f"{run.directory / 'summary.json'} is broken: its status is {status!r}")
    except READ_ERRORS as error:
        status, metric_values = "broken", {}
        problem = describe_error(error, run.directory / "summary.json")
    return RunRecord(
        directory=run.directory,
        overrides=tuple(map(str, record["overrides"])),
        seed=int(seed),
        config=config,
        data_paths=paths,
        configuration_key=json.dumps(config, sort_keys=True),
        code=str(record["identity"]["code"]),
        started=str(record.get("started", "")),
        status=status,
        metric_values=metric_values,
        last_epoch=last_epoch,
        max_epochs=int(max_epochs),
        image_counts=image_counts,
        validation=validation,
        problem=problem,
        command=str(record.get("command", "")),
        ended=ended,
        epoch_seconds=epoch_seconds,
        tags=tuple(run.tags),
        commit=format_commit(record.get("git")),
    )


def find_best_run(records: Sequence[RunRecord]) -> RunRecord | None:
    """Return the finished run with the highest validation accuracy, of several the one with the lowest loss."""
    candidates = [record for record in records if record.finished and "val_accuracy" in record.metric_values]
    if not candidates:
        return None
    return max(
        candidates,
        key=lambda record: (record.metric_values["val_accuracy"], -record.metric_values.get("val_loss", math.inf)),
    )


def read_configuration(run: Run) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what decides a run's result but for its seed, and where its data are.

    Returns:
        The flat configuration without the keys that cannot change the result, with the names of its augmentation steps
        and the fingerprint of its data; and the paths of its data by key, as far as it names any.

    Raises:
        LookupError, TypeError, ValueError: run.json is incomplete.
    """
    config = add_omitted_values(run.record["config"])
    steps = dict.fromkeys(key.split(".")[1] for key in config if key.startswith("augmentation."))
    kept = {key: value for key, value in config.items() if key not in {"seed", *IGNORED_KEYS, *DATA_PATH_KEYS}}
    fingerprint = str(run.record["identity"]["data"])
    return {**kept, "augmentation": "+".join(steps) or "none", "data.fingerprint": fingerprint}, data_paths(config)


def _unfinished_status(run: Run) -> tuple[str, str | None]:
    """Return the status of a run without a summary, and why it failed."""
    if (run.directory / "failure.json").exists():
        return "failed", run.failure
    is_claimed = find_holder(run.directory.parent, Identity(**run.record["identity"])) != ""
    return "running" if is_claimed else "interrupted", None


def _metric_values(summary: dict[str, Any], config: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of the weights that a run keeps, without those that are missing or not finite (null)."""
    keeps_best = summary["best"] is not None and bool(config["early_stopping.restore_best"])
    kept_values = summary["best"] if keeps_best else summary["last"]
    test_values = summary["test"] or {}
    metrics = list_metrics(config)
    values = {name: kept_values[name] for name in list_curves(metrics) if name in kept_values or name in _REQUIRED}
    values |= {f"test_{name}": test_values.get(name) for name in {**metrics, **FINAL_METRICS}}
    values |= {name: summary[name] for name in ("best_epoch", "epochs")}
    values["seconds"] = _share_of_seconds(summary)
    if values["val_loss"] is not None and values["train_loss"] is not None:
        values["gap"] = values["val_loss"] - values["train_loss"]
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


def _share_of_seconds(summary: dict[str, Any]) -> float:
    """Return a run's share of its cohort's time; of a run of an earlier version, as if all had trained to the end."""
    if (seconds := summary.get("share_seconds")) is not None:
        return float(seconds)
    size = (summary.get("cohort") or {}).get("size") or 1
    return float(summary["seconds"]) / max(1, int(size))


def read_time(text: Any) -> float | None:
    """Return a time that a file records, in seconds since 1970; None if the text is no time."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _count_recorded_epochs(directory: Path) -> int:
    """Return the number of epochs in a run's metrics.csv; 0 if there is no such file."""
    with suppress(OSError):
        return max(0, (directory / "metrics.csv").read_bytes().count(b"\n") - 1)
    return 0


def describe_error(error: Exception, file: Path) -> str:
    """Return a description of the error that reading a file of a run raised."""
    return str(error) if isinstance(error, RunError) else f"{file} is broken ({repr(error)[:100]})"
