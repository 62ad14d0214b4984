"""Whether a process that a run recorded is still alive."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from regexp.utils.processes import describe_this_process, is_alive


def describe_process(process: subprocess.Popen[bytes]) -> dict[str, object]:
    """Return the record of a process, as run.json would hold it."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return {**describe_this_process(), "pid": process.pid, "started": fields[19]}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_process_is_alive_until_it_ends_even_if_it_stays_a_zombie() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    record = describe_process(process)
    assert is_alive(record)
    assert not is_alive({**record, "started": "1"})  # another process with the same number
    assert not is_alive({**record, "host": "another"})
    process.kill()  # nobody waits for it, so that a zombie stays
    deadline = time.monotonic() + 10
    while is_alive(record) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(record)
    os.kill(process.pid, 0)  # raises if the number is no longer taken
    process.communicate()


def test_this_process_does_not_count_as_another() -> None:
    assert not is_alive(describe_this_process())
    assert not is_alive({})
