"""Runs, read back from their directories. Imports no torch until the model of a run is loaded."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regexp.config.words.homes import expand_home
from regexp.errors import RunError
from regexp.runs.files.json_file import read_json_object
from regexp.runs.files.kept_logits import SplitLogits, read_logits
from regexp.runs.predicting.input_format import InputFormat, read_classes
from regexp.runs.predicting.predictions import Predictions
from regexp.runs.predicting.trained_model import TrainedModel, load_model
from regexp.runs.weights import WEIGHT_FILES, explain_missing_checkpoint
from regexp.utils.atomic_io import read_text
from regexp.utils.lazy import load_object

if TYPE_CHECKING:
    from torch import nn

# What the name of a directory that was set aside has before its time.
SET_ASIDE = ".old-"


class Run:
    """A run that was recorded in a directory, finished or not.

    Its files are read when they are asked for: the status and the metrics of a run in training change.

    Attributes:
        directory: the directory of the run.
        record: the content of its run.json.

    Example:
        >>> from regexp import run
        >>> trained_run = run(["seed=1"], quiet=True)
        >>> trained_run
        Run('outputs/default/seed=1', stopped_early)
        >>> trained_run.summary["epochs"] == len(trained_run.metrics)
        True
    """

    def __init__(self, directory: Path | str) -> None:
        """Read run.json; raise RunError if no run was recorded in the directory."""
        self.directory = Path(directory)
        self._summary: tuple[object, dict[str, Any]] | None = None  # the state of the file, and its content
        self.record = read_json_object(self.directory / "run.json", "holds no run: run.json is missing")

    @property
    def config(self) -> dict[str, Any]:
        """The flat configuration, by dotted key: {"optimizer.lr": 0.001, ...}."""
        config: dict[str, Any] = self.record["config"]
        return config

    @property
    def tags(self) -> list[str]:
        """The words to find the run by: those that it was trained with, and those that later commands have added."""
        tags = self.record.get("tags")
        return [str(tag) for tag in tags] if isinstance(tags, list) else []

    @property
    def summary(self) -> dict[str, Any] | None:
        """The content of summary.json (see the README), or None if the run has not ended."""
        path = self.directory / "summary.json"
        try:
            stat = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        state = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if self._summary is None or self._summary[0] != state:
            self._summary = state, read_json_object(path, "has no summary")
        return self._summary[1]

    @property
    def status(self) -> str:
        """One of "completed", "stopped_early", "diverged", "pruned", "failed" and "unfinished"."""
        if (summary := self.summary) is not None:
            return str(summary["status"])
        return "failed" if (self.directory / "failure.json").exists() else "unfinished"

    @property
    def failure(self) -> str | None:
        """The reason why the run failed, in one line, or None if it has not failed."""
        path = self.directory / "failure.json"
        return str(read_json_object(path, "has no failure").get("message")) if self.status == "failed" else None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the labels and of the model's logits.

        They stand in summary.json. For a run that has not ended, and one of an earlier version, its data is read.

        Raises:
            RunError: the data of such a run has changed or is gone.
        """
        return read_classes(self.directory, self.record, self.summary)

    @property
    def keeps_best(self) -> bool:
        """Whether the run keeps its best weights, rather than its last."""
        summary = self.summary
        return summary is not None and summary["best"] is not None and bool(self.config["early_stopping.restore_best"])

    @property
    def metrics(self) -> list[dict[str, float]]:
        """A record for each epoch, with the columns of metrics.csv; empty if there is no such file.

        The line that training is writing at this moment, or was when it was killed, does not count.

        Raises:
            RunError: the file is broken.
        """
        path = self.directory / "metrics.csv"
        try:
            complete_lines, _, _ = read_text(path).rpartition("\n")
            return [
                {name: int(value) if name == "epoch" else float(value) for name, value in row.items()}
                for row in csv.DictReader(complete_lines.splitlines(), strict=True)
            ]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, csv.Error) as error:
            raise RunError(f"{path} is broken: {str(error)[:200]}") from error

    def model(self, weights: str = "kept", target: "Callable[..., nn.Module] | str | None" = None) -> "nn.Module":
        """Return the trained model as a torch module, on the CPU and in evaluation mode.

        The model takes images [n, C, H, W], in uint8 or in floating point from 0 to 1 (uint8 / 255), and returns logits
        [n, classes]. It says so where it is called with anything else. The images need no other preparation, except
        that a run whose augmentation crops images takes their centre, of the crop's size; `predict` does that too. The
        model of a table takes rows [n, features] encoded as `summary["features"]` says: (x - mean) / std of a number,
        and 1 where a row has the category, else 0.

        Args:
            weights: "best", "last", or "kept": the best if the run restores them, else the last.
            target: for a run of model=module, the class or function that makes its module, or its name such as
                "net.py:Net". Code of the user's own runs only where this call names it, never because a file does.

        Returns:
            The model.

        Raises:
            ConfigError: the run is of model=module and there is no `target`, or it makes no module.
            RunError: these weights were not stored, or their file is broken, or the module does not fit them.
            ValueError: `weights` is none of these words.

        Example:
            >>> import torch
            >>> from regexp import load_run
            >>> model = load_run("outputs/default/seed=1").model()
            >>> model(torch.rand(2, 1, 8, 8)).shape  # two images of digits
            torch.Size([2, 10])
        """
        return self.load_trained_model(weights, target).with_check()

    def predict(
        self, inputs: Any, weights: str = "kept", target: "Callable[..., nn.Module] | str | None" = None
    ) -> Predictions:
        """Return the classes and their probabilities for pictures, arrays or rows, prepared as those of the training.

        Pictures are read as those of an image folder: turned as their EXIF data says, cropped about their centre and
        resized to the size of the training images, and converted to their channels, with transparent pixels on white.
        Arrays have the layouts and ranges that `regexp.Arrays` takes, and the size of the training images. Rows have
        the columns that the run was trained on, and perhaps others.

        Inputs that cannot be read are listed in `problems`, with a warning, and the others are predicted. For the mean
        of several seeds see `regexp.predict.predict`.

        Args:
            inputs: a path or a list of paths: pictures, folders of pictures, .npy and .npz files; or images
                [n, H, W], [n, H, W, C] or [n, C, H, W] as a NumPy array or a tensor. Of a run on a table: paths of CSV
                or Parquet files, a pandas DataFrame, a mapping of columns, or a list of records.
            weights: as for `model`.
            target: as for `model`.

        Raises:
            ConfigError: the inputs are of another kind, or `target` is missing.
            DataError: no input can be read, or an array or a table does not fit the run.
            RunError: the weights are missing or broken, or the run has diverged.

        Example:
            >>> from regexp import load_run
            >>> load_run("outputs/default/seed=1").predict("four.png").labels
            ('4',)
        """
        from regexp.runs.predicting.prediction import predict_inputs

        model, has_diverged = self.load_trained_model(weights, target), self.status == "diverged"
        predictions = predict_inputs([model], self.input_format, inputs, has_diverged)
        predictions.warn()
        return predictions

    def test_logits(self) -> SplitLogits:
        """Return the logits of the test images, which predictions=true has kept, and the labels of these images.

        Raises:
            RunError: the run has not kept them, or their file is broken.
        """
        return read_logits(self.directory, self.record)

    def export(
        self, path: Path | str, weights: str = "kept", target: "Callable[..., nn.Module] | str | None" = None
    ) -> Path:
        """Write the trained network to a file that other programs can run, and return its path.

        The exported network takes `images`, uint8 [n, C, H, W] from 0 to 255 in any number n, and returns
        `probabilities` [n, classes]: division by 255, crop and softmax are part of it. For a table it takes features
        [n, F] in float32, as `model` does. The file holds the names of the classes and what the network takes, as the
        metadata of an .onnx file, or as regexp.json in a .pt2 file. It is written only if the exported network gives
        the same probabilities as the run on random inputs.

        Args:
            path: "NAME.onnx", for ONNX Runtime and others (`uv sync --extra onnx`), or "NAME.pt2", torch's own format
                for torch.export.load, which needs no further package.
            weights: as for `model`.
            target: as for `model`.

        Raises:
            ConfigError: the name says no format, or `target` is missing.
            RunError: the weights are missing, or the network cannot be exported.
            SetupError: a package is missing, or the file cannot be written.

        Example:
            >>> from regexp import load_run
            >>> load_run("outputs/default/seed=1").export("model.pt2")
            PosixPath('model.pt2')
        """
        from regexp.runs.predicting.exporting import export_model

        file = expand_home(path)
        facts = {"run": self.directory.name, "config_hash": self.record["identity"]["config"]}
        export_model(self.load_trained_model(weights, target), self.input_format, file, facts)
        return file

    def load_trained_model(
        self, weights: str = "kept", target: "Callable[..., nn.Module] | str | None" = None
    ) -> TrainedModel:
        """Return the model as `model` does, with the shape of its input and without the check of it."""
        return load_model(self.directory, self.config, self._choose_weights(weights), target)

    @property
    def input_format(self) -> InputFormat:
        """What the run's network takes; raise RunError where neither its files nor its data say it."""
        return InputFormat.from_run(self.directory, self.record, self.summary)

    def _choose_weights(self, weights: str) -> str:
        """Return "best" or "last", whichever `weights` stands for, if such weights are stored."""
        if weights not in ("kept", *WEIGHT_FILES):
            raise ValueError(f'weights must be "kept", "best" or "last", not {weights!r}')
        if weights == "kept":
            weights = "best" if self.keeps_best else "last"
        if weights == "last" and self.last_is_best:
            weights = "best"
        path = self.directory / WEIGHT_FILES[weights]
        if not path.exists():
            reason = explain_missing_checkpoint(self.record) if weights == "last" and self.summary is not None else ""
            reason = reason or f"{path.name} is missing ({self.status})"
            raise RunError(f"{self.directory} has no {weights} weights: {reason}")
        return weights

    @property
    def last_is_best(self) -> bool:
        """Whether the last epoch of a run that has ended is its best one."""
        summary = self.summary
        return summary is not None and summary["best_epoch"] == summary["epochs"]

    def _repr_html_(self) -> str:
        """Return the run with its scores and curves, which notebooks show."""
        card: str = load_object("runs.listing.cards.make_run_card")(self)
        return card

    def __repr__(self) -> str:
        return f"Run({str(self.directory)!r}, {self.status})"


def load_run(path: Path | str) -> Run:
    """Return the run that was recorded in a directory.

    Args:
        path: the directory of the run, such as "outputs/default/seed=1".

    Returns:
        The run, finished or not.

    Raises:
        RunError: the directory holds no run, or its run.json is broken.

    Example:
        >>> from regexp import load_run
        >>> trained_run = load_run("outputs/default/seed=1")
        >>> trained_run.metrics[-1]["val_loss"] > trained_run.summary["best"]["val_loss"]
        True
    """
    return Run(expand_home(path))
