"""Commands run in the process of the test, and the summaries of the runs that they train."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from regexp.cli.command import run_command
from regexp.execution import builders
from regexp.runs.directories import PlannedRun
from regexp.runs.sweep_record import SweepRecord
from regexp.training.cohort import Cohort

SHORT = ["epochs=2", "model.hidden_sizes=[8]", "early_stopping=none"]


def run_regexp(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run `regexp WORDS...` and return its exit status."""
    monkeypatch.setattr("regexp.utils.exit_codes._highest_status", 0)
    monkeypatch.setattr("regexp.execution.launcher._sweep", SweepRecord())  # a process has one, a worker of pytest many
    monkeypatch.setattr(sys, "argv", ["regexp", *words])
    return run_command(list(words))


def record_calls(monkeypatch: pytest.MonkeyPatch, owner: type[Any], method: str) -> list[Any]:
    """Record the calls of a method, and return the list to which each adds the object that it was called on."""
    objects: list[Any] = []
    original = getattr(owner, method)

    def recording(self: Any, *arguments: Any, **named_arguments: Any) -> Any:
        objects.append(self)
        return original(self, *arguments, **named_arguments)

    monkeypatch.setattr(owner, method, recording)
    return objects


def fail_builds(monkeypatch: pytest.MonkeyPatch, normalization: str, error: Exception) -> None:
    """Have the cohorts with a normalization fail with an error when they are built."""
    build = builders.build_cohort

    def failing_build(planned_runs: Sequence[PlannedRun]) -> Cohort:
        if planned_runs[0].job.config.normalization.name == normalization:
            raise error
        return build(planned_runs)

    monkeypatch.setattr(builders, "build_cohort", failing_build)


def run_main(monkeypatch: pytest.MonkeyPatch, main: Callable[[], object], *argv: str) -> int:
    """Run the main function of a program, with a program name and arguments in argv, and return its exit status."""
    monkeypatch.setattr("regexp.utils.exit_codes._highest_status", 0)
    monkeypatch.setattr(sys, "argv", list(argv))
    with pytest.raises(SystemExit) as program_exit:
        main()
    return int(program_exit.value.code or 0)


def read_summaries(name: str = "default") -> dict[str, dict[str, Any]]:
    """Return the summaries of the finished runs below outputs/NAME, by directory name."""
    return {path.parent.name: json.loads(path.read_text()) for path in Path("outputs").glob(f"{name}/*/summary.json")}
