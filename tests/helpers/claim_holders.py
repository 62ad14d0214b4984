"""Other processes that hold claims on runs, as if they trained them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

from regexp.runs.identity import Identity

CODE = """
import sys
from pathlib import Path
from regexp.runs.reserving.claims import Claims
from regexp.runs.identity import Identity
claims = Claims(print)
claims.acquire(Path(sys.argv[1]), Identity(*sys.argv[2:]))
print("claimed", flush=True)
input()
"""


@contextmanager
def hold_claim(experiment: Path, identity: Identity | None, *prefix: str) -> Iterator[int]:
    """Have another process hold the claim on a run, yield its number, and kill it at the end.

    Args:
        experiment: outputs/NAME.
        identity: the identity of the run.
        *prefix: the words of a program that starts the process, such as unshare.
    """
    assert identity is not None
    words = [*prefix, sys.executable, "-c", CODE, str(experiment), *astuple(identity)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        try:
            yield process.pid
        finally:
            process.kill()
