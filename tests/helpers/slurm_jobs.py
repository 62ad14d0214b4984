"""Jobs on a real SLURM of one node."""

import json
import subprocess
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


def hurry(job_id: str) -> None:
    """Let a job that was requeued start soon: SLURM lets it wait for two minutes.

    Within the second in which it was killed, slurmd would refuse it: "already killed, do not launch batch job".
    """
    wait_for(lambda: "PENDING" in sh("scontrol", "show", "job", job_id))
    sh("scontrol", "update", f"JobId={job_id}", "StartTime=now+2")
