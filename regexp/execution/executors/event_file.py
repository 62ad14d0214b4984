"""Events of a cohort as lines of a file, for a command that follows a training elsewhere. Imports no torch."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from regexp import errors as error_classes
from regexp.errors import RegexpError, RunError
from regexp.execution.events import CohortDescription, CohortEnd, EpochSummary

_KINDS: Mapping[str, type[Any]] = {
    kind.__name__: kind for kind in (CohortDescription, EpochSummary, CohortEnd)
}  # a text is a line to print


@dataclass(frozen=True)
class TrainingEnd:
    """The end of all training of a task.

    Attributes:
        errors: for each error that ended a run, the name of its class and its message.
    """

    errors: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, errors: Sequence[Exception]) -> "TrainingEnd":
        """Return the end of a training that had these errors."""
        return cls([(type(error).__name__, str(error)) for error in errors])

    def make_errors(self, place: str) -> list[Exception]:
        """Return errors of the same classes and messages; what was a bug there names the place of its traceback.

        Args:
            place: where the traceback of a bug can be read.
        """
        return [_make_error(name, message, place) for name, message in self.errors]


def _make_error(name: str, message: str, place: str) -> Exception:
    error_class = getattr(error_classes, name, None)
    if isinstance(error_class, type) and issubclass(error_class, RegexpError):
        return error_class(message)
    reason = message.partition("\n")[0]
    return RunError(f"{name}: {reason}; its traceback is in {place}")


class EventWriter:
    """A display that appends all that it should show to a file. Implements events.CohortDisplay."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def print_line(self, message: str) -> None:
        """Append a line to print, and print it here too."""
        print(message, flush=True)
        self._append({"line": message})

    @contextmanager
    def watch(self, cohort: CohortDescription) -> Iterator[None]:
        """Append the description of a cohort, and that it has ended."""
        self._append_event(cohort)
        yield
        self._append_event(CohortEnd())

    def show_summary(self, summary: EpochSummary) -> None:
        """Append an epoch."""
        self._append_event(summary)

    def print_interruption(self, epoch: int) -> None:
        """Append that training was interrupted."""
        self.print_line(f"interrupted after epoch {epoch}")

    def write_end(self, end: TrainingEnd) -> None:
        """Append the end of the task."""
        self._append({"end": list(end.errors)})

    def _append_event(self, event: Any) -> None:
        self._append({type(event).__name__: asdict(event)})

    def _append(self, record: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


class EventReader:
    """A reader of a file that an EventWriter, in another process, appends to."""

    def __init__(self, path: Path) -> None:
        self.path, self._position = path, 0

    def read(self) -> Iterator[Any]:
        """Yield the events since the last call: texts, TrainingEnd, and those of execution.events."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._position)
                content = file.read()
        except OSError:  # nothing was written yet
            return
        complete = content[: content.rfind(b"\n") + 1]
        self._position += len(complete)
        for line in complete.splitlines():
            try:
                [(name, value)] = json.loads(line).items()
            except (ValueError, AttributeError):  # a line that was broken when its writer was killed
                continue
            if name == "line":
                yield str(value)
            elif name == "end":
                yield TrainingEnd([(str(kind), str(message)) for kind, message in value])
            elif name in _KINDS:
                yield _KINDS[name](**value)
