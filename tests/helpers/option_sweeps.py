"""Short sweeps that together use every option of the configuration, and the comparison of their results.

The options are found by themselves: each option of every group, each step and file of augmentation, and for every key
that has choices, an example or is true or false, a value other than its default.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from helpers.command_lines import REQUIRED_OVERRIDES
from helpers.data_files import small_dataset_overrides

import regexp
from regexp.config.hydra_config.search_path import CONF
from regexp.config.schema import OPTIONS
from regexp.config.schemas.augmentation import STEPS_BY_TARGET
from regexp.config.schemas.data import DATA_SOURCES
from regexp.config.schemas.device import DeviceConfig
from regexp.runs.run import Run
from regexp.utils.messages import format_value

SHORT = ["epochs=2", "batch_size=16"]
# For each key of models that decides their size: a value for small networks.
SMALL_SIZES = {"hidden_sizes": "[16,16,16]", "channels": "[8,8]", "width": "8"}
# The two runs of each sweep train together, and differ in what runs may differ in.
RUNS = (["seed=0"], ["seed=1", "optimizer.lr=0.02", "model.dropout=0.5", "optimizer.l1=1e-4", "optimizer.clip_norm=1"])
# The runs to compare where figures round differently: before BatchNorm the gradients of biases are but rounding,
# which counts for nothing until L1 takes its sign and an adaptive optimizer makes a whole step of it.
ROBUST_RUNS = tuple([word for word in run if not word.startswith("optimizer.l1=")] for run in RUNS)
# Keys of no interest here, with a test of their own, or whose other values are too large for small data sets.
LEFT_OUT = ("name", "train_size", "kind", "index", "threads", "graphs", "scale")
TABLES = [name for name, source in DATA_SOURCES.items() if source.is_table]
SCHEMAS: dict[str, dict[str, type[Any]]] = {
    **{group: options for group, options in OPTIONS.items() if group not in ("data", "model", "device")},
    "model": {name: schema for name, schema in OPTIONS["model"].items() if name != "module"},  # needs a target
    "data": {name: schema for name, schema in OPTIONS["data"].items() if name not in TABLES},
    "device": {"": DeviceConfig},
}
AUGMENTATION = sorted(path.stem for path in (CONF / "augmentation").glob("*.yaml"))
STEP_TARGETS = [f"regexp.augmentation.{target}" for target in STEPS_BY_TARGET]


def find_values(schema: type[Any]) -> dict[str, list[Any]]:
    """Return the values to try of the keys of a schema: the default, and its other choices, its example or `not`."""
    values = {}
    for item in fields(schema):
        default = item.metadata.get("default")
        candidates = [default, *item.metadata.get("choices", ())]
        candidates += [item.metadata["example"]] if "example" in item.metadata else []
        candidates += [not default] if isinstance(default, bool) else []
        if len(candidates) > 1 and item.name not in LEFT_OUT:
            values[item.name] = list(dict.fromkeys(candidates))
    return values


def count_sweeps() -> int:
    """Return how many sweeps it takes to use everything, where each uses an option of every group.

    The last ones train on tables, with the model and the augmentation that suit these.
    """
    return _count_image_sweeps() + len(TABLES)


def _count_image_sweeps() -> int:
    counts = [len(AUGMENTATION), len(STEP_TARGETS)]
    for options in SCHEMAS.values():
        for schema in options.values():
            counts += [len(options) * len(values) for values in find_values(schema).values()]
        counts.append(len(options))
    return max(counts)


def choose_overrides(i: int, directory: Path) -> list[str]:
    """Return the overrides of the i-th sweep, whose data set is written into a directory that does not exist yet."""
    if i >= (num_image_sweeps := _count_image_sweeps()):
        data = small_dataset_overrides(TABLES[i - num_image_sweeps], directory)
        return [*SHORT, *data, "model=mlp", "model.hidden_sizes=[16,8]", "+augmentation.noise.std=0.1"]
    overrides = [f"augmentation={AUGMENTATION[i % len(AUGMENTATION)]}"]
    overrides.append(f"+augmentation.extra={{_target_: {STEP_TARGETS[i % len(STEP_TARGETS)]}}}")
    for group, options in SCHEMAS.items():
        # An option further in every round, so that each meets all values of keys that have as many.
        option, schema = list(options.items())[(i + i // len(options)) % len(options)]
        if group == "data":
            overrides += small_dataset_overrides(option, directory)
            overrides += ["data.train_size=90"] if option.startswith(("digits", "cifar")) else []
        elif option:
            overrides.append(f"{group}={option}")
            overrides += [*REQUIRED_OVERRIDES["module"], "model.options.p=0"] if option == "module" else []
        sizes = SMALL_SIZES if group == "model" else {}
        overrides += [f"model.{item.name}={sizes[item.name]}" for item in fields(schema) if item.name in sizes]
        occurrence = i // len(options)
        for name, values in find_values(schema).items():
            overrides.append(f"{group}.{name}={format_value(values[occurrence % len(values)])}")
    if not {"early_stopping=generalization_loss", "early_stopping=progress"}.isdisjoint(overrides):  # need a loss
        overrides = [word for word in overrides if not word.startswith("early_stopping.monitor=")]
    if "averaging=snapshots" in overrides:  # which decides the learning rate
        overrides = [word for word in overrides if not word.startswith("schedule")]
    return [*SHORT, *overrides]


def choose_robust_runs(overrides: Sequence[str]) -> Sequence[Sequence[str]]:
    """Return the runs of a sweep whose results hardly depend on the order in which sums are rounded."""
    return ROBUST_RUNS if "normalization=batch" in overrides else RUNS


def train_sweep(
    overrides: Sequence[str], device: str, outputs: Path, runs: Sequence[Sequence[str]] = RUNS
) -> list[Run]:
    """Train a sweep in this process.

    Args:
        overrides: the overrides that all runs share.
        device: the device to train on, such as "cpu" or "cuda:1".
        outputs: the directory below which the runs are recorded.
        runs: the overrides in which the runs differ.
    """
    kind, _, index = device.partition(":")
    words = [*overrides, f"device={kind}", f"device.index={index or 'null'}"]
    if "model=module" in overrides:  # whose own layers drop units
        runs = [[word for word in run if not word.startswith("model.dropout=")] for run in runs]
    return regexp.sweep([[*words, *run] for run in runs], outputs, quiet=True, workers=1)


def assert_equal_results(runs: Sequence[Run], expected_runs: Sequence[Run], tolerance: float) -> None:
    """Compare the metrics of all epochs, and the final results, up to an absolute tolerance."""
    for run, expected in zip(runs, expected_runs, strict=True):
        assert run.status == expected.status
        rows, expected_rows = ([{**row, "seconds": 0} for row in each.metrics] for each in (run, expected))
        assert rows == [pytest.approx(row, abs=tolerance, rel=tolerance, nan_ok=True) for row in expected_rows]
        for key in ("best", "last", "test", "test_last"):
            values, expected_values = (_without_none(each.summary[key]) for each in (run, expected))
            assert values == pytest.approx(expected_values, abs=tolerance, rel=tolerance, nan_ok=True)


def _without_none(values: Mapping[str, float | None] | None) -> dict[str, float]:
    """Return the values of a summary, with NaN in the place of null."""
    return {name: math.nan if value is None else value for name, value in (values or {}).items()}
