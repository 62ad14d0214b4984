"""Displays of cohorts that train one after the other, and at the same time."""

import io
import re

import pytest

from regexp.execution.displays import MAX_PROGRESS_LINES, ParallelDisplay, SequentialDisplay, lowest_loss
from regexp.execution.events import CohortDescription, EpochSummary
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


def test_cohorts_at_the_same_time_share_headers_lines_and_the_best_run() -> None:
    console, stream = make_console(is_terminal=False)
    with ParallelDisplay(console, num_runs=12, run_epochs=480, num_cohorts=3) as display:
        display.start_cohort(1, describe())
        display.start_cohort(2, describe())
        display.start_cohort(3, describe(epoch=10, model="64-9-10, relu"))
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


def test_one_progress_bar_counts_the_runs_and_epochs_of_all_workers() -> None:
    console, stream = make_console(is_terminal=True)
    with ParallelDisplay(console, num_runs=8, run_epochs=320, num_cohorts=2) as display:
        display.start_cohort(1, describe())
        display.start_cohort(2, describe())
        assert display.progress is not None

        def shown() -> tuple[float, str]:
            assert display.progress is not None
            [task] = display.progress.tasks
            return task.completed, task.fields["label"]

        display.show_summary(1, summarize(10))
        assert shown() == (40, "0/8")
        display.show_summary(2, summarize(20, num_runs=1))  # three runs have left early
        assert shown() == (40 + 140, "3/8")
        display.end_cohort(2, 4, 160)
        assert shown() == (40 + 160, "4/8")
        display.drop_cohort(1)  # its worker has died
        assert shown() == (160, "4/8")
        display.start_cohort(1, describe(epoch=8))
        display.show_summary(1, summarize(10))
        assert shown() == (160 + 8, "4/8")
        display.end_cohort(1, 4, 160)
        assert shown() == (320, "8/8")
    assert all(len(line) <= 80 for line in read_lines(stream))


def test_the_best_run_is_the_one_with_the_lowest_loss_and_nan_is_never_the_best() -> None:
    nan, low, high = summarize(1, val_loss=float("nan")), summarize(2, val_loss=0.1), summarize(3, val_loss=0.2)
    assert lowest_loss([nan, low, high]) is low
    assert lowest_loss([None, nan]) is nan
    assert lowest_loss([summarize(1), low, summarize(5, val_loss=0.1)]).epoch == 5  # the later of two equal ones


def test_a_quiet_display_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    with ParallelDisplay(console, 4, 160, 1) as display:
        display.start_cohort(1, describe())
        display.show_summary(1, summarize(1))
    with SequentialDisplay(console).watch(describe()):
        pass
    assert capsys.readouterr().out == ""
