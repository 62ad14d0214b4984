"""A clock that is set back, and standard output that is closed."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.commands import SHORT, read_summaries
from kill_runs import read_figures
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from regexp import load_run, run, sweep
from regexp.comparison.loading import collect
from regexp.utils.signals import StopRequest

RUN = [*SHORT, "epochs=4"]


def set_clock_back(patch: pytest.MonkeyPatch, seconds: float = 86400.0) -> None:
    """Set the clock of this process back."""
    now, now_ns, strftime = time.time, time.time_ns, time.strftime
    patch.setattr(time, "time", lambda: now() - seconds)
    patch.setattr(time, "time_ns", lambda: now_ns() - int(seconds * 1e9))
    patch.setattr(time, "strftime", lambda form, moment=None: strftime(form, moment or time.localtime(time.time())))


def test_a_run_resumes_after_its_clock_was_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = read_figures(run(RUN, tmp_path / "undisturbed", quiet=True).directory)
    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "requested", True)
        with pytest.raises(KeyboardInterrupt):
            run(RUN, quiet=True)
    set_clock_back(monkeypatch)
    finished = run(RUN)
    assert read_figures(finished.directory) == figures
    accumulator = EventAccumulator(str(finished.directory)).Reload()
    assert [event.step for event in accumulator.Scalars("train/objective")] == [1, 2, 3, 4]
    run(RUN)  # shown with an age below zero


def test_runs_are_set_aside_under_names_of_their_own_when_the_clock_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "strftime", lambda form, moment=None: "20260101-000000")
    for _ in range(4):
        run([*SHORT, "force=true"], quiet=True)
    directories = list(Path("outputs/default").iterdir())
    assert len(directories) == 4
    assert all(load_run(directory).status == "completed" for directory in directories)


def test_the_last_sweep_is_the_last_one_also_when_the_clock_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep([[*SHORT, f"seed={seed}"] for seed in (0, 1)], quiet=True)
    set_clock_back(monkeypatch)
    for seeds in ((2, 3, 4), (5, 6)):
        sweep([[*SHORT, f"seed={seed}"] for seed in seeds], quiet=True)
        assert [record.seed for record in collect([]).records] == list(seeds)
    assert len(list(Path("outputs/default/sweeps").iterdir())) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["seed=0"], pytest.param(["-m", "seed=0,1", "hydra.launcher.workers=2"], marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("redirection", [">&-", pytest.param(">&- 2>&-", marks=pytest.mark.slow)])
def test_training_needs_no_standard_output(words: list[str], redirection: str) -> None:
    command = f'exec "$@" {redirection}'
    process = subprocess.run(
        ["bash", "-c", command, "bash", sys.executable, "-m", "regexp", *SHORT, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stderr == ""
    assert process.returncode == 0
    assert len(read_summaries()) == (2 if "-m" in words else 1)
