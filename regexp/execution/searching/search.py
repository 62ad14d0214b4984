"""The search behind hydra/sweeper=optuna: Optuna proposes trials, and batches of them train together."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf
from optuna import Study
from optuna.trial import FrozenTrial

from regexp.config.job import Job
from regexp.errors import ConfigError, RunError
from regexp.execution.executors.kept_workers import keep_workers
from regexp.execution.forecasting.workload import may_use_gpu
from regexp.execution.launcher import begin_sweep
from regexp.execution.searching.batches import choose_batch_size, count_workers, find_records, has_ended, train_jobs
from regexp.execution.searching.confirmation import confirm
from regexp.execution.searching.held_study import hold_study, open_planned_study
from regexp.execution.searching.report import print_next_commands, print_result
from regexp.execution.searching.search_plan import SearchPlan
from regexp.execution.terminal import Terminal
from regexp.runs.run_record import RunRecord
from regexp.runs.sweep_record import SweepRecord
from regexp.runs.trials import PrunableTrial
from regexp.search.findings import describe_progress, find_best_trials
from regexp.search.outcomes import FAILED, Outcome, judge_trial
from regexp.search.samplers import make_sampler
from regexp.search.settings import read_settings
from regexp.search.study import ask_trials, count_ended, find_open_trials, quiet_optuna, tell_outcome
from regexp.utils.exit_codes import record_status
from regexp.utils.next_commands import relative_path


def search(
    words: Sequence[str], sweeper: Mapping[str, Any], config: DictConfig, loader: ConfigLoader, launcher: Any
) -> None:
    """Search, and print what was found.

    Args:
        words: the overrides that were typed, in the form in which Hydra reads them.
        sweeper: Hydra's configuration of the sweeper.
        config: the configuration of the sweep.
        loader: Hydra's configuration loader.
        launcher: the cohort launcher, which trains jobs.

    Raises:
        ConfigError: lists every mistake in the settings and the space.
        SetupError: the surroundings do not allow training.
        RunBusy: another process runs this search.
    """
    if not str(config.hydra.launcher._target_).endswith(".CohortLauncher"):
        name = config.hydra.runtime.choices["hydra/launcher"]
        raise ConfigError(
            f"hydra/launcher={name}: hydra/sweeper=optuna trains trials together, which this launcher does not; leave "
            "it out, or choose hydra.launcher.executor=ray or slurm"
        )
    launcher.read_settings()  # whatever is wrong with them is no fault of a trial
    options = {
        key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value for key, value in sweeper.items()
    }
    with quiet_optuna():
        plan = SearchPlan.make(read_settings(options), words, config, loader)
        Search(plan, launcher).run()


@dataclass(frozen=True)
class TrialInTraining:
    """A trial that trains, or has ended without being told to the study.

    Attributes:
        trial: the trial.
        jobs: its jobs, one for each seed; none where its combination is impossible.
        problem: what is impossible about it; empty where nothing is.
    """

    trial: FrozenTrial
    jobs: Sequence[Job]
    problem: str


@dataclass
class Search:
    """A search as it runs.

    Attributes:
        plan: its plan.
        launcher: the cohort launcher, which trains jobs.
        terminal: what is printed on.
        sweep: the record of its runs.
        num_launched: the number of jobs that were launched so far.
        start: when its first batch began, in seconds of the monotonic clock.
        waiting: the trials that were begun by an earlier command, and do not train yet.
        training: the trials that train.
        jobs: the jobs of the batch.
    """

    plan: SearchPlan
    launcher: Any
    terminal: Terminal = field(default_factory=Terminal)
    sweep: SweepRecord = field(default_factory=begin_sweep)
    num_launched: int = 0
    start: float = 0.0
    waiting: list[FrozenTrial] = field(default_factory=list)
    training: list[TrialInTraining] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)

    def run(self) -> None:
        """Ask for trials, train them and tell how they ended, until there are enough of them; then print the result."""
        if self.plan.config.hydra.launcher.dry_run:
            self._show_first_batch()
            return
        with hold_study(self.plan, self.terminal) as (study, file), keep_workers(self._count_workers_to_start(study)):
            self.sweep.search = {"study": file.name}
            self._announce(study)
            self.terminal.print_line(f"study    {relative_path(file)}")
            self._train_trials(study, file.absolute())
            self.sweep.trials = {}
            is_whole = count_ended(study) >= self.plan.num_trials
            confirms = is_whole and self.plan.settings.num_confirming_seeds > 0
            print_result(self.terminal, study, confirms)
            confirmed = confirm(self.plan, study, file, self.terminal, self._train) if confirms else None
            print_next_commands(self.terminal, study, file, self.plan, confirmed)
            if not find_best_trials(study, 1):
                record_status(RunError.status)

    def _announce(self, study: Study) -> None:
        """Print what is searched."""
        plan, settings = self.plan, self.plan.settings
        seeds = f", {settings.num_seeds} seeds each" if settings.num_seeds > 1 else ""
        pruner = f", {settings.pruner['name']} pruner" if settings.prunes else ""
        names = " and ".join(f"{objective.direction} {objective.name}" for objective in plan.objectives)
        keys = f"{len(plan.space.parameters)} key{'s' if len(plan.space.parameters) > 1 else ''}"
        ended = f", {count_ended(study)} of them done" if count_ended(study) else ""
        self.terminal.print_line(f"search   {names} over {keys}")
        self.terminal.print_line(
            f"trials   {plan.num_trials}{ended}{seeds}, {settings.sampler['name']} sampler{pruner}"
        )

    def _show_first_batch(self) -> None:
        """Print what training the first batch would take, and write nothing."""
        trials = self._ask(open_planned_study(self.plan, None, "dry"), min(self._batch_size, self.plan.num_trials))
        trial_jobs = [
            self.plan.compose_trial(self.plan.space.make_overrides(trial.params), self.plan.seeds)[0]
            for trial in trials
        ]
        self.launcher.launch([job.overrides for jobs in trial_jobs for job in jobs], 0)
        self.terminal.print_line(
            f"the first {len(trials)} of {self.plan.num_trials} trials; the others follow in batches"
        )

    @property
    def _asked_workers(self) -> int | None:
        """The number of workers that the user asks for; None for as many as are worth it."""
        workers = self.plan.config.hydra.launcher.workers
        return workers if isinstance(workers, int) else None

    @property
    def _fills_cores(self) -> bool:
        """Whether runs train on the cores of this machine: on a GPU more of them together are better than workers."""
        is_local = self.plan.config.hydra.launcher.executor == "auto"
        return is_local and not may_use_gpu([self.plan.example.config])

    @property
    def _batch_size(self) -> int:
        return choose_batch_size(self.plan.settings, self.plan.example, self._asked_workers, self._fills_cores)

    def _count_workers_to_start(self, study: Study) -> int:
        """Return how many worker processes the first batch needs, as far as that is known; 0 where none."""
        num_trials = min(self._batch_size, self.plan.num_trials - count_ended(study))
        if num_trials <= 0 or not self._fills_cores:
            return 0
        count = count_workers(self.plan.settings, self.plan.example, num_trials, self._asked_workers)
        return count if count > 1 else 0

    def _ask(self, study: Study, count: int) -> list[FrozenTrial]:
        settings, num_trials = self.plan.settings, len(study.get_trials(deepcopy=False))
        study.sampler = make_sampler(settings.sampler, self.plan.grid, num_trials)
        return ask_trials(study, self.plan.space, count)

    def _train_trials(self, study: Study, study_file: Path) -> None:
        """Train batches until there are enough trials, or the time is over."""
        self.start = time.monotonic()
        self.waiting = find_open_trials(study, self.plan.space)
        while self.waiting or count_ended(study) < self.plan.num_trials:
            if self._is_time_over():
                self.terminal.print_line(
                    f"The time is over after {count_ended(study)} of {self.plan.num_trials} trials. The same command "
                    "goes on."
                )
                return
            self._train_batch(study, study_file)

    def _is_time_over(self) -> bool:
        timeout = self.plan.settings.timeout
        return timeout is not None and time.monotonic() - self.start >= timeout

    def _train_batch(self, study: Study, study_file: Path) -> None:
        """Train trials together, and tell how they ended.

        With a pruner some cohorts end long before others: then others take their place.
        """
        self.jobs = []
        self._begin_trials(study, study_file, self._batch_size)
        if self.plan.settings.prunes:
            self.sweep.more_jobs = partial(self._begin_more_trials, study, study_file)
        self._train(self.jobs)
        self.sweep.more_jobs = None
        self._tell_outcomes(study, self.terminal.print_line, all_have_ended=True)

    def _take_trials(self, study: Study, count: int) -> list[FrozenTrial]:
        """Return up to this many trials that are to begin: of an earlier command, or else new ones."""
        if not self.waiting:
            count_left = self.plan.num_trials - count_ended(study) - len(self.training)
            self.waiting = self._ask(study, min(count, count_left)) if count_left > 0 else []
        trials, self.waiting = self.waiting[:count], self.waiting[count:]
        return trials

    def _begin_trials(self, study: Study, study_file: Path, count: int) -> list[Job]:
        """Begin up to this many trials, and return their jobs."""
        plan = self.plan
        new_jobs: list[Job] = []
        for trial in self._take_trials(study, count):
            jobs, problem = plan.compose_trial(plan.space.make_overrides(trial.params), plan.seeds)
            self.training.append(TrialInTraining(trial, jobs, problem))
            new_jobs += jobs
            if plan.settings.prunes:
                prunable_trial = PrunableTrial(
                    study_file, trial.number, plan.objectives[0].name, plan.settings.pruner, plan.max_epochs
                )
                self.sweep.trials |= {job.overrides: prunable_trial for job in jobs}
        self.jobs += new_jobs
        return new_jobs

    def _begin_more_trials(
        self, study: Study, study_file: Path, num_workers: int, print_line: Callable[[str], None]
    ) -> list[Job]:
        """Tell which trials have ended, begin a worker's share of a batch, and return their jobs.

        Args:
            study: the study.
            study_file: its file.
            num_workers: the number of workers that share a batch.
            print_line: prints a line above the progress bar of the runs.
        """
        self._tell_outcomes(study, print_line)
        jobs: list[Job] = []
        while not jobs and not self._is_time_over():
            num_training = len(self.training)
            count = min(math.ceil(self._batch_size / num_workers), self._batch_size - num_training)
            jobs = self._begin_trials(study, study_file, max(1, count))
            if len(self.training) == num_training:
                break
        return jobs

    def _tell_outcomes(self, study: Study, print_line: Callable[[str], None], all_have_ended: bool = False) -> None:
        """Tell how those trials have ended of which no run trains any longer, and print it."""
        plan = self.plan
        records = iter(find_records([job for begun in self.training for job in begun.jobs], plan.outputs))
        outcomes: dict[int, Outcome] = {}
        for begun in self.training:
            trial_records = [next(records) for _ in begun.jobs]
            if begun.problem:
                outcomes[begun.trial.number] = Outcome(FAILED, reason=begun.problem)
            elif all_have_ended or all(map(has_ended, trial_records)):
                known_records = [record for record in trial_records if record is not None]
                outcomes[begun.trial.number] = judge_trial(known_records, len(plan.seeds), plan.objectives)
        ended = [begun.trial for begun in self.training if begun.trial.number in outcomes]
        self.training = [begun for begun in self.training if begun.trial.number not in outcomes]
        for trial in ended:
            tell_outcome(study, trial, plan.space.make_choices(trial.params), outcomes[trial.number])
        if ended:
            for line in describe_progress(study, ended, list(outcomes.values()), plan.num_trials):
                print_line(line)

    def _train(self, jobs: Sequence[Any]) -> list[RunRecord | None]:
        if not jobs:
            return []
        records = train_jobs(jobs, self.plan.outputs, self.launcher.launch, self.num_launched)
        self.num_launched += len(jobs)
        return records
