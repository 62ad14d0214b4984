"""The directories in which runs are trained: finished runs are found again, unfinished ones resume, nothing is lost.

This module imports no torch.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

from regexp.config.job import Job
from regexp.config.schema import flatten, source_arguments
from regexp.data.sources import locate
from regexp.errors import RunBusy
from regexp.runs.directories import PlannedRun, choose_shown_streams
from regexp.runs.identity import Identity, identify
from regexp.runs.labels import make_labels
from regexp.runs.provenance.commit import read_commit
from regexp.runs.reserving.asked_measures import ask_also, list_asked
from regexp.runs.reserving.claims import Claims
from regexp.runs.reserving.reservation import Reservation
from regexp.runs.reserving.run_index import RunIndex, is_finished, read_run
from regexp.runs.run import Run
from regexp.runs.sweep_record import RecordedChoice, SweepRecord
from regexp.utils.exit_codes import print_tracebacks
from regexp.utils.progress import track_progress


def plan_runs(
    jobs: Sequence[Job],
    outputs: Path,
    claims: Claims | None = None,
    sweep: SweepRecord | None = None,
    choice: RecordedChoice | None = None,
    queued: Mapping[tuple[str, Identity], str] = MappingProxyType({}),
) -> list[PlannedRun]:
    """Return a planned run for each job, in the order of the jobs; jobs with the same identity share one.

    A run that another process trains, or for which a queue has a job, is left alone. All others that have not finished
    are claimed for this process. A run that cannot be stored leaves the others alone: the error becomes its `problem`.

    Args:
        jobs: the checked configurations.
        outputs: the directory that holds outputs/NAME/LABEL.
        claims: the claims of this process; None in a dry run, which looks for directories only, and writes nothing.
        sweep: the record of the sweep that the jobs belong to; None if they belong to none.
        choice: what the sweep of a single job has chosen for its run; None: it is chosen here.
        queued: the job of a queue that trains, or will train, a run, in words, by the run's name and identity.

    Raises:
        DataError: a data set is missing, or cannot be read or downloaded.
    """
    sources = {key: locate(*key) for key in {source_arguments(job.config) for job in jobs}}
    run_indices = {name: RunIndex(outputs / name) for name in {job.config.name for job in jobs}}
    forced = _find_forced_record(jobs, run_indices.values(), sweep)
    if sweep is not None and claims is not None:
        sweep.forced = forced
    labels = [choice.label] if choice is not None else make_labels(jobs) if sweep is None else sweep.label(jobs)
    read_commit_once = cache(read_commit)  # asked where a run starts, and then once for all runs of the command
    keys = []
    reservations: dict[tuple[str, Identity], Reservation] = {}
    for job, label in zip(track_progress(jobs, "identifying the runs"), labels, strict=True):
        name, identity = job.config.name, identify(job.config, sources[source_arguments(job.config)].fingerprint)
        keys.append((name, identity))
        if keys[-1] not in reservations:
            reservations[keys[-1]] = Reservation(
                job,
                identity,
                outputs / name,
                label,
                run_indices[name],
                forced,
                read_commit_once,
                queued.get(keys[-1], ""),
            )
        else:  # jobs that are one run get what any of them asks for
            reservation = reservations[keys[-1]]
            reservation.job = ask_also(reservation.job, list_asked(flatten(job.config)))
        reservations[keys[-1]].tags |= dict.fromkeys(job.config.tags)
    if claims is not None:
        for reservation in reservations.values():
            reservation.acquire(claims)
        if any(reservation.claim is not None for reservation in reservations.values()):
            # Before a run was claimed, another process may have finished it, or changed its directory.
            for run_index in run_indices.values():
                run_index.refresh()
    planned_runs = [
        reservation.find() if claims is None else reservation.reserve(claims)
        for reservation in track_progress(list(reservations.values()), "planning the runs")
    ]
    if choice is not None:
        planned_runs = [replace(planned, shows_stream=choice.shows_stream) for planned in planned_runs]
    else:
        planned_runs = choose_shown_streams(planned_runs, set() if sweep is None else sweep.shown_streams)
    if sweep is not None and sweep.trials:
        planned_runs = [replace(planned, trial=sweep.trials.get(planned.job.overrides)) for planned in planned_runs]
    planned_by_key = dict(zip(reservations, planned_runs, strict=True))
    return [planned_by_key[key] for key in keys]


def find_unfinished(planned_runs: Sequence[PlannedRun]) -> tuple[list[PlannedRun], list[Exception]]:
    """Return the runs to train, each once, and the errors of the runs that cannot be stored."""
    distinct_runs = dict.fromkeys(planned_runs)
    errors: list[Exception] = [planned.problem for planned in distinct_runs if planned.problem is not None]
    return [planned for planned in distinct_runs if planned.is_to_train], errors


def read_runs(planned_runs: Sequence[PlannedRun], some_failed: bool) -> list[Run]:
    """Return the runs in the directories of planned runs; those that failed may have left no directory."""
    if not some_failed:
        return [Run(planned.directory) for planned in planned_runs]
    return [run for planned in planned_runs if (run := read_run(planned.directory)) is not None]


def drop_failures_of_rounds(
    errors: Sequence[Exception], planned_runs: Sequence[PlannedRun], sweep: SweepRecord | None
) -> list[Exception]:
    """Return the errors of a batch, but none for a round of seeds of which each run has ended or recorded its failure.

    The rounds that follow go on, and the failures are told at their end. Bugs print their tracebacks now.

    Args:
        errors: the errors of runs, and perhaps that some are busy.
        planned_runs: the runs of the batch.
        sweep: the record of its sweep; None for a single run.
    """
    if sweep is None or sweep.seed_plan is None:
        return list(errors)
    is_open = any(isinstance(error, RunBusy) for error in errors)
    if is_open or any(Run(planned.directory).status == "unfinished" for planned in planned_runs):
        return list(errors)
    print_tracebacks(errors)
    return []


def _find_forced_record(
    jobs: Sequence[Job], run_indices: Iterable[RunIndex], sweep: SweepRecord | None
) -> Mapping[str, str]:
    """Return what run.json records of a command with force=true that trains runs anew; empty without force=true.

    If such a command was interrupted and is typed again, it goes on: it gets its first record again, and the runs that
    finished under that record are not trained a second time. A command was interrupted if a run with its record has not
    finished.

    Args:
        jobs: the jobs.
        run_indices: the runs that are recorded.
        sweep: the record of the sweep that the jobs belong to; None if they belong to none.
    """
    if not any(job.config.force for job in jobs):
        return {}
    if sweep is not None and sweep.forced:
        return sweep.forced  # an earlier batch has found it
    # Without a command of several batches, the jobs stand for it: a notebook has one command line for all its calls.
    text = (sweep.command if sweep is not None else "") or json.dumps([job.overrides for job in jobs])
    command_hash = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
    for run_index in run_indices:
        for run in run_index.runs:
            forced = run.record.get("forced")
            if isinstance(forced, dict) and forced.get("command") == command_hash and not is_finished(run):
                return forced
    return {"command": command_hash, "id": secrets.token_hex(8)}
