"""Searches with Optuna, from the command line."""

import io
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from helpers.claim_holders import hold_claim
from helpers.cohorts import DOUBLE
from helpers.commands import SHORT, read_summaries, record_calls, run_main, run_regexp
from optuna.trial import TrialState

from regexp.cli import compare
from regexp.config.compose import compose_job
from regexp.errors import SetupError
from regexp.execution.searching import batches as batches_module
from regexp.execution.searching import search as search_module
from regexp.execution.searching.batches import choose_batch_size
from regexp.execution.searching.search import Search
from regexp.runs.identity import Identity
from regexp.search.requirement import require_optuna
from regexp.search.settings import SearchSettings
from regexp.search.space import read_space
from regexp.search.study import PRUNED_AFTER, count_ended, load_study, quiet_optuna

TINY = ["model.hidden_sizes=[8]", "data.train_size=100", "early_stopping=none", "schedule=cosine"]
# Of the eight trials two are impossible, and three diverge.
SPACE = ["epochs=1,2", "schedule.warmup_epochs=0,1", "optimizer.lr=0.01,1e38"]
SEARCH = ["-m", "hydra/sweeper=optuna", "hydra/sweeper/sampler=grid", "hydra.sweeper.n_seeds=2", *TINY, *SPACE]


@dataclass(frozen=True)
class Ended:
    """What a search left.

    Attributes:
        directory: the directory in which it was typed.
        statuses: the exit statuses of its two commands.
        outputs: what each printed, with its errors.
        study: its study.
    """

    directory: Path
    statuses: list[int]
    outputs: list[str]
    study: optuna.Study


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return a search of two batches, of which the second command trains the last one."""
    directory = tmp_path_factory.mktemp("search")
    statuses, outputs = [], []
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(directory)
        for words in (["hydra.sweeper.n_trials=6", "hydra.sweeper.n_jobs=6"], []):
            output = io.StringIO()
            with redirect_stdout(output), redirect_stderr(output):
                statuses.append(run_regexp(monkeypatch, *SEARCH, *words))
            outputs.append(output.getvalue())
    [file] = directory.glob("outputs/default/sweeps/*.log")
    return Ended(directory, statuses, outputs, load_study(file))


def test_the_search_goes_on_whatever_becomes_of_a_trial(ended: Ended) -> None:
    assert ended.statuses == [0, 0]
    trials = ended.study.trials
    assert len(trials) == 8
    assert len({tuple(trial.params.values()) for trial in trials}) == 8
    reasons = sorted(trial.user_attrs["reason"] for trial in trials if trial.state == TrialState.FAIL)
    assert reasons == [
        *["schedule.warmup_epochs=1: must be below epochs=1"] * 2,
        *["seed=0 diverged in epoch 1"] * 3,
    ]


def test_the_objective_of_a_trial_is_the_mean_of_its_runs(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ended.directory)
    summaries = list(read_summaries().values())
    complete = [trial for trial in ended.study.trials if trial.state == TrialState.COMPLETE]
    assert len(complete) == 3
    for trial in complete:
        overrides = [f"{name}={value}" for name, value in trial.params.items()]
        values = [run["last"]["val_loss"] for run in summaries if set(overrides) <= set(run["overrides"])]
        assert len(values) == 2
        assert trial.value == pytest.approx(statistics.fmean(values))
        assert trial.user_attrs["standard_error"] == pytest.approx(statistics.stdev(values) / 2**0.5)


def test_trials_of_a_batch_train_together(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ended.directory)
    assert max(run["cohort"]["size"] for run in read_summaries().values()) > 2


def test_a_search_ends_with_the_command_of_its_best(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    best = ended.study.best_trial
    lines = ended.outputs[-1].splitlines()
    [command] = [line for line in lines if line.startswith("best ")]
    assert all(f"{name}={value}" in command for name, value in best.params.items())
    assert "8 trials to minimize val_loss: 3 complete, 5 failed" in lines
    assert any(line.startswith("- The best of 3 trials looks better than it is") for line in lines)
    words = shlex.split(command.partition("regexp ")[2])
    monkeypatch.chdir(ended.directory)
    assert run_regexp(monkeypatch, *words) == 0  # it is there already
    assert len(read_summaries()) == 12


def test_the_same_command_goes_on_and_repeats_nothing(ended: Ended) -> None:
    assert "trials   6, 2 seeds each, grid sampler" in ended.outputs[0]
    assert "trials   8, 6 of them done, 2 seeds each, grid sampler" in ended.outputs[1]


def test_the_record_of_the_sweep_names_the_study(ended: Ended) -> None:
    records = [json.loads(file.read_text()) for file in ended.directory.glob("outputs/default/sweeps/*.json")]
    assert {record["search"]["study"] for record in records} == {f"{ended.study.study_name}.log"}


@pytest.mark.slow
def test_a_search_that_another_process_runs_is_left_alone(
    ended: Ended, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ended.directory)
    with hold_claim(Path("outputs/default"), Identity(f"study {ended.study.study_name}", "", "")) as pid:
        assert run_regexp(monkeypatch, *SEARCH) == 5
    assert f"this search is run by process {pid}" in capsys.readouterr().err


@pytest.mark.slow
def test_a_name_belongs_to_one_search(
    ended: Ended, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ended.directory)
    name = f"hydra.sweeper.study_name={ended.study.study_name}"
    assert run_regexp(monkeypatch, *SEARCH, name, "hydra.sweeper.objective=val_accuracy") == 2
    assert "holds another search" in capsys.readouterr().err


KILLED = [
    "-m", *SHORT, DOUBLE, "data.train_size=200", "epochs=40", "hydra/sweeper=optuna", "hydra/sweeper/pruner=halving",
    "hydra.sweeper.n_seeds=2", "hydra.sweeper.n_trials=12", "hydra.sweeper.n_jobs=6", "hydra.launcher.workers=1",
    "hydra.sweeper.sampler.n_startup_trials=2", "optimizer.lr=tag(log,interval(1e-4,1e-1))",
    "early_stopping=default", "early_stopping.patience=1",
]  # fmt: skip


def count_epochs(name: str) -> dict[str, int]:
    """Return the number of epochs of each run, by the name of its directory; none was recorded twice or left out."""
    epochs = {}
    for file in Path("outputs", name).glob("*/metrics.csv"):
        numbers = [int(line.partition(",")[0]) for line in file.read_text().splitlines()[1:]]
        assert numbers == list(range(1, len(numbers) + 1))
        epochs[file.parent.name] = len(numbers)
    return epochs


def kill_after(words: Sequence[str], name: str, num_epochs: int) -> bool:
    """Kill a search and all its processes once its runs have so many epochs; return whether it had not ended before."""
    process = subprocess.Popen(
        [sys.executable, "-m", "regexp", *words, f"name={name}"], stdout=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while sum(file.read_bytes().count(b"\n") for file in Path("outputs", name).glob("*/metrics.csv")) < num_epochs:
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


@pytest.mark.slow
def test_a_search_that_is_killed_again_and_again_goes_on_as_if_nothing_had_happened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run_regexp(monkeypatch, *KILLED, "name=whole") == 0
    total = sum(count_epochs("whole").values())
    kills = [kill_after(KILLED, "killed", total * share // 8) for share in range(1, 8)]
    assert sum(kills) >= 3
    assert run_regexp(monkeypatch, *KILLED, "name=killed") == 0
    ends = []
    for name in ("killed", "whole"):
        [file] = Path("outputs", name, "sweeps").glob("*.log")
        ends.append(
            [
                (trial.params, trial.state, trial.user_attrs.get(PRUNED_AFTER), trial.values)
                for trial in load_study(file).trials
            ]
        )
    killed, whole = ends
    assert {trial.state for trial in load_study(file).trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert [trial[:3] for trial in killed] == [trial[:3] for trial in whole]
    values = [[value for trial in trials for value in trial[3] or []] for trials in ends]
    assert values[0] == pytest.approx(values[1], abs=1e-9)
    assert count_epochs("killed") == count_epochs("whole")  # pruned runs have trained no further
    statuses = [{name: run["status"] for name, run in read_summaries(name).items()} for name in ("killed", "whole")]
    assert statuses[0] == statuses[1]
    assert len(statuses[0]) == 24


# Two workers, each of which gets other trials once its cohort has ended; some are proposed twice.
REFILLED = [
    "-m", *SHORT, "data.train_size=200", "epochs=40", "hydra/sweeper=optuna", "hydra/sweeper/pruner=halving",
    "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=0", "hydra.sweeper.n_seeds=2",
    "hydra.sweeper.n_trials=24", "hydra.sweeper.n_jobs=4", "hydra.launcher.workers=2",
    "optimizer.lr=range(0.01,0.1,step=0.01)", "early_stopping=default", "early_stopping.patience=1",
]  # fmt: skip


def read_cohorts(name: str) -> dict[str, set[str]]:
    """Return the trials of each cohort, by its id: the learning rates of its runs."""
    cohorts: dict[str, set[str]] = {}
    for run, summary in read_summaries(name).items():
        cohorts.setdefault(summary["cohort"]["id"], set()).add(run.partition(",seed")[0])
    return cohorts


@pytest.mark.slow
@pytest.mark.parametrize("is_killed", [False, True], ids=["whole", "killed"])
def test_other_trials_take_the_place_of_a_cohort_that_has_ended(
    is_killed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "killed" if is_killed else "whole"
    if is_killed:
        assert kill_after(REFILLED, name, 60)
    batches = record_calls(monkeypatch, Search, "_train_batch")
    assert run_regexp(monkeypatch, *REFILLED, f"name={name}") == 0
    assert len(batches) < 4  # of four trials each, without others in their place
    [file] = Path("outputs", name, "sweeps").glob("*.log")
    trials = load_study(file).trials
    assert len(trials) == 24
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    # What was proposed twice was trained once, and each epoch as well.
    rates = {trial.params["optimizer.lr"] for trial in trials}
    assert len(rates) < 24
    assert len(count_epochs(name)) == 2 * len(rates)
    if not is_killed:
        assert max(map(len, read_cohorts(name).values())) <= 2
    counts = [line for line in capsys.readouterr().out.splitlines() if " of 24 trials: " in line]
    assert counts[-1].startswith("24 of 24 trials: ")


@pytest.mark.slow
def test_the_best_are_confirmed_with_new_seeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", *SHORT, "data.train_size=100", "hydra/sweeper=optuna", "hydra/sweeper/sampler=grid"]
    words += ["optimizer.lr=0.1,0.01,0.003,0.001", "hydra.sweeper.n_trials=9", "hydra.sweeper.confirm=2", "seed=5"]
    assert run_regexp(monkeypatch, *words) == 0
    out = capsys.readouterr().out
    assert "confirm  the best 3 configurations and the default one, with the seeds 6 to 7" in out
    table = out.partition("Confirmed with seeds new to the search")[2]
    assert "verdict" in table
    assert "baseline" in table
    summaries = read_summaries().values()
    assert sorted(summary["seed"] for summary in summaries) == [5] * 4 + [6] * 4 + [7] * 4
    # The last sweep is that of the confirmation, and regexp-compare shows the search before it.
    assert run_main(monkeypatch, compare.main, "regexp-compare", "--output", "report") == 0
    out = capsys.readouterr().out
    assert "4 trials to minimize val_loss: 4 complete" in out
    assert "importance of keys" in out
    assert "8 runs (8 finished), 4 configurations, 2 seeds" in out
    pictures = {path.stem for path in Path("report").glob("search_*.png")}
    assert pictures == {f"search_{name}" for name in ("history", "importances", "slices", "parallel", "timeline")}
    # The search itself gets no verdicts.
    [searched, _] = sorted(Path("outputs/default/sweeps").glob("*.json"))
    assert run_main(monkeypatch, compare.main, "regexp-compare", str(searched)) == 0
    out = capsys.readouterr().out
    assert "best trials" in out
    assert "verdict" not in out
    assert run_main(monkeypatch, compare.main, "regexp-compare", "outputs/default") == 0
    assert "some runs are trials of a search" in " ".join(capsys.readouterr().out.split())


@dataclass
class Clock:
    """A clock that stands still but for the training of batches, and the numbers of the trials of each batch."""

    now: float = 0.0
    batches: list[list[int]] = field(default_factory=list)

    def train(self, search: Search, study: optuna.Study, file: Path) -> None:
        """Take a minute for a batch of two trials, which both end. Stands for Search._train_batch."""
        trials = search._take_trials(study, 2)
        self.now += 60
        self.batches.append([trial.number for trial in trials])
        for trial in trials:
            study.tell(trial.number, 0.5)


@pytest.mark.parametrize("begun", [False, True], ids=["new", "interrupted"])
def test_no_batch_begins_after_the_timeout_and_the_same_command_goes_on(
    monkeypatch: pytest.MonkeyPatch, settings: SearchSettings, begun: bool
) -> None:
    settings = replace(settings, sampler={"name": "random", "seed": 0}, num_trials=10, num_jobs=2, timeout=90.0)
    space = read_space(["optimizer.lr=interval(0.1,0.2)"])
    plan: Any = SimpleNamespace(settings=settings, space=space, num_trials=10, grid=None)
    clock, lines = Clock(), list[str]()
    terminal: Any = SimpleNamespace(print_line=lines.append)
    search = Search(plan, None, terminal)
    monkeypatch.setattr(search_module.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(search, "_train_batch", partial(clock.train, search))
    with quiet_optuna():
        study = optuna.create_study()
        if begun:
            search._ask(study, 3)  # trials that a command with larger batches has begun
        for _ in range(2):
            search._train_trials(study, Path("x"))
    batches = [[0, 1], [2], [3, 4], [5, 6]] if begun else [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert clock.batches == batches
    assert lines[0] == f"The time is over after {3 if begun else 4} of 10 trials. The same command goes on."
    assert count_ended(study) == (7 if begun else 8)


def test_optuna_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SetupError, match=r"type: uv sync --extra optuna, or: pip install 'regexp\[optuna\]'$"):
        require_optuna()


@pytest.fixture
def settings() -> SearchSettings:
    return SearchSettings({"name": "tpe"}, {"name": "none"}, (), (), 64, None, 3, None, 0, None, ())


@pytest.mark.parametrize(
    ("sampler", "pruner", "num_jobs", "workers", "refills", "size"),
    [
        ("tpe", "none", None, 1, True, 6),
        ("tpe", "none", None, 2, True, 11),
        ("tpe", "none", None, 8, True, 16),
        ("random", "none", None, 8, True, 43),
        ("tpe", "none", 5, 8, True, 5),
        ("tpe", "halving", None, 1, True, 11),
        ("tpe", "halving", None, 2, True, 11),
        ("tpe", "halving", None, 2, False, 22),
        ("tpe", "halving", None, 8, True, 16),
        ("tpe", "halving", None, 8, False, 22),
        ("random", "halving", None, 2, False, 22),
        ("tpe", "halving", 5, 2, True, 5),
    ],
)
def test_a_batch_fills_the_cohorts_of_the_workers(
    settings: SearchSettings, sampler: str, pruner: str, num_jobs: int | None, workers: int, refills: bool, size: int
) -> None:
    """With a pruner, twice as many runs begin together where no others follow before all have ended."""
    settings = replace(settings, sampler={"name": sampler}, pruner={"name": pruner}, num_jobs=num_jobs)
    assert choose_batch_size(settings, compose_job([]), workers, refills) == size


@pytest.mark.parametrize(("num_trials", "size"), [(64, 11), (12, 4)])
def test_a_batch_too_short_for_workers_is_not_refilled(
    settings: SearchSettings, num_trials: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 12 trials a quarter, 9 runs, trains in this process, so a third of them begins together."""
    monkeypatch.setattr(batches_module, "choose_num_workers", lambda configs, _: 2 if len(configs) > 9 else 1)
    settings = replace(settings, pruner={"name": "halving"}, num_trials=num_trials)
    assert choose_batch_size(settings, compose_job([]), None, refills=True) == size
