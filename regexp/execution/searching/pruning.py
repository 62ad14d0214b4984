"""The pruning of trials within a cohort: after every epoch a pruner of Optuna's says whose runs leave it."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from statistics import fmean
from typing import TYPE_CHECKING, final

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial

from regexp.errors import RunTakenOver
from regexp.runs.trials import PrunableTrial
from regexp.search.journal import open_storage
from regexp.search.samplers import make_pruner
from regexp.search.study import ENDED_SEEDS, PRUNED_AFTER, quiet_optuna

if TYPE_CHECKING:
    from regexp.training.member import Member

# How a run ends that has no result.
_FAULTS = ("diverged", "failed")


@final
class TrialPruner:
    """A pruner of the trials that train in a cohort. Implements training.member.Pruner.

    It reads and writes the study's file itself, in whatever process or on whatever machine the cohort trains: nobody
    has to be asked, and what was decided survives when a process is killed.

    Attributes:
        members: the runs of each trial, also those that have ended, by the trial's number.
        metric: the metric that the pruner reads.
        study: the study.
    """

    def __init__(self, trials: "Sequence[tuple[Member, PrunableTrial]]") -> None:
        """Open the study.

        Args:
            trials: the runs of the cohort, each with its trial.
        """
        example = trials[0][1]
        self.metric = example.metric
        self.members: dict[int, list[Member]] = {}
        for member, trial in trials:
            self.members.setdefault(trial.number, []).append(member)
        with quiet_optuna():
            self._storage = open_storage(example.study)
            pruner = make_pruner(example.pruner, example.max_epochs)
            self.study = optuna.load_study(
                study_name=None, storage=self._storage, sampler=RandomSampler(), pruner=pruner
            )
        study_id = self._storage.get_study_id_from_name(self.study.study_name)
        self._ids = {
            number: self._storage.get_trial_id_from_study_id_trial_number(study_id, number) for number in self.members
        }

    def choose_pruned(self) -> "Sequence[Member]":
        """Report the last epoch of each trial, and return the runs of those that are pruned after it.

        Each trial is compared with all others of its cohort. One of which a run has diverged or failed has failed, and
        its other runs leave too. Once a run has been taken over, what becomes of these trials is decided elsewhere.
        """
        if any(isinstance(member.failure, RunTakenOver) for members in self.members.values() for member in members):
            return []
        training = {
            number: [member for member in members if member.status is None and member.last is not None]
            for number, members in self.members.items()
        }
        with quiet_optuna():
            for number, members in self.members.items():
                if any(member.status for member in members):
                    self._record_ended(number)
            for number, members in training.items():
                if members:
                    self._report(number, members[0])
            epochs = {
                number: members[0].last.epoch
                for number, members in training.items()
                if members and members[0].last is not None
            }
            leaving = self._find_leaving(epochs)
            return [member for number, members in training.items() if number in leaving for member in members]

    def _record_ended(self, number: int) -> None:
        """Record the values that the seeds of a trial keep which have ended; None for those without a result.

        If the process is killed, the cohort that goes on has no runs for these seeds.
        """
        values = {
            str(member.settings.seed): self._read_value(member) for member in self.members[number] if member.status
        }
        trial = self._read_trial(number)
        recorded_values = trial.user_attrs.get(ENDED_SEEDS, {})
        if values.keys() - recorded_values.keys() and not trial.state.is_finished():
            with suppress(UpdateFinishedTrialError):  # the search has just told how the trial has ended
                self._storage.set_trial_user_attr(self._ids[number], ENDED_SEEDS, recorded_values | values)

    def _report(self, number: int, example: "Member") -> None:
        """Report the mean over the seeds of a trial; a seed that has ended counts with the value that it keeps."""
        assert example.last is not None
        epoch = example.last.epoch
        trial = self._read_trial(number)
        live_values = {str(member.settings.seed): self._read_value(member) for member in self.members[number]}
        seed_values = trial.user_attrs.get(ENDED_SEEDS, {}) | live_values
        values = [value for value in seed_values.values() if value is not None]
        # A run that goes on from a checkpoint repeats epochs that were reported.
        if values and epoch not in trial.intermediate_values and PRUNED_AFTER not in trial.user_attrs:
            self._storage.set_trial_intermediate_value(self._ids[number], epoch, fmean(values))

    def _read_value(self, member: "Member") -> float | None:
        """Return the value of a run after its last epoch, or the one that it keeps; None where it has no result."""
        if member.status in _FAULTS:
            return None
        keeps_best = member.status is not None and member.settings.restore_best
        metrics = member.best if keeps_best else member.last
        return None if metrics is None else metrics.values[self.metric]

    def _find_leaving(self, epochs: Mapping[int, int]) -> set[int]:
        """Return the trials whose runs leave, given the last epoch of each: they have failed, or are pruned."""
        leaving, judged = set(), {}
        for number, epoch in epochs.items():
            attributes = self._read_trial(number).user_attrs
            has_failed = None in attributes.get(ENDED_SEEDS, {}).values()
            # The runs of a trial that was pruned by a process which was killed may have to train up to that epoch.
            if has_failed or epoch >= attributes.get(PRUNED_AFTER, math.inf):
                leaving.add(number)
            # Perhaps not all decisions after this epoch were recorded: then they are made again, with all trials.
            if not has_failed and epoch == attributes.get(PRUNED_AFTER, epoch):
                judged[number] = epoch
        return leaving | self._judge(judged)

    def _judge(self, epochs: Mapping[int, int]) -> set[int]:
        """Return the trials that the pruner ends after their last epochs, and record what it decides of all of them.

        Successive halving notes the value of a trial when it judges it, and compares it with those that it has noted
        before: the first trial of a cohort would go on, however bad it is. So all are judged twice, as they were before
        the first was, and only the second answers count. That happens in a copy of the study: a process that is killed
        meanwhile leaves nothing behind that would change how they are judged again.
        """
        if not epochs:
            return set()
        copy = optuna.create_study(
            storage=InMemoryStorage(), study_name=self.study.study_name, directions=self.study.directions
        )
        copy.add_trials(self.study.get_trials(deepcopy=False))
        trials = copy.get_trials()
        for _ in range(2 if len(epochs) > 1 else 1):
            pruned = {number for number in epochs if self.study.pruner.prune(copy, trials[number])}
        judged_trials = copy.get_trials(deepcopy=False)
        for number, epoch in epochs.items():
            if number in pruned:
                self._storage.set_trial_user_attr(self._ids[number], PRUNED_AFTER, epoch)
            for name, value in judged_trials[number].system_attrs.items():
                if name not in trials[number].system_attrs:
                    self._storage.set_trial_system_attr(self._ids[number], name, value)
        return pruned

    def _read_trial(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._ids[number])
