"""The seconds of runs that train together: shares that add up to their cohort's time, and the time that passed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.commands import SHORT
from helpers.run_directories import simulate_runs, write_run

from regexp import load_run, sweep
from regexp.comparison.compare import compare_collection
from regexp.comparison.explaining.notes import make_notes
from regexp.comparison.explaining.training_time import format_duration, measure_wall_time
from regexp.comparison.loading import collect
from regexp.execution.checkpoint_file import load_checkpoint
from regexp.runs.run_record import read_run_record


def test_the_runs_of_a_cohort_share_its_time() -> None:
    """Two runs of one and of three epochs: after the first epoch the second one has the cohort for itself."""
    settings = [setting for setting in SHORT if not setting.startswith("epochs=")]
    runs = sweep([[*settings, "epochs=1"], [*settings, "epochs=3"]], quiet=True, workers=1)
    first, second, third = (epoch["seconds"] for epoch in runs[1].metrics)
    summaries = [json.loads((run.directory / "summary.json").read_text()) for run in runs]
    assert summaries[0]["cohort"] == summaries[1]["cohort"]
    assert [summary["share_seconds"] for summary in summaries] == pytest.approx([first / 2, first / 2 + second + third])
    assert summaries[1]["seconds"] == pytest.approx(first + second + third)
    # A run that resumes goes on with its share.
    checkpoint = load_checkpoint(runs[1].directory)
    assert checkpoint is not None
    assert checkpoint.metadata["share_seconds"] == pytest.approx(summaries[1]["share_seconds"])
    # A comparison shows the shares, and how much time has passed.
    comparison = compare_collection(collect([]))
    shares = {row.values["epochs"]: row.scores["seconds"][0] for row in comparison.rows}
    assert shares == pytest.approx({"1": first / 2, "3": first / 2 + second + third})
    assert any("The 2 runs trained within" in note for note in make_notes(comparison))


def test_runs_of_an_earlier_version_share_the_time_of_all_epochs(tmp_path: Path) -> None:
    directory = write_run(tmp_path, [], 0)
    path = directory / "summary.json"
    for entries, share in (({}, 6.0), ({"cohort": {"size": 3, "id": "x"}}, 2.0), ({"share_seconds": 1.5}, 1.5)):
        path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": 6.0, **entries}))
        assert read_run_record(load_run(directory)).metric_values["seconds"] == share


def test_wall_time_counts_no_second_twice_and_no_pause() -> None:
    example = simulate_runs({"none": {0: 0.9}}).records[0]

    def ended(name: str, time: float | None, epoch_seconds: float) -> object:
        return replace(example, directory=Path(name), ended=time, epoch_seconds=epoch_seconds)

    starts = {Path("a"): [100.0, 500.0], Path("b"): [100.0], Path("c"): [500.0]}
    for spans, seconds in (
        ([], None),
        ([("x", None, 5)], None),
        ([("x", 50.0, 5)], 5),  # alone
        ([("a", 130.0, 20), ("b", 150.0, 20)], 50),  # in one sweep, from its start
        ([("b", 150.0, 20), ("c", 520.0, 10)], 50 + 20),  # the second sweep went on after a pause
        ([("a", 530.0, 90), ("c", 520.0, 10)], 30),  # resumed by the second sweep
        ([("b", 150.0, 20), ("x", 155.0, 10)], 55),
    ):
        assert measure_wall_time([ended(*span) for span in spans], starts) == seconds  # type: ignore[misc]


def test_durations_have_two_units() -> None:
    durations = {0.64: "0.6 s", 28.4: "28 s", 88.0: "1 min 28 s", 7500.0: "2 h 5 min"}
    assert {seconds: format_duration(seconds) for seconds in durations} == durations
