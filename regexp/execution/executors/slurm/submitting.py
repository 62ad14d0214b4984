"""The submission of tasks to SLURM, by submitit. Imports no torch."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regexp.errors import SetupError
from regexp.execution.executors.slurm.job import PREEMPTION_SIGNAL, CohortTask
from regexp.utils.messages import first_line


def submit_tasks(tasks: Sequence[CohortTask], folder: Path, options: Mapping[str, Any], parallel: int) -> list[str]:
    """Submit tasks as an array of jobs, a single one as a job, and return their ids.

    Args:
        tasks: the tasks.
        folder: the folder for submitit's files and the logs.
        options: the options below hydra.launcher.slurm.
        parallel: how many of the jobs may run at the same time.

    Raises:
        SetupError: SLURM refuses the jobs, or is not installed here.
    """
    os.environ["SUBMITIT_PREEMPT_SIGNAL"] = PREEMPTION_SIGNAL  # read when submitit is imported
    import submitit

    arguments: dict[str, Any] = {
        "job_name": "regexp",
        "time": count_minutes(str(options["time"])),
        "cpus_per_task": options["cpus"],
        "signal_delay_s": options["grace"],
        "array_parallelism": parallel,
        "stderr_to_stdout": True,
        "additional_parameters": {"requeue": True, **(options["sbatch"] or {})},
    }
    if options["partition"] is not None:
        arguments["partition"] = options["partition"]
    if options["gpus"]:
        arguments["gpus_per_node"] = options["gpus"]
    try:
        executor = submitit.SlurmExecutor(folder=folder.absolute(), python=_write_python_command())
        executor.update_parameters(**arguments)
        return [str(job.job_id) for job in executor.map_array(_call, tasks)]
    except (RuntimeError, OSError, ValueError, submitit.core.utils.FailedJobError) as error:
        raise SetupError(f"SLURM did not take the jobs: {_find_reason(error)}") from error


def _write_python_command() -> str:
    """Return the command that starts Python in a job, with SIGUSR1 blocked until the job is ready for it.

    A signal that came while torch is imported would end the process, and the job with it, instead of sending the job
    back into the queue.
    """
    block = (
        "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    return shlex.join([sys.executable, "-S", "-c", block, sys.executable])


def _call(task: CohortTask) -> None:
    """Do a task in its job."""
    task()


def count_minutes(time_limit: str) -> int:
    """Return a time limit in whole minutes, given as minutes, H:MM:SS or D-HH:MM:SS."""
    if time_limit.isdigit():
        return int(time_limit)
    days, _, clock = time_limit.rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    return max(1, (int(days or 0) * 24 + hours) * 60 + minutes + (seconds + 59) // 60)


def _find_reason(error: Exception) -> str:
    """Return what sbatch complains of in an error of submitit's."""
    lines = str(error).splitlines() or [type(error).__name__]
    complaints = [line.partition("error: ")[2] for line in lines if line.startswith("sbatch: error:")]
    return complaints[-1] if complaints else first_line(error)
