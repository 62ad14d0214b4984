"""The search behind hydra/sweeper=optuna: Optuna proposes trials, and batches of them train together."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf
from optuna import Study
from optuna.trial import FrozenTrial

from regexp.errors import ConfigError, RunError
from regexp.execution.executors.kept_workers import keep_workers
from regexp.execution.launcher import begin_sweep
from regexp.execution.searching.batches import choose_batch_size, train_jobs
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


@dataclass
class Search:
    """A search as it runs.

    Attributes:
        plan: its plan.
        launcher: the cohort launcher, which trains jobs.
        terminal: what is printed on.
        sweep: the record of its runs.
        num_launched: the number of jobs that were launched so far.
    """

    plan: SearchPlan
    launcher: Any
    terminal: Terminal = field(default_factory=Terminal)
    sweep: SweepRecord = field(default_factory=begin_sweep)
    num_launched: int = 0

    def run(self) -> None:
        """Ask for trials, train them and tell how they ended, until there are enough of them; then print the result."""
        if self.plan.config.hydra.launcher.dry_run:
            self._show_first_batch()
            return
        with hold_study(self.plan, self.terminal) as (study, file), keep_workers():
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
    def _batch_size(self) -> int:
        workers = self.plan.config.hydra.launcher.workers
        return choose_batch_size(self.plan.settings, self.plan.example, workers if isinstance(workers, int) else None)

    def _ask(self, study: Study, count: int) -> list[FrozenTrial]:
        settings, num_trials = self.plan.settings, len(study.get_trials(deepcopy=False))
        study.sampler = make_sampler(settings.sampler, self.plan.grid, num_trials)
        return ask_trials(study, self.plan.space, count)

    def _train_trials(self, study: Study, study_file: Path) -> None:
        """Train batches until there are enough trials, or the time is over."""
        start, timeout = time.monotonic(), self.plan.settings.timeout
        batch_size, num_trials = self._batch_size, self.plan.num_trials
        trials = find_open_trials(study, self.plan.space)
        while trials or count_ended(study) < num_trials:
            if timeout is not None and time.monotonic() - start >= timeout:
                self.terminal.print_line(
                    f"The time is over after {count_ended(study)} of {num_trials} trials. The same command goes on."
                )
                return
            if not trials:
                trials = self._ask(study, min(batch_size, num_trials - count_ended(study)))
            self._train_batch(study, study_file, trials[:batch_size])
            trials = trials[batch_size:]

    def _train_batch(self, study: Study, study_file: Path, trials: Sequence[FrozenTrial]) -> None:
        """Train trials together, and tell how they ended."""
        plan = self.plan
        composed = [plan.compose_trial(plan.space.make_overrides(trial.params), plan.seeds) for trial in trials]
        if plan.settings.prunes:
            self.sweep.trials = {
                job.overrides: PrunableTrial(
                    study_file, trial.number, plan.objectives[0].name, plan.settings.pruner, plan.max_epochs
                )
                for trial, (jobs, _) in zip(trials, composed, strict=True)
                for job in jobs
            }
        records = iter(self._train([job for jobs, _ in composed for job in jobs]))
        outcomes = []
        for trial, (jobs, problem) in zip(trials, composed, strict=True):
            trial_records = [record for record in [next(records) for _ in jobs] if record is not None]
            outcome = judge_trial(trial_records, len(plan.seeds), plan.objectives)
            outcomes.append(Outcome(FAILED, reason=problem) if problem else outcome)
            tell_outcome(study, trial, plan.space.make_choices(trial.params), outcomes[-1])
        for line in describe_progress(study, trials, outcomes, plan.num_trials):
            self.terminal.print_line(line)

    def _train(self, jobs: Sequence[Any]) -> list[RunRecord | None]:
        if not jobs:
            return []
        records = train_jobs(jobs, self.plan.outputs, self.launcher.launch, self.num_launched)
        self.num_launched += len(jobs)
        return records
