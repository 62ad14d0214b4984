"""Runs' folders, as training leaves them, without training; and records of them, without folders."""

import json
from pathlib import Path
from typing import Any

from regexp.comparison.loading import Collection
from regexp.comparison.records import Record
from regexp.config.compose import compose_job
from regexp.config.schema import flatten
from regexp.config.metrics import COLUMNS

CONFIGS: dict[tuple[str, ...], dict[str, Any]] = {}


def leave(
    folder: Path,
    overrides: list[str],
    seed: int,
    test: float | None = 0.9,
    val: float | None = 0.8,
    status: str = "completed",
    epochs: int = 3,
    data: str = "data",
    code: str = "code",
    **facts: Any,
) -> Path:
    """The folder of a run. Of one that is unfinished or failed there is no summary."""
    key = tuple(overrides)
    if key not in CONFIGS:
        CONFIGS[key] = json.loads(json.dumps(flatten(compose_job(overrides).config)))
    words = [*overrides, f"seed={seed}"]
    directory = folder / ",".join(words)
    directory.mkdir(parents=True)
    record = {
        "config": {**CONFIGS[key], "seed": seed},
        "overrides": words,
        "identity": {"config": f"{key}{seed}", "data": data, "code": code},
        "command": f"regexp -m {' '.join(overrides)} seed=0,1",
        "started": f"2026-01-01T00:00:{len(list(folder.iterdir())):02}",
        **facts,
    }
    (directory / "run.json").write_text(json.dumps(record))
    rows = [
        [epoch, 1 / epoch, 0.9 / epoch, 0.8, 1 / epoch + seed / 100, 0.7, 0.001, 0.1] for epoch in range(1, epochs + 1)
    ]
    lines = [",".join(map(str, row)) for row in ([*COLUMNS], *rows)]
    (directory / "metrics.csv").write_text("\n".join(lines) + "\n")
    if status == "failed":
        failure = {"kind": "DataError", "message": "the data is gone", "again": "regexp again"}
        (directory / "failure.json").write_text(json.dumps(failure))
    elif status != "unfinished":
        scores = {"train_loss": 0.1, "train_accuracy": 0.99, "val_loss": 0.3, "val_accuracy": val}
        summary = {
            "status": status,
            "epochs": epochs,
            "best_epoch": epochs - 1,
            "best": scores,
            "last": scores,
            "test": None if test is None else {"loss": 0.2, "accuracy": test},
            "validation": "test" if test is None else "holdout",
            "images": {"train": 1000, "validation": 200, "test": 0 if test is None else 400},
            "seconds": 1.0,
        }
        (directory / "summary.json").write_text(json.dumps(summary))
    return directory


def table(arms: dict[str, dict[int, float]], metric: str = "test_accuracy") -> Collection:
    """Records of finished runs: for each value of `normalization` the figure of each seed."""
    return grid({(name,): seeds for name, seeds in arms.items()}, ("normalization",), metric)


def grid(
    cells: dict[tuple[str, ...], dict[int, float]], keys: tuple[str, ...], metric: str = "test_accuracy"
) -> Collection:
    """Likewise for every combination of values of several keys."""
    records = []
    for values, seeds in cells.items():
        config = {
            **dict(zip(keys, values, strict=True)),
            "augmentation": values[keys.index("augmentation")] if "augmentation" in keys else "none",
        }
        for seed, figure in seeds.items():
            records.append(
                Record(
                    directory=Path("runs", *values, str(seed)),
                    overrides=(*(f"{key}={value}" for key, value in zip(keys, values, strict=True)), f"seed={seed}"),
                    seed=seed,
                    config={**config, "data.fingerprint": "data"},
                    configuration_key=str(values),
                    code="code",
                    started="",
                    status="completed",
                    metric_values={metric: figure, "val_accuracy": figure},
                    last_epoch=3,
                    max_epochs=3,
                    image_counts={"test": 400, "validation": 200},
                    validation="holdout",
                    problem=None,
                    command=f"regexp -m {keys[0]}=a,b seed=0,1",
                )
            )
    return Collection("simulated", records)
