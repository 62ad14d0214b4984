"""python -m regexp.verify DIR: trains runs of a sweep again, each alone, and says how far they come out the same."""

import argparse
import json
import random
import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from rich.table import Table

from regexp.api import run, sweep
from regexp.config.compose import compose_job
from regexp.config.fields import leaves
from regexp.config.schema import Config, cohort_key, flatten
from regexp.errors import ConfigError, RunError
from regexp.execution.terminal import Terminal
from regexp.runs.run import Run, find_runs
from regexp.utils import exit_codes

METRICS = ("objective", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
# How far apart a run's figures may be alone and in company, in float64.
TOLERANCE = 1e-9
# In what runs may differ that differ in their seed only.
_ASIDE = {key for key, _, meta in leaves(Config()) if not meta.get("identity", True)} | {"seed", "data.path"}


@dataclass(frozen=True)
class RecordedRun:
    """What a run recorded, as far as it is compared."""

    label: str
    overrides: list[str]
    config: dict[str, Any]
    setting: tuple[Any, ...]  # equal for runs that differ in their seed only
    made: dict[str, str]  # data, code, torch and device
    size: int  # of its cohort
    metrics: list[dict[str, float]]
    best: dict[str, float]  # the metrics of the best epoch

    @classmethod
    def of(cls, run: Run) -> Self:
        """A run's. Raises RunError if it did not end as it should, or if what it recorded is not whole."""
        label, record = run.directory.name, run.record
        try:
            if run.status not in ("completed", "stopped_early") or (summary := run.summary) is None:
                raise RunError(f"{label} is {run.status}: there is nothing to compare")
            config, metrics, size = dict(record["config"]), run.metrics, summary["cohort"]["size"]
            made = {"torch": record["versions"]["torch"], "device": summary["device"]}
            made |= {name: record["identity"][name] for name in ("data", "code")}
            setting = (made["data"], [item for item in config.items() if item[0] not in _ASIDE])
            best = {metric: metrics[summary["best_epoch"] - 1][metric] for metric in METRICS}
            return cls(label, list(record["overrides"]), config, setting, made, size, metrics, best)
        except (LookupError, TypeError, ValueError, OSError) as error:
            raise RunError(f"{run.directory}: what it recorded is not whole ({error!r})") from error


@dataclass(frozen=True)
class MetricDifference:
    """How one metric of a run differs between two trainings."""

    metric: str
    first: int | None  # epoch that differs; None: none does
    largest: float  # over the epochs that both have
    spread: float | None  # standard deviation of the best epochs' figures over the seeds; None: there is one seed


def verify(
    folder: Path, count: int, labels: Sequence[str], seed: int, float64: bool
) -> dict[str, list[MetricDifference]]:
    """Train runs again, each alone; prints how each differs, beside the spread between seeds; returns that by label.

    Args:
        folder: of runs, or a run's own.
        count: how many, drawn at random with `seed`, where no `labels` choose.
        float64: compare not with what was recorded but with the same runs trained together, all in float64.

    Raises ConfigError if there is nothing to compare, RunError if a run cannot be read, or in float64 is not the same.
    """
    (folder, labels), terminal, results = _place(folder, labels), Terminal(), []
    for found in find_runs(folder):
        with suppress(RunError):
            results.append(RecordedRun.of(found))
    drawn = [RecordedRun.of(Run(folder / label)) for label in labels] or random.Random(seed).sample(
        results, len(results)
    )
    chosen = _choose(drawn, len(labels) or count, bool(labels), float64, terminal)
    before, differences, apart = chosen, {}, []
    with TemporaryDirectory(prefix="regexp-") as outputs:
        if float64:
            runs = sweep([result.overrides for result in chosen], f"{outputs}/together", quiet=True)
            before = [RecordedRun.of(done) for done in runs]
        for result, one in zip(chosen, before, strict=True):
            alone = RecordedRun.of(run(result.overrides, f"{outputs}/alone", quiet=True))
            seeds = [other for other in results if other.setting == result.setting]
            rows = differences[result.label] = compare(one, alone, seeds)
            _show(terminal, result.label, one, alone, rows)
            if max(row.largest for row in rows) > TOLERANCE or len(one.metrics) != len(alone.metrics):
                apart.append(result.label)
    terminal.print_line(f"\n{len(chosen) - len(apart)} of {len(chosen)} the same to {TOLERANCE:g}{', in float64' * float64}")
    if apart and not float64:
        terminal.print_line("In company float32 rounds otherwise; --float64 shows whether that is all.")
    if float64 and apart:
        raise RunError(f"in float64 not the same alone and in company, to {TOLERANCE:g}: {'  '.join(apart)}")
    return differences


def compare(one: RecordedRun, other: RecordedRun, seeds: Sequence[RecordedRun]) -> list[MetricDifference]:
    """How two trainings of a run differ, by metric; `seeds`: that run and those which differ from it in their seed."""
    differences = []
    for metric in METRICS:
        gaps = [abs(a[metric] - b[metric]) for a, b in zip(one.metrics, other.metrics, strict=False)]
        first = next((epoch for epoch, gap in enumerate(gaps, 1) if gap > 0), None)
        spread = statistics.stdev(result.best[metric] for result in seeds) if len(seeds) > 1 else None
        differences.append(MetricDifference(metric, first, max(gaps), spread))
    return differences


def _place(folder: Path, labels: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """The folder of runs, and which are named. Raises ConfigError."""
    if (folder / "run.json").is_file() and not labels:
        return folder.resolve().parent, [folder.resolve().name]
    there = sorted(path.parent.name for path in folder.glob("*/run.json"))
    if not there:
        raise ConfigError(f"{folder}: {'holds no runs' if folder.is_dir() else 'there is no such folder'}")
    if unknown := [label for label in labels if label not in there]:
        raise ConfigError(f"--run {unknown[0]}: is not in {folder}, which holds {'  '.join(there)}")
    return folder, list(dict.fromkeys(labels))


def _choose(
    drawn: Sequence[RecordedRun], count: int, named: bool, float64: bool, terminal: Terminal
) -> list[RecordedRun]:
    """The runs to train; in float64, where they were not named, such as train together. Raises ConfigError."""
    chosen, keys = list[RecordedRun](), list[object]()
    for result in drawn:
        try:
            again, key = _again(result, float64)
        except ConfigError as error:
            terminal.print_line(f"skipped {result.label}, which is not composed as it was (by a --config-dir?): {error}")
            continue
        if named or not float64 or key in (keys or [key]):
            chosen.append(again)
            keys.append(key)
        if len(chosen) == count:
            break
    if not chosen:
        raise ConfigError("there is no finished run that can be trained again")
    if float64 and len(set(keys)) == len(keys):
        raise ConfigError(f"--float64: {chosen[0].label} has no company; choose two or more that train together")
    return chosen


def _again(result: RecordedRun, float64: bool) -> tuple[RecordedRun, object]:
    """A run with the overrides that train it again, and what is equal for runs that may train together.

    Raises ConfigError if they do not compose to what was recorded, as where a --config-dir had a part in it.
    """
    today, then = json.loads(json.dumps(flatten(compose_job(result.overrides).config))), result.config
    if list(today.items()) != list(then.items()):
        raise ConfigError(f"other {', '.join(key for key in {**today, **then} if today.get(key) != then.get(key))}")
    on_mps = result.made["device"].startswith("mps")  # which has no float64
    extra = ["device.precision=float64", *["device.kind=cpu"] * on_mps] if float64 else []
    again = replace(result, overrides=[*result.overrides, *extra])
    return again, cohort_key(compose_job(again.overrides).config)


def _show(
    terminal: Terminal, label: str, one: RecordedRun, alone: RecordedRun, differences: Sequence[MetricDifference]
) -> None:
    terminal.print_line(f"\n{label}\nin a cohort of {one.size}: {len(one.metrics)} epochs; alone: {len(alone.metrics)}")
    for name in (name for name, then in one.made.items() if alone.made[name] != then):
        terminal.print_line(f"the {name} changed since: {one.made[name]}, now {alone.made[name]}")
    table = Table("metric", box=None, pad_edge=False)
    for title in ("first epoch", "largest difference", "spread between seeds"):
        table.add_column(title, justify="right")
    for row in differences:
        spread = "-" if row.spread is None else f"{row.spread:.1e}"
        table.add_row(row.metric, str(row.first or "none"), f"{row.largest:.1e}", spread)
    terminal.console.print(table)


def main() -> None:
    """Run the command line; ends with one of the statuses in regexp.errors."""
    parser = argparse.ArgumentParser("python -m regexp.verify", description=__doc__, allow_abbrev=False)
    parser.add_argument("folder", metavar="DIR", type=Path, help="of runs, as outputs/default, or a run's own")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--runs", metavar="N", type=int, default=3, help="drawn at random (default: 3)")
    choice.add_argument("--run", metavar="LABEL", nargs="+", default=[], help="these, by the names of their folders")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing")
    parser.add_argument("--float64", action="store_true", help=f"train both ways in float64; must agree to {TOLERANCE}")
    given = parser.parse_args()
    if given.runs < 1:
        parser.error(f"--runs {given.runs}: must be at least 1")
    with exit_codes.process_exit():
        verify(given.folder, given.runs, given.run, given.seed, given.float64)


if __name__ == "__main__":
    main()
