"""Displays of cohorts that train one after the other, and at the same time."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from regexp.config.compose import compose_job
from regexp.execution.displays.bars import TerminalBar
from regexp.execution.displays.lines import MAX_PROGRESS_LINES, lowest_loss
from regexp.execution.displays.parallel import ParallelDisplay
from regexp.execution.displays.sequential import SequentialDisplay
from regexp.execution.events import CohortDescription, EpochSummary
from regexp.execution.planning import PlannedCohort
from regexp.runs.directories import PlannedRun
from regexp.runs.identity import Identity
from regexp.utils.console import Console

FACTS = {"device": "cpu (1 thread), float32", "model": "64-8-10, relu; 610 parameters"}


def describe(num_runs: int = 4, epochs: int = 40, epoch: int = 0, **facts: str) -> CohortDescription:
    """Return the description of a cohort."""
    return CohortDescription(FACTS | facts, num_runs, 2, epochs, epoch)


def summarize(epoch: int, num_runs: int = 4, val_loss: float = 0.5) -> EpochSummary:
    """Return the summary of an epoch."""
    return EpochSummary(epoch, num_runs, 0.4, val_loss, 0.9)


def make_console(is_terminal: bool) -> tuple[Console, io.StringIO]:
    """Return a console of 80 columns, and what it prints."""
    stream = io.StringIO()
    return Console(file=stream, force_terminal=is_terminal, width=80, highlight=False, soft_wrap=True), stream


def read_lines(stream: io.StringIO) -> list[str]:
    """Return what was printed, line by line, without colours, and each state of a progress bar as a line."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()))


def test_a_cohort_prints_a_few_lines_where_nothing_can_be_redrawn() -> None:
    console, stream = make_console(is_terminal=False)
    display = SequentialDisplay(console)
    with display.watch(describe(epochs=100)):
        for epoch in range(1, 101):
            display.show_summary(summarize(epoch, val_loss=1 / epoch))
    lines = read_lines(stream)
    assert any(line.split() == ["runs", "4", "together,", "2", "image", "streams"] for line in lines)
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert len(epochs) == MAX_PROGRESS_LINES + 1
    assert epochs[-1] == "epoch 100/100  4 runs training, best so far 0.0100 (90.00%)"


def plan(*epochs: int, done: int = 0) -> PlannedCohort:
    """Return a planned cohort, with a run for each of these numbers of epochs, that resumes after some."""
    runs = []
    for seed, number in enumerate(epochs):
        job = compose_job([f"epochs={number}", f"seed={seed}", "early_stopping=none"])
        runs.append(PlannedRun(job, Identity("", "", ""), Path(str(seed)), finished=False))
    return PlannedCohort(runs, done)


def test_cohorts_at_the_same_time_share_headers_lines_and_the_best_run() -> None:
    console, stream = make_console(is_terminal=False)
    planned = plan(40, 40, 40, 40)
    with ParallelDisplay(console, num_runs=12, run_epochs=480, num_cohorts=3) as display:
        display.start_cohort(1, planned, describe())
        display.start_cohort(2, planned, describe())
        display.start_cohort(3, planned, describe(epoch=10, model="64-9-10, relu"))
        for epoch in range(1, 41):
            display.show_summary(1, summarize(epoch, val_loss=0.3))
            display.show_summary(2, summarize(epoch, num_runs=1, val_loss=0.2))
    lines = read_lines(stream)
    assert sum(line.startswith("model") for line in lines) == 2  # one for each shape
    assert "cohort 3: resuming after epoch 10" in lines
    first = [line for line in lines if line.startswith("cohort 1  ")]
    assert len(first) <= MAX_PROGRESS_LINES // 3 + 2
    assert first[0] == "cohort 1  epoch 1/40  4 runs training, best of all so far 0.3000 (90.00%)"
    assert first[-1] == "cohort 1  epoch 40/40  4 runs training, best of all so far 0.2000 (90.00%)"
    assert "cohort 2  epoch 40/40  1 run training, best of all so far 0.2000 (90.00%)" in lines


def shown(display: ParallelDisplay) -> tuple[float, str]:
    """Return the number of epochs and the number of runs that a progress bar shows."""
    assert isinstance(display.bar, TerminalBar)
    [task] = display.bar.progress.tasks
    return task.completed, task.fields["label"]


def test_a_progress_bar_grows_with_cohorts_that_follow() -> None:
    console, _ = make_console(is_terminal=True)
    with ParallelDisplay(console, num_runs=2, run_epochs=80, num_cohorts=1) as display:
        display.end_cohort(1, plan(40, 40))
        display.add_cohorts([plan(40), plan(40, 40, done=10)])
        display.end_cohort(2, plan(40))
        assert shown(display) == (120, "3/5")
        assert isinstance(display.bar, TerminalBar)
        assert display.bar.progress.tasks[0].total == 80 + 40 + 2 * 30


def test_one_progress_bar_counts_the_runs_and_epochs_of_all_workers() -> None:
    console, stream = make_console(is_terminal=True)
    planned = plan(40, 40, 40, 40)
    with ParallelDisplay(console, num_runs=8, run_epochs=320, num_cohorts=2) as display:
        display.start_cohort(1, planned, describe())
        display.start_cohort(2, planned, describe())
        display.show_summary(1, summarize(10))
        assert shown(display) == (40, "0/8")
        display.show_summary(2, summarize(20, num_runs=1))  # three runs have left early
        assert shown(display) == (40 + 140, "3/8")
        display.end_part(2)
        assert shown(display) == (40 + 160, "4/8")
        display.end_cohort(2, planned)
        assert shown(display) == (40 + 160, "4/8")
        display.show_summary(1, summarize(20))
        display.end_part(1)
        display.end_cohort(1, planned)
        assert shown(display) == (320, "8/8")
    assert all(len(line) <= 80 for line in read_lines(stream))


def test_a_cohort_that_another_worker_goes_on_with_keeps_its_runs_and_epochs() -> None:
    """One of four runs ended before the worker died; the others go on from their checkpoints, at two epochs."""
    console, _ = make_console(is_terminal=True)
    planned = plan(40, 40, 40, 40)
    ended, rest = replace(planned, runs=planned.runs[:1]), replace(planned, runs=planned.runs[1:])
    with ParallelDisplay(console, num_runs=4, run_epochs=160, num_cohorts=1) as display:
        display.start_cohort(1, planned, describe())
        display.show_summary(1, summarize(12, num_runs=3))
        assert shown(display) == (40 + 3 * 12, "1/4")
        display.end_cohort(1, ended)  # the worker has died
        assert shown(display) == (40, "1/4")
        display.start_cohort(1, rest, describe(num_runs=2, epoch=10))
        assert shown(display) == (40 + 2 * 10, "1/4")
        display.show_summary(1, summarize(30, num_runs=2))
        assert shown(display) == (40 + 2 * 30, "1/4")
        display.end_part(1)
        assert shown(display) == (40 + 2 * 40, "3/4")
        display.start_cohort(1, rest, describe(num_runs=1, epoch=8))
        assert shown(display) == (40 + 2 * 40 + 8, "3/4")
        display.show_summary(1, summarize(20, num_runs=1))
        assert shown(display) == (40 + 2 * 40 + 20, "3/4")
        display.end_part(1)
        display.end_cohort(1, rest)
        assert shown(display) == (160, "4/4")


def test_halves_of_a_cohort_that_does_not_fit_in_memory_are_counted_once() -> None:
    console, _ = make_console(is_terminal=True)
    planned = plan(40, 40, 40, 40)
    with ParallelDisplay(console, num_runs=4, run_epochs=160, num_cohorts=1) as display:
        display.start_cohort(1, planned, describe())
        display.start_cohort(1, planned, describe(num_runs=2))
        display.show_summary(1, summarize(10, num_runs=2))
        assert shown(display) == (2 * 10, "0/4")
        display.end_part(1)
        display.start_cohort(1, planned, describe(num_runs=2))
        assert shown(display) == (2 * 40, "2/4")
        display.end_part(1)
        assert shown(display) == (160, "4/4")


def test_runs_with_different_numbers_of_epochs_are_counted_with_their_own() -> None:
    console, _ = make_console(is_terminal=True)
    planned = plan(10, 100, done=5)
    with ParallelDisplay(console, num_runs=2, run_epochs=5 + 95, num_cohorts=1) as display:
        display.start_cohort(1, planned, describe(num_runs=2, epochs=100, epoch=5))
        assert shown(display) == (0, "0/2")
        display.show_summary(1, summarize(10, num_runs=2))
        assert shown(display) == (5 + 5, "0/2")
        display.show_summary(1, summarize(50, num_runs=1))
        assert shown(display) == (5 + 45, "1/2")


def test_the_best_run_is_the_one_with_the_lowest_loss_and_nan_is_never_the_best() -> None:
    nan, low, high = summarize(1, val_loss=float("nan")), summarize(2, val_loss=0.1), summarize(3, val_loss=0.2)
    assert lowest_loss([nan, low, high]) is low
    assert lowest_loss([None, nan]) is nan
    assert lowest_loss([summarize(1), low, summarize(5, val_loss=0.1)]).epoch == 5  # the later of two equal ones


def test_a_quiet_display_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    with ParallelDisplay(console, 4, 160, 1) as display:
        display.start_cohort(1, plan(40, 40, 40, 40), describe())
        display.show_summary(1, summarize(1))
    with SequentialDisplay(console).watch(describe()):
        pass
    assert capsys.readouterr().out == ""
