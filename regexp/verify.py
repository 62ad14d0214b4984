"""Runs of a sweep trained again, each alone, and compared with what they recorded in their cohort."""

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
from regexp.config.metrics import CURVES
from regexp.config.schema import cohort_key, flatten
from regexp.errors import ConfigError, RunError
from regexp.execution.terminal import Terminal
from regexp.runs.identity import IGNORED_KEYS
from regexp.runs.run import Run, find_runs
from regexp.utils import exit_codes

COMPARED_COLUMNS = ("objective", *CURVES)
# How far a run's metrics may differ in float64 between training alone and in a cohort.
TOLERANCE = 1e-9
# Keys that may differ between the runs of a seed group: the seed, and what cannot change a result.
_SEED_GROUP_KEYS = {*IGNORED_KEYS, "seed", "data.path"}


@dataclass(frozen=True)
class TrainingRecord:
    """The record of a finished run, as far as it is compared with another training.

    Attributes:
        label: the name of its directory.
        overrides: the overrides that it was trained with.
        config: its flat configuration.
        seed_group: equal for runs that differ in their seed only.
        provenance: its data, code, version of torch and device.
        cohort_size: how many runs its cohort began with.
        metrics: a record for each epoch, with the columns of metrics.csv.
        best_metrics: COMPARED_COLUMNS at its best epoch.
    """

    label: str
    overrides: list[str]
    config: dict[str, Any]
    seed_group: tuple[Any, ...]
    provenance: dict[str, str]
    cohort_size: int
    metrics: list[dict[str, float]]
    best_metrics: dict[str, float]

    @classmethod
    def from_run(cls, run: Run) -> Self:
        """Read a run's record; raise RunError if the run did not finish or its record is incomplete."""
        label, record = run.directory.name, run.record
        try:
            if run.status not in ("completed", "stopped_early") or (summary := run.summary) is None:
                raise RunError(f"{label} is {run.status}: there is nothing to compare")
            config, metrics = dict(record["config"]), run.metrics
            provenance = {"torch": record["versions"]["torch"], "device": summary["device"]}
            provenance |= {name: record["identity"][name] for name in ("data", "code")}
            settings = [(key, value) for key, value in config.items() if key not in _SEED_GROUP_KEYS]
            best_epoch = metrics[summary["best_epoch"] - 1]
            return cls(
                label=label,
                overrides=list(record["overrides"]),
                config=config,
                seed_group=(provenance["data"], settings),
                provenance=provenance,
                cohort_size=summary["cohort"]["size"],
                metrics=metrics,
                best_metrics={metric: best_epoch[metric] for metric in COMPARED_COLUMNS},
            )
        except (LookupError, TypeError, ValueError, OSError) as error:
            raise RunError(f"{run.directory}: its record is incomplete ({error!r})") from error


@dataclass(frozen=True)
class MetricDifference:
    """The difference of one metric between two trainings of a run.

    Attributes:
        metric: one of COMPARED_COLUMNS.
        first_epoch: the first epoch that differs; None where none does.
        largest: the largest absolute difference over the epochs that both trainings have.
        seed_spread: the standard deviation over the seed group at the runs' best epochs; None where it has one seed.
    """

    metric: str
    first_epoch: int | None
    largest: float
    seed_spread: float | None


def verify(
    directory: Path, count: int, labels: Sequence[str], seed: int, float64: bool
) -> dict[str, list[MetricDifference]]:
    """Train runs again, each alone, and print how far each differs from before, beside the spread between seeds.

    Args:
        directory: a directory of runs, or of a single run.
        count: how many runs to draw at random, if there are no labels.
        labels: the runs to train again, by the names of their directories.
        seed: the seed of the draw.
        float64: whether to train the runs together as well and compare with that, all in float64, rather than to
            compare with what was recorded.

    Returns:
        The differences of each run that was trained again, by its label.

    Raises:
        ConfigError: there is no run that can be trained again.
        RunError: a run cannot be read, or in float64 differs by more than TOLERANCE.
    """
    directory, labels = _locate_runs(directory, labels)
    terminal = Terminal()
    recorded_runs: list[TrainingRecord] = []
    for recorded in find_runs(directory):
        with suppress(RunError):
            recorded_runs.append(TrainingRecord.from_run(recorded))
    if labels:
        candidates = [TrainingRecord.from_run(Run(directory / label)) for label in labels]
    else:
        candidates = random.Random(seed).sample(recorded_runs, len(recorded_runs))
    chosen = _choose(candidates, len(labels) or count, bool(labels), float64, terminal)
    references, differences, differing_labels = chosen, {}, []
    with TemporaryDirectory(prefix="regexp-") as outputs:
        if float64:
            together = sweep([one.overrides for one in chosen], f"{outputs}/together", quiet=True)
            references = [TrainingRecord.from_run(one) for one in together]
        for one, reference in zip(chosen, references, strict=True):
            alone = TrainingRecord.from_run(run(one.overrides, f"{outputs}/alone", quiet=True))
            seed_group = [other for other in recorded_runs if other.seed_group == one.seed_group]
            differences[one.label] = compare_trainings(reference, alone, seed_group)
            terminal.print_line(f"\n{_describe_trainings(one.label, reference, alone)}")
            terminal.console.print(_make_table(differences[one.label]))
            largest = max(difference.largest for difference in differences[one.label])
            if largest > TOLERANCE or len(reference.metrics) != len(alone.metrics):
                differing_labels.append(one.label)
    agreeing = len(chosen) - len(differing_labels)
    precision = ", in float64" if float64 else ""
    terminal.print_line(f"\n{agreeing} of {len(chosen)} runs agree to {TOLERANCE:g}{precision}")
    if differing_labels and not float64:
        terminal.print_line("float32 rounds differently in a cohort; try --float64 to rule that out.")
    if differing_labels and float64:
        differing = "  ".join(differing_labels)
        raise RunError(f"in float64 these runs differ by more than {TOLERANCE:g} alone and in a cohort: {differing}")
    return differences


def compare_trainings(
    reference: TrainingRecord, alone: TrainingRecord, seed_group: Sequence[TrainingRecord]
) -> list[MetricDifference]:
    """Return how two trainings of a run differ, for each of COMPARED_COLUMNS.

    Args:
        reference: the training in a cohort.
        alone: the training alone.
        seed_group: the recorded runs of the same configuration, this one included.
    """
    differences = []
    for metric in COMPARED_COLUMNS:
        # One training may have stopped earlier: the epochs that both have are compared.
        epochs = zip(reference.metrics, alone.metrics, strict=False)
        distances = [abs(one[metric] - other[metric]) for one, other in epochs]
        first_epoch = next((epoch for epoch, distance in enumerate(distances, 1) if distance > 0), None)
        values = [recorded.best_metrics[metric] for recorded in seed_group]
        seed_spread = statistics.stdev(values) if len(values) > 1 else None
        differences.append(MetricDifference(metric, first_epoch, max(distances), seed_spread))
    return differences


def _locate_runs(directory: Path, labels: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """Return the directory of runs and the labels to train again; raise ConfigError for unknown ones."""
    if (directory / "run.json").is_file() and not labels:
        return directory.resolve().parent, [directory.resolve().name]
    known_labels = sorted(path.parent.name for path in directory.glob("*/run.json"))
    if not known_labels:
        raise ConfigError(f"{directory}: {'holds no runs' if directory.is_dir() else 'there is no such directory'}")
    for label in labels:
        if label not in known_labels:
            raise ConfigError(f"--run {label}: is not in {directory}, which holds {'  '.join(known_labels)}")
    return directory, list(dict.fromkeys(labels))


def _choose(
    candidates: Sequence[TrainingRecord], count: int, named: bool, float64: bool, terminal: Terminal
) -> list[TrainingRecord]:
    """Return the runs to train again, with the overrides that do so.

    Args:
        candidates: the runs in the order in which they are considered.
        count: the largest number of runs.
        named: whether the user named the runs. If not, in float64, only runs that train together are chosen.
        float64: whether the runs will be trained in float64.
        terminal: where to print which runs are skipped.

    Raises:
        ConfigError: no run can be trained again, or in float64 none trains together with another.
    """
    chosen: list[TrainingRecord] = []
    cohort_keys: list[object] = []
    for candidate in candidates:
        try:
            prepared, key = _prepare(candidate, float64)
        except ConfigError as error:
            terminal.print_line(
                f"skipped {candidate.label}: its overrides no longer give the recorded configuration "
                f"(was it trained with --config-dir?): {error}"
            )
            continue
        trains_with_chosen = not cohort_keys or key in cohort_keys
        if named or not float64 or trains_with_chosen:
            chosen.append(prepared)
            cohort_keys.append(key)
        if len(chosen) == count:
            break
    if not chosen:
        raise ConfigError("there is no finished run that can be trained again")
    if float64 and len(set(cohort_keys)) == len(cohort_keys):
        raise ConfigError(
            f"--float64: no other run trains together with {chosen[0].label}; choose two or more runs that do"
        )
    return chosen


def _prepare(recorded: TrainingRecord, float64: bool) -> tuple[TrainingRecord, object]:
    """Return a run with the overrides that train it again, and its cohort key.

    Raise ConfigError if they do not compose to the recorded configuration, as where a --config-dir had a part in it.
    """
    config = json.loads(json.dumps(flatten(compose_job(recorded.overrides).config)))
    if list(config.items()) != list(recorded.config.items()):
        changed_keys = [key for key in {**config, **recorded.config} if config.get(key) != recorded.config.get(key)]
        raise ConfigError(f"it differs in {', '.join(changed_keys)}")
    overrides = list(recorded.overrides)
    if float64:
        overrides.append("device.precision=float64")
        if recorded.provenance["device"].startswith("mps"):  # mps has no float64
            overrides.append("device.kind=cpu")
    return replace(recorded, overrides=overrides), cohort_key(compose_job(overrides).config)


def _describe_trainings(label: str, reference: TrainingRecord, alone: TrainingRecord) -> str:
    """Return what two trainings of a run were, and what else has changed since the first."""
    epochs, epochs_alone = len(reference.metrics), len(alone.metrics)
    lines = [label, f"in a cohort of {reference.cohort_size}: {epochs} epochs; alone: {epochs_alone}"]
    for name, value in reference.provenance.items():
        if alone.provenance[name] != value:
            lines.append(f"the {name} has changed since: {value} then, {alone.provenance[name]} now")
    return "\n".join(lines)


def _make_table(differences: Sequence[MetricDifference]) -> Table:
    table = Table("metric", box=None, pad_edge=False)
    for title in ("first epoch", "largest difference", "spread between seeds"):
        table.add_column(title, justify="right")
    for row in differences:
        spread = "-" if row.seed_spread is None else f"{row.seed_spread:.1e}"
        table.add_row(row.metric, str(row.first_epoch or "none"), f"{row.largest:.1e}", spread)
    return table


def main() -> None:
    """Run the command line, and end the process with one of the statuses in regexp.errors."""
    parser = argparse.ArgumentParser(
        "python -m regexp.verify",
        description="Train runs of a sweep again, each alone, and show how far they come out the same.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "directory", metavar="DIR", type=Path, help="directory of runs, such as outputs/default, or of a single run"
    )
    selection = parser.add_mutually_exclusive_group()
    selection.add_argument(
        "--runs", metavar="N", type=int, default=3, help="how many runs to draw at random (default: 3)"
    )
    selection.add_argument(
        "--run", metavar="LABEL", nargs="+", default=[], help="the runs to train, by the names of their directories"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random draw (default: 0)")
    parser.add_argument(
        "--float64",
        action="store_true",
        help=f"train both alone and together in float64, and fail if they differ by more than {TOLERANCE:g}",
    )
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error(f"--runs {arguments.runs}: must be at least 1")
    with exit_codes.exit_with_status():
        verify(arguments.directory, arguments.runs, arguments.run, arguments.seed, arguments.float64)


if __name__ == "__main__":
    main()
