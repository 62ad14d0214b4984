"""The index of the runs in a directory: what it reads, and what it must not take from memory."""

import json
from collections import Counter
from pathlib import Path

import pytest
from helpers.run_directories import write_run

from regexp import sweep
from regexp.runs import run as run_module
from regexp.runs.identity import Identity
from regexp.runs.reserving.claims import Claims
from regexp.runs.reserving.run_index import RunIndex

SEEDS = [["epochs=2", "model.hidden_sizes=[8]", f"seed={seed}"] for seed in (0, 1)]
DEFAULT = Path("outputs/default")


def test_a_run_that_was_set_aside_leaves_another_of_its_identity_in_the_index() -> None:
    first, second = (write_run(DEFAULT, [word], seed=0) for word in ("model.dropout=0", "model.dropout=0.0"))
    for directory in (first, second):
        record = json.loads((directory / "run.json").read_text())
        record["identity"] = {"config": "config", "data": "data", "code": "code"}
        (directory / "run.json").write_text(json.dumps(record))
    identity = Identity("config", "data", "code")
    index, claims = RunIndex(DEFAULT), Claims(print)
    index.set_aside(second, claims)
    found = index.find(DEFAULT / "other", identity)
    assert found is not None
    assert found.directory == first
    index.set_aside(first, claims)
    assert index.find(DEFAULT / "other", identity) is None


def test_the_files_of_finished_runs_are_read_at_most_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(SEEDS, quiet=True)
    reads: Counter[Path] = Counter()
    original = run_module.read_json_object

    def counting_read(path: Path, missing_message: str) -> object:
        reads[path] += 1
        return original(path, missing_message)

    monkeypatch.setattr(run_module, "read_json_object", counting_read)
    sweep(SEEDS, quiet=True)
    assert {path.name for path in reads} == {"run.json", "summary.json"}
    assert len(reads) == 4
    assert max(reads.values()) == 2
