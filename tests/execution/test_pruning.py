"""Pruning: what a pruner reads and decides, and that pruned runs leave their cohort without a trace in the others."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.cohorts import DOUBLE, QuietReporter, make_cohort, train_runs
from helpers.commands import SHORT, read_summaries, run_regexp
from optuna.pruners import NopPruner

from regexp.config.compose import compose_job
from regexp.config.schema import Config, flatten
from regexp.errors import RunTakenOver
from regexp.execution.planning import PlannedCohort, split_cohort
from regexp.execution.searching.pruning import TrialPruner
from regexp.runs.directories import PlannedRun
from regexp.runs.identity import Identity
from regexp.runs.run import Run
from regexp.runs.run_record import read_run_record
from regexp.runs.trials import PrunableTrial
from regexp.search.objectives import resolve_objectives
from regexp.search.outcomes import COMPLETE, Outcome
from regexp.search.samplers import make_sampler
from regexp.search.space import read_space
from regexp.search.study import (
    ENDED_SEEDS,
    PRUNED_AFTER,
    ask_trials,
    load_study,
    open_study,
    quiet_optuna,
    tell_outcome,
)
from regexp.training import loop
from regexp.training.member import Member
from regexp.utils.signals import StopRequest

SPACE = read_space(["optimizer.lr=interval(0.1,0.2)"])
OBJECTIVES = resolve_objectives([], [], flatten(Config()), prunes=True)
HALVING = {
    "name": "halving",
    "min_resource": 1,
    "reduction_factor": 2,
    "min_early_stopping_rate": 0,
    "bootstrap_count": 0,
}
SEEDS = itertools.count(100)  # each run has one that no other run has, unless a test says otherwise
MEDIAN = {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 0, "interval_steps": 1, "n_min_trials": 1}


def make_member(
    epoch: int, val_loss: float, best: float | None = None, status: str | None = None, seed: int | None = None
) -> Any:
    """Return what a pruner reads of a run after an epoch."""
    metrics = SimpleNamespace(epoch=epoch, values={"val_loss": val_loss})
    best_metrics = SimpleNamespace(epoch=1, values={"val_loss": val_loss if best is None else best})
    settings = SimpleNamespace(restore_best=best is not None, seed=next(SEEDS) if seed is None else seed)
    return SimpleNamespace(status=status, last=metrics, best=best_metrics, settings=settings, failure=None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the file of a study with four trials that train, and one that has ended: 0.3 after its first epoch."""
    path = tmp_path / "search.log"
    with quiet_optuna():
        study = open_study(path, "search", OBJECTIVES, NopPruner(), {})
        study.sampler = make_sampler({"name": "random", "seed": 0}, None, 0)
        trials = ask_trials(study, SPACE, 5)
        study._storage.set_trial_intermediate_value(trials[4]._trial_id, 1, 0.3)
        tell_outcome(study, trials[4], [], Outcome(COMPLETE, (0.2,), seed_values={0: (0.2,)}))
    return path


def make_pruner(file: Path, members: dict[int, list[Any]], settings: dict[str, Any]) -> TrialPruner:
    """Return the pruner of these runs by the numbers of their trials."""
    trials = {number: PrunableTrial(file, number, "val_loss", settings, 8) for number in members}
    return TrialPruner([(member, trials[number]) for number, group in members.items() for member in group])


def read_reports(file: Path) -> dict[int, dict[int, float]]:
    """Return what was reported of each trial, by its number and the epoch."""
    return {trial.number: trial.intermediate_values for trial in load_study(file).trials[:4]}


def test_a_pruner_reads_the_mean_over_seeds_and_prunes_all_of_them(file: Path) -> None:
    members = {0: [make_member(1, 0.2), make_member(1, 0.6)], 1: [make_member(1, 0.1), make_member(1, 0.3)]}
    pruner = make_pruner(file, members, MEDIAN)
    assert list(pruner.choose_pruned()) == members[0]  # 0.4 is worse than the median, 0.3
    assert {number: values[1] for number, values in read_reports(file).items() if values} == pytest.approx(
        {0: 0.4, 1: 0.2}
    )
    assert load_study(file).trials[0].user_attrs[PRUNED_AFTER] == 1


def test_a_decision_survives_its_process(file: Path) -> None:
    make_pruner(file, {0: [make_member(1, 0.4)]}, HALVING).choose_pruned()
    members = {1: [make_member(1, 0.9)]}
    assert list(make_pruner(file, members, HALVING).choose_pruned()) == members[1]
    again = {1: [make_member(2, 0.01)]}  # killed before the run was recorded, which goes on from a checkpoint
    assert list(make_pruner(file, again, HALVING).choose_pruned()) == again[1]
    assert read_reports(file)[1] == {1: 0.9}


def test_the_runs_of_a_pruned_trial_train_up_to_the_epoch_of_the_decision(file: Path) -> None:
    for number, value in ((0, 0.4), (1, 0.1)):
        for epoch in (1, 2):
            make_pruner(file, {number: [make_member(epoch, value)]}, HALVING).choose_pruned()
    members = {2: [make_member(1, 0.01)]}
    assert list(make_pruner(file, members, HALVING).choose_pruned()) == []
    members[2][0].last = make_member(2, 0.9).last
    assert list(make_pruner(file, members, HALVING).choose_pruned()) == members[2]
    behind = {2: [make_member(1, 0.01)]}  # its checkpoint was written before
    assert list(make_pruner(file, behind, HALVING).choose_pruned()) == []
    assert load_study(file).trials[2].user_attrs[PRUNED_AFTER] == 2


def test_seeds_that_ended_before_the_process_was_killed_still_count(file: Path) -> None:
    stopped, other = make_member(3, 0.9, best=0.2, status="stopped_early", seed=0), make_member(3, 0.4, seed=1)
    make_pruner(file, {0: [stopped, other]}, MEDIAN).choose_pruned()
    make_pruner(file, {0: [make_member(4, 0.8, seed=1)]}, MEDIAN).choose_pruned()
    assert read_reports(file)[0] == pytest.approx({3: 0.3, 4: 0.5})
    diverged = make_member(1, math.nan, status="diverged", seed=0)
    make_pruner(file, {1: [diverged, make_member(1, 0.1, seed=1)]}, MEDIAN).choose_pruned()
    again = {1: [make_member(1, 0.1, seed=1)]}
    assert list(make_pruner(file, again, MEDIAN).choose_pruned()) == again[1]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_halving_keeps_the_best_of_a_cohort_whatever_their_order(file: Path, order: Sequence[int]) -> None:
    values = (0.4, 0.1, 0.3, 0.2)
    members = {number: [make_member(1, values[number])] for number in order}
    pruned = make_pruner(file, members, HALVING).choose_pruned()
    assert {id(member) for member in pruned} == {id(members[number][0]) for number in (0, 2)}
    others = {number: [make_member(2, values[number])] for number in (1, 3)}  # in a process that goes on
    assert list(make_pruner(file, others, HALVING).choose_pruned()) == others[3]


def test_a_process_that_was_killed_while_it_recorded_decisions_decides_the_same_again(file: Path) -> None:
    ask_trials(load_study(file), SPACE, 1)
    values = {0: 0.5, 1: 0.1, 2: 0.4, 3: 0.2, 5: 0.3}
    members = {number: [make_member(1, value)] for number, value in values.items()}
    start = len(file.read_bytes().splitlines())
    make_pruner(file, members, HALVING).choose_pruned()
    lines = file.read_bytes().splitlines(keepends=True)
    assert len(lines) == start + 12  # five reports, five values that the pruner has noted, two trials that it has ended
    for end in range(start, len(lines) + 1):
        file.write_bytes(b"".join(lines[:end]))
        assert list(make_pruner(file, members, HALVING).choose_pruned()) == [*members[0], *members[2]]
        trials = load_study(file).trials
        assert [trial.number for trial in trials if trial.user_attrs.get(PRUNED_AFTER) == 1] == [0, 2]


def test_an_epoch_that_is_repeated_is_reported_once(file: Path) -> None:
    for value in (0.25, 0.7):
        make_pruner(file, {0: [make_member(1, value)]}, MEDIAN).choose_pruned()
    assert read_reports(file)[0] == {1: 0.25}


def test_a_seed_that_has_stopped_early_counts_with_what_it_keeps(file: Path) -> None:
    members = {0: [make_member(3, 0.9, best=0.2, status="stopped_early"), make_member(3, 0.4)]}
    make_pruner(file, members, MEDIAN).choose_pruned()
    assert read_reports(file)[0][3] == pytest.approx(0.3)


def test_the_other_seeds_of_a_trial_that_has_failed_leave(file: Path) -> None:
    members = {0: [make_member(1, math.nan, status="diverged"), make_member(1, 0.1)], 1: [make_member(1, 0.1)]}
    assert list(make_pruner(file, members, MEDIAN).choose_pruned()) == members[0][1:]


def test_a_process_whose_runs_were_taken_over_decides_nothing(file: Path) -> None:
    members = {0: [make_member(1, 0.9), make_member(1, 0.9)], 1: [make_member(1, 0.1)]}
    members[0][0].status, members[0][0].failure = "failed", RunTakenOver("no sign of life")
    assert list(make_pruner(file, members, HALVING).choose_pruned()) == []
    assert ENDED_SEEDS not in file.read_text()
    assert read_reports(file) == {number: {} for number in range(4)}


def test_trials_that_have_ended_are_asked_for_nothing(file: Path) -> None:
    members = {0: [make_member(1, 0.9, status="completed")], 1: [make_member(0, 0.0)]}
    members[1][0].last = None
    assert list(make_pruner(file, members, MEDIAN).choose_pruned()) == []
    assert read_reports(file) == {number: {} for number in range(4)}


def test_a_trial_may_be_told_while_others_of_its_cohort_go_on(file: Path) -> None:
    members = {0: [make_member(1, 0.9, seed=0)], 1: [make_member(1, 0.1)]}
    pruner = make_pruner(file, members, MEDIAN | {"n_startup_trials": 9})
    pruner.choose_pruned()
    members[0][0].status = "completed"
    with quiet_optuna():
        study = load_study(file)
        tell_outcome(study, study.trials[0], [], Outcome(COMPLETE, (0.9,), seed_values={0: (0.9,)}))
    members[1][0].last.epoch = 2
    assert list(pruner.choose_pruned()) == []
    assert read_reports(file)[1] == {1: 0.1, 2: 0.1}
    assert ENDED_SEEDS not in file.read_text()


class FirstLeaves:
    """A pruner that prunes the first run of a cohort after an epoch. Implements training.member.Pruner."""

    def __init__(self, members: Sequence[Member], epoch: int) -> None:
        self.member, self.epoch = members[0], epoch

    def choose_pruned(self) -> Sequence[Member]:
        """Return the first run, once."""
        leaves = self.member.status is None and self.member.last is not None and self.member.last.epoch == self.epoch
        return [self.member] if leaves else []


def test_a_pruned_run_leaves_the_others_as_they_are_and_may_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [[*SHORT, DOUBLE, "data.train_size=100", "epochs=4", f"seed={seed}"] for seed in (0, 1)]
    cohort, recorders = make_cohort(*runs)
    members = list(cohort.members)
    loop.train(cohort, QuietReporter(), StopRequest(), FirstLeaves(members, 2))
    by_member = {id(member.recorder): member for member in members}
    pruned, other = sorted(recorders, key=lambda recorder: by_member[id(recorder)] is not members[0])
    assert [recorder.result.status for recorder in (pruned, other)] == ["pruned", "completed"]
    assert len(pruned.column("val_loss")) == 2
    assert pruned.result.measures is None  # nobody has seen what the test set says of it
    assert other.result.measures is not None
    whole = train_runs(*runs)
    [seed] = [i for i, recorder in enumerate(recorders) if recorder is other]
    assert other.column("val_loss") == pytest.approx(whole[seed].column("val_loss"), abs=1e-9)
    # What asks for the pruned run later goes on from its checkpoint.
    again, [resumed] = make_cohort(runs[1 - seed], checkpoints=[pruned.result.checkpoint])
    loop.train(again, QuietReporter(), StopRequest())
    assert resumed.result.status == "completed"
    assert resumed.column("val_loss") == pytest.approx(whole[1 - seed].column("val_loss")[2:], abs=1e-9)


@pytest.mark.parametrize(
    ("num_trials", "num_seeds", "num_parts", "sizes"),
    [(3, 2, 3, [2, 2, 2]), (11, 3, 2, [15, 18]), (5, 3, 4, [3, 6, 3, 3]), (2, 5, 2, [5, 5]), (1, 3, 1, [3])],
)
def test_the_seeds_of_a_trial_stay_in_one_cohort(
    num_trials: int, num_seeds: int, num_parts: int, sizes: list[int]
) -> None:
    job = compose_job([])
    runs = []
    for number in range(num_trials):
        for seed in range(num_seeds):
            config = compose_job([f"seed={seed}"]).config
            trial = PrunableTrial(Path("x"), number, "val_loss", HALVING, 8)
            planned = PlannedRun(job, Identity(f"{number}{seed}", "", ""), Path("x"), False, trial=trial)
            object.__setattr__(planned, "job", SimpleNamespace(config=config))
            runs.append(planned)
    parts = split_cohort(PlannedCohort(runs), num_parts)
    trials = [planned.trial.number for part in parts for planned in dict.fromkeys(part.runs) if planned.trial]
    assert trials == [number for number in range(num_trials) for _ in range(num_seeds)]
    assert [len(part.runs) for part in parts] == sizes
    assert all(size % num_seeds == 0 for size in sizes)


@pytest.mark.slow
def test_pruned_runs_are_counted_and_never_in_means_and_go_on_where_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SHORT, DOUBLE, "data.train_size=100", "epochs=6"]
    search = ["-m", *words, "hydra/sweeper=optuna", "hydra/sweeper/pruner=halving", "hydra.sweeper.n_seeds=2"]
    space = ["optimizer.lr=tag(log,interval(1e-4,0.1))", "hydra.sweeper.n_trials=8", "hydra.sweeper.n_jobs=8"]
    assert run_regexp(monkeypatch, *search, *space) == 0
    summaries = read_summaries()
    pruned = [name for name, summary in summaries.items() if summary["status"] == "pruned"]
    assert 2 <= len(pruned) < 16
    out = capsys.readouterr().out
    assert f"{len(pruned) // 2} pruned" in out
    assert {summaries[name]["test"] for name in pruned} == {None}
    record = read_run_record(Run(Path("outputs/default", pruned[0])))
    assert (record.status, record.finished) == ("pruned", False)
    overrides = [word for word in record.overrides if not word.startswith("name=")]
    assert run_regexp(monkeypatch, *overrides) == 0
    went_on = Run(Path("outputs/default", pruned[0]))
    assert went_on.status == "completed"
    assert run_regexp(monkeypatch, *overrides, "name=whole") == 0
    [path] = Path("outputs/whole").glob("*/summary.json")
    assert went_on.summary is not None
    assert went_on.summary["last"]["val_loss"] == pytest.approx(Run(path.parent).summary["last"]["val_loss"], abs=1e-9)
