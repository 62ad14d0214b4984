"""Jobs on a real SLURM of one node."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.remote_sweeps import wait_for

from regexp.errors import SetupError
from regexp.execution.executors.slurm import scheduler


@contextmanager
def need_slurm() -> Iterator[None]:
    """Need a SLURM that answers, and end this test's jobs; those of a test that runs beside it go on."""
    pytest.importorskip("submitit", reason="uv sync --extra slurm installs submitit")
    if not squeue_answers():
        pytest.skip("needs SLURM; .ci/slurm-one-node start (as root, on Debian) starts one on this machine")
    yield
    for outputs in {record.parents[2] for record in Path().glob("*/.slurm/*/submission.json")}:
        subprocess.run(["scancel", "--quiet", find_array(str(outputs))], check=False)  # it may have ended


def squeue_answers() -> bool:
    """Return whether there is a SLURM."""
    try:
        scheduler.read_queue()
    except SetupError:
        return False
    return True


def sh(*words: str) -> str:
    """Run a command, and return its output."""
    process = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert process.returncode == 0, process.stdout
    return process.stdout


def find_array(outputs: str) -> str:
    """Return the id of the last array of jobs below a directory."""
    record = json.loads(max(Path(outputs).glob(".slurm/*/submission.json")).read_text())
    return str(record["jobs"][0]["id"]).partition("_")[0]


def preempt(job_id: str) -> None:
    """Send a job the signal that SLURM sends before it preempts a job.

    Where other tasks of its array are pending, which take no signals, scancel sends it as well, but then goes on asking
    for minutes, and fails.
    """
    with subprocess.Popen(["scancel", "--quiet", "--signal=USR1", job_id], stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: process.poll() is not None or scheduler.read_queue()[job_id].name != "RUNNING")
        process.kill()


def holds_signal_back(job_id: str) -> bool:
    """Return whether Python has blocked the signal before preemption in a job. Before that, it would end by it."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            is_python = (directory / "cmdline").read_bytes().startswith(sys.executable.encode())
            is_of_job = f"SLURM_JOB_ID={job_id}".encode() in (directory / "environ").read_bytes().split(b"\0")
            status = (directory / "status").read_text()
        except OSError:  # it has just ended
            continue
        [blocked] = re.findall(r"^SigBlk:\s*(\w+)", status, re.MULTILINE)
        if is_python and is_of_job and int(blocked, 16) & 1 << signal.SIGUSR1 - 1:
            return True
    return False


def hurry(job_id: str) -> None:
    """Let a job that was requeued start soon: SLURM lets it wait for two minutes.

    Within the second in which it was killed, slurmd would refuse it: "already killed, do not launch batch job".
    """
    wait_for(lambda: "PENDING" in sh("scontrol", "show", "job", job_id))
    sh("scontrol", "update", f"JobId={job_id}", "StartTime=now+2")
