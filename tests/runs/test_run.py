"""Runs that are read back from their directories."""

import json
from pathlib import Path

from helpers.run_directories import write_run

from regexp import load_run


def test_a_summary_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path, [], seed=0, epochs=3))
    assert run.summary is not None
    assert run.summary["epochs"] == 3
    assert run.summary is run.summary  # not read again
    path = run.directory / "summary.json"
    path.write_text(json.dumps({**run.summary, "epochs": 40}))
    assert run.summary["epochs"] == 40
    path.unlink()
    assert run.summary is None
    assert run.status == "unfinished"
