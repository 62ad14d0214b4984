"""The executor that trains cohorts as tasks of Ray. Imports no torch, and Ray only when it is needed."""

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, final

from regexp.config.executor_registry import ExecutorSettings
from regexp.errors import Interrupted, WorkerDied
from regexp.execution.displays.epoch_counter import count_run_epochs
from regexp.execution.displays.parallel import ParallelDisplay
from regexp.execution.events import CohortDescription, CohortEnd, EpochSummary
from regexp.execution.executors import worker
from regexp.execution.executors.executor import STOPPING, MoreRuns
from regexp.execution.executors.ray_tasks import ray_cluster, transfer
from regexp.execution.executors.ray_tasks.cohort_task import TaskOrder, TaskStart, train_cohort
from regexp.execution.executors.ray_tasks.mailbox import Mailbox
from regexp.execution.executors.shape_grouping import group_by_shape
from regexp.execution.forecasting.workload import SECONDS_PER_WORKER, estimate_seconds
from regexp.execution.planning import PlannedCohort
from regexp.execution.terminal import Terminal
from regexp.runs.directories import PlannedRun, record_failure
from regexp.utils.messages import first_line, say, speaks_python
from regexp.utils.signals import StopRequest

# How often the command looks for events of tasks, in seconds.
LOOK_SECONDS = 0.2
# How often Ray tries a task again whose worker has died.
MAX_RETRIES = 3


@dataclass(eq=False)
class RunningTask:
    """A cohort that a task trains.

    Attributes:
        number: the number of the cohort in the plan.
        planned: the cohort as it was planned.
        cohort: the cohort without the runs that had ended when its worker died.
        has_started: whether it has begun to train.
    """

    number: int
    planned: PlannedCohort
    cohort: PlannedCohort = field(init=False)
    has_started: bool = False

    def __post_init__(self) -> None:
        """Begin with all runs."""
        self.cohort = self.planned


@final
class RayTasks:
    """An executor that trains each cohort as a task of Ray. Implements executors.executor.Executor.

    Attributes:
        num_workers: how many tasks run at the same time.
        options: the options below hydra.launcher.ray.
        tasks: the cohort of each task that has not ended, by what Ray returned for it.
        errors: the errors of the runs that have failed.
    """

    stop_notice = STOPPING

    def __init__(
        self, planned_runs: Sequence[PlannedRun], settings: ExecutorSettings, workers: int | None, only_plans: bool
    ) -> None:
        """Prepare to start Ray; see executors.choice.choose_executor."""
        self.options: Mapping[str, Any] = settings.options
        self.workers, self.num_workers, self.only_plans = workers, workers or 1, only_plans
        self.max_runs: int | None = None
        self.tasks: dict[Any, RunningTask] = {}
        self.errors: list[Exception] = []
        self.interrupted = False

    def __enter__(self) -> Self:
        """Return the executor."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the tasks that still run; otherwise Ray stays for the next batch of a search."""
        if self.tasks:
            ray_cluster.disconnect()

    def plan_cohorts(
        self, planned_runs: Sequence[PlannedRun], max_runs: int | None, forecast_costs: bool
    ) -> list[PlannedCohort]:
        """Group runs into cohorts for the cluster, without trying them: this machine may lack a GPU.

        Raises:
            SetupError: Ray does not start, or there is no cluster at the address.
            ConfigError: the machine has too few cores or GPUs for a task.
        """
        self.max_runs = max_runs
        if not self.only_plans:
            address = self.options["address"]
            ray_cluster.connect(address)
            slots = ray_cluster.count_slots(self.options["num_cpus"], self.options["num_gpus"], address)
            if self.workers is None:
                seconds = estimate_seconds([planned.job.config for planned in planned_runs])
                worth = len(planned_runs) if seconds is None else int(seconds / SECONDS_PER_WORKER)
                self.num_workers = max(1, min(slots, len(planned_runs), worth))
        cohorts = group_by_shape(planned_runs, max_runs, self.num_workers)
        self.num_workers = min(self.num_workers, len(cohorts))
        return cohorts

    def train(
        self,
        cohorts: Sequence[PlannedCohort],
        terminal: Terminal,
        stop_request: StopRequest,
        more_runs: MoreRuns | None = None,
    ) -> list[Exception]:
        """Train cohorts, and return the errors of the runs that failed.

        Raises:
            Interrupted: the user asked to stop before all runs had ended.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # It shall not die with another machine, and needs no core of its own.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        mailbox = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
        task = ray.remote(train_cohort).options(
            num_cpus=self.options["num_cpus"], num_gpus=self.options["num_gpus"], max_retries=MAX_RETRIES
        )
        queue = [RunningTask(number, cohort) for number, cohort in enumerate(cohorts, 1)]
        make_order = self._prepare_orders()
        num_runs, limit = sum(len(cohort.runs) for cohort in cohorts), self.workers or len(cohorts)
        stop_was_passed_on = False
        with ParallelDisplay(terminal.console, num_runs, count_run_epochs(cohorts), len(cohorts)) as display:
            while self.tasks or (queue and not stop_request.requested):
                while queue and len(self.tasks) < limit and not stop_request.requested:
                    running = queue.pop(0)
                    self.tasks[task.remote(make_order(running), mailbox)] = running
                if stop_request.requested and not stop_was_passed_on:
                    stop_was_passed_on = True
                    ray.get(mailbox.request_stop.remote(stop_request.signal))
                if not self.tasks:  # a request to stop came just now
                    break
                ended, _ = ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=LOOK_SECONDS)
                for number, event in ray.get(mailbox.take.remote()):
                    running_tasks = [running for running in self.tasks.values() if running.number == number]
                    if running_tasks:
                        self._show(running_tasks[0], event, display)
                for reference in ended:
                    self._end(reference, display)
        ray.kill(mailbox)
        if stop_request.requested and (queue or self.interrupted):
            command = "Interrupted. Run the same command again to resume."
            terminal.print_line(say(command, "Interrupted. Make the same call again to resume."))
            raise Interrupted(stop_request.signal)
        return self.errors

    def _prepare_orders(self) -> Callable[[RunningTask], TaskOrder]:
        """Return a function that makes the order of a task."""
        num_sharing = ray_cluster.count_tasks_on_a_machine(self.options["num_cpus"])
        job, fetches = secrets.token_hex(4), bool(self.options["fetch"])
        environment = {name: value for name, value in os.environ.items() if name.startswith("REGEXP_")}

        def make_order(running: RunningTask) -> TaskOrder:
            runs = running.planned.runs
            return TaskOrder(
                number=running.number,
                runs=runs,
                max_runs=self.max_runs,
                num_sharing=num_sharing,
                uses_gpu=self.options["num_gpus"] > 0,
                directory=Path.cwd(),
                environment=environment,
                for_python=speaks_python(),
                job=job,
                archive=transfer.pack([planned.directory for planned in runs]) if fetches else None,
            )

        return make_order

    def _show(self, running: RunningTask, event: Any, display: ParallelDisplay) -> None:
        """Show what a task has sent."""
        if isinstance(event, TaskStart):
            if running.has_started:
                self._start_again(running, event, display)
            running.has_started = True
        elif isinstance(event, CohortDescription):
            display.start_cohort(running.number, running.cohort, event)
        elif isinstance(event, CohortEnd):
            display.end_part(running.number)
        elif isinstance(event, EpochSummary):
            display.show_summary(running.number, event)
        else:
            display.print_line(event)

    def _start_again(self, running: RunningTask, start: TaskStart, display: ParallelDisplay) -> None:
        """Count the runs that had ended when the worker of a task died; the others go on."""
        unfinished = [running.planned.runs[i] for i in start.unfinished]
        ended = [planned for planned in running.cohort.runs if planned not in unfinished]
        display.end_cohort(running.number, PlannedCohort(ended))
        running.cohort = PlannedCohort(unfinished)
        display.print_line(f"A worker of Ray has died. Its {len(unfinished)} runs go on from their checkpoints.")

    def _end(self, reference: Any, display: ParallelDisplay) -> None:
        """Count a task as ended."""
        import ray

        running = self.tasks.pop(reference)
        runs = running.planned.runs
        result: worker.TrainingResult | worker.Failed
        try:
            result, archive = ray.get(reference)
        except ray.exceptions.RayError as error:
            again = say("Run the same command again", "Make the same call again")
            death = WorkerDied(
                f"a worker of Ray died, after others had died with the same runs: {first_line(error)}\n"
                f"{again}: it goes on from the checkpoints."
            )
            result, archive = worker.Failed(death), None
        if archive is not None:
            transfer.unpack(archive, [planned.directory for planned in runs])
        if isinstance(result, worker.Failed):
            for planned in runs:
                record_failure(planned, result.error)
            self.errors.append(result.error)
        else:
            self.errors += result.errors
            self.interrupted = self.interrupted or result.interrupted
        display.end_cohort(running.number, running.cohort)
