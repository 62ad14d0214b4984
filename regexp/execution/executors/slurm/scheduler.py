"""What SLURM says of the jobs of this user. Imports no torch.

squeue and scontrol are on every cluster; sacct, which submitit asks, needs a database that not all have.
"""

import getpass
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from regexp.errors import SetupError

# How long a command of SLURM may take, in seconds: a controller that is busy answers late.
COMMAND_SECONDS = 60.0


@dataclass(frozen=True)
class JobState:
    """The state of a job that has not ended.

    Attributes:
        name: its state, as squeue says it: PENDING, RUNNING, COMPLETING.
        reason: why it waits, or where it runs.
    """

    name: str
    reason: str


def read_queue() -> dict[str, JobState]:
    """Return the jobs of this user that have not ended, by their ids, "17" or "17_3" in an array.

    Raises:
        SetupError: SLURM is not installed here, or does not answer.
    """
    output = run_command(["squeue", "--noheader", "--array", "--user", getpass.getuser(), "--format=%i|%T|%R"])
    states = {}
    for line in output.splitlines():
        job_id, name, reason = [*line.split("|", 2), "", ""][:3]
        states[job_id.strip()] = JobState(name, reason.strip("()").replace("None", ""))
    return states


def try_to_read_queue() -> dict[str, JobState] | None:
    """Return the jobs that have not ended; None where SLURM does not answer now."""
    try:
        return read_queue()
    except SetupError:
        return None


def read_end(job_id: str) -> str:
    """Return how a job has ended: TIMEOUT, CANCELLED; "" where SLURM remembers it no longer."""
    try:
        output = run_command(["scontrol", "show", "job", "--oneliner", job_id])
    except SetupError:
        return ""
    match = re.search(r"\bJobState=(\w+)", output)
    return "" if match is None else match[1]


def requeue(job_id: str) -> None:
    """Put a job back into the queue, from within.

    Raises:
        SetupError: SLURM refuses it.
    """
    run_command(["scontrol", "requeue", job_id])


def run_command(command: Sequence[str]) -> str:
    """Run a command of SLURM, and return its output.

    Raises:
        SetupError: it is not installed, fails or does not end; the message has its first line.
    """
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    except FileNotFoundError as error:
        raise SetupError(
            f"there is no command {command[0]} on this machine; hydra.launcher.executor=slurm is for machines from "
            "which jobs are submitted to SLURM"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{command[0]} has not answered for {COMMAND_SECONDS:g} s") from error
    if process.returncode != 0:
        raise SetupError(f"{command[0]}: {(process.stderr.splitlines() or [f'status {process.returncode}'])[0]}")
    return process.stdout
