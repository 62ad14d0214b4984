"""Cohorts that train one epoch at each call, so that they can take turns with other functions."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from signal import SIGINT
from typing import Any

from regexp.config.compose import compose_jobs
from regexp.execution.builders import build_cohort
from regexp.runs.reserving.claims import Claims
from regexp.runs.reserving.plan import plan_runs
from regexp.training.loop import train
from regexp.utils.signals import StopRequest

# The experiment sets a patience of its own, which early_stopping=none would not remove.
LESSON = ["experiment=lesson", "early_stopping.patience=null", "device=cpu"]


def limit_images(train_size: int | None) -> list[str]:
    """Return overrides for fewer training images, and for validation images in MNIST's proportion of 6 to 1."""
    if train_size is None:
        return []
    return [f"data.train_size={train_size}", "data.validation=holdout", f"data.val_size={train_size // 6}"]


class EpochwiseCohort:
    """A cohort that trains one epoch at each call: one pass through the body of the training loop.

    It is also the reporter of the loop, which it asks to stop after each epoch; the recorders do not learn of these
    interruptions. The time that other functions take counts towards when checkpoints are due, so
    more checkpoints are written, and measured, than if the cohort trained alone.

    Attributes:
        cohort: the cohort; it has no members left after `epochs` calls.
        size: the number of runs, K.
        setup_seconds: the seconds from the overrides to the cohort.
        recording_seconds: for each call, the seconds spent in recorders.
        stop_request: the request to stop, which the loop finds after each epoch.
    """

    def __init__(self, runs: Sequence[Sequence[str]], root: Path, epochs: int, outputs: Path) -> None:
        """Plan and build the cohort.

        Args:
            runs: the overrides of each run.
            root: the directory that holds MNIST/raw.
            epochs: the number of epochs that the runs train.
            outputs: the directory in which the runs write their files.
        """
        began = time.perf_counter()
        common = [f"data.root={root}", f"epochs={epochs}"]
        jobs = compose_jobs([[*overrides, *common] for overrides in runs])
        with Claims(print) as claims:
            planned_runs = plan_runs(jobs, outputs, claims)
        self.cohort = build_cohort(planned_runs)
        self.setup_seconds = time.perf_counter() - began
        self.size, self.epochs = len(runs), epochs
        self.recording_seconds: list[float] = []
        self.stop_request = StopRequest()
        self.stop_request.signal = SIGINT
        for member in self.cohort.members:
            member.recorder = TimedRecorder(member.recorder, self.recording_seconds)

    def __call__(self) -> None:
        self.recording_seconds.append(0.0)
        train(self.cohort, self, self.stop_request)
        if len(self.cohort.members) < self.size and self.cohort.epoch < self.epochs:
            raise SystemExit("a run ended before the others: nothing was measured")

    def show_epoch(self, metrics: object) -> None:
        """Show nothing."""


class TimedRecorder:
    """A recorder that adds the seconds it takes to the last entry of a list.

    It passes on the start of the run only once, and no interruption.
    """

    def __init__(self, recorder: Any, seconds: list[float]) -> None:
        self.recorder, self.seconds = recorder, seconds

    def __getattr__(self, name: str) -> Callable[..., None]:
        def timed_method(*arguments: Any) -> None:
            if name == "record_interruption" or (name == "record_start" and len(self.seconds) > 1):
                return
            began = time.perf_counter()
            try:
                getattr(self.recorder, name)(*arguments)
            finally:
                self.seconds[-1] += time.perf_counter() - began

        return timed_method
