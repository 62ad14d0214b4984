"""What a run leaves behind, written while it trains."""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from regexp.config.schema import flatten, identity_items
from regexp.config.validation import format_value
from regexp.data.dataset import Dataset
from regexp.execution.images import Png, confusion_matrix, first_layer, png
from regexp.runs import event_file
from regexp.runs.directories import PlannedRun, record_failure
from regexp.runs.event_file import EventFile
from regexp.runs.identity import seed_group
from regexp.training.member import Checkpoint, RunResult
from regexp.training.metrics import COLUMNS, EpochMetrics
from regexp.utils.atomic_io import append_to_log, storage_errors, sync_file, write_atomically


def load_checkpoint(directory: Path) -> Checkpoint | None:
    """The checkpoint in a run's folder; None if there is none, or if what was recorded until then is not whole."""
    try:
        with safe_open(directory / "checkpoint.safetensors", framework="pt") as file:
            facts = json.loads(file.metadata()["state"])
            names = set(file.keys())
            state = Checkpoint({name: file.get_tensor(name) for name in names}, facts)
        if names != set(facts["tensors"]):
            return None
        header, *rows = (directory / "metrics.csv").read_text().splitlines()
        recorded = header == ",".join(COLUMNS) and len(rows) >= facts["epoch"]
        whole = recorded and EventFile(directory / Path(facts["events"]).name).size() >= facts["events_size"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    return state if whole else None


class RunRecorder:
    """Writes one run's folder.

    Files are opened, appended to and closed, so that a cohort's size is not bounded by them.

    Attributes:
        directory: the run's folder.
    """

    def __init__(
        self,
        claim: PlannedRun,
        stored: Mapping[str, Any] | None,
        dataset: Dataset,
        preview: Callable[[], Png],
        cohort: Mapping[str, Any],
        device: str,
    ) -> None:
        """For a run that starts anew (`stored` None), or goes on from the checkpoint with these facts.

        `preview` makes augmentation.png; `cohort` and `device` go into the summary.
        """
        self.claim, self.directory, self.cohort, self.device = claim, claim.directory, dict(cohort), device
        self.stored, self.preview, self.shape, self.classes = stored, preview, dataset.input_shape, dataset.classes
        parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
        self.images = {name: 0 if part is None else len(part) for name, part in parts.items()}

    def begin(self) -> None:
        """Begin the files, or cut them back to where the checkpoint was."""
        with storage_errors(self.directory):
            (self.directory / "failure.json").unlink(missing_ok=True)
            if self.stored is None:
                self._begin_files()
            else:
                self.events = EventFile(self.directory / Path(self.stored["events"]).name)
                self.events.truncate(self.stored["events_size"])
                lines = (self.directory / "metrics.csv").read_text().splitlines(keepends=True)
                kept = "".join(lines[: 1 + self.stored["epoch"]])
                write_atomically(self.directory / "metrics.csv", kept.encode())
                append_to_log(self.directory, f"goes on after epoch {self.stored['epoch']}")

    def _begin_files(self) -> None:
        for old in self.directory.glob("events.out.tfevents.*"):
            old.unlink()
        self.events = EventFile.create(self.directory)
        (self.directory / "metrics.csv").write_text(",".join(COLUMNS) + "\n")
        config = self.claim.job.config
        numbers = {key: value for key, value in identity_items(config).items() if key != "seed"}
        columns = {
            key.removesuffix(".name"): value if isinstance(value, bool | int | float) else format_value(value)
            for key, value in numbers.items()
        }
        columns["augmentation"] = "+".join(config.augmentation) or "none"
        rows = "\n".join(f"| {key} | {format_value(value)} |" for key, value in flatten(config).items())
        self.events.write(
            0,
            event_file.hyperparameters(columns, seed_group(config)),
            event_file.text("configuration", f"| key | value |\n| --- | --- |\n{rows}"),
        )
        grid = self.preview()
        (self.directory / "augmentation.png").write_bytes(grid.content)
        self.events.write(0, event_file.image("augmentation", *grid))
        append_to_log(self.directory, f"begins: {' '.join(self.claim.job.overrides) or 'defaults'}; {self.device}")

    def epoch(self, metrics: EpochMetrics) -> None:
        """A row of metrics.csv and the curves."""
        row = asdict(metrics)
        # The HParams page shows the first five tags of a run: these come after those of `_close_events`.
        curves = {
            "train/objective": metrics.objective,
            "train/loss": metrics.train_loss,
            "train/accuracy": metrics.train_accuracy,
            "train/lr": metrics.lr,
            "train/seconds": metrics.seconds,
            "train/gradient_norm": metrics.gradient_norm,
            "val/loss": metrics.val_loss,
            "val/accuracy": metrics.val_accuracy,
            "val/gap": metrics.gap,
        }
        with storage_errors(self.directory):
            with (self.directory / "metrics.csv").open("a") as file:
                file.write(",".join(str(row[name]) for name in COLUMNS) + "\n")
            self.events.write(metrics.epoch, *(event_file.scalar(tag, value) for tag, value in curves.items()))

    def save(self, state: Checkpoint) -> None:
        """Replace the checkpoint."""
        with storage_errors(self.directory):
            # What was recorded until now must be on the disk before a checkpoint that builds on it.
            for path in (self.directory / "metrics.csv", self.events.path):
                sync_file(path)
            facts = {
                **state.facts,
                "tensors": sorted(state.tensors),
                "events": self.events.path.name,
                "events_size": self.events.size(),
            }
            content = save(_stored(state.tensors), {"state": json.dumps(facts)})
            write_atomically(self.directory / "checkpoint.safetensors", content)

    def interrupt(self, state: Checkpoint) -> None:
        """The checkpoint of a run that stops before its end."""
        self.save(state)
        with storage_errors(self.directory):
            append_to_log(self.directory, f"interrupted after epoch {state.facts['epoch']}")

    def fail(self, error: Exception) -> None:
        """Leave failure.json."""
        record_failure(self.claim, error)

    def finish(self, outcome: RunResult) -> None:
        """The last checkpoint, the best weights, closing figures and pictures, and at the very end summary.json."""
        self.save(outcome.state)
        with storage_errors(self.directory):
            if outcome.best is not None:
                write_atomically(self.directory / "best.safetensors", save(_stored(outcome.state.part("best"))))
            self._close_events(outcome)
            append_to_log(self.directory, f"{outcome.status} after epoch {outcome.last.epoch}")
            if outcome.status == "diverged":
                append_to_log(self.directory, f"the loss is not finite at a learning rate of {outcome.last.lr:g}")
            content = json.dumps(self._summary(outcome), indent=2)
            write_atomically(self.directory / "summary.json", content.encode())

    def _close_events(self, outcome: RunResult) -> None:
        best, test = outcome.best, outcome.test
        shown = best if best is not None and self.claim.job.config.early_stopping.restore_best else outcome.last
        figures: dict[str, float] = {"epochs": outcome.last.epoch, "gap": shown.gap}
        if best is not None:
            figures |= {"best/val_loss": best.val_loss, "best/val_accuracy": best.val_accuracy}
            figures |= {"train/best_epoch": best.epoch}
        if test is not None:
            figures |= {"test/loss": test.loss, "test/accuracy": test.accuracy}
        kept = "best" if self.claim.job.config.early_stopping.restore_best and best is not None else "model"
        weight = outcome.state.part(kept)["1.weight"]
        self.events.write(
            outcome.last.epoch,
            *(event_file.scalar(tag, value) for tag, value in figures.items()),
            event_file.image("first_layer", *png(first_layer(weight, self.shape))),
            event_file.image("confusion", *png(confusion_matrix(outcome.confusion, self.classes))),
            event_file.session_end(success=outcome.status != "diverged"),
        )

    def _summary(self, outcome: RunResult) -> dict[str, Any]:
        config = self.claim.job.config
        summary = {
            "status": outcome.status,
            "epochs": outcome.last.epoch,
            "best_epoch": None if outcome.best is None else outcome.best.epoch,
            "best": None if outcome.best is None else outcome.best.scores(),
            "last": outcome.last.scores(),
            "test": None if outcome.test is None else asdict(outcome.test),
            "test_last": None if outcome.test_last is None else asdict(outcome.test_last),
            "validation": config.data.validation,
            "images": self.images,
            "lr": outcome.last.lr,
            "seconds": outcome.seconds,
            "device": self.device,
            "seed": config.seed,
            "overrides": list(self.claim.job.overrides),
            "config_hash": self.claim.identity.config,
            "cohort": self.cohort,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        return {name: _finite(value) for name, value in summary.items()}


def _stored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, each with storage of its own, as safetensors wants them."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null stands for both."""
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
