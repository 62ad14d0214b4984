"""A Chromium without a window, driven over its debugging pipe, to see what TensorBoard's pages really show."""

import base64
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

FLAGS = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --remote-debugging-pipe".split()
# Starts the browser with its pipe as descriptors 3 and 4, where it expects it.
LAUNCHER = """
import fcntl, os, sys
descriptors = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for target, descriptor in zip((3, 4), descriptors):
    os.dup2(descriptor, target)
os.execv(sys.argv[3], sys.argv[3:])
"""
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


class Page:
    """A page of the browser. `wait_until` waits at most `timeout` seconds."""

    def __init__(self, answers: BinaryIO, commands: int, timeout: float = 60) -> None:
        self.answers, self.commands, self.timeout = answers, commands, timeout
        self.message_ids, self.session = itertools.count(1), None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol, and return its result."""
        message_id = next(self.message_ids)
        message = {"id": message_id, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read_message()
            if answer.get("id") == message_id:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def _read_message(self) -> dict[str, Any]:
        """Return the next message of the browser: an answer or an event."""
        message = bytearray()
        while (byte := self.answers.read(1)) != b"\0":
            assert byte, "the browser has ended"
            message += byte
        content: dict[str, Any] = json.loads(message)
        return content

    def open(self, url: str, width: int = 1400, height: int = 900) -> None:
        """Open an address in a window of this size, in pixels."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        result = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_until(self, script: str) -> Any:
        """Wait until a JavaScript expression is true, and return its value."""
        deadline = time.monotonic() + self.timeout
        while not (value := self.evaluate(script)):
            assert time.monotonic() < deadline, f"not in {self.timeout} s: {script}"
            time.sleep(0.2)
        return value

    def save_picture(self, path: Path) -> None:
        """Save what the page shows as a PNG file."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Start a Chromium with its profile in a directory, and yield a page of it; skip the test if none is installed."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(PROGRAMS)} is installed (Debian: apt-get install chromium)")
    (command_reader, command_writer), (answer_reader, answer_writer) = os.pipe(), os.pipe()
    command = [program, *FLAGS, f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(command_reader), str(answer_writer), *command],
        pass_fds=(command_reader, answer_writer),
        stderr=subprocess.DEVNULL,
    )
    os.close(command_reader)
    os.close(answer_writer)
    try:
        with os.fdopen(answer_reader, "rb") as answers:
            yield Page(answers, command_writer)
    finally:
        process.kill()
        process.wait()
        os.close(command_writer)


@contextmanager
def serve_tensorboard(log_directory: Path, run_count: int) -> Iterator[str]:
    """Start TensorBoard, wait until it has read this many runs, and yield its address."""
    with socket.socket() as unused:
        unused.bind(("localhost", 0))
        port = unused.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(log_directory), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://localhost:{port}"
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{address}/data/runs", timeout=10) as answer:
                    if len(json.load(answer)) >= run_count:
                        break
            except OSError:
                assert process.poll() is None, "TensorBoard has ended"
            time.sleep(0.3)
        yield address
    finally:
        process.terminate()
        process.wait()
