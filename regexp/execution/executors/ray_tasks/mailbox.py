"""The mailbox of a sweep: an actor of Ray through which tasks and the command talk. Imports neither torch nor Ray."""

from collections.abc import Sequence
from typing import Any


class Mailbox:
    """What tasks have sent to the command, and what it asks of all of them.

    Attributes:
        events: the number of a task, and what it has sent.
        signal: the signal that asked the command to stop; 0 without one.
        snapshots: the files of the runs of a task as they were last, where the machines share no folder.
    """

    def __init__(self) -> None:
        self.events: list[tuple[int, Any]] = []
        self.signal = 0
        self.snapshots: dict[int, bytes] = {}

    def put(self, number: int, events: Sequence[Any]) -> int:
        """Keep the events of a task until the command takes them, and return the signal that asked to stop, or 0."""
        self.events += [(number, event) for event in events]
        return self.signal

    def take(self) -> list[tuple[int, Any]]:
        """Return the events since the last call."""
        events, self.events = self.events, []
        return events

    def request_stop(self, number: int) -> None:
        """Pass a signal on to all tasks."""
        self.signal = number

    def put_snapshot(self, number: int, archive: bytes) -> None:
        """Keep the files of a task's runs."""
        self.snapshots[number] = archive

    def read_snapshot(self, number: int) -> bytes | None:
        """Return the last files of a task's runs; None without any."""
        return self.snapshots.get(number)
