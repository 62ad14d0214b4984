"""The one entry point, for the command line through Hydra and for Python: plan, build, train, report."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from regexp.config.executor_registry import ExecutorSettings
from regexp.config.job import Job
from regexp.errors import RunQueued
from regexp.execution.executors.choice import choose_executor
from regexp.execution.launching.growing_plan import GrowingPlan
from regexp.execution.results.kept_logits import add_logits
from regexp.execution.terminal import Terminal
from regexp.runs.reserving.busy_runs import add_busy_runs
from regexp.runs.reserving.claims import Claims
from regexp.runs.reserving.plan import drop_failures_of_rounds, read_runs
from regexp.runs.reserving.run_index import is_finished
from regexp.runs.run import Run
from regexp.runs.sweep_record import RecordedChoice, SweepRecord
from regexp.utils.exit_codes import raise_failures
from regexp.utils.signals import catch_stop_signals


def train(
    jobs: Sequence[Job],
    outputs: Path,
    terminal: Terminal,
    sweep: SweepRecord | None = None,
    choice: RecordedChoice | None = None,
) -> list[Run]:
    """Plan the runs of jobs below `outputs`, train those that are unfinished, report, and return all in order.

    Finished runs are shown. The others train in as few cohorts as their `shared` fields, the memory and the workers
    allow. Errors, and runs that others train, are reported when all else has ended. `sweep` is None for a single run,
    and `choice` what the sweep of such a run has chosen for it where it trains in a process of its own.
    """
    settings = ExecutorSettings() if sweep is None else sweep.executor
    with Claims(terminal.print_line) as claims:
        plan = GrowingPlan(outputs, claims, terminal, sweep, choice)
        if unfinished := plan.add(jobs):
            executor = choose_executor(unfinished, 1 if sweep is None else sweep.workers, settings)
            with catch_stop_signals(partial(terminal.print_line, executor.stop_notice)) as stop_request, executor:
                shows_plan = sweep is not None and not terminal.is_brief
                cohorts = executor.plan_cohorts(unfinished, sweep.max_runs if sweep else None, shows_plan)
                if shows_plan:
                    terminal.print_plan(cohorts, executor.num_workers)
                plan.errors += executor.train(cohorts, terminal, stop_request, plan.add_more)
        plan.errors += add_logits(plan.runs, terminal.print_line)
    errors = drop_failures_of_rounds(add_busy_runs(plan.errors, plan.runs), plan.runs, sweep)
    runs = read_runs(plan.runs, some_failed=bool(errors))
    is_queued = any(isinstance(error, RunQueued) for error in errors)  # what has ended can be shown by now
    if sweep is None or sweep.seed_plan is None:  # rounds of seeds have one report, after the last
        terminal.report([run for run in runs if is_finished(run) or not is_queued], finished_before=not unfinished)
    raise_failures(errors, others_finished=len(runs) > 1 and any(map(is_finished, runs)))
    return runs
