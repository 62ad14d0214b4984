"""The `regexp` command, run in the process of the test, and the summaries of its runs."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from regexp.__main__ import run_command

SHORT = ["epochs=2", "model.hidden_sizes=[8]", "early_stopping=none"]


def run_regexp(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run `regexp WORDS...` and return its exit status."""
    monkeypatch.setattr("regexp.utils.exit_codes._highest_status", 0)
    monkeypatch.setattr(sys, "argv", ["regexp", *words])
    return run_command(list(words))


def read_summaries(name: str = "default") -> dict[str, dict[str, Any]]:
    """Return the summaries of the finished runs below outputs/NAME, by directory name."""
    return {path.parent.name: json.loads(path.read_text()) for path in Path("outputs").glob(f"{name}/*/summary.json")}
