"""The sweeps that tests compare with a tolerance: figures that round in another order change their results hardly."""

from pathlib import Path

import pytest
from helpers.option_sweeps import (
    assert_equal_results,
    choose_overrides,
    choose_robust_runs,
    count_sweeps,
    train_sweep,
)


@pytest.mark.slow
@pytest.mark.parametrize("i", range(count_sweeps()))
def test_runs_that_train_alone_come_out_as_together(i: int, tmp_path: Path) -> None:
    words = [word for word in choose_overrides(i, tmp_path / "data") if not word.startswith("device.precision=")]
    overrides = [*words, "device.precision=float64"]
    runs = choose_robust_runs(overrides)
    expected_runs = train_sweep(overrides, "cpu", tmp_path / "together", runs)
    runs_alone = [train_sweep(overrides, "cpu", tmp_path / "alone", [run])[0] for run in runs]
    assert_equal_results(runs_alone, expected_runs, 1e-7)
