"""Searches: the time until a validation accuracy is reached, with cohorts and pruning and one run after the other."""

import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from optuna.trial import TrialState

from benchmarks.timing import Rows, summarize_ratios
from regexp.search.study import load_study, quiet_optuna

SPACE = [
    "optimizer.lr=tag(log,interval(1e-4,1e-1))",
    "model.dropout=interval(0.0,0.7)",
    "optimizer.weight_decay=tag(log,interval(1e-6,1e-2))",
    "augmentation=none,shift",
]
# One run after the other, as a loop over trials does it; nothing is pruned.
ONE_BY_ONE = ["hydra.sweeper.n_jobs=1", "hydra.launcher.max_runs=1", "hydra.launcher.workers=1"]


def benchmark_search(
    root: Path,
    epochs: int,
    train_size: int,
    trials: int,
    seeds: int,
    targets: Sequence[float],
    pruner: str,
    repeats: int,
) -> Rows:
    """Compare the seconds until a trial has reached a validation accuracy, and those of the whole search.

    Both ways search the same space with the same sampler. Each repetition has another seed of the sampler. There is no
    ratio for an accuracy that not all searches reach.

    Args:
        root: the directory that holds MNIST/raw.
        epochs: the largest number of epochs of a run.
        train_size: the number of training images.
        trials: the number of trials.
        seeds: the number of runs of a trial.
        targets: the mean validation accuracies over its seeds that a complete trial has to reach, fractions.
        pruner: the pruner of the search with cohorts.
        repeats: how often each search is run.
    """
    words = [
        "data=mnist", f"data.root={root.resolve()}", f"data.train_size={train_size}", f"epochs={epochs}", *SPACE,
        f"hydra.sweeper.n_trials={trials}", f"hydra.sweeper.n_seeds={seeds}", "hydra.sweeper.objective=val_accuracy",
    ]  # fmt: skip
    ways = {"cohorts and pruning": [f"hydra/sweeper/pruner={pruner}"], "one run after the other": ONE_BY_ONE}
    searches: dict[str, list[TimedSearch]] = {way: [] for way in ways}
    for repeat in range(repeats):
        for way, further_words in ways.items():
            search = time_search([*words, *further_words, f"hydra.sweeper.sampler.seed={repeat}"])
            searches[way].append(search)
            print(f"{way}: {search.seconds:.0f} s, best {100 * search.best:.2f} %", file=sys.stderr)
    rows: Rows = {}
    for target in targets:
        goal = f"to {100 * target:g} %"
        seconds = {way: [search.seconds_until(target) for search in timed] for way, timed in searches.items()}
        for way, values in seconds.items():
            reached = [value for value in values if math.isfinite(value)]
            count = "" if len(reached) == repeats else f" ({len(reached)} of {repeats})"
            rows[f"{goal}, {way}{count}"] = {"median": statistics.median(reached)} if reached else {}
        if all(math.isfinite(value) for values in seconds.values() for value in values):
            cohorts, one_by_one = seconds.values()
            rows[f"{goal}, times faster"] = summarize_ratios(one_by_one, cohorts)
    seconds = {way: [search.seconds for search in timed] for way, timed in searches.items()}
    rows |= {f"{trials} trials, {way}": {"median": statistics.median(values)} for way, values in seconds.items()}
    cohorts, one_by_one = seconds.values()
    rows[f"{trials} trials, times faster"] = summarize_ratios(one_by_one, cohorts)
    return rows


@dataclass(frozen=True)
class TimedSearch:
    """A search that has ended.

    Attributes:
        seconds: those of the whole command.
        ends: when each complete trial had ended, in seconds, and its mean validation accuracy.
    """

    seconds: float
    ends: Sequence[tuple[float, float]]

    @property
    def best(self) -> float:
        """The best mean validation accuracy; minus infinity without a complete trial."""
        return max((value for _, value in self.ends), default=-math.inf)

    def seconds_until(self, target: float) -> float:
        """Return the seconds until a trial had an accuracy; infinity if none did."""
        return min((end for end, value in self.ends if value >= target), default=math.inf)


def time_search(words: Sequence[str]) -> TimedSearch:
    """Run a search in an empty directory."""
    with tempfile.TemporaryDirectory() as directory:
        began, began_at = time.perf_counter(), datetime.now()
        command = [sys.executable, "-m", "regexp", "-m", "hydra/sweeper=optuna", *words]
        process = subprocess.run(command, check=False, cwd=directory, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        files = list(Path(directory).glob("outputs/*/sweeps/*.log"))
        if process.returncode != 0 or len(files) != 1:
            raise SystemExit(f"regexp -m {' '.join(words)}: exit status {process.returncode}\n{process.stderr}")
        with quiet_optuna():
            study = load_study(files[0])
            complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        ends = [
            ((trial.datetime_complete - began_at).total_seconds(), trial.value)
            for trial in complete
            if trial.datetime_complete is not None and trial.value is not None
        ]
    return TimedSearch(seconds, ends)
