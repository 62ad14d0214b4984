"""Records of sweeps, outputs/NAME/sweeps/ID.json: the command, the grid and the members. Imports no torch."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from regexp.config.executor_registry import ExecutorSettings
from regexp.config.job import Job
from regexp.errors import StorageError
from regexp.runs.directories import PlannedRun
from regexp.runs.labels import make_labels
from regexp.runs.listing.seed_plans import SEED_PLAN, refuse_another_schedule
from regexp.runs.seed_plan import SeedPlan
from regexp.runs.trials import PrunableTrial
from regexp.utils.atomic_io import read_text, write_atomically
from regexp.utils.exit_codes import print_error
from regexp.utils.messages import first_line
from regexp.utils.processes import typed_command
from regexp.utils.storage_errors import explain_storage_errors

# The number of sweeps, from the last one back, among whose members a job looks for itself.
MAX_RECORDS = 5


class SweepRecord:
    """The record of a sweep: the runs that were planned together, in one batch or in several.

    Attributes:
        id: the time at which the sweep started, to the microsecond; the stem of its files' names. Sorted by it, sweeps
            are in the order in which they started.
        max_runs: the largest number of runs in one cohort; None: as many as fit in memory.
        workers: the number of processes that train; None: as many as the cores, the memory and the work allow.
        executor: what trains the cohorts.
        started: the time at which the sweep started, with its time zone.
        swept_keys: the keys that vary, as far as the command says; what varies between the members is known besides.
        shown_streams: the image streams of which a run of an earlier batch shows pictures in TensorBoard.
        command: what the user typed, where the sweep comes in several batches; empty where it comes in one.
        forced: what run.json records of the sweep if it trains runs anew, the same in all batches; else empty.
        search: what the record has of the search that the sweep belongs to; empty where it belongs to none.
        trials: the trials that may be pruned, by the overrides of their runs.
        more_jobs: returns jobs that follow those of the batch, or none, given how many cohorts train at the same time,
            and what prints a line meanwhile; None where each batch ends before the next one begins.
        seed_plan: the plan by which seeds are added until verdicts are decided; None: the number of seeds is fixed.
        planned_runs: the members so far, in order; a dictionary without values, so that none occurs twice.
    """

    def __init__(self, max_runs: int | None = None, workers: int | None = None) -> None:
        self.max_runs, self.workers, self.executor = max_runs, workers, ExecutorSettings()
        now = time.time()
        self.id = time.strftime("%Y%m%d-%H%M%S", time.localtime(now)) + f"-{now % 1 * 1e6:06.0f}"
        self.started = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(now))
        self.swept_keys: Sequence[str] = ()
        self.shown_streams: set[str] = set()
        self.command = ""
        self.forced: Mapping[str, str] = {}
        self.search: Mapping[str, Any] = {}
        self.trials: dict[tuple[str, ...], PrunableTrial] = {}
        self.more_jobs: Callable[[int, Callable[[str], None]], Sequence[Job]] | None = None
        self.seed_plan: SeedPlan | None = None
        self.planned_runs: dict[PlannedRun, None] = {}

    def label(self, jobs: Sequence[Job]) -> list[str]:
        """Return the labels of jobs that are about to become members; see `make_labels`."""
        # One of the earlier members shows what varies between the batches, and a search has a thousand of them.
        return make_labels(jobs, [planned.job for planned in islice(self.planned_runs, 1)], self.swept_keys)

    def add(self, planned_runs: Sequence[PlannedRun], outputs: Path) -> None:
        """Add members, and write the record to a file for each `name` that they train under.

        Args:
            planned_runs: the new members; those that the record holds already are not added again.
            outputs: the directory that holds outputs/NAME.

        Raises:
            ConfigError: the members were looked at by another plan of seeds.
            StorageError: a file cannot be written.
        """
        if self.seed_plan is not None:
            refuse_another_schedule(self.seed_plan, [planned.directory for planned in planned_runs])
        if not self.planned_runs:
            # The last sweep is the one with the highest id, also where the clock was set back since the one before.
            last_id = max((file.stem for file in outputs.glob("*/sweeps/*.json")), default="")
            if last_id >= self.id:
                self.id = f"{last_id}-1"
        self.planned_runs |= dict.fromkeys(planned_runs)
        by_name: dict[str, list[PlannedRun]] = defaultdict(list)
        for planned in self.planned_runs:
            by_name[planned.job.config.name].append(planned)
        for name, members in by_name.items():
            directory = outputs / name / "sweeps"
            record = {
                "id": self.id,
                "command": typed_command() or "a sweep in Python",
                "started": self.started,
                **({"search": dict(self.search)} if self.search else {}),
                **summarize_overrides([planned.job.overrides for planned in members]),
                **({} if self.seed_plan is None else {SEED_PLAN: self.seed_plan.to_record()}),
                "members": [
                    {
                        "directory": planned.directory.name,
                        "overrides": list(planned.job.overrides),
                        "config_hash": planned.identity.config,
                        "shows_stream": planned.shows_stream,
                    }
                    for planned in members
                ],
            }
            try:
                with explain_storage_errors(directory):
                    directory.mkdir(parents=True, exist_ok=True)
                    write_atomically(directory / f"{self.id}.json", json.dumps(record, indent=2).encode())
            except StorageError as error:
                if not all(planned.finished for planned in self.planned_runs):
                    raise
                # Finished runs can be shown from a disk that is full or read-only.
                print_error(f"warning: {first_line(error)}")


@dataclass(frozen=True)
class RecordedChoice:
    """What a sweep has chosen for one of its runs, which a launcher may train in a process of its own.

    Attributes:
        label: the label of the run.
        shows_stream: whether it shows the augmentation of its image stream in TensorBoard.
    """

    label: str
    shows_stream: bool


def find_choice(experiment: Path, overrides: Sequence[str]) -> RecordedChoice | None:
    """Return what one of the last sweeps has chosen for a run, or None if none of them has such a member.

    Args:
        experiment: the directory outputs/NAME.
        overrides: the overrides of the run.
    """
    for file in sorted(experiment.glob("sweeps/*.json"), reverse=True)[:MAX_RECORDS]:
        with suppress(OSError, ValueError, LookupError, TypeError):  # it is broken, or being replaced
            for member in json.loads(read_text(file))["members"]:
                if member["overrides"] == list(overrides):
                    # A dry look at the directories adds the hash where the name is taken, which may be set aside.
                    label = Path(member["directory"]).name.removesuffix(f"-{member['config_hash'][:6]}")
                    return RecordedChoice(label, bool(member.get("shows_stream", True)))
    return None


def summarize_overrides(runs: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return the overrides that runs have in common, and the grid of the other overrides.

    Args:
        runs: the overrides of each run.

    Returns:
        `common`: the overrides that all runs have; `grid`: every other key with its values, in order of appearance.
    """
    values_by_key: dict[str, dict[str, None]] = {}
    for overrides in runs:
        for override in overrides:
            key, _, value = override.partition("=")
            values_by_key.setdefault(key, {})[value] = None
    common = [override for override in runs[0] if all(override in overrides for overrides in runs)]
    common_keys = {override.partition("=")[0] for override in common}
    grid = {key: list(values) for key, values in values_by_key.items() if key not in common_keys}
    return {"grid": grid, "common": common}
