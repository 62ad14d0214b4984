"""Tags that a command adds to finished runs. Imports no torch."""

import json
import time
from collections.abc import Iterable
from pathlib import Path

from regexp.errors import RunBusy
from regexp.runs.reserving.claims import Claims
from regexp.runs.reserving.run_index import recorded_identity
from regexp.runs.run import Run
from regexp.utils.atomic_io import write_atomically

# So long is waited for another process that adds tags to the same run, which takes milliseconds.
_PATIENCE_SECONDS = 5.0


def add_tags(directory: Path, tags: Iterable[str], claims: Claims) -> tuple[str, ...]:
    """Add tags to run.json of a finished run, and return those that it did not have.

    The claim on the run is held meanwhile, so that no tag is lost where several processes add some.

    Args:
        directory: the directory of the run.
        tags: the tags.
        claims: the claims of this process.

    Raises:
        RunBusy: another process holds the claim for seconds.
        RunError: run.json cannot be read.
        OSError: it cannot be written.
    """
    run = Run(directory)
    identity = recorded_identity(run)
    if identity is None or not _missing_tags(run, tags):
        return ()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with claims.hold(directory.parent, identity):
                run = Run(directory)  # as it is by now
                if new_tags := _missing_tags(run, tags):
                    record = {**run.record, "tags": [*run.tags, *new_tags]}
                    write_atomically(directory / "run.json", json.dumps(record, indent=2).encode())
                return new_tags
        except RunBusy:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _missing_tags(run: Run, tags: Iterable[str]) -> tuple[str, ...]:
    present_tags = run.tags
    return tuple(tag for tag in tags if tag not in present_tags)
