"""Training that is killed at random moments: scripts/kill_runs.py, which says what becomes of it."""

import subprocess
import sys
from pathlib import Path

import pytest
from kill_runs import find_differences

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "kill_runs.py"


@pytest.mark.slow
@pytest.mark.parametrize(("training", "kills"), [("single", 60), ("sweep", 20), ("digits", 20)])
def test_killed_training_ends_with_the_figures_of_undisturbed_training(training: str, kills: int) -> None:
    process = subprocess.run(
        [sys.executable, str(SCRIPT), training, "--kills", str(kills)], capture_output=True, text=True, check=False
    )
    print(process.stdout)
    assert process.returncode == 0, process.stdout + process.stderr
    assert f"{kills:6}  kills\n" in process.stdout


@pytest.mark.parametrize(
    ("value", "expected", "differs"),
    [
        ({"a": [1.0, 2]}, {"a": [1.0 + 1e-12, 2]}, False),
        ({"a": [1.0, 2]}, {"a": [1.0 + 1e-6, 2]}, True),
        ({"a": [1, 2]}, {"a": [1]}, True),
        ({"a": "completed"}, {"a": "stopped_early"}, True),
        ({"a": None}, {"a": 1.0}, True),
        ({"a": 1}, {"b": 1}, True),
    ],
)
def test_differences_are_found(value: object, expected: object, differs: bool) -> None:
    assert bool(list(find_differences(value, expected, 1e-9))) == differs
