"""The commit of the repository in which a command was typed is recorded, and nothing about git can fail a run."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from regexp import sweep
from regexp.runs.provenance import commit
from regexp.runs.provenance.commit import format_commit, read_commit

SHORT = ["epochs=1", "model.hidden_sizes=[2]", "data.train_size=64", "data.val_size=32"]


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for key, value in {"user.name": "A", "user.email": "a@b.c"}.items():
        count = int(os.environ.get("GIT_CONFIG_COUNT", "0"))
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{count}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{count}", value)
        monkeypatch.setenv("GIT_CONFIG_COUNT", str(count + 1))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.strip()


def test_a_commit_and_whether_it_was_changed() -> None:
    assert read_commit() is None
    git("init", "-q")
    assert read_commit() is None  # it has no commit yet
    Path("a.txt").write_text("1")
    git("add", ".")
    git("commit", "-qm", "first")
    recorded = {"commit": git("rev-parse", "HEAD"), "clean": True}
    Path("outputs").mkdir()
    Path("outputs/run.json").write_text("{}")  # what git does not track does not count
    assert read_commit() == recorded
    assert read_commit(Path("outputs")) == recorded
    Path("a.txt").write_text("2")
    assert read_commit() == {**recorded, "clean": False}
    assert format_commit(read_commit()) == f"{recorded['commit'][:8]}+"
    git("commit", "-qam", "second")
    git("checkout", "-q", "--detach", "HEAD~")
    assert read_commit() == recorded


def test_a_sweep_asks_once_and_records_it_for_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def count_calls() -> dict[str, Any]:
        calls.append(None)
        return {"commit": "0123", "clean": False}

    monkeypatch.setattr("regexp.runs.reserving.plan.read_commit", count_calls)
    words = [[*SHORT, f"seed={seed}"] for seed in range(3)]
    for one in sweep(words, quiet=True):
        assert one.record["git"] == {"commit": "0123", "clean": False}
    assert len(calls) == 1
    sweep(words, quiet=True)
    assert len(calls) == 1  # nothing starts, so nothing is asked


@pytest.mark.parametrize("program", [None, "exit 1", "exec sleep 10", "echo '\\377 nonsense'"])
def test_a_git_that_is_missing_fails_or_hangs_is_no_failure(
    program: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path(".git").mkdir()
    monkeypatch.setattr(commit, "_TIMEOUT_SECONDS", 0.3)
    directory = tmp_path / "bin"
    directory.mkdir()
    if program is not None:
        (directory / "git").write_text(f"#!/bin/sh\n{program}\n")
        (directory / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(directory) if program is None else f"{directory}{os.pathsep}{os.environ['PATH']}")
    assert read_commit() is None


def test_a_record_edited_by_hand_shows_no_commit() -> None:
    assert [format_commit(value) for value in (None, "abc", {}, {"commit": None})] == [""] * 4
