"""Searches and rounds of seeds on other machines and with other launchers: what works, and what is refused at once."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.cohorts import DOUBLE
from helpers.commands import fail_builds, read_summaries, run_regexp
from helpers.remote_sweeps import assert_equal_figures, command, count, finish, start, wait_for
from helpers.slurm_jobs import find_array, need_slurm
from omegaconf import OmegaConf

from regexp.errors import ConfigError, DataError, RunBusy, SetupError
from regexp.execution.executors.slurm import scheduler
from regexp.execution.launching.settings import LauncherSettings
from regexp.execution.searching import batches
from regexp.execution.searching.batches import train_jobs
from regexp.search.study import PRUNED_AFTER, load_study

FETCH: dict[str, Any] = {"ray": {"fetch": True}}
NO_WAIT: dict[str, Any] = {"slurm": {"wait": False}}


def check_settings(executor: str, options: dict[str, Any], pruner: str, target: str = "x.OptunaSweeper") -> None:
    """Check the settings of a launcher for a search."""
    sweeper = {"_target_": target, "pruner": {"name": pruner}}
    config = OmegaConf.create({"hydra": {"sweeper": sweeper, "job_logging": {}, "verbose": False}})
    LauncherSettings.read(None, None, False, executor, options).check(config)


def test_a_search_needs_the_results_and_a_pruner_the_study() -> None:
    with pytest.raises(ConfigError, match=r"^hydra.launcher.slurm.wait=false: a search needs the results"):
        check_settings("slurm", NO_WAIT, "none")
    with pytest.raises(
        ConfigError, match=r"^hydra.launcher.ray.fetch=true: a pruner .* leave out hydra/sweeper/pruner"
    ):
        check_settings("ray", FETCH, "median")
    check_settings("auto", {}, "median")


def test_what_is_no_fault_of_a_trial_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in the settings of the launcher, which no run has recorded, burns no trials."""
    jobs: Any = [SimpleNamespace(overrides=("seed=0",)), SimpleNamespace(overrides=("seed=1",))]
    monkeypatch.setattr(batches, "find_records", lambda *_: [None, None])
    for error in (ConfigError("hydra.launcher.slurm.grace=120"), SetupError("no squeue")):

        def launch(*_: Any, error: Exception = error) -> Any:
            raise error

        with pytest.raises(type(error), match=str(error)):
            train_jobs(jobs, Path("outputs"), launch, 0)


def test_a_run_that_prevents_its_batch_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: Any = [SimpleNamespace(overrides=("seed=0",)), SimpleNamespace(overrides=("seed=1",))]
    records: list[Any] = [None, None]
    launches: list[int] = []

    def launch(overrides: Any, _: int) -> Any:
        launches.append(len(overrides))
        records[2 - len(launches)] = SimpleNamespace(status="failed" if len(launches) == 1 else "completed")
        if len(launches) == 1:
            raise ConfigError("does not suit the data")
        return [SimpleNamespace(_return_value=0.5)]

    monkeypatch.setattr(batches, "find_records", lambda *_: list(records))
    assert [record.status for record in train_jobs(jobs, Path("outputs"), launch, 0) if record] == [
        "completed",
        "failed",
    ]
    assert launches == [2, 1]


# Commands -----------------------------------------------------------------------------------------------------------

SEARCH = [
    "-m", DOUBLE, "hydra/sweeper=optuna", "hydra/sweeper/pruner=halving", "optimizer.lr=tag(log,interval(1e-4,1e-1))",
    "hydra.sweeper.n_seeds=2", "hydra.sweeper.n_trials=8", "hydra.sweeper.n_jobs=4", "hydra.launcher.workers=1",
    "hydra.sweeper.sampler.n_startup_trials=2", "model.hidden_sizes=[16]", "data.train_size=300", "epochs=600",
    "early_stopping=none",
]  # fmt: skip
UNTIL = [
    DOUBLE, "normalization=none,batch", "seed=range(2)", "hydra.sweeper.until=decided", "hydra.sweeper.max_seeds=6",
    "model.hidden_sizes=[8]", "data.train_size=200", "epochs=6",
]  # fmt: skip


@pytest.fixture
def executor(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the name of an executor that is there."""
    if request.param == "ray":
        pytest.importorskip("ray", reason="uv sync --extra ray installs Ray")
        yield "ray"
    else:
        with need_slurm():
            yield "slurm"


def type_search(outputs: str, *words: str) -> list[str]:
    """Return the command of a search whose runs lie below a directory."""
    return [sys.executable, "-m", "regexp", *SEARCH, f"hydra.sweep.dir={outputs}", *words]


def read_trials(outputs: str) -> list[tuple[Any, ...]]:
    """Return how the trials of a search ended."""
    [file] = Path(outputs).glob("default/sweeps/*.log")
    return [
        (trial.params, trial.state, trial.user_attrs.get(PRUNED_AFTER), trial.intermediate_values)
        for trial in load_study(file).trials
    ]


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["ray", "slurm"], indirect=True)
def test_a_search_elsewhere_equals_the_local_one_also_where_the_command_is_killed(executor: str) -> None:
    """Jobs of SLURM outlive the command, and the same one follows them; tasks of Ray end with it."""
    finish(type_search("here"))
    words = type_search("there", f"hydra.launcher.executor={executor}")
    with start(words) as process:
        wait_for(lambda: count("there", "checkpoint.safetensors") >= 2, process)
        os.killpg(process.pid, signal.SIGKILL)
    # The tasks of Ray end with the command, but not at once: until then the study or runs are told to be busy.
    wait_for(lambda: subprocess.run(words, stdout=subprocess.DEVNULL, check=False).returncode != RunBusy.status)
    assert "8 trials to minimize val_loss" in finish(words)
    here, there = read_trials("here"), read_trials("there")
    assert [trial[:3] for trial in there] == [trial[:3] for trial in here]
    assert [trial[3] for trial in there] == [pytest.approx(trial[3], abs=1e-9) for trial in here]
    assert_equal_figures("here", "there", runs=16)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["ray", "slurm"], indirect=True)
def test_rounds_of_seeds_elsewhere_are_the_local_ones(executor: str) -> None:
    finish(command("here", *UNTIL, "hydra.launcher.workers=1"))
    finish(command("there", *UNTIL, f"hydra.launcher.executor={executor}", "hydra.launcher.workers=1"))
    assert_equal_figures("here", "there", runs=count("here", "summary.json"))


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["slurm"], indirect=True)
def test_rounds_of_seeds_need_not_be_waited_for(executor: str) -> None:
    """Each command takes the look that is due, and submits the next round."""
    words = command("outputs", *UNTIL, "hydra.launcher.executor=slurm", "hydra.launcher.slurm.wait=false")
    statuses = []
    for _ in range(8):
        process = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert "Error executing job" not in process.stdout
        assert not any(line.strip() == "regexp:" for line in process.stdout.splitlines())
        statuses.append(process.returncode)
        if "±: 95 % interval" in process.stdout:
            break
        assert "The same command shows what has become of them." in process.stdout
        array = find_array("outputs")
        wait_for(lambda array=array: not any(job.startswith(array) for job in scheduler.read_queue()))
    assert "look     1 of 3" in process.stdout
    assert set(statuses) == {0}
    assert 2 <= len(statuses) <= 4


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["cohort", "basic"])
def test_rounds_of_seeds_go_on_without_a_configuration_that_fails(
    launcher: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_builds(monkeypatch, "layer", DataError("no layer today"))
    words = [*UNTIL, "normalization=none,batch,layer", f"hydra/launcher={launcher}"]
    words += ["hydra.launcher.workers=1"] if launcher == "cohort" else []
    assert run_regexp(monkeypatch, "-m", *[word for word in words if word != "normalization=none,batch"]) == 3
    output = capsys.readouterr()
    assert "no layer today" in output.err
    assert "The other runs have finished; run the same command again" in output.err
    assert "Traceback" not in output.err
    finished = [word for summary in read_summaries().values() for word in summary["overrides"]]
    assert finished.count("normalization=batch") == finished.count("normalization=none") > 2
    assert "Seeds were added until verdicts were decided" in " ".join(output.out.split())


@pytest.mark.slow
def test_a_search_with_another_launcher_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for word in SEARCH if not word.startswith("hydra.launcher")]
    assert run_regexp(monkeypatch, *words, "hydra/launcher=basic") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("regexp: hydra/launcher=basic: hydra/sweeper=optuna trains trials together")
