"""Sweeps with launchers other than regexp's own, and with others' sweepers."""

import json
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from helpers.claim_holders import hold_claim
from helpers.commands import SHORT, fail_builds, read_summaries, run_regexp
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper

from regexp.config.compose import compose_job
from regexp.errors import RunError
from regexp.execution.launching.objective import Objective
from regexp.runs.reserving.plan import plan_runs
from regexp.runs.sweep_record import SweepRecord

SWEEP = ["-m", *SHORT, "optimizer.lr=0.1,0.2", "seed=0,1"]


class SentLauncher(BasicLauncher):
    """A launcher whose results come from another process, as those of joblib and submitit do."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        results = super().launch(job_overrides, initial_job_idx)
        sent: Sequence[JobReturn] = pickle.loads(pickle.dumps(results))
        return sent


class KeepingSweeper(Sweeper):
    """Another's sweeper: it launches one job after the other, and keeps their objectives."""

    objectives: ClassVar[list[float]] = []

    def setup(self, **arguments: Any) -> None:
        self.launcher = Plugins.instance().instantiate_launcher(**arguments)

    def sweep(self, arguments: list[str]) -> None:
        for number, seed in enumerate((3, 4)):
            [result] = self.launcher.launch([[*arguments, f"seed={seed}"]], number)
            self.objectives.append(result.return_value)


@pytest.fixture(autouse=True)
def _other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have hydra/launcher=basic behave as a launcher that runs jobs in other processes, and begin a sweep."""
    monkeypatch.setattr("regexp.execution.launcher._sweep", SweepRecord())
    # Hydra's search for plugins leaves the module out of its package.
    monkeypatch.setattr(sys.modules[BasicLauncher.__module__], "BasicLauncher", SentLauncher)


def read_members() -> list[dict[str, Any]]:
    """Return the members of the last sweep, as its record has them."""
    *_, last = sorted(Path("outputs/default/sweeps").glob("*.json"))
    members: list[dict[str, Any]] = json.loads(last.read_text(encoding="utf-8"))["members"]
    return members


def test_a_sweep_is_recorded_and_ends_with_its_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("UV", raising=False)
    assert run_regexp(monkeypatch, *SWEEP, "hydra/launcher=basic") == 0
    summaries = read_summaries()
    assert {member["directory"] for member in read_members()} == set(summaries)
    assert sorted(name.partition(",epochs=2")[0] for name in summaries) == [
        f"lr={lr},seed={seed}" for lr in (0.1, 0.2) for seed in (0, 1)
    ]
    out = capsys.readouterr().out
    assert out.startswith("4 runs: 4 to train\n")
    assert "baseline" in out
    assert out.splitlines()[-1] == "compare  regexp-compare"
    # Trained again, the runs get other directories than those that the record had before.
    assert run_regexp(monkeypatch, *SWEEP, "hydra/launcher=basic", "force=true") == 0
    assert {member["directory"] for member in read_members()} <= {
        path.parent.name for path in Path("outputs/default").glob("*/summary.json")
    }
    assert {name for name in read_summaries() if ".old-" not in name} == set(summaries)


@pytest.mark.slow
def test_one_run_of_each_image_stream_shows_its_augmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["-m", *SHORT, "augmentation=shift", "optimizer.lr=0.1,0.2", "seed=0,1", "hydra/launcher=basic"]
    assert run_regexp(monkeypatch, *words) == 0
    shown = []
    for directory in sorted(Path("outputs/default").glob("lr=*")):
        [file] = directory.glob("events.*")
        if b"visuals/augmentation" in file.read_bytes():
            shown.append(directory.name.partition(",epochs")[0])
    assert shown == ["lr=0.1,seed=0", "lr=0.1,seed=1"]


def test_a_run_that_diverges_gives_the_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["-m", *SHORT, "optimizer.lr=1e38,0.1", "hydra/launcher=basic"]
    record_status = "regexp.execution.launching.task.record_status"
    monkeypatch.setattr(record_status, lambda status: None)  # that of the other process
    assert run_regexp(monkeypatch, *words) == 3
    assert sorted(summary["status"] for summary in read_summaries().values()) == ["completed", "diverged"]


def test_a_run_that_fails_gives_the_exit_status_and_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_builds(monkeypatch, "batch", RunError("out of luck"))
    words = ["-m", *SHORT, "normalization=batch,none,layer", "hydra/launcher=basic"]
    assert run_regexp(monkeypatch, *words) == 3
    assert len(read_summaries()) == 2
    assert len(read_members()) == 3
    error = capsys.readouterr().err
    assert error.startswith("regexp: out of luck\n")
    assert error.count("out of luck") == 1


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have Hydra use another's sweeper, and return the command that uses it."""

    def make_sweeper(*, config: Any, hydra_context: Any, task_function: Any) -> Sweeper:
        sweeper = KeepingSweeper()
        sweeper.setup(config=config, hydra_context=hydra_context, task_function=task_function)
        return sweeper

    monkeypatch.setattr(KeepingSweeper, "objectives", [])
    monkeypatch.setattr(Plugins.instance(), "instantiate_sweeper", make_sweeper, raising=False)
    return ["-m", *SHORT, "hydra/sweeper=basic", "hydra.sweeper._target_=hydra_plugins.search.SearchSweeper"]


@pytest.mark.parametrize("launcher", ["basic", "cohort"])
def test_others_sweepers_get_the_objective(search: list[str], monkeypatch: pytest.MonkeyPatch, launcher: str) -> None:
    assert run_regexp(monkeypatch, *search, f"hydra/launcher={launcher}") == 0
    values = [run["best"]["val_loss"] for run in read_summaries().values()]
    assert len(values) == 2
    assert sorted(KeepingSweeper.objectives) == sorted(values)
    assert len(read_members()) == 2  # the jobs of both batches


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "cohort"])
def test_a_search_takes_no_run_for_a_bad_one_that_another_process_trains(
    search: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], launcher: str
) -> None:
    [busy_run] = plan_runs([compose_job([*SHORT, "seed=4"])], Path("outputs"))
    with hold_claim(Path("outputs/default"), busy_run.identity) as pid:
        assert run_regexp(monkeypatch, *search, f"hydra/launcher={launcher}") == 5
    assert KeepingSweeper.objectives == [run["best"]["val_loss"] for run in read_summaries().values()]
    error = capsys.readouterr().err
    assert "/seed=4," in error
    assert f" is being trained by process {pid} on " in error
    assert error.count("; wait for it, or stop it") == 1


def test_an_objective_is_a_number_with_a_directory() -> None:
    objective = pickle.loads(pickle.dumps(Objective(0.5, Path("outputs/default/a"))))
    assert objective == 0.5
    assert float(objective) + 1 == 1.5
    assert objective.directory == Path("outputs/default/a")
