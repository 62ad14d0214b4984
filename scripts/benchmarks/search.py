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
from regexp.errors import RunError
from regexp.search.study import load_study, quiet_optuna

# Wide, as long as nobody knows better; most of it is no good.
SPACE = [
    "optimizer.lr=tag(log,interval(1e-5,1))",
    "model.dropout=interval(0.0,0.8)",
    "optimizer.weight_decay=tag(log,interval(1e-6,1))",
    "loss.label_smoothing=interval(0.0,0.5)",
    "augmentation=none,shift",
]
# One run after the other, as a loop over trials does it; nothing is pruned.
ONE_BY_ONE = ["hydra.sweeper.n_jobs=1", "hydra.launcher.max_runs=1", "hydra.launcher.workers=1"]
# Seconds between two looks at the study of a search.
_LOOK_SECONDS = 1.0


def benchmark_search(
    root: Path,
    epochs: int,
    train_size: int,
    trials: int,
    seeds: int,
    targets: Sequence[float],
    pruner: Sequence[str],
    repeats: int,
    whole: bool,
) -> Rows:
    """Compare the seconds until a trial has reached a validation accuracy, and perhaps those of the whole search.

    Both ways search the same space with the same sampler, and end once the highest accuracy is reached, unless the
    whole search is timed. Each repetition has another seed of the sampler. There is no ratio for an accuracy that not
    all searches reach.

    Args:
        root: the directory that holds MNIST/raw.
        epochs: the largest number of epochs of a run.
        train_size: the number of training images.
        trials: the largest number of trials.
        seeds: the number of runs of a trial.
        targets: the mean validation accuracies over its seeds that a complete trial has to reach, fractions.
        pruner: the words that choose the pruner of the search with cohorts.
        repeats: how often each search is run.
        whole: whether searches go on until all trials have ended.
    """
    words = [
        "data=mnist", f"data.root={root.resolve()}", f"data.train_size={train_size}", f"epochs={epochs}", *SPACE,
        f"hydra.sweeper.n_trials={trials}", f"hydra.sweeper.n_seeds={seeds}", "hydra.sweeper.objective=val_accuracy",
    ]  # fmt: skip
    ways = {"cohorts and pruning": list(pruner), "one run after the other": ONE_BY_ONE}
    searches: dict[str, list[TimedSearch]] = {way: [] for way in ways}
    for repeat in range(repeats):
        for way, further_words in ways.items():
            sampler_words = [f"hydra.sweeper.sampler.seed={repeat}"]
            search = time_search([*words, *further_words, *sampler_words], math.inf if whole else max(targets))
            searches[way].append(search)
            seconds_until = [f"{search.seconds_until(target):.1f} s to {100 * target:g} %" for target in targets]
            print(
                f"{way}: {len(search.ends)} complete trials, best {100 * search.best:.2f} %, {search.seconds:.0f} s; "
                + ", ".join(seconds_until),
                file=sys.stderr,
            )
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
            rows[f"{goal}, ratio of the sums"] = {"ratio": sum(one_by_one) / sum(cohorts)}
    if whole:
        seconds = {way: [search.seconds for search in timed] for way, timed in searches.items()}
        rows |= {f"{trials} trials, {way}": {"median": statistics.median(values)} for way, values in seconds.items()}
        cohorts, one_by_one = seconds.values()
        rows[f"{trials} trials, times faster"] = summarize_ratios(one_by_one, cohorts)
    return rows


@dataclass(frozen=True)
class TimedSearch:
    """A search that has ended, or was ended.

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


def time_search(words: Sequence[str], target: float) -> TimedSearch:
    """Run a search in an empty directory, until it ends or a trial has reached a validation accuracy."""
    with tempfile.TemporaryDirectory() as directory:
        began, began_at = time.perf_counter(), datetime.now()
        command = [sys.executable, "-m", "regexp", "-m", "hydra/sweeper=optuna", *words]
        log = Path(directory, "log")
        with log.open("w") as file:
            process = subprocess.Popen(command, cwd=directory, stdout=file, stderr=file)
        ends: list[tuple[float, float]] = []
        while process.poll() is None and max((value for _, value in ends), default=-math.inf) < target:
            time.sleep(_LOOK_SECONDS)
            ends = read_ends(directory, began_at)
        if process.poll() is None:
            process.terminate()
            process.wait()
        elif process.returncode != 0:
            raise SystemExit(f"regexp -m {' '.join(words)}: exit status {process.returncode}\n{log.read_text()}")
        return TimedSearch(time.perf_counter() - began, read_ends(directory, began_at))


def read_ends(directory: str, began_at: datetime) -> list[tuple[float, float]]:
    """Return when each complete trial of the search in a directory had ended, and its value, as in TimedSearch."""
    files = list(Path(directory).glob("outputs/*/sweeps/*.log"))
    if not files:
        return []
    try:
        with quiet_optuna():
            complete = load_study(files[0]).get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    except RunError:  # the search has just created the file
        return []
    return [
        ((trial.datetime_complete - began_at).total_seconds(), trial.value)
        for trial in complete
        if trial.datetime_complete is not None and trial.value is not None
    ]
