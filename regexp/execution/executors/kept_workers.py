"""Worker processes that are kept between the batches of a search. Imports no torch.

A new one imports torch and reads the data, which takes seconds, and a search may have a hundred batches.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from regexp.execution.executors.worker_process import WorkerProcess, make_environment

# The idle workers; None outside of `keep_workers`.
_idle: list[WorkerProcess] | None = None


@contextmanager
def keep_workers(count: int = 0) -> Iterator[None]:
    """Keep the workers that executors leave idle within the block for those that come after them.

    Args:
        count: how many are started at once, for an executor of so many: they import torch while the block prepares.
    """
    global _idle
    _idle = [WorkerProcess(make_environment(count)) for _ in range(count)]
    try:
        yield
    finally:
        idle, _idle = _idle, None
        for process in idle:
            process.close()


def take_worker(environment: Mapping[str, str]) -> WorkerProcess:
    """Return an idle worker that was started with these variables of its environment, or a new one."""
    for process in _idle or ():
        if process.environment == environment and process.is_alive:
            assert _idle is not None
            _idle.remove(process)
            return process
    return WorkerProcess(environment)


def leave_worker(process: WorkerProcess, is_idle: bool) -> None:
    """Keep a worker where it is idle and may be of use, and end it otherwise."""
    if _idle is not None and is_idle and process.is_alive:
        _idle.append(process)
    else:
        process.close()
