"""The index of the runs in a directory: what it reads, and what it must not take from memory."""

import json
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from helpers.run_directories import write_run

from regexp import sweep
from regexp.config.compose import compose_job
from regexp.errors import RunError
from regexp.runs import run as run_module
from regexp.runs.directories import reserve_directory
from regexp.runs.identity import Identity, identify
from regexp.runs.run_index import RunIndex
from regexp.utils.processes import _start_time

SEEDS = [["epochs=2", "model.hidden_sizes=[8]", f"seed={seed}"] for seed in (0, 1)]
DEFAULT = Path("outputs/default")


def test_a_run_that_another_process_begins_after_the_index_was_made_is_left_alone() -> None:
    """Of runs that have not ended, the record is read again."""
    job = compose_job(SEEDS[0])
    identity = identify(job.config, "data")
    planned = reserve_directory(job, identity, Path("outputs"), RunIndex(DEFAULT))
    index = RunIndex(DEFAULT)
    assert reserve_directory(job, identity, Path("outputs"), index).directory == planned.directory
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        record = json.loads((planned.directory / "run.json").read_text())
        record["process"] = {"host": socket.gethostname(), "pid": other.pid, "started": _start_time(other.pid)}
        (planned.directory / "run.json").write_text(json.dumps(record))
        with pytest.raises(RunError, match=f"is being trained by process {other.pid}"):
            reserve_directory(job, identity, Path("outputs"), index)
        other.kill()


def test_a_run_that_was_set_aside_leaves_another_of_its_identity_in_the_index() -> None:
    first, second = (write_run(DEFAULT, [word], seed=0) for word in ("model.dropout=0", "model.dropout=0.0"))
    for directory in (first, second):
        record = json.loads((directory / "run.json").read_text())
        record["identity"] = {"config": "config", "data": "data", "code": "code"}
        (directory / "run.json").write_text(json.dumps(record))
    identity = Identity("config", "data", "code")
    index = RunIndex(DEFAULT)
    index.set_aside(second)
    found = index.find(DEFAULT / "other", identity)
    assert found is not None
    assert found.directory == first
    index.set_aside(first)
    assert index.find(DEFAULT / "other", identity) is None


def test_the_files_of_finished_runs_are_read_at_most_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(SEEDS, quiet=True)
    reads: Counter[Path] = Counter()
    original = run_module._read_json

    def counting_read(path: Path, missing_message: str) -> object:
        reads[path] += 1
        return original(path, missing_message)

    monkeypatch.setattr(run_module, "_read_json", counting_read)
    sweep(SEEDS, quiet=True)
    assert {path.name for path in reads} == {"run.json", "summary.json"}
    assert len(reads) == 4
    assert max(reads.values()) == 2
