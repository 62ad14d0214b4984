"""What a study has found: its best trials, and how many ended in which way."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from regexp.comparison.statistics import Estimate, estimate_mean
from regexp.config.metric_registry import RUN_METRICS, Metric
from regexp.search.outcomes import COMPLETE, FAILED, PRUNED, Outcome
from regexp.search.study import OVERRIDES, REASON, SEED_VALUES

# The most trials that a list of the best has, and the most reasons of failures that a batch prints.
MAX_BEST = 5
MAX_REASONS = 3
_WORDS = {TrialState.COMPLETE: COMPLETE, TrialState.PRUNED: PRUNED, TrialState.FAIL: FAILED}


@dataclass(frozen=True)
class FoundTrial:
    """A trial that has ended well.

    Attributes:
        number: its number, from 0.
        overrides: what it has beside what all trials share, as it is typed.
        estimates: the mean of each objective over its seeds, with its interval.
    """

    number: int
    overrides: tuple[str, ...]
    estimates: tuple[Estimate, ...]


def find_best_trials(study: optuna.Study, count: int = MAX_BEST) -> list[FoundTrial]:
    """Return the best trials, best first; of several objectives those that no other trial beats in all of them.

    Of trials with the same configuration the first one counts.
    """
    if len(study.directions) > 1:
        trials = study.best_trials
    else:
        sign = -1 if study.direction.name == "MAXIMIZE" else 1
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        trials = sorted(complete, key=lambda trial: sign * (trial.value or 0.0))
    distinct: dict[tuple[str, ...], FrozenTrial] = {}
    for trial in trials:
        distinct.setdefault(tuple(trial.user_attrs[OVERRIDES]), trial)
    return [_read_trial(trial) for trial in list(distinct.values())[:count]]


def count_outcomes(study: optuna.Study) -> dict[str, int]:
    """Return how many trials ended in each way: COMPLETE, PRUNED and FAILED, without those that did not occur."""
    counts = Counter(trial.state for trial in study.get_trials(deepcopy=False))
    return {word: counts[state] for state, word in _WORDS.items() if counts[state]}


def format_counts(counts: Mapping[str, int]) -> str:
    """Return how many trials ended in each way, in words."""
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def describe_progress(
    study: optuna.Study, trials: Sequence[FrozenTrial], outcomes: Sequence[Outcome], num_trials: int
) -> Iterator[str]:
    """Yield how the trials of a batch ended, why some failed, and which trial is the best so far, in lines.

    Args:
        study: the study.
        trials: the trials of the batch.
        outcomes: how they ended.
        num_trials: the number of all trials.
    """
    ended = sum(count_outcomes(study).values())
    counts = format_counts(Counter(outcome.state for outcome in outcomes))
    best = find_best_trials(study, 1)
    line = f"{ended} of {num_trials} trials: {counts}"
    if best and len(study.directions) == 1:
        [name], [estimate] = study.metric_names or [""], best[0].estimates  # the first lines of the search name it
        line += f"; best: trial {best[0].number}, {format_estimate(name, estimate)}"
    yield line
    failed = [(trial, outcome) for trial, outcome in zip(trials, outcomes, strict=True) if outcome.state == FAILED]
    for trial, outcome in failed[:MAX_REASONS]:
        yield f"  trial {trial.number} failed: {outcome.reason}"
    if len(failed) > MAX_REASONS:
        yield f"  and {len(failed) - MAX_REASONS} more"


def format_objectives(study: optuna.Study, trial: FoundTrial) -> str:
    """Return the objectives of a trial with their intervals: "val_accuracy 96.52 ± 0.40 %"."""
    names = study.metric_names or []
    return ", ".join(
        f"{name} {format_estimate(name, estimate)}" for name, estimate in zip(names, trial.estimates, strict=True)
    )


def format_estimate(name: str, estimate: Estimate) -> str:
    """Return a mean with its interval: fractions in percent."""
    metric = RUN_METRICS.get(name, Metric(name, name))
    scale, digits, unit = (100, 2, " %") if metric.percent else (1, 4, "")
    interval = "" if estimate.half_width is None else f" ± {scale * estimate.half_width:.{digits}f}"
    return f"{scale * estimate.mean:.{digits}f}{interval}{unit}"


def find_first_failure(study: optuna.Study) -> str:
    """Return why the first trial failed that did; "" where none has."""
    failed = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    return next((str(trial.user_attrs[REASON]) for trial in failed if REASON in trial.user_attrs), "")


def _read_trial(trial: FrozenTrial) -> FoundTrial:
    columns = zip(*trial.user_attrs[SEED_VALUES].values(), strict=True)
    estimates = tuple(estimate_mean(column) for column in columns)
    return FoundTrial(trial.number, tuple(trial.user_attrs[OVERRIDES]), estimates)
