"""The study of a search: its file after a kill, how trials end, and what is found."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.pruners import NopPruner

from regexp.config.schema import Config, flatten
from regexp.errors import ConfigError, RunError
from regexp.search import journal
from regexp.search.findings import count_outcomes, describe_progress, find_best_trials
from regexp.search.journal import open_storage, repair_journal
from regexp.search.objectives import SearchObjective, resolve_objectives
from regexp.search.outcomes import COMPLETE, FAILED, PRUNED, judge_trial
from regexp.search.samplers import make_sampler
from regexp.search.space import SearchSpace, read_space
from regexp.search.study import ask_trials, find_open_trials, load_study, open_study, quiet_optuna, tell_outcome

OBJECTIVES = resolve_objectives(["val_accuracy"], [], flatten(Config()), prunes=False)
SPACE = read_space(["optimizer.lr=interval(0.1,0.2)", "normalization=none,batch"])


def make_record(seed: int, value: float | None, status: str = "completed", problem: str | None = None) -> Any:
    """Return what a trial needs of the record of a run."""
    values = {} if value is None else {"val_accuracy": value, "epochs": 3.0}
    finished = status in ("completed", "stopped_early")
    return SimpleNamespace(
        seed=seed, metric_values=values, status=status, finished=finished, problem=problem, last_epoch=2
    )


def new_study(file: Path | None, objectives: list[SearchObjective] = OBJECTIVES) -> optuna.Study:
    """Return a study whose sampler draws at random."""
    study = open_study(file, "search", objectives, NopPruner(), {"command": "regexp -m"})
    study.sampler = make_sampler({"name": "random", "seed": 0}, None, 0)
    return study


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with quiet_optuna():
        yield


@pytest.mark.parametrize(
    ("records", "state", "reason"),
    [
        ([(0, 0.5), (1, 0.7)], COMPLETE, ""),
        ([(0, 0.5), (1, 0.7, "stopped_early")], COMPLETE, ""),
        ([(0, 0.5), (1, 0.7, "pruned")], PRUNED, ""),
        ([(0, 0.5), (1, None, "diverged")], FAILED, "seed=1 diverged in epoch 2"),
        ([(0, 0.5, "pruned"), (1, None, "diverged")], FAILED, "seed=1 diverged in epoch 2"),
        ([(0, 0.5), (1, None, "failed", "out of luck")], FAILED, "seed=1 failed: out of luck"),
        ([(0, 0.5)], FAILED, "a run of it left no record"),
        ([(0, 0.5), (1, None)], FAILED, "a run has no finite value of val_accuracy"),
    ],
)
def test_a_trial_ends_as_its_runs_do(records: list[Any], state: str, reason: str) -> None:
    outcome = judge_trial([make_record(*record) for record in records], 2, OBJECTIVES)
    assert (outcome.state, outcome.reason) == (state, reason)
    assert bool(outcome.values) == (state == COMPLETE)


def test_the_objective_is_the_mean_over_seeds_with_its_standard_error() -> None:
    outcome = judge_trial([make_record(4, 0.5), make_record(5, 0.7), make_record(6, 0.9)], 3, OBJECTIVES)
    assert outcome.values == pytest.approx((0.7,))
    assert outcome.standard_errors == pytest.approx((0.2 / 3**0.5,))
    study = new_study(None)
    [trial] = ask_trials(study, SPACE, 1)
    tell_outcome(study, trial, SPACE.make_choices(trial.params), outcome)
    [told] = study.trials
    assert told.value == pytest.approx(0.7)
    assert told.user_attrs["standard_error"] == pytest.approx(0.2 / 3**0.5)
    assert told.user_attrs["overrides"][1] == f"normalization={trial.params['normalization']}"
    [found] = find_best_trials(study)
    assert (found.estimates[0].n, found.estimates[0].sd) == (3, pytest.approx(0.2))


def test_half_a_line_and_a_lock_are_left_by_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_LOCK_SECONDS", 0.05)
    file = tmp_path / "search.log"
    ask_trials(new_study(file), SPACE, 2)
    content = file.read_bytes()
    for rest in (b'{"op_code":5,"wor', b"\0" * 40, b'{"op_code"\n{"op_code":5}\n'):
        file.write_bytes(content + rest)
        (tmp_path / "search.log.lock").touch()
        repair_journal(file)
        assert file.read_bytes() == content
        assert len(load_study(file).trials) == 2
        assert not (tmp_path / "search.log.lock").exists()
    repair_journal(tmp_path / "none.log")


def test_trials_that_were_begun_are_found_again(tmp_path: Path) -> None:
    file = tmp_path / "search.log"
    first = ask_trials(new_study(file), SPACE, 2)
    study = new_study(file)
    study.ask({"optimizer.lr": SPACE.parameters["optimizer.lr"]})  # killed before it had all values
    again = find_open_trials(study, SPACE)
    assert [(trial.number, trial.params) for trial in again] == [(trial.number, trial.params) for trial in first]
    assert count_outcomes(study) == {FAILED: 1}


def test_a_grid_is_tried_once(tmp_path: Path) -> None:
    space = SearchSpace((), {"normalization": SPACE.parameters["normalization"]}, 0)
    tried = []
    for _ in range(2):  # each time another process goes on
        study = new_study(tmp_path / "grid.log")
        study.sampler = make_sampler({"name": "grid", "seed": 0}, space.list_grid(), len(study.trials))
        [trial] = ask_trials(study, space, 1)
        tell_outcome(study, trial, [], judge_trial([make_record(0, 0.5)], 1, OBJECTIVES))
        tried.append(trial.params["normalization"])
    assert sorted(tried) == ["batch", "none"]


def test_the_progress_fits_into_a_line() -> None:
    study = new_study(None)
    trials = ask_trials(study, SPACE, 22)
    outcomes = [judge_trial([make_record(0, 0.9), make_record(1, 0.96)], 2, OBJECTIVES)] * 2
    outcomes += [judge_trial([make_record(0, 0.9, "pruned")], 1, OBJECTIVES)] * 20
    for trial, outcome in zip(trials, outcomes, strict=True):
        tell_outcome(study, trial, ["normalization=none"], outcome)
    lines = list(describe_progress(study, trials, outcomes, 128))
    assert lines == ["22 of 128 trials: 2 complete, 20 pruned; best: trial 0, 93.00 ± 38.12 %"]


def test_what_no_other_trial_beats_is_found_once() -> None:
    objectives = resolve_objectives(["val_accuracy", "epochs"], [], flatten(Config()), prunes=False)
    study = new_study(None, objectives)
    for trial, value in zip(ask_trials(study, SPACE, 3), (0.5, 0.5, 0.4), strict=True):
        tell_outcome(study, trial, ["normalization=none"], judge_trial([make_record(0, value)], 1, objectives))
    assert [trial.number for trial in find_best_trials(study)] == [0]


@pytest.mark.parametrize("content", [None, b"", b"nonsense\nmore\n"])
def test_a_study_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "search.log").write_bytes(content)
    with pytest.raises(RunError, match=r"search\.log is (gone|broken)"):
        load_study(tmp_path / "search.log")


def test_a_journal_is_optunas_own(tmp_path: Path) -> None:
    file = tmp_path / "search.log"
    ask_trials(new_study(file), SPACE, 1)
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    [theirs] = JournalStorage(JournalFileBackend(str(file))).get_all_studies()
    [ours] = open_storage(file).get_all_studies()
    assert theirs.study_name == ours.study_name == "search"


def write_study(file: Path) -> list[bytes]:
    """Write a study with two trials, and return the lines of its file."""
    study = new_study(file)
    ask_trials(study, SPACE, 2)
    return file.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("breaks", "is_copied"),
    [
        (lambda lines: [*lines[:-1], lines[-1][:-5]], False),  # a process was killed while it wrote
        (lambda lines: [*lines[:4], lines[4].replace(b"{", b"X"), *lines[5:]], True),
        (lambda lines: [*lines[:4], b'{"a":1}\n', *lines[5:]], True),
        (lambda lines: [*lines[:4], b"[1]\n"], True),
        (lambda lines: [b"\x00\xff something else"], True),
        (lambda lines: [], False),
    ],
)
def test_a_broken_journal_goes_on_and_loses_nothing(tmp_path: Path, breaks: Any, is_copied: bool) -> None:
    file = tmp_path / "search.log"
    content = b"".join(breaks(write_study(file)))
    file.write_bytes(content)
    for number in (1, 2):
        copy = repair_journal(file)
        assert (copy is not None) == is_copied
        if copy is not None:
            assert copy.name == f"search.log.broken-{number}"  # an earlier copy is kept
            assert copy.read_bytes() == content
        new_study(file)
        assert file.read_bytes().endswith(b"}\n")
        file.write_bytes(content)


def test_a_journal_that_contradicts_itself_has_one_message(tmp_path: Path) -> None:
    file = tmp_path / "search.log"
    lines = write_study(file)
    file.write_bytes(b"".join([lines[0], b'{"op_code":4,"worker_id":"x"}\n', *lines[1:]]))
    assert repair_journal(file) is None
    for use in (new_study, load_study):
        with pytest.raises(RunError, match=r"search\.log is broken \(KeyError: .*\)\. Rename or delete it, and type"):
            use(file)


def test_a_file_with_a_study_of_another_name_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "search.log"
    content = b"".join(write_study(file))
    with pytest.raises(ConfigError, match="holds a study of another name: rename it, or choose another study_name"):
        open_study(file, "first", OBJECTIVES, NopPruner(), {})
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "words", "part"),
    [
        ("ece", {}, None),
        ("values_kept/val_loss", {}, None),
        ("test_accuracy", {"data.validation": "test"}, "data.validation=test leaves no test images"),
        ("corrupted_accuracy", {}, "with evaluation.corruptions=true only; add it"),
        ("worst_corruption_accuracy", {"evaluation.corruptions": True}, None),
        ("corrupted_accuracy", {"evaluation.corruptions": True, "data": "wine"}, "a table has no images"),
        ("corrupted_accuracy", {"metrics.corrupted_accuracy.better": "higher"}, "must be one of"),  # of the user's own
    ],
)
def test_an_objective_is_measured(name: str, words: dict[str, Any], part: str | None) -> None:
    options = {**flatten(Config()), **words}
    if part is None:
        assert resolve_objectives([name], [], options, prunes=False)
    else:
        with pytest.raises(ConfigError) as error:
            resolve_objectives([name], [], options, prunes=False)
        assert f"hydra.sweeper.objective={name}: " in str(error.value)
        assert part in str(error.value)
