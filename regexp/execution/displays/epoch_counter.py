"""Counts of the runs that have ended, and of the epochs done, in the cohorts of a sweep."""

from collections.abc import Sequence

from regexp.execution.events import CohortDescription, EpochSummary
from regexp.execution.planning import PlannedCohort


class EpochCounter:
    """A counter of the runs that have ended, and of the epochs done, in a cohort of the plan.

    Attributes:
        done_epochs: the number of epochs done since the plan was made, summed over the runs. A run that has ended has
            done all epochs that it had to go.
        training_runs: the number of runs that train now.
    """

    def __init__(self, planned: PlannedCohort) -> None:
        """Begin with no epochs done."""
        epochs = [run.job.config.epochs - planned.epochs_done for run in planned.runs]
        self._epochs_to_go = sorted(epochs, reverse=True)  # who has many epochs to go trains longest
        self._epochs_done_before = planned.epochs_done
        self._part: CohortDescription | None = None
        self._ended_with_earlier_parts = 0
        self.done_epochs = self.training_runs = 0

    @property
    def part_epochs(self) -> int:
        """The largest number of epochs of a run in the part that trains now."""
        return 0 if self._part is None else self._part.epochs

    @property
    def ended_runs(self) -> int:
        """The number of runs that have ended."""
        part_runs = 0 if self._part is None else self._part.num_runs
        return self._ended_with_earlier_parts + part_runs - self.training_runs

    def start_part(self, part: CohortDescription) -> None:
        """Count from now on the runs of this part, which may resume after an epoch."""
        self._part = part
        self._count(part.num_runs, part.epoch)

    def count_epoch(self, summary: EpochSummary) -> None:
        """Count an epoch."""
        self._count(summary.num_runs, summary.epoch)

    def end_part(self) -> None:
        """Count all runs of the part as ended."""
        if self._part is not None:
            self._count(0, self._part.epochs)
            self._ended_with_earlier_parts += self._part.num_runs
            self._part = None

    def _count(self, training_runs: int, epoch: int) -> None:
        assert self._part is not None
        self.training_runs = training_runs
        others = len(self._epochs_to_go) - self._ended_with_earlier_parts - self._part.num_runs
        done = epoch - self._epochs_done_before
        to_go = sum(max(0, epochs - done) for epochs in self._epochs_to_go[:training_runs])
        to_go += sum(self._epochs_to_go[training_runs : training_runs + others])  # these have not started yet
        self.done_epochs = max(self.done_epochs, sum(self._epochs_to_go) - to_go)


def count_run_epochs(cohorts: Sequence[PlannedCohort]) -> int:
    """Return the number of epochs that the runs of cohorts have to go at most, summed over the runs."""
    return sum(planned.job.config.epochs - cohort.epochs_done for cohort in cohorts for planned in cohort.runs)
