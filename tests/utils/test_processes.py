"""Whether a process that was recorded is still running."""

import os
import shlex
import subprocess
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from regexp.utils import processes
from regexp.utils.processes import describe_this_process, is_running, typed_command

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def describe_process(process: subprocess.Popen[bytes]) -> dict[str, object]:
    """Return the record of a process, as it would make it itself."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return {**describe_this_process(), "pid": process.pid, "started": fields[19]}


@needs_proc
def test_a_process_runs_until_it_ends_even_if_it_stays_a_zombie() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    record = describe_process(process)
    assert is_running(record) is True
    assert is_running({**record, "started": "1"}) is False  # another process with the same number
    process.kill()  # nobody waits for it, so that a zombie stays
    deadline = time.monotonic() + 10
    while is_running(record) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_running(record) is False
    os.kill(process.pid, 0)  # raises if the number is no longer taken
    process.communicate()
    assert is_running(record) is False


def test_this_process_runs() -> None:
    assert is_running(describe_this_process()) is True


@needs_proc
@pytest.mark.parametrize("change", [{"boot": "another machine"}, {"pid_namespace": 1}, {"pid": None}, {"pid": "1"}])
def test_nothing_is_said_of_processes_elsewhere_or_unknown(change: dict[str, object]) -> None:
    """Another container has the same kernel, and numbers of its own."""
    assert is_running({**describe_this_process(), **change}) is None
    assert is_running({}) is None


@needs_proc
def test_the_name_of_the_machine_does_not_matter() -> None:
    """Two names on one kernel (unshare --uts) share the numbers of processes."""
    assert is_running({**describe_this_process(), "host": "another"}) is True


def test_without_linux_the_name_of_the_machine_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_boot_id", lambda: None)
    monkeypatch.setattr(processes, "_read_state", lambda pid: None)
    record = describe_this_process()
    assert is_running(record) is True
    assert is_running({**record, "host": "another"}) is None


@needs_proc
def test_nothing_is_said_of_a_process_that_proc_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    record = describe_this_process()
    monkeypatch.setattr(processes, "_read_state", lambda pid: None)
    assert is_running(record) is None


@pytest.mark.parametrize(
    ("argv", "module", "command"),
    [
        (["/usr/bin/regexp", "-m", "name=it's"], None, "regexp -m"),
        (["/lib/regexp/__main__.py", "seed=1"], "regexp.__main__", "python -m regexp seed=1"),
        (["/lib/regexp/verify.py", "outputs"], "regexp.verify", "python -m regexp.verify outputs"),
        (["scripts/train.py", "1"], None, "python scripts/train.py 1"),
        (["-c"], None, ""),
        ([""], None, ""),
        ([], None, ""),
    ],
)
def test_a_typed_command_can_be_typed_again(
    argv: list[str], module: str | None, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    specification = None if module is None else ModuleSpec(module, None)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", specification)
    monkeypatch.setattr(sys, "argv", argv)
    assert typed_command().startswith(command)
    assert not argv[1:] or shlex.split(typed_command())[-len(argv[1:]) :] == argv[1:]
