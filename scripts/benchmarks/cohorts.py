"""Cohorts that train an epoch whenever it is their turn, with all their measuring and recording."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from regexp.config.compose import compose_jobs
from regexp.execution.builders import build_cohort
from regexp.runs.directories import plan_runs
from regexp.training.loop import train

# The experiment sets its patience over the option of early_stopping: early_stopping=none would not end it.
LESSON = ["experiment=lesson", "early_stopping.patience=null", "device=cpu"]


def fewer(train_size: int | None) -> list[str]:
    """Overrides for fewer training images, and validation in MNIST's proportion of 60,000 to 10,000."""
    if train_size is None:
        return []
    return [f"data.train_size={train_size}", "data.validation=holdout", f"data.val_size={train_size // 6}"]


class Turns:
    """A cohort whose epochs take turns with others: a call is one pass through the body of the one training loop.

    The loop is asked to stop after each epoch, and its runs' recorders are not told. Time that others take counts
    towards when checkpoints are due: more of them are written, and counted, than if the cohort were alone.

    Attributes:
        cohort: the cohort; it has no members left after `epochs` turns.
        runs: K.
        setup: seconds from overrides to the cohort.
        recording: seconds that each turn spent in recorders.
    """

    requested = True

    def __init__(self, runs: Sequence[Sequence[str]], root: Path, epochs: int, folder: Path) -> None:
        """`runs` [K]: overrides of each; they leave their files in `folder`."""
        began = time.perf_counter()
        common = [f"data.root={root}", f"epochs={epochs}"]
        self.cohort = build_cohort(plan_runs(compose_jobs([[*overrides, *common] for overrides in runs]), folder))
        self.setup = time.perf_counter() - began
        self.runs, self.epochs = len(runs), epochs
        self.recording: list[float] = []
        for member in self.cohort.members:
            member.recorder = Told(member.recorder, self.recording)

    def __call__(self) -> None:
        self.recording.append(0.0)
        train(self.cohort, self, self)
        if len(self.cohort.members) < self.runs and self.cohort.epoch < self.epochs:
            raise SystemExit("a run ended before the others: nothing was measured")

    def epoch(self, metrics: object) -> None:
        """An epoch ended: the loop has no one else to tell."""


class Told:
    """A recorder that is told of one beginning and of no interruption; adds its seconds to the last of a list."""

    def __init__(self, recorder: Any, seconds: list[float]) -> None:
        self.recorder, self.seconds = recorder, seconds

    def __getattr__(self, name: str) -> Callable[..., None]:
        def timed(*arguments: Any) -> None:
            if name == "interrupt" or (name == "begin" and len(self.seconds) > 1):
                return
            began = time.perf_counter()
            try:
                getattr(self.recorder, name)(*arguments)
            finally:
                self.seconds[-1] += time.perf_counter() - began

        return timed
