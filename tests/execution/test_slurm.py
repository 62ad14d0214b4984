"""The executor that submits to SLURM: on a real SLURM of one node, and what of it needs none."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType

import pytest
from helpers.remote_sweeps import GRID, LONG, SECONDS, assert_equal_figures, command, count, finish, start, wait_for
from helpers.slurm_jobs import find_array, holds_signal_back, hurry, need_slurm, preempt, sh

from regexp.config.compose import compose_jobs
from regexp.config.executor_registry import read_settings
from regexp.errors import ConfigError, DataError, RunBusy, SetupError
from regexp.execution.events import CohortDescription, CohortEnd, EpochSummary
from regexp.execution.executors.event_file import EventReader, EventWriter, TrainingEnd
from regexp.execution.executors.shape_grouping import group_by_shape
from regexp.execution.executors.slurm import scheduler, submission
from regexp.execution.executors.slurm.job import job_id_of
from regexp.execution.executors.slurm.slurm_jobs import SlurmJobs
from regexp.execution.executors.slurm.submission import SubmittedJob
from regexp.execution.executors.slurm.submitting import count_minutes
from regexp.runs.reserving.claims import Claims
from regexp.runs.reserving.plan import plan_runs

SLURM = ["hydra.launcher.executor=slurm", "hydra.launcher.slurm.time=10"]


@pytest.fixture
def slurm() -> Iterator[None]:
    """Need a SLURM that answers."""
    with need_slurm():
        yield


@pytest.mark.slow
def test_a_sweep_on_slurm_equals_the_local_one_while_jobs_are_requeued(slurm: None) -> None:
    """One job checkpoints and goes back into the queue by itself, and another is killed and requeued by SLURM."""
    finish(command("here", *GRID, "hydra.launcher.workers=1"))
    with start(command("there", *GRID, *SLURM)) as process:
        wait_for(lambda: find_training_jobs("there"), process)
        array, preempted = find_array("there"), find_training_jobs("there")[0]
        preempt(preempted)
        # Beside other tests, only one job may run at a time.
        wait_for(lambda: set(find_training_jobs("there")) - {preempted}, process)
        killed = min(set(find_training_jobs("there")) - {preempted})
        sh("scontrol", "requeue", killed)
        hurry(preempted)
        hurry(killed)
        out = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 0, out
    assert f"3 jobs submitted to SLURM as {array}: squeue --job {array}, scancel {array}" in out
    assert f"job {preempted}: Job {preempted} goes back into the queue, and goes on from its checkpoints." in out
    assert out.count("resuming after epoch") >= 2
    assert "epoch 500/500" in out
    assert_equal_figures("here", "there", runs=48)


@pytest.mark.slow
def test_the_same_command_shows_what_has_become_of_jobs(slurm: None) -> None:
    words = command("outputs", *LONG, "epochs=300", "seed=0,1", *SLURM, "hydra.launcher.slurm.wait=false")
    out = finish(words)
    assert "1 job submitted to SLURM as " in out
    assert "The same command shows what has become of them." in out
    array = find_array("outputs")
    out = finish(words, status=RunBusy.status)
    assert "2 of them in jobs that were submitted before" in out
    assert re.search(rf"{array} +(pending|running) +2 +\d", out)
    assert len(list(Path("outputs").glob(".slurm/*"))) == 1
    wait_for(lambda: array not in scheduler.read_queue())
    out = finish(words)
    assert "2 runs: 0 to train, 2 already finished" in out
    assert "seeds" in out


@pytest.mark.slow
def test_a_sweep_goes_on_where_another_executor_has_left_it(slurm: None) -> None:
    """It begins in this process, goes on in a job, whose command is interrupted and which is then ended, and here."""
    words = [*LONG, "epochs=900", "seed=0,1", "device.precision=float64"]
    with start(command("moved", *words, "hydra.launcher.workers=1")) as process:
        wait_for(lambda: count("moved", "checkpoint.safetensors") == 2, process)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=SECONDS)
    with start(command("moved", *words, *SLURM)) as process:
        wait_for(lambda: list(Path("moved").glob(".slurm/*/*.events")), process)
        wait_for(lambda: "EpochSummary" in next(Path("moved").glob(".slurm/*/*.events")).read_text(), process)
        os.killpg(process.pid, signal.SIGINT)
        out = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 130, out
    assert "2 to train (2 to resume)" in out
    array = find_array("moved")
    assert "Leaving the jobs to SLURM." in out
    assert f"this ends them: scancel {array}" in " ".join(out.split())
    assert array in scheduler.read_queue()
    out = finish(command("moved", *words, "hydra.launcher.workers=1"), status=RunBusy.status)
    assert "2 runs are being trained by other processes" in out
    sh("scancel", array)
    wait_for(lambda: array not in scheduler.read_queue())
    out = finish(command("moved", *words, "hydra.launcher.workers=1"))
    assert "2 to train (2 to resume)" in out
    finish(command("apart", *words, "hydra.launcher.workers=1"))
    assert_equal_figures("apart", "moved", runs=2)


@pytest.mark.slow
def test_what_slurm_refuses_is_one_line(slurm: None) -> None:
    out = finish(command("outputs", *LONG, "seed=0,1", *SLURM, "hydra.launcher.slurm.partition=nowhere"), status=4)
    [line] = [line for line in out.splitlines() if line.startswith("regexp: ")]
    assert line.startswith("regexp: SLURM did not take the jobs: ")
    assert "partition" in line
    assert "Traceback" not in out


@pytest.mark.slow
def test_a_job_that_dies_is_told_and_its_runs_are_submitted_again(slurm: None) -> None:
    words = command("outputs", *LONG, "seed=0,1", *SLURM, "hydra.launcher.slurm.wait=false")
    finish(words)
    wait_for(lambda: count("outputs", "checkpoint.safetensors") == 2)
    array = find_array("outputs")
    sh("scancel", "--signal=KILL", array)
    wait_for(lambda: array not in scheduler.read_queue())
    out = " ".join(finish(words).split())
    assert re.search(rf"job {array} ended \(\w+\) before 2 of its runs; its log is outputs/.slurm/", out)
    assert "1 job submitted to SLURM" in out


@pytest.mark.slow
@pytest.mark.parametrize("cause", ["time limit", "preemption at its start"])
def test_a_job_that_has_to_leave_goes_back_into_the_queue_and_goes_on(slurm: None, cause: str) -> None:
    """At its time limit, or before it has imported anything, when a signal would end a process that is not ready."""
    short = ["hydra.launcher.slurm.time=2", "hydra.launcher.slurm.grace=50"]
    with start(command("outputs", *LONG, "epochs=200000", "seed=0,1", *SLURM, *short)) as process:
        wait_for(lambda: list(Path("outputs").glob(".slurm/*/submission.json")), process)
        job = find_array("outputs")
        wait_for(lambda: job in scheduler.read_queue() and scheduler.read_queue()[job].name == "RUNNING", process)
        if cause != "time limit":
            wait_for(lambda: holds_signal_back(job), process)
            preempt(job)
        hurry(job)
        wait_for(lambda: len(read_starts("outputs")) > 1, process)
    first, second = read_starts("outputs")
    assert first == 0 < second
    assert count("outputs", "failure.json") == 0


def find_training_jobs(outputs: str) -> list[str]:
    """Return the ids of the running jobs below a directory whose runs all have a checkpoint."""
    queue = scheduler.read_queue()
    return [
        job.id
        for job in submission.read_jobs(Path(outputs))
        if job.id in queue and queue[job.id].name == "RUNNING"
        if any(isinstance(event, EpochSummary) for event in EventReader(job.events).read())
    ]


def read_starts(outputs: str) -> list[int]:
    """Return the epochs after which the only job below a directory has begun to train."""
    [path] = Path(outputs).glob(".slurm/*/*.events")
    return [event.epoch for event in EventReader(path).read() if isinstance(event, CohortDescription)]


# Without SLURM ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "minutes"), [("90", 90), ("2:00:00", 120), ("0:00:30", 1), ("1-01:00:00", 1500), ("10:00:01", 601)]
)
def test_time_limits(typed: str, minutes: int) -> None:
    assert count_minutes(typed) == minutes


def test_the_signal_comes_after_the_start_of_a_job() -> None:
    for time, grace, is_refused in (("3", 120, True), ("1", 1, True), ("3", 119, False), ("2", 50, False)):
        settings = read_settings("slurm", {"slurm": {"time": time, "grace": grace}})
        reason = rf"grace={grace} \(seconds\) must be more than 60 below the time limit, {60 * int(time)} seconds"
        with pytest.raises(ConfigError, match=reason) if is_refused else nullcontext():
            SlurmJobs([], settings, workers=None, only_plans=False)


def test_a_job_knows_its_id() -> None:
    assert job_id_of({"SLURM_JOB_ID": "17"}) == "17"
    assert job_id_of({"SLURM_JOB_ID": "19", "SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "2"}) == "17_2"


def test_events_are_read_as_they_were_written(tmp_path: Path) -> None:
    writer, reader = EventWriter(tmp_path / "0.events"), EventReader(tmp_path / "0.events")
    assert list(reader.read()) == []
    cohort, summary = CohortDescription({"device": "cpu"}, 2, 1, 10, 3), EpochSummary(4, 2, 0.5, 0.25, 0.75)
    with writer.watch(cohort):
        writer.show_summary(summary)
    assert list(reader.read()) == [cohort, summary, CohortEnd()]
    with writer.path.open("a") as file:
        file.write('{"line": "a line, ha')  # the writer was killed
    assert list(reader.read()) == []
    with writer.path.open("a") as file:
        file.write("\n")
    writer.print_line("whole")
    writer.write_end(TrainingEnd.of([DataError("lost"), KeyError("x")]))
    *lines, end = reader.read()
    assert lines == ["whole"]
    errors = end.make_errors("the log")
    assert [type(error).__name__ for error in errors] == ["DataError", "RunError"]
    assert str(errors[1]) == "KeyError: 'x'; its traceback is in the log"


def test_runs_in_the_queue_are_left_to_their_jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a pending job's runs nor those of a running one are claimed; those of a job that has ended are."""
    outputs = tmp_path / "outputs"
    jobs = compose_jobs([["seed=0"], ["seed=1"], ["normalization=batch"]])
    planned_runs = plan_runs(jobs, outputs)
    folder = submission.make_folder(outputs)
    assert folder.stat().st_mode & 0o077 == 0
    runs = [("default", planned.identity) for planned in planned_runs]
    events = submission.events_path(folder, 0)
    submission.record_submission(
        folder, [SubmittedJob("7_0", folder, events, runs[:1]), SubmittedJob("7_1", folder, events, runs[1:2])]
    )
    states = {"7_0": scheduler.JobState("PENDING", "Priority")}
    monkeypatch.setattr(submission, "read_queue", lambda: states)
    queued = submission.find_queued(outputs)
    assert queued == {runs[0]: "job 7_0 of SLURM"}
    with Claims(print) as claims:
        waiting, ended, new = plan_runs(jobs, outputs, claims, queued=MappingProxyType(queued))
    assert (waiting.claim, waiting.queued_as, waiting.is_to_train) == (None, "job 7_0 of SLURM", True)
    assert not waiting.directory.exists()
    assert ended.claim is not None
    assert new.claim is not None
    assert [len(cohort.runs) for cohort in group_by_shape([waiting, ended, new], max_runs=None)] == [1, 2]
    assert [len(cohort.runs) for cohort in group_by_shape([waiting, ended, new], max_runs=1)] == [1, 1, 1]


def test_without_slurm_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SetupError, match=r"no command squeue on this machine; hydra.launcher.executor=slurm is for"):
        scheduler.read_queue()
