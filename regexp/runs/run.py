"""Runs read back from their folders. Imports no torch until a model is asked for."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regexp.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor, nn


class Run:
    """A run's folder, finished or not.

    Attributes:
        directory: the folder.
    """

    def __init__(self, directory: Path | str) -> None:
        """Raises RunError if no run was recorded there."""
        self.directory = Path(directory)
        self.record = _read_json(self.directory / "run.json", "holds no run: run.json is missing")

    @property
    def config(self) -> dict[str, Any]:
        """The flat configuration: {"optimizer.lr": 0.001, ...}."""
        config: dict[str, Any] = self.record["config"]
        return config

    @property
    def summary(self) -> dict[str, Any] | None:
        """How the run ended (see the README); None while it has not."""
        path = self.directory / "summary.json"
        return _read_json(path, "has no summary") if path.exists() else None

    @property
    def status(self) -> str:
        """completed, stopped_early, diverged, failed or unfinished."""
        if (summary := self.summary) is not None:
            return str(summary["status"])
        return "failed" if (self.directory / "failure.json").exists() else "unfinished"

    @property
    def failure(self) -> str | None:
        """Why it failed, in a line; None where it has not."""
        path = self.directory / "failure.json"
        return str(_read_json(path, "has no failure").get("message")) if self.status == "failed" else None

    @property
    def keeps_best(self) -> bool:
        """Whether the weights that it keeps are the best rather than the last."""
        summary = self.summary
        return summary is not None and summary["best"] is not None and bool(self.config["early_stopping.restore_best"])

    @property
    def metrics(self) -> list[dict[str, float]]:
        """One record an epoch, with the columns of metrics.csv."""
        try:
            with (self.directory / "metrics.csv").open(newline="") as file:
                return [
                    {name: int(value) if name == "epoch" else float(value) for name, value in row.items()}
                    for row in csv.DictReader(file)
                ]
        except FileNotFoundError:
            return []

    def model(self, weights: str = "kept") -> "nn.Sequential":
        """The trained model as torch's own layers, on the CPU and in evaluation mode.

        It takes images [n, C, H, W] in floating point, scaled to [0, 1] (uint8 / 255), in the run's precision, and
        gives logits [n, classes]. Nothing else is done to the images; where augmentation crops them, it takes their
        centre, of the crop's size.

        Args:
            weights: "best", "last", or "kept": the best where the run restores them, else the last.

        Raises:
            RunError: these weights were not stored.
        """
        from safetensors.torch import load_file

        from regexp.models.mlp import Architecture, as_sequential

        if weights not in ("kept", "best", "last"):
            raise ValueError(f'weights must be "kept", "best" or "last", not {weights!r}')
        if weights == "kept":
            # A run that diverged in its first epoch has no best weights.
            restored = self.config["early_stopping.restore_best"] and (self.directory / "best.safetensors").exists()
            weights = "best" if restored else "last"
        path = self.directory / ("best.safetensors" if weights == "best" else "checkpoint.safetensors")
        if not path.exists():
            raise RunError(f"{self.directory} has no {weights} weights: {path.name} is missing ({self.status})")
        state: dict[str, Tensor] = load_file(path)
        if weights == "last":
            state = {key.removeprefix("model/"): value for key, value in state.items() if key.startswith("model/")}
        last = max((name for name in state if name.endswith(".weight")), key=lambda name: int(name.split(".")[0]))
        architecture = Architecture(
            in_features=state["1.weight"].shape[1],
            hidden_sizes=tuple(self.config["model.hidden_sizes"]),
            classes=len(state[last]),
            activation=self.config["model.activation"],
            normalization=self.config["normalization"],
            eps=self.config.get("normalization.eps", 1e-5),
            momentum=self.config.get("normalization.momentum", 0.1),
        )
        model = as_sequential(architecture, self.config["model.dropout"])
        model.to(state["1.weight"].dtype).load_state_dict(state)
        return model.eval()

    def __repr__(self) -> str:
        return f"Run({str(self.directory)!r}, {self.status})"


def _read_json(path: Path, missing: str) -> dict[str, Any]:
    """The object in a JSON file. Raises RunError if it is not there or broken."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise RunError(f"{path.parent} {missing}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is broken: {str(error)[:200]}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is broken: it holds no JSON object")
    return content


def load_run(path: Path | str) -> Run:
    """The run that was recorded in a folder. Raises RunError if there is none."""
    return Run(path)


def find_runs(folder: Path) -> Iterator[Run]:
    """All runs recorded directly below a folder, by name; what was set aside is left out."""
    for path in sorted(folder.glob("*/run.json")):
        if ".old-" not in path.parent.name:
            try:
                yield Run(path.parent)
            except RunError:
                continue
