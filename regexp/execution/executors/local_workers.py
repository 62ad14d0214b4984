"""The executor that trains in worker processes on this machine, several cohorts at the same time. Imports no torch."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, Self, final

from regexp.errors import Interrupted, RegexpError
from regexp.execution.displays.epoch_counter import count_run_epochs
from regexp.execution.displays.parallel import ParallelDisplay
from regexp.execution.events import CohortDescription, CohortEnd, EpochSummary
from regexp.execution.executors import worker
from regexp.execution.executors.executor import STOPPING, MoreRuns
from regexp.execution.executors.kept_workers import leave_worker, take_worker
from regexp.execution.executors.worker_process import WorkerProcess, explain_death, make_environment
from regexp.execution.forecasting.workload import SECONDS_PER_WORKER, estimate_seconds, may_use_gpu
from regexp.execution.planning import PlannedCohort, forecast_seconds, split_cohort, split_for_workers
from regexp.execution.terminal import Terminal
from regexp.runs.directories import PlannedRun, record_failure
from regexp.utils.messages import say
from regexp.utils.signals import StopRequest
from regexp.utils.system_limits import count_memory_kills

# How long to wait for workers before looking at requests to stop, in seconds.
POLL_SECONDS = 0.1


@dataclass(frozen=True, eq=False)
class Task:
    """A cohort that a worker trains.

    Attributes:
        number: the number of the cohort in the plan; higher ones for the halves of one that did not fit in memory.
        cohort: the cohort.
        is_retry: whether a worker has died training these runs.
    """

    number: int
    cohort: PlannedCohort
    is_retry: bool = False


@final
class LocalWorkers:
    """An executor that trains in worker processes. Implements executors.executor.Executor.

    Attributes:
        num_workers: how many cohorts train at the same time.
        workers: the worker processes that were started.
        gpus: what CUDA_VISIBLE_DEVICES is for each worker in turn; empty where there are not several GPUs.
        tasks: what each worker trains.
        queue: what no worker trains yet.
        errors: the errors of the runs that have failed.
        max_runs: the largest number of runs in a cohort; None for as many as fit in memory.
        more_runs: plans what a worker without work trains next; None where nothing follows.
    """

    stop_notice = STOPPING

    def __init__(self, num_workers: int, is_fixed: bool, only_plans: bool = False) -> None:
        """Prepare to start workers.

        Args:
            num_workers: the number of workers.
            is_fixed: whether the user asked for this number; otherwise there is one for each GPU where there are some.
            only_plans: whether nothing will be trained.
        """
        self.num_workers, self.is_fixed, self.only_plans = num_workers, is_fixed, only_plans
        self.workers: list[WorkerProcess] = []
        self.gpus: Sequence[str] = ()
        self.tasks: dict[WorkerProcess, Task] = {}
        self.queue: list[Task] = []
        self.errors: list[Exception] = []
        self.max_runs: int | None = None
        self.more_runs: MoreRuns | None = None
        self.num_tasks = 0
        self.interrupted = False
        self.memory_kills = count_memory_kills()

    def __enter__(self) -> Self:
        """Return the executor."""
        return self

    def __exit__(self, *error: object) -> None:
        """End all workers, unless a search keeps those that are idle."""
        for process in self.workers:
            leave_worker(process, is_idle=error[0] is None and process not in self.tasks)

    def plan_cohorts(
        self, planned_runs: Sequence[PlannedRun], max_runs: int | None, forecast_costs: bool
    ) -> list[PlannedCohort]:
        """Group runs into cohorts for the workers, in the order in which they will start.

        Raises:
            RegexpError: a configuration does not suit its data or its device.
            WorkerDied: the worker that planned has died.
        """
        self.max_runs = max_runs
        configs = [planned.job.config for planned in planned_runs]
        # The others import torch while the first one plans, unless that tells first how many of them are of use.
        one_is_enough = self.only_plans or may_use_gpu(configs) or estimate_seconds(configs) is None
        self._start_workers(1 if one_is_enough else self.num_workers)
        plan = self._ask_for_plan(self.workers[0], planned_runs, forecast_costs)
        if plan.num_gpus is not None and not self.is_fixed:
            self.num_workers = plan.num_gpus
        if plan.num_gpus is not None and plan.num_gpus > 1:
            visible_gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
            self.gpus = [str(i) for i in range(plan.num_gpus)] if visible_gpus == [""] else visible_gpus
        cohorts = plan.fill(planned_runs)
        if not self.is_fixed and (seconds := forecast_seconds(cohorts, num_workers=1)) is not None:
            self.num_workers = max(1, min(self.num_workers, int(seconds / SECONDS_PER_WORKER)))
        cohorts = split_for_workers(cohorts, self.num_workers)
        self.num_workers = min(self.num_workers, len(cohorts))
        return cohorts

    def _ask_for_plan(
        self, process: WorkerProcess, planned_runs: Sequence[PlannedRun], forecast_costs: bool
    ) -> worker.Plan:
        """Have an idle worker group runs into cohorts.

        Raises:
            RegexpError: a configuration does not suit its data or its device.
            WorkerDied: the worker has died.
        """
        process.request(worker.plan_cohorts, planned_runs, self.max_runs, self.num_workers, forecast_costs)
        plan: Any = None
        while plan is None:
            wait(process.ends())
            is_alive = process.is_alive
            for event in process.receive():
                if isinstance(event, str):
                    print(event, file=sys.stderr)
                else:
                    plan = event
            if plan is None and not is_alive:
                end, memory_was_short = self._read_end(process)
                error = explain_death(f"the worker process that planned the sweep {end}", memory_was_short)
                plan = worker.Failed(error)
                for planned in planned_runs:
                    record_failure(planned, error)
        if isinstance(plan, worker.Failed):
            raise plan.error
        assert isinstance(plan, worker.Plan)
        return plan

    def train(
        self,
        cohorts: Sequence[PlannedCohort],
        terminal: Terminal,
        stop_request: StopRequest,
        more_runs: MoreRuns | None = None,
    ) -> list[Exception]:
        """Train cohorts, and return the errors of the runs that failed.

        The cohort of a worker that dies goes on from its checkpoints once, in two halves if memory was short.

        Raises:
            Interrupted: the user asked to stop before all runs had ended.
        """
        self._start_workers(self.num_workers)
        self.more_runs = more_runs
        self.queue = [Task(number, cohort) for number, cohort in enumerate(cohorts, 1)]
        self.num_tasks = len(self.queue)
        num_runs = sum(len(cohort.runs) for cohort in cohorts)
        stop_was_passed_on = False
        with ParallelDisplay(terminal.console, num_runs, count_run_epochs(cohorts), len(cohorts)) as display:
            while self.tasks or (self.queue and not stop_request.requested):
                if not stop_request.requested:
                    self._hand_out_tasks(display)
                elif not stop_was_passed_on:
                    stop_was_passed_on = True
                    for process in self.tasks:
                        process.request_stop(stop_request.signal)
                for process in list(self.tasks):
                    self._follow(process, display)
                wait([end for process in self.tasks for end in process.ends()], POLL_SECONDS)
        if stop_request.requested and (self.queue or self.interrupted):
            command = "Interrupted. Run the same command again to resume."
            terminal.print_line(say(command, "Interrupted. Make the same call again to resume."))
            raise Interrupted(stop_request.signal)
        return self.errors

    def _start_workers(self, count: int) -> None:
        """Start workers until there are so many."""
        while len(self.workers) < count:
            self.workers.append(self._start_worker(len(self.workers)))

    def _start_worker(self, number: int) -> WorkerProcess:
        environment = make_environment(self.num_workers)
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[number % len(self.gpus)]
        return take_worker(environment)

    def _replace(self, process: WorkerProcess) -> None:
        """End a worker, and start another one in its place."""
        process.close()
        number = self.workers.index(process)
        self.workers[number] = self._start_worker(number)

    def _hand_out_tasks(self, display: ParallelDisplay) -> None:
        """Give each idle worker the next cohort."""
        for process in self.workers:
            if process in self.tasks:
                continue
            if not self.queue:
                self._queue_more_runs(process, display)
            if self.queue:
                task = self.tasks[process] = self.queue.pop(0)
                process.request(worker.train_planned, task.cohort.runs)

    def _queue_more_runs(self, process: WorkerProcess, display: ParallelDisplay) -> None:
        """Queue the runs that follow, if there are any and no run has failed so far; an idle worker groups them."""
        if self.more_runs is None or self.errors:
            return
        if not (planned_runs := self.more_runs(self.num_workers)):
            self.more_runs = None
            return
        try:
            cohorts = self._ask_for_plan(process, planned_runs, forecast_costs=False).fill(planned_runs)
        except RegexpError as error:
            self.errors.append(error)
            return
        display.add_cohorts(cohorts)
        for cohort in cohorts:
            self.num_tasks += 1
            self.queue.append(Task(self.num_tasks, cohort))

    def _follow(self, process: WorkerProcess, display: ParallelDisplay) -> None:
        """Show what a worker has sent, and see whether it has ended its cohort or died."""
        task, is_alive = self.tasks[process], process.is_alive
        for event in process.receive():
            if isinstance(event, CohortDescription):
                display.start_cohort(task.number, task.cohort, event)
            elif isinstance(event, CohortEnd):
                display.end_part(task.number)
            elif isinstance(event, EpochSummary):
                display.show_summary(task.number, event)
            elif isinstance(event, str):
                display.print_line(event)
            else:
                self._end_task(process, task, event, display)
                return
        if not is_alive:
            self._recover(process, task, display)

    def _end_task(self, process: WorkerProcess, task: Task, event: Any, display: ParallelDisplay) -> None:
        """Count a cohort as ended."""
        del self.tasks[process]
        if isinstance(event, worker.Failed):
            for planned in task.cohort.runs:
                record_failure(planned, event.error)
            self.errors.append(event.error)
            self._replace(process)  # whatever is wrong there shall not end its next cohort
        else:
            self.errors += event.errors
            self.interrupted = self.interrupted or event.interrupted
        display.end_cohort(task.number, task.cohort)

    def _read_end(self, process: WorkerProcess) -> tuple[str, bool]:
        """Return how a worker that has died did so, in words, and whether the system ended it for want of memory."""
        kills, self.memory_kills = self.memory_kills, count_memory_kills()
        memory_was_short = self.memory_kills > kills
        return process.describe_end() + (" because memory was short" if memory_was_short else ""), memory_was_short

    def _recover(self, process: WorkerProcess, task: Task, display: ParallelDisplay) -> None:
        """Put a new worker in the place of one that has died, and have its cohort go on from its checkpoints, once."""
        del self.tasks[process]
        end, memory_was_short = self._read_end(process)
        self._replace(process)
        unfinished = [run for run in task.cohort.runs if not (run.directory / "summary.json").exists()]
        if task.is_retry and unfinished:
            death = f"a worker process {end}, after another one had died with the same runs"
            error = explain_death(death, memory_was_short)
            for planned in unfinished:
                record_failure(planned, error)
            self.errors.append(error)
            unfinished = []
        ended = [run for run in task.cohort.runs if run not in unfinished]
        display.end_cohort(task.number, PlannedCohort(ended, task.cohort.epochs_done))
        if not unfinished:
            return
        rest = PlannedCohort(unfinished, task.cohort.epochs_done, task.cohort.costs)
        parts = split_cohort(rest, 2 if memory_was_short else 1)
        halves = ", in two halves" if len(parts) > 1 else ""
        display.print_line(f"A worker process {end}. Its {len(unfinished)} runs go on from their checkpoints{halves}.")
        for part in parts:
            self.num_tasks += len(parts) > 1
            self.queue.insert(0, Task(self.num_tasks if len(parts) > 1 else task.number, part, is_retry=True))
