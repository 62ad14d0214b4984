"""Which processes are taken to be still at work."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from regexp.utils.processes import describe_this_process, is_alive


def described(process: subprocess.Popen[bytes]) -> dict[str, object]:
    """What run.json would say of a process."""
    facts = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return {**describe_this_process(), "pid": process.pid, "started": facts[19]}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_process_lives_until_it_ends_even_if_nobody_takes_note() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    facts = described(process)
    assert is_alive(facts)
    assert not is_alive({**facts, "started": "1"})  # another one of the same number
    assert not is_alive({**facts, "host": "elsewhere"})
    process.kill()  # and not waited for: a zombie stays
    deadline = time.monotonic() + 10
    while is_alive(facts) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(facts)
    os.kill(process.pid, 0)  # its number is still taken
    process.communicate()


def test_this_process_is_no_other() -> None:
    assert not is_alive(describe_this_process())
    assert not is_alive({})
