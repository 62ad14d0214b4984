"""Directories of runs as training writes them, made without training, and records of runs without directories."""

import json
from pathlib import Path
from typing import Any

from regexp.comparison.loading import Collection
from regexp.config.compose import compose_job
from regexp.config.metric_registry import COLUMNS
from regexp.config.schema import flatten
from regexp.runs.run_record import RunRecord

CONFIGS: dict[tuple[str, ...], dict[str, Any]] = {}


def write_run(
    parent: Path,
    overrides: list[str],
    seed: int,
    test_accuracy: float | None = 0.9,
    val_accuracy: float | None = 0.8,
    status: str = "completed",
    epochs: int = 3,
    data: str = "data",
    code: str = "code",
    **record_entries: Any,
) -> Path:
    """Write the directory of a run, and return its path.

    Args:
        parent: the directory that holds the run's directory.
        overrides: the overrides of the run, without its seed.
        seed: its seed.
        test_accuracy: its test accuracy; None: the test set validates, and there is no test figure.
        val_accuracy: its validation accuracy; None: it was not finite.
        status: "unfinished", "failed", or the status in summary.json, which the first two do not have.
        epochs: the number of epochs that it trained.
        data: the fingerprint of its data.
        code: the hash of its code.
        **record_entries: further entries of run.json, or others in place of these.
    """
    key = tuple(overrides)
    if key not in CONFIGS:
        CONFIGS[key] = json.loads(json.dumps(flatten(compose_job(overrides).config)))
    all_overrides = [*overrides, f"seed={seed}"]
    directory = parent / ",".join(all_overrides)
    directory.mkdir(parents=True)
    record = {
        "config": {**CONFIGS[key], "seed": seed},
        "overrides": all_overrides,
        "identity": {"config": f"{key}{seed}", "data": data, "code": code},
        "command": f"regexp -m {' '.join(overrides)} seed=0,1",
        "started": f"2026-01-01T00:00:{len(list(parent.iterdir())):02}",
        **record_entries,
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
        scores = {"train_loss": 0.1, "train_accuracy": 0.99, "val_loss": 0.3, "val_accuracy": val_accuracy}
        summary = {
            "status": status,
            "epochs": epochs,
            "best_epoch": epochs - 1,
            "best": scores,
            "last": scores,
            "test": None if test_accuracy is None else {"loss": 0.2, "accuracy": test_accuracy},
            "validation": "test" if test_accuracy is None else "holdout",
            "images": {"train": 1000, "validation": 200, "test": 0 if test_accuracy is None else 400},
            "seconds": 1.0,
        }
        (directory / "summary.json").write_text(json.dumps(summary))
    return directory


def simulate_runs(scores: dict[str, dict[int, float]], metric: str = "test_accuracy") -> Collection:
    """Return records of finished runs that differ in `normalization`.

    Args:
        scores: the value of the metric for each seed, by the value of `normalization`.
        metric: the name of the metric.
    """
    cells = {(normalization,): by_seed for normalization, by_seed in scores.items()}
    return simulate_grid(cells, ("normalization",), metric)


def simulate_grid(
    scores: dict[tuple[str, ...], dict[int, float]], keys: tuple[str, ...], metric: str = "test_accuracy"
) -> Collection:
    """Return records of finished runs that differ in several keys.

    Args:
        scores: the value of the metric for each seed, by the values of the keys.
        keys: the keys.
        metric: the name of the metric.
    """
    records = []
    for values, by_seed in scores.items():
        config = {
            **dict(zip(keys, values, strict=True)),
            "augmentation": values[keys.index("augmentation")] if "augmentation" in keys else "none",
        }
        for seed, score in by_seed.items():
            records.append(
                RunRecord(
                    directory=Path("runs", *values, str(seed)),
                    overrides=(*(f"{key}={value}" for key, value in zip(keys, values, strict=True)), f"seed={seed}"),
                    seed=seed,
                    config={**config, "data.fingerprint": "data"},
                    data_paths={},
                    configuration_key=str(values),
                    code="code",
                    started="",
                    status="completed",
                    metric_values={metric: score, "val_accuracy": score},
                    last_epoch=3,
                    max_epochs=3,
                    image_counts={"test": 400, "validation": 200},
                    validation="holdout",
                    problem=None,
                    command=f"regexp -m {keys[0]}=a,b seed=0,1",
                )
            )
    return Collection("simulated", records)
