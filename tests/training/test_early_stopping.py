"""Early stopping of K runs against the lesson's loop over one run."""

import math
from collections.abc import Sequence

import pytest
import torch

from regexp.training.early_stopping import EarlyStopping

NAN, INF = math.nan, math.inf


def lesson_stops(losses: Sequence[float], patience: float, min_delta: float) -> list[bool]:
    """Return whether the lesson's loop would stop after each epoch."""
    best, counter, stops = INF, 0, []
    for loss in losses:
        if loss < best - min_delta:
            best, counter = loss, 0
        else:
            counter += 1
        stops.append(counter >= patience)
    return stops


def cohort_stops(
    losses: Sequence[Sequence[float]], patience: Sequence[float], min_delta: Sequence[float]
) -> list[list[bool]]:
    """Return, for each run of a cohort, whether it stops after each epoch."""
    early_stopping = EarlyStopping(torch.tensor(patience), torch.tensor(min_delta, dtype=torch.float64))
    epochs = zip(*losses, strict=True)
    stops = [early_stopping.update(torch.tensor(scores, dtype=torch.float64)).tolist() for scores in epochs]
    return [list(run_stops) for run_stops in zip(*stops, strict=True)]


# name: losses, patience, min_delta, the epoch (from 1) after which the run first stops
CASES: dict[str, tuple[list[float], float, float, int | None]] = {
    "always better": ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], 1, 0.0, None),
    "never better": ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5], 3, 0.0, 4),
    "patience counts epochs in a row": ([0.9, 1.0, 1.0, 0.8, 1.0, 1.0], 3, 0.0, None),
    "exactly min_delta is no improvement": ([1.0, 0.75, 1.0, 1.0, 1.0, 1.0], 2, 0.25, 3),
    "more than min_delta is an improvement": ([1.0, 0.7, 1.0, 1.0, 1.0, 1.0], 2, 0.25, 4),
    "small steps add up": ([1.0, 0.9, 0.8, 0.7, 0.6, 0.5], 3, 0.25, None),
    "small steps too slow": ([1.0, 0.9, 0.8, 0.7, 0.6, 0.5], 2, 0.25, 3),
    "patience of one": ([1.0, 0.9, 0.95, 0.1, 0.1, 0.1], 1, 0.0, 3),
    "nan is no improvement": ([1.0, NAN, NAN, 0.5, NAN, NAN], 2, 0.0, 3),
    "nan at first": ([NAN, 0.5, NAN, 0.4, NAN, 0.3], 2, 0.0, None),
    "nan forever": ([NAN] * 6, 4, 0.0, 4),
    "infinite at first": ([INF, INF, 3.0, 4.0, INF, 5.0], 3, 0.0, 6),
    "nothing is better than minus infinity": ([-INF, -INF, -INF, 0.0, 0.0, 0.0], 2, 0.0, 3),
    "negative scores": ([-0.5, -0.6, -0.6, -0.7, -0.7, -0.7], 2, 0.05, 6),
    "infinite patience": ([0.5, NAN, INF, 0.6, 0.6, 0.6], INF, 0.0, None),
}


@pytest.mark.parametrize("name", CASES)
def test_a_run_stops_after_the_expected_epoch(name: str) -> None:
    losses, patience, delta, epoch = CASES[name]
    (stops,) = cohort_stops([losses], [patience], [delta])
    assert stops == lesson_stops(losses, patience, delta)
    assert (stops.index(True) + 1 if any(stops) else None) == epoch


def test_each_run_stops_by_its_own_patience_and_min_delta() -> None:
    losses, patience, delta, _ = zip(*CASES.values(), strict=True)
    assert cohort_stops(losses, patience, delta) == [
        lesson_stops(*run) for run in zip(losses, patience, delta, strict=True)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_random_sequences_follow_the_lessons_loop(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    losses = (torch.rand(20, 40, generator=generator, dtype=torch.float64) * 8).round() / 8  # ties are common
    losses = losses - torch.linspace(0, 1, 40, dtype=torch.float64)
    losses[torch.rand(20, 40, generator=generator) < 0.05] = NAN
    patience = [*range(1, 20), INF]
    delta = [k % 4 / 8 for k in range(20)]
    expected = [lesson_stops(*run) for run in zip(losses.tolist(), patience, delta, strict=True)]
    assert cohort_stops(losses.tolist(), patience, delta) == expected


def test_losses_are_compared_in_float64() -> None:
    # 0.1 in float32 is above 0.1 in float64: an improvement between the two would not count in float32.
    losses, delta = [1.0, 1 - 0.1 - 1e-9, 1.0], 0.1
    assert cohort_stops([losses], [1], [delta]) == [lesson_stops(losses, 1, delta)] == [[False, False, True]]


def test_keep_runs_removes_the_other_runs() -> None:
    losses, patience, delta, _ = zip(*CASES.values(), strict=True)
    rows = [7, 2, 11]
    early_stopping = EarlyStopping(torch.tensor(patience), torch.tensor(delta))
    scores = torch.tensor(losses, dtype=torch.float64)
    for epoch in range(3):
        early_stopping.update(scores[:, epoch])
    early_stopping.keep_runs(torch.tensor(rows))
    for epoch in range(3, 6):
        stops = early_stopping.update(scores[rows, epoch]).tolist()
        assert stops == [lesson_stops(losses[k], patience[k], delta[k])[epoch] for k in rows]
