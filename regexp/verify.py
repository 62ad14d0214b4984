"""A check of cohorts: runs of a sweep are trained again, each alone, and compared with their records."""

import json
import os
import random
import statistics
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from rich.table import Table

from regexp.api.training import run, sweep
from regexp.cli.program import program
from regexp.cli.verify import make_parser
from regexp.config.compose import compose_job, extend_options
from regexp.config.metric_registry import list_curves, list_metrics
from regexp.config.schema import cohort_key, flatten, list_targets
from regexp.config.words.homes import expand_home
from regexp.errors import ConfigError, DoubtfulResult, RunError
from regexp.execution.terminal import Terminal
from regexp.runs.identity import IGNORED_KEYS
from regexp.runs.listing.finding import find_runs
from regexp.runs.run import Run
from regexp.user_code.targets import normalize_target
from regexp.utils.messages import join_words

# How far a run's metrics may differ in float64 between training alone and in a cohort.
TOLERANCE = 1e-9
# Keys that may differ between the runs of a seed group: the seed, and what cannot change a result.
_SEED_GROUP_KEYS = {*IGNORED_KEYS, "seed", "data.path"}


@dataclass(frozen=True)
class TrainingRecord:
    """The record of one training of a run, as far as it is compared with another training.

    Attributes:
        label: the label of the run, which is the name of its directory.
        overrides: the overrides that the run was trained with.
        config: the flat configuration of the run.
        seed_group: a key that is equal for runs that differ in their seed only.
        provenance: the data, the code, the version of torch and the device.
        cohort_size: the number of runs with which the cohort began.
        metrics: a record for each epoch, with the columns of metrics.csv.
        best_metrics: the objective and the metrics of both splits at the best epoch.
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
            summary = run.summary
            if run.status not in ("completed", "stopped_early") or summary is None:
                raise RunError(f"{label} is {run.status}: there is nothing to compare")
            config, metrics = dict(record["config"]), run.metrics
            provenance = {"torch": record["versions"]["torch"], "device": summary["device"]}
            provenance |= {name: record["identity"][name] for name in ("data", "code")}
            group_items = [(key, value) for key, value in config.items() if key not in _SEED_GROUP_KEYS]
            best_epoch = metrics[summary["best_epoch"] - 1]
            return cls(
                label=label,
                overrides=list(record["overrides"]),
                config=config,
                seed_group=(provenance["data"], group_items),
                provenance=provenance,
                cohort_size=summary["cohort"]["size"],
                metrics=metrics,
                best_metrics={name: best_epoch[name] for name in ("objective", *list_curves(list_metrics(config)))},
            )
        except (LookupError, TypeError, ValueError, OSError) as error:
            raise RunError(f"{run.directory}: its record is incomplete ({error!r})") from error


@dataclass(frozen=True)
class MetricDifference:
    """The difference of one metric between two trainings of a run.

    Attributes:
        metric: its name, a column of metrics.csv.
        first_epoch: the first epoch that differs; None where none does.
        largest: the largest absolute difference over the epochs that both trainings have.
        seed_spread: the standard deviation over the seed group at the runs' best epochs; None where it has one seed.
    """

    metric: str
    first_epoch: int | None
    largest: float
    seed_spread: float | None


def verify(
    directory: Path, count: int, labels: Sequence[str], seed: int, float64: bool, code: Sequence[str] = ()
) -> dict[str, list[MetricDifference]]:
    """Train runs again, each alone, and print how far each differs from its record, beside the spread between seeds.

    Args:
        directory: a directory of runs, or of a single run.
        count: the number of runs to draw at random, if there are no labels.
        labels: the runs to train again, by the names of their directories.
        seed: the seed of the draw.
        float64: whether to train the runs in float64, together as well, and compare that instead of the records.
        code: the targets of the user's own that may run; records name code, and do not decide that it runs.

    Returns:
        The differences of each run that was trained again, by its label.

    Raises:
        ConfigError: there is no run that can be trained again.
        RunError: a run cannot be read, or in float64 differs by more than TOLERANCE.
    """
    directory, labels = _locate_runs(expand_home(directory), labels)
    terminal = Terminal()
    records: list[TrainingRecord] = []
    for recorded_run in find_runs(directory):
        with suppress(RunError):
            records.append(TrainingRecord.from_run(recorded_run))
    candidates = [TrainingRecord.from_run(Run(directory / label)) for label in labels]
    if not labels:
        candidates = random.Random(seed).sample(records, len(records))
    candidates = [record for record in candidates if _may_run(record, code, terminal)]
    chosen_records = _choose_records(candidates, len(labels) or count, bool(labels), float64, terminal)
    references = chosen_records
    differences: dict[str, list[MetricDifference]] = {}
    differing_labels = []
    with TemporaryDirectory(prefix="regexp-") as outputs, warnings.catch_warnings():
        warnings.simplefilter("ignore", DoubtfulResult)  # the runs gave their warnings when they were trained
        if float64:
            runs = sweep([record.overrides for record in chosen_records], f"{outputs}/together", quiet=True)
            references = [TrainingRecord.from_run(retrained_run) for retrained_run in runs]
        for record, reference in zip(chosen_records, references, strict=True):
            alone = TrainingRecord.from_run(run(record.overrides, f"{outputs}/alone", quiet=True))
            seed_group = [member for member in records if member.seed_group == record.seed_group]
            differences[record.label] = compare_trainings(reference, alone, seed_group)
            terminal.print_line(f"\n{_describe_trainings(record.label, reference, alone)}")
            terminal.console.print(_make_table(differences[record.label]))
            largest = max(difference.largest for difference in differences[record.label])
            if largest > TOLERANCE or len(reference.metrics) != len(alone.metrics):
                differing_labels.append(record.label)
    agreements = f"{len(chosen_records) - len(differing_labels)} of {len(chosen_records)} runs agree to {TOLERANCE:g}"
    terminal.print_line(f"\n{agreements}{', in float64' if float64 else ''}")
    if differing_labels and not float64:
        terminal.print_line("float32 rounds differently in a cohort; try --float64 to rule that out.")
    if differing_labels and float64:
        labels_text = "  ".join(differing_labels)
        raise RunError(f"in float64 these runs differ by more than {TOLERANCE:g} alone and in a cohort: {labels_text}")
    return differences


def compare_trainings(
    reference: TrainingRecord, alone: TrainingRecord, seed_group: Sequence[TrainingRecord]
) -> list[MetricDifference]:
    """Return how two trainings of a run differ, for each metric.

    Args:
        reference: the training in a cohort.
        alone: the training alone.
        seed_group: the records of all runs of the same configuration, this one included.
    """
    differences = []
    for metric in reference.best_metrics:
        # One training may have stopped earlier: the epochs that both have are compared.
        distances = [abs(a[metric] - b[metric]) for a, b in zip(reference.metrics, alone.metrics, strict=False)]
        first_epoch = next((epoch for epoch, distance in enumerate(distances, 1) if distance > 0), None)
        values = [record.best_metrics[metric] for record in seed_group]
        seed_spread = statistics.stdev(values) if len(values) > 1 else None
        differences.append(MetricDifference(metric, first_epoch, max(distances), seed_spread))
    return differences


def _locate_runs(directory: Path, labels: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """Return the directory of runs and the labels to train again; raise ConfigError for unknown ones."""
    if os.path.isfile(directory / "run.json") and not labels:  # False also where it may not be read
        return directory.resolve().parent, [directory.resolve().name]
    known_labels = sorted(path.parent.name for path in directory.glob("*/run.json"))
    if not known_labels:
        raise ConfigError(f"{directory}: {'holds no runs' if directory.is_dir() else 'there is no such directory'}")
    for label in labels:
        if label not in known_labels:
            raise ConfigError(f"--run {label}: is not in {directory}, which holds {'  '.join(known_labels)}")
    return directory, list(dict.fromkeys(labels))


def _may_run(record: TrainingRecord, code: Sequence[str], terminal: Terminal) -> bool:
    """Return whether the user allows the code that a run needs; print what to type if not."""
    targets: list[str] = []
    with suppress(ConfigError):  # it is reported when the run is prepared
        targets = list_targets(compose_job(record.overrides).config)
    forbidden_targets = [text for text in targets if text not in map(normalize_target, code)]
    if forbidden_targets:
        typed_code = join_words(["--code", *forbidden_targets])
        terminal.print_line(f"skipped {record.label}: it needs code of your own, which runs only with {typed_code}")
    return not forbidden_targets


def _choose_records(
    candidates: Sequence[TrainingRecord], count: int, chosen_by_user: bool, float64: bool, terminal: Terminal
) -> list[TrainingRecord]:
    """Return the runs to train again, with the overrides that do so.

    Args:
        candidates: the runs in the order in which they are considered.
        count: the largest number of runs.
        chosen_by_user: whether the user named the runs. If not, in float64, only runs that train together are chosen.
        float64: whether the runs will be trained in float64.
        terminal: where to print which runs are skipped.

    Raises:
        ConfigError: no run can be trained again, or in float64 none trains together with another.
    """
    chosen_records: list[TrainingRecord] = []
    cohort_keys: list[object] = []
    for candidate in candidates:
        try:
            record, key = _prepare(candidate, float64)
        except ConfigError as error:
            terminal.print_line(
                f"skipped {candidate.label}: its overrides no longer give the recorded configuration "
                f"(was it trained with --config-dir? then type that here too): {error}"
            )
            continue
        trains_with_chosen = not cohort_keys or key in cohort_keys
        if chosen_by_user or not float64 or trains_with_chosen:
            chosen_records.append(record)
            cohort_keys.append(key)
        if len(chosen_records) == count:
            break
    if not chosen_records:
        raise ConfigError("there is no finished run that can be trained again")
    if float64 and len(set(cohort_keys)) == len(cohort_keys):
        raise ConfigError(
            f"--float64: no other run trains together with {chosen_records[0].label}; choose two or more runs that do"
        )
    return chosen_records


def _prepare(record: TrainingRecord, float64: bool) -> tuple[TrainingRecord, object]:
    """Return a record with the overrides that train its run again, and the run's cohort key.

    Raise ConfigError if they do not compose to the recorded configuration, for example where a --config-dir was used.
    """
    config = json.loads(json.dumps(flatten(compose_job(record.overrides).config)))
    if list(config.items()) != list(record.config.items()):
        changed_keys = [key for key in {**config, **record.config} if config.get(key) != record.config.get(key)]
        raise ConfigError(f"it differs in {', '.join(changed_keys)}")
    overrides = list(record.overrides)
    if float64:
        overrides.append("device.precision=float64")
        if record.provenance["device"].startswith("mps"):  # mps has no float64
            overrides.append("device.kind=cpu")
    return replace(record, overrides=overrides), cohort_key(compose_job(overrides).config)


def _describe_trainings(label: str, reference: TrainingRecord, alone: TrainingRecord) -> str:
    """Return a description of two trainings of a run, and of the changes in data, code or device between them."""
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
    with program() as words:
        parser = make_parser(TOLERANCE)
        arguments = parser.parse_words(words)
        if arguments.runs < 1:
            parser.error(f"--runs {arguments.runs}: must be at least 1")
        extend_options(arguments.config_dir, arguments.config_name)
        verify(arguments.directory, arguments.runs, arguments.run, arguments.seed, arguments.float64, arguments.code)


if __name__ == "__main__":
    main()
