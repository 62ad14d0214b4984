"""Lists of runs: which runs of a directory they hold, in which order, and their records."""

import json
from pathlib import Path

import pytest

from regexp import Runs, compare, load_run, load_runs, run, sweep
from regexp.config.metric_registry import COLUMNS
from regexp.errors import DoubtfulResult, RunError

DEFAULT = Path("outputs/default")
GRID = {"normalization": ["none", "batch"], "model.hidden_sizes": [[8]], "seed": [1, 0]}


def test_runs_come_in_the_order_of_their_sweep_then_of_their_start() -> None:
    late = run(epochs=2, seed=7, name="other", quiet=True)
    runs = sweep(GRID, epochs=2, quiet=True)
    alone = run(epochs=2, seed=5, quiet=True)
    again = run(epochs=2, seed=5, force=True, quiet=True)  # sets the one before aside
    assert again.directory == alone.directory
    assert [found.directory for found in load_runs(DEFAULT)] == [found.directory for found in [*runs, alone]]
    assert {found.directory for found in load_runs()} == {found.directory for found in [*runs, alone, late]}
    [old] = DEFAULT.glob("*.old-*")
    assert [found.directory for found in load_runs(old)] == [old]
    assert type(runs[:2]) is Runs
    assert len(load_runs(runs[0].directory)) == 1


def test_unfinished_runs_are_listed_and_broken_ones_are_named() -> None:
    runs = sweep({"seed": range(4)}, epochs=2, quiet=True)
    (runs[0].directory / "summary.json").unlink()
    (runs[1].directory / "summary.json").write_text("{")
    (runs[2].directory / "run.json").write_text("{")
    with pytest.warns(DoubtfulResult) as warnings:
        found_runs = load_runs(DEFAULT)
    assert [found.status for found in found_runs] == ["unfinished", "completed"]
    messages = [str(warning.message) for warning in warnings]
    for broken, name in ((runs[1], "summary.json"), (runs[2], "run.json")):
        assert any(message.startswith(f"left out: {broken.directory / name} is broken") for message in messages)
    unfinished, finished = found_runs.records()
    assert unfinished["test_accuracy"] is unfinished["epochs"] is None
    assert finished["test_accuracy"] > 0
    assert len(found_runs.epochs()) == 4  # of the unfinished run as well


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_a_directory_without_runs_is_an_error(name: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(RunError, match=f"^{name}: (there is no such directory|holds no runs)$"):
        load_runs(name)


def test_records_are_rows_of_a_table() -> None:
    runs = Runs(
        [*sweep(GRID, epochs=2, quiet=True), run({"augmentation": "shift", "optimizer": "sgd"}, epochs=3, quiet=True)]
    )
    records = runs.records()
    assert json.loads(json.dumps(records)) == records  # plain values
    assert len({tuple(record) for record in records}) == 1
    assert list(records[0])[:3] == ["directory", "status", "seed"]
    first, last = records[0], records[-1]
    assert load_run(first["directory"]).config == runs[0].config
    assert (first["seed"], first["normalization"], first["config.epochs"], first["epochs"]) == (1, "none", 2, 2)
    assert (first["model.dropout"], first["model.residual"], first["model.hidden_sizes"]) == (0.0, False, "[8]")
    assert (first["augmentation"], last["augmentation"], first["optimizer.momentum"]) == ("none", "shift", None)
    assert last["optimizer.momentum"] is not None
    summary = runs[0].summary
    assert summary is not None
    assert first["test_accuracy"] == summary["test"]["accuracy"]
    assert first["val_loss"] == summary["best"]["val_loss"]
    assert first["best_epoch"] == summary["best_epoch"]


def test_epochs_are_rows_of_a_tidy_table() -> None:
    runs = sweep(GRID, epochs=2, quiet=True)
    records = runs.epochs()
    assert json.loads(json.dumps(records)) == records
    assert len(records) == 8
    assert list(records[0])[-len(COLUMNS) :] == list(COLUMNS)
    assert [(record["normalization"], record["seed"], record["epoch"]) for record in records[:4]] == [
        ("none", 1, 1), ("none", 1, 2), ("none", 0, 1), ("none", 0, 2),
    ]  # fmt: skip
    assert records[0]["val_loss"] == runs[0].metrics[0]["val_loss"]
    (runs[0].directory / "metrics.csv").write_text("epoch\nx\n")
    with pytest.raises(RunError, match="broken"):
        runs.epochs()
    assert Runs().records() == Runs().epochs() == []


def test_rows_of_a_comparison_hold_numbers_as_numbers_and_name_their_runs() -> None:
    grid = {"model.dropout": [0, 0.5], "model.hidden_sizes": [[8], [8, 8]], "optimizer.clip_norm": [None, 1.0]}
    runs = sweep(grid, epochs=1, quiet=True)
    rows = compare(runs)
    assert {(row["model.dropout"], row["model.hidden_sizes"], row["optimizer.clip_norm"]) for row in rows} == {
        (dropout, sizes, norm) for dropout in (0.0, 0.5) for sizes in ("[8]", "[8,8]") for norm in (None, 1.0)
    }
    assert {directory for row in rows for directory in row["directories"]} == {str(done.directory) for done in runs}


def test_rows_of_a_comparison_hold_booleans_as_such() -> None:
    runs = sweep({"model.residual": [False, True]}, model__hidden_sizes=[8, 8], epochs=1, quiet=True)
    assert {row["model.residual"] for row in compare(runs)} == {False, True}
