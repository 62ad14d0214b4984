"""Signals that ask to stop: which ones do, which count once, and what becomes of a closed terminal."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from regexp.utils import signals
from regexp.utils.signals import STOP_SIGNALS, catch_stop_signals, hold_back_stop_signals

SECONDS = 60
LONG = ["epochs=500", "model.hidden_sizes=[8]", "early_stopping=none"]


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Put this process's own handlers back."""
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_the_signals_of_terminals_and_schedulers_ask_to_stop() -> None:
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2} == set(STOP_SIGNALS)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_is_recorded_and_announced_once(number: int) -> None:
    announcements = []
    signal.signal(number, signal.SIG_DFL)
    with catch_stop_signals(lambda: announcements.append(number)) as stop_request:
        assert not stop_request.requested
        signal.raise_signal(number)
        signal.raise_signal(number)  # from a scheduler and from the program that started this one
        signal.raise_signal(signal.SIGHUP)
        assert (stop_request.signal, announcements) == (number, [number])
    assert signal.getsignal(number) == signal.SIG_DFL


def test_a_second_interruption_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_SAME_REQUEST_SECONDS", 0.05)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with catch_stop_signals(lambda: None) as stop_request:
        signal.raise_signal(signal.SIGUSR1)
        time.sleep(0.1)
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGHUP)
        assert stop_request.signal == signal.SIGUSR1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As SIGHUP under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with catch_stop_signals(lambda: None) as stop_request:
        signal.raise_signal(signal.SIGHUP)
        assert not stop_request.requested


def test_an_announcement_that_cannot_be_printed_breaks_nothing() -> None:
    def announce() -> None:
        raise OSError("the terminal is gone")

    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    with catch_stop_signals(announce) as stop_request:
        signal.raise_signal(signal.SIGHUP)
        assert stop_request.requested


def test_a_process_that_starts_loses_no_signal_and_is_not_ended_by_one() -> None:
    code = (
        "from regexp.utils.signals import ignore_stop_signals, STOP_SIGNALS; import signal\n"
        "print('started', flush=True); input(); ignore_stop_signals(); print('ready', flush=True); input()"
    )
    with hold_back_stop_signals():
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) & set(STOP_SIGNALS) == set()
    assert process.stdout.readline() == "started\n"
    for number in STOP_SIGNALS:
        process.send_signal(number)
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ready\n"
    for number in STOP_SIGNALS:
        process.send_signal(number)
    process.communicate("\n", timeout=SECONDS)
    assert process.returncode == 0


def wait_for_metrics(epochs: int) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for path in Path("outputs").glob("default/*/metrics.csv"):
            if path.read_bytes().count(b"\n") > epochs:
                return
        time.sleep(0.02)
    raise TimeoutError


def read_log() -> str:
    [path] = Path("outputs").glob("default/*/run.log")
    return path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
@pytest.mark.parametrize("words", [[], ["-m", "seed=0,1", "hydra.launcher.workers=2"]])
def test_a_signal_ends_a_command_with_checkpoints_and_its_status(number: signal.Signals, words: list[str]) -> None:
    """It reaches the command's workers as well, as a scheduler sends it."""
    command = [sys.executable, "-m", "regexp", *LONG, *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        wait_for_metrics(2)
        os.killpg(process.pid, number)
        out = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 128 + number, out
    assert "Run the same command again to resume." in out
    assert not Path("outputs/default/.claims").exists()
    for path in Path("outputs").glob("default/*/run.log"):
        assert "interrupted after epoch" in path.read_text()


@pytest.mark.slow
def test_a_closed_terminal_ends_training_with_a_checkpoint() -> None:
    """The progress bar writes to the terminal after it was closed, and before the signal comes."""
    master, slave = pty.openpty()
    code = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    command = [sys.executable, "-c", code, "-m", "regexp", *LONG]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    try:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and b"epoch" not in os.read(master, 4096):
            pass
    finally:
        os.close(master)
    assert process.wait(SECONDS) == 128 + signal.SIGHUP
    assert "interrupted after epoch" in read_log()


@pytest.mark.slow
def test_training_goes_on_without_its_terminal_where_no_signal_comes() -> None:
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "regexp", *LONG, "epochs=200"]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    wait_for_metrics(2)
    with suppress(OSError):
        fcntl.ioctl(master, termios.TIOCNOTTY)
    os.close(master)
    assert process.wait(SECONDS) == 0
    assert "completed after epoch 200" in read_log()
