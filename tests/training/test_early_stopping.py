"""Early stopping of K runs against the lesson's loop over one run."""

import json
import math
from collections.abc import Sequence

import pytest
import torch
from helpers.cohorts import DOUBLE, QuietReporter, make_cohort, train_runs

from regexp.training.early_stopping import EarlyStopping, StoppingRule
from regexp.training.loop import train
from regexp.utils.signals import StopRequest

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
    early_stopping = EarlyStopping(list(map(StoppingRule, patience, min_delta)))
    epochs = torch.tensor(losses, dtype=torch.float64).unbind(1)
    stops = [early_stopping.update(scores, scores).tolist() for scores in epochs]
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
    early_stopping = EarlyStopping(list(map(StoppingRule, patience, delta)))
    scores = torch.tensor(losses, dtype=torch.float64)
    for epoch in range(3):
        early_stopping.update(scores[:, epoch], scores[:, epoch])
    early_stopping.keep_runs(torch.tensor(rows))
    for epoch in range(3, 6):
        stops = early_stopping.update(scores[rows, epoch], scores[rows, epoch]).tolist()
        assert stops == [lesson_stops(losses[k], patience[k], delta[k])[epoch] for k in rows]


def prechelt_stops(losses: Sequence[float], train_losses: Sequence[float], rule: StoppingRule) -> list[bool]:
    """Return whether Prechelt's criteria stop after each epoch, from their formulas (1998, section 2.2)."""
    stops, k = [], rule.strip
    for t in range(1, len(losses) + 1):
        lowest = min(losses[:t])
        gl = 100 * (losses[t - 1] / lowest - 1)
        stop = gl > rule.max_generalization_loss
        if t % k == 0:
            strip = train_losses[t - k : t]
            progress = 1000 * (sum(strip) / (k * min(strip)) - 1)
            stop = stop or (gl / progress > rule.max_quotient if progress > 0 else gl > 0 and rule.max_quotient < INF)
        stops.append(stop)
    return stops


def random_losses(seed: int, runs: int, epochs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return validation losses that fall and rise again, and training losses that fall, [runs, epochs] each."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(2, runs, epochs, generator=generator, dtype=torch.float64) / 10
    t = torch.linspace(0, 4, epochs, dtype=torch.float64)
    return 1 + (t - 2).square() / 5 + noise[0], (-t).exp() + 0.2 + noise[1]


PRECHELT_RULES = [
    *(StoppingRule(max_generalization_loss=alpha) for alpha in (0.0, 1.0, 5.0, 40.0)),
    *(StoppingRule(max_quotient=alpha, strip=k) for alpha in (0.0, 0.1, 0.75, 3.0) for k in (2, 5, 7)),
    StoppingRule(),
]


@pytest.mark.parametrize("seed", range(3))
def test_generalization_loss_and_progress_follow_their_formulas(seed: int) -> None:
    losses, train_losses = random_losses(seed, len(PRECHELT_RULES), 37)
    early_stopping = EarlyStopping(PRECHELT_RULES)
    stops = [early_stopping.update(losses[:, t], train_losses[:, t]).tolist() for t in range(37)]
    rows = zip(losses.tolist(), train_losses.tolist(), PRECHELT_RULES, strict=True)
    expected = [prechelt_stops(*row) for row in rows]
    assert [list(run_stops) for run_stops in zip(*stops, strict=True)] == expected
    firsts = [run_stops.index(True) for run_stops in expected if any(run_stops)]
    assert len(set(firsts)) > 4
    assert not any(expected[-1])


def test_rules_go_on_from_their_progress_and_do_not_notice_that_others_leave() -> None:
    losses, train_losses = random_losses(9, len(PRECHELT_RULES), 30)
    undisturbed, disturbed = EarlyStopping(PRECHELT_RULES), EarlyStopping(PRECHELT_RULES)
    rows = torch.arange(len(PRECHELT_RULES))
    for t in range(30):
        expected = undisturbed.update(losses[:, t], train_losses[:, t])
        assert torch.equal(disturbed.update(losses[rows, t], train_losses[rows, t]), expected[rows])
        if t % 4 == 1:
            rows = rows[1:] if t > 8 else rows
            progress = [json.loads(json.dumps(undisturbed.progress(int(k)))) for k in rows]
            disturbed = EarlyStopping([PRECHELT_RULES[k] for k in rows])
            for k, state in enumerate(progress):
                disturbed.restore_progress(k, state)
                assert state["early_stopping"]["stops"] == bool(expected[rows[k]])
        elif t == 10:
            rows = rows[::2]
            disturbed.keep_runs(torch.arange(0, len(disturbed.stops), 2))


@pytest.mark.parametrize(
    ("losses", "train_losses", "stops"),
    [
        ([0.0, 0.0, 0.1], [1.0, 1.0, 1.0], [False, False, True]),  # above a loss of zero by any percentage
        ([-1.0, -2.0, 5.0], [1.0, 0.5, 0.1], [False, False, False]),  # a negative loss has no percentages
        ([1.0, NAN, 1.02], [1.0, NAN, 0.9], [False, False, False]),
        ([NAN, 1.0, 1.2], [NAN, 1.0, 0.9], [False, False, True]),
        ([1.0, 1.05, 1.0500001], [1.0, 0.9, 0.8], [False, False, True]),  # exactly alpha is not beyond it
    ],
)
def test_the_generalization_loss_of_unusual_losses(
    losses: list[float], train_losses: list[float], stops: list[bool]
) -> None:
    early_stopping = EarlyStopping([StoppingRule(max_generalization_loss=5.0 + 1e-9)])
    table = torch.tensor([losses, train_losses], dtype=torch.float64)
    assert [bool(early_stopping.update(*table[:, t : t + 1])) for t in range(3)] == stops


@pytest.mark.parametrize(("last_loss", "stop"), [(0.5, False), (0.6, True)])
def test_without_progress_any_generalization_loss_stops(last_loss: float, stop: bool) -> None:
    """Three equal training losses sum to three times the lowest, but for rounding."""
    early_stopping = EarlyStopping([StoppingRule(max_quotient=1e6, strip=3)])
    for loss in (0.5, 0.5, last_loss):
        stops = early_stopping.update(torch.tensor([loss]), torch.tensor([0.1]))
    assert bool(stops) == stop


def test_patience_ends_a_run_beside_another_rule() -> None:
    losses = torch.tensor([1.0, 1.01, 1.01, 1.2])
    both, patience_alone = StoppingRule(2, 0.0, max_generalization_loss=5.0), StoppingRule(9, 0.0, 5.0)
    early_stopping = EarlyStopping([both, patience_alone])
    stops = [early_stopping.update(loss.expand(2), loss.expand(2)).tolist() for loss in losses]
    assert stops == [[False, False], [False, False], [True, False], [True, True]]


RULES = [
    "early_stopping=generalization_loss early_stopping.alpha=4",
    "early_stopping=progress early_stopping.strip=3 early_stopping.alpha=0.02",
]


@pytest.mark.parametrize("rule", RULES)
def test_a_run_stops_by_the_losses_that_it_records_and_resumes(rule: str) -> None:
    words = [DOUBLE, "epochs=60", "data.label_noise=0.5", "data.train_size=80", "optimizer.lr=0.02", *rule.split()]
    [recorder], [patient, _] = train_runs(words), train_runs([*words, "early_stopping.alpha=1e9", "epochs=20"], words)
    assert recorder.final_result.status == "stopped_early"
    assert len(patient.epochs) == 20
    [settings] = [member.settings.stopping for member in make_cohort(words)[0].members]
    losses, train_losses = recorder.column("val_loss"), recorder.column("train_loss")
    stops = prechelt_stops(losses, train_losses, settings)
    assert stops.index(True) == len(stops) - 1
    assert patient.column("val_loss")[: len(stops)] == pytest.approx(losses, abs=1e-9)
    last_epoch = len(stops) - 2
    stop_request = StopRequest()
    cohort, [first] = make_cohort(words)
    train(cohort, QuietReporter(stop_request, last_epoch), stop_request)
    cohort, [second] = make_cohort(words, checkpoints=[first.checkpoint])
    train(cohort, QuietReporter(), StopRequest())
    assert [*first.column("val_loss"), *second.column("val_loss")] == losses
    assert second.final_result.status == "stopped_early"
