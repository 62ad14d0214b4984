"""The recorder that writes a run's files while it trains."""

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from regexp.config.metric_registry import list_columns, list_final_tags, list_metrics
from regexp.config.schema import find_spanning_option, flatten
from regexp.data.dataset import Dataset
from regexp.errors import RunError
from regexp.execution.checkpoint_file import FinalParts, save_checkpoint
from regexp.execution.images import Png, draw_first_layer, encode_png
from regexp.execution.result_files import VISUALS, write_result_files
from regexp.models.protocol import Architecture
from regexp.models.regularizing.ensemble import newest_network
from regexp.runs.appended_file import AppendedFile
from regexp.runs.directories import PlannedRun, record_failure
from regexp.runs.files.confusions import measure_classes
from regexp.runs.files.kept_logits import PREDICTIONS
from regexp.runs.files.summary import encode_summary
from regexp.runs.run import Run
from regexp.runs.run_record import FINISHED_STATUSES
from regexp.runs.tensor_file import encode_tensors, recorded_checksum
from regexp.runs.tensorboard import event_file
from regexp.runs.tensorboard.event_file import EventFile
from regexp.runs.tensorboard.session import describe_configuration, make_session
from regexp.runs.weights import BEST, LAST, PREVIOUS
from regexp.training.checkpoints import Checkpoint
from regexp.training.member import RunResult
from regexp.training.metrics import EpochMetrics
from regexp.utils.atomic_io import append_to_log, sync_directory, sync_file, write_atomically
from regexp.utils.storage_errors import explain_storage_errors

AUGMENTATION_TAG, FIRST_LAYER_TAG = f"{VISUALS}augmentation", f"{VISUALS}first_layer"


class RunRecorder:
    """The recorder of one run, which writes its files.

    Attributes:
        planned: the run.
        directory: the directory of the run.
        metrics: metrics.csv.
        events: the event file.
        metric_names: the names of the run's metrics.
        columns: the columns of metrics.csv.
        final_tags: the tags with which the event file ends, by the name of the metric that each holds.
        has_synced: whether this process has made sure that run.json and the directory are on the disk.
        count_cohort: a function that returns how many runs of its cohort still train.
        share_seconds: the run's share of its cohort's time, which those that train divide equally.
        earlier_summary: the summary of a finished run that more is measured of; None for all others.
    """

    def __init__(
        self,
        planned: PlannedRun,
        metadata: Mapping[str, Any] | None,
        dataset: Dataset,
        architecture: Architecture,
        preview: Callable[[], Png] | None,
        cohort: Mapping[str, Any],
        device: str,
    ) -> None:
        """Make the recorder of a run that starts or resumes.

        Args:
            planned: the run.
            metadata: the metadata of the checkpoint from which the run resumes; None for a run that starts.
            dataset: the data set, split.
            architecture: the architecture of the run's network.
            preview: a function that draws augmentation.png; None where nothing is augmented.
            cohort: the description of the cohort in the summary.
            device: the description of the device in the summary.
        """
        self.planned, self.directory, self.cohort, self.device = planned, planned.directory, dict(cohort), device
        self.metadata, self.preview, self.has_synced = metadata, preview, False
        self.input_shape, self.classes, self.architecture = dataset.input_shape, dataset.classes, architecture
        self.image_shape = dataset.shape if dataset.features is None else None  # before evaluated images are cropped
        self.data_notes, self.features = dataset.notes, dataset.features
        self.count_cohort: Callable[[], int] = lambda: 1
        self.share_seconds = 0.0
        self.earlier_summary: dict[str, Any] | None = None
        if metadata is not None:  # an earlier version did not record the share
            self.share_seconds = float(metadata.get("share_seconds", metadata["seconds"] / self.cohort["size"]))
        metrics = list_metrics(flatten(planned.job.config))
        self.metric_names, self.columns, self.final_tags = (
            list(metrics),
            list_columns(metrics),
            list_final_tags(metrics),
        )
        splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
        self.image_counts = {name: 0 if split is None else len(split) for name, split in splits.items()}

    def record_start(self) -> None:
        """Start the files, or cut them back to their state at the checkpoint."""
        self.planned.refuse_if_taken_over()
        self.started = time.time()
        with explain_storage_errors(self.directory):
            # Partial files are those of a process that was killed.
            stale_files = [*self.directory.glob("*.part"), self.directory / "failure.json"]
            if self.metadata is not None and self.metadata["status"] is not None:
                with suppress(RunError):
                    self.earlier_summary = Run(self.directory).summary
            if self.earlier_summary is None:  # a summary here is a broken one
                stale_files += [self.directory / "summary.json", self.directory / PREDICTIONS]
            for path in stale_files:
                path.unlink(missing_ok=True)
            if self.metadata is None:
                self._start_files()
            else:
                self._cut_files(self.metadata)

    def _start_files(self) -> None:
        weights = [self.directory / name for name in (LAST, PREVIOUS, BEST)]
        for path in (*weights, *self.directory.glob("events.out.tfevents.*")):
            path.unlink(missing_ok=True)
        self.events = EventFile.create(self.directory)
        self.metrics = AppendedFile.create(self.directory / "metrics.csv", f"{','.join(self.columns)}\n".encode())
        self.events.write(0, describe_configuration(self.planned.job.config))
        if self.preview is not None:
            picture = self.preview()
            (self.directory / "augmentation.png").write_bytes(picture.content)
            if self.planned.shows_stream:
                self.events.write(0, event_file.image(AUGMENTATION_TAG, *picture))
        overrides = " ".join(self.planned.job.overrides) or "defaults"
        append_to_log(self.directory, f"starts: {overrides}; {self.device}")
        for heading, text in self.data_notes.items():
            append_to_log(self.directory, f"{heading}: {text}")

    def _cut_files(self, metadata: Mapping[str, Any]) -> None:
        """Cut off the parts of the files that were recorded after a checkpoint."""
        self.events = EventFile(AppendedFile.at_checkpoint(self.directory, metadata["events"]))
        self.metrics = AppendedFile.at_checkpoint(self.directory, metadata["metrics"])
        if metadata["file"] == PREVIOUS:
            # A last checkpoint is damaged here, and the next one would put it in the place of the previous one.
            (self.directory / LAST).unlink(missing_ok=True)
        if self.earlier_summary is not None:  # until there is more to append, the files of a finished run stay whole
            append_to_log(self.directory, "is evaluated again")
            return
        for file in (self.events.file, self.metrics):
            file.cut_back()
        append_to_log(self.directory, f"resumes after epoch {metadata['epoch']}, from {metadata['file']}")

    def record_epoch(self, metrics: EpochMetrics) -> None:
        """Append the metrics of an epoch to metrics.csv and to the event file."""
        self.planned.refuse_if_taken_over()
        self.share_seconds += metrics.seconds / self.count_cohort()
        row = metrics.row()
        # TensorBoard's Time Series page begins with these: their names sort before all others.
        curves = {
            "train/objective": metrics.objective,
            **{f"train/{name}": metrics.values[f"train_{name}"] for name in self.metric_names},
            "train/lr": metrics.lr,
            "train/seconds": metrics.seconds,
            "train/gradient_norm": metrics.gradient_norm,
            **{f"val/{name}": metrics.values[f"val_{name}"] for name in self.metric_names},
            "val/gap": metrics.gap,
        }
        with explain_storage_errors(self.directory):
            self.metrics.append((",".join(str(row[name]) for name in self.columns) + "\n").encode())
            self.events.write(metrics.epoch, *(event_file.scalar(tag, value) for tag, value in curves.items()))

    def record_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint of the run."""
        self._save_checkpoint(checkpoint, None)

    def _save_checkpoint(self, checkpoint: Checkpoint, final_parts: FinalParts | None) -> None:
        """Replace the checkpoint of the run, for a run that has ended by one with the parts that are still needed."""
        self.planned.refuse_if_taken_over()
        with explain_storage_errors(self.directory):
            # What was recorded until now must be on the disk before a checkpoint that builds on it.
            for path in (self.metrics.path, self.events.file.path):
                sync_file(path)
            if not self.has_synced:  # run.json and the directory were made without waiting for the disk
                sync_file(self.directory / "run.json")
                for parent in (self.directory.parent, self.directory.parent.parent):
                    sync_directory(parent)
                self.has_synced = True
            files = {"metrics": self.metrics, "events": self.events.file}
            metadata = {**checkpoint.metadata, "share_seconds": self.share_seconds}
            whole_checkpoint = Checkpoint(checkpoint.tensors, metadata)
            save_checkpoint(self.directory, whole_checkpoint, files, self._describe_model(), final_parts)

    def record_interruption(self, checkpoint: Checkpoint) -> None:
        """Save the checkpoint of a run that stops before its end."""
        self.record_checkpoint(checkpoint)
        with explain_storage_errors(self.directory):
            append_to_log(self.directory, f"interrupted after epoch {checkpoint.metadata['epoch']}")

    def record_failure(self, error: Exception) -> None:
        """Write failure.json with this error."""
        record_failure(self.planned, error)

    def record_result(self, result: RunResult) -> None:
        """Write the weights, the tables and pictures, the end of the event file, and at the very end summary.json.

        The weights of a run that had ended before are as they were, and stay: only what is measured of it is new.
        """
        self.planned.refuse_if_taken_over()
        if self.earlier_summary is None:
            self._save_final_weights(result)
        with explain_storage_errors(self.directory):
            pictures = write_result_files(self.directory, result.measures, self.classes, self.planned.identity)
            self._end_events(result, pictures)
            append_to_log(self.directory, f"{result.status} after epoch {result.last.epoch}")
            if result.status == "diverged":
                append_to_log(self.directory, f"the loss is not finite at a learning rate of {result.last.lr:g}")
            sync_file(self.events.file.path)
            (self.directory / PREVIOUS).unlink(missing_ok=True)
            content = encode_summary(self._summarize(result), self.earlier_summary)
            write_atomically(self.directory / "summary.json", content)
        config = self.planned.job.config
        if not config.keep_checkpoints and config.early_stopping.restore_best and result.best is not None:
            with suppress(OSError):  # the run has ended, whatever becomes of this file
                (self.directory / LAST).unlink(missing_ok=True)

    def _save_final_weights(self, result: RunResult) -> None:
        """Write best.safetensors, and the checkpoint of a run that has ended."""
        config = self.planned.job.config
        best_checksum = ""
        with explain_storage_errors(self.directory):
            if result.best is not None:
                best_weights = encode_tensors(result.checkpoint.tensors_of("best"), self._describe_model())
                best_checksum = recorded_checksum(best_weights)
                write_atomically(self.directory / BEST, best_weights)
        # Of a run that stopped early or diverged, more epochs change nothing.
        goes_on = config.keep_checkpoints and result.status == "completed" and not find_spanning_option(config)
        # A pruned one may be wanted to its end later.
        final_parts = None if result.status == "pruned" else FinalParts(best_checksum, goes_on)
        self._save_checkpoint(result.checkpoint, final_parts)

    def _describe_model(self) -> dict[str, str]:
        """Return the metadata of files of weights: what the model has to be made for to take them."""
        return {"input_shape": json.dumps(list(self.input_shape)), "num_classes": str(len(self.classes))}

    def _end_events(self, result: RunResult, pictures: Mapping[str, Png]) -> None:
        """Write the final scores, the pictures, by their tags, and the session to the event file."""
        best, last, config = result.best, result.last, self.planned.job.config
        keeps_best = best is not None and config.early_stopping.restore_best
        kept_metrics = best if best is not None and keeps_best else last
        scores: dict[str, float] = {"epochs": last.epoch}
        if result.status in FINISHED_STATUSES:  # comparisons leave out the others
            scores |= {**kept_metrics.values, "gap": kept_metrics.gap}
            scores |= {} if best is None else {"best_epoch": best.epoch}
            scores |= {f"test_{name}": value for name, value in (result.test or {}).items()}
        pictures = dict(pictures)
        kept_weights = result.checkpoint.tensors_of("best") if keeps_best else result.checkpoint.last_weights
        weight = self.architecture.first_layer_weight(newest_network(kept_weights))
        if weight is not None and self.features is None and result.status != "pruned":
            pictures[FIRST_LAYER_TAG] = encode_png(draw_first_layer(weight, self.input_shape))
        # Of a run that had ended before, what cannot be replaced as a whole stays as it is.
        write = self.events.write if self.earlier_summary is None else self.events.replace_end
        write(
            last.epoch,
            *(
                event_file.scalar(self.final_tags[name], value)
                for name, value in scores.items()
                if name in self.final_tags and math.isfinite(value)
            ),
            *(event_file.image(tag, *picture) for tag, picture in pictures.items()),
            *make_session(config, self.planned.identity.data, result.status, self.started),
        )

    def _summarize(self, result: RunResult) -> dict[str, Any]:
        """Return the content of summary.json."""
        config = self.planned.job.config
        measures = result.measures
        robustness = None if measures is None else measures.robustness
        corruptions = {} if robustness is None else {"corruptions": robustness.by_corruption()}
        confusions = None if measures is None else measures.confusion_matrix.tolist()
        return {
            "status": result.status,
            "epochs": result.last.epoch,
            "best_epoch": None if result.best is None else result.best.epoch,
            "best": None if result.best is None else result.best.values,
            "last": result.last.values,
            "test": result.test,
            "test_last": result.test_last,
            **corruptions,
            "validation": config.data.validation,
            "images": self.image_counts,
            "classes": list(self.classes),
            "class_accuracy": None if confusions is None else measure_classes(confusions, self.classes),
            **({} if self.image_shape is None else {"image_shape": list(self.image_shape)}),
            **({} if self.features is None else {"features": [feature.record() for feature in self.features]}),
            "lr": result.last.lr,
            "seconds": result.seconds,
            "share_seconds": self.share_seconds,
            "device": self.device,
            "seed": config.seed,
            "overrides": list(self.planned.job.recorded_overrides),
            "config_hash": self.planned.identity.config,
            "cohort": self.cohort,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
