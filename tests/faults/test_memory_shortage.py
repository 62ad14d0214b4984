"""Cohorts that memory is too short for: the others go on, and have the memory."""

import gc
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.commands import SHORT, read_summaries, run_regexp

from regexp.errors import DataError
from regexp.execution import execute
from regexp.training.cohort import Cohort

# Two cohorts of two runs.
SWEEP = ["-m", *SHORT, "normalization=none,batch", "seed=0,1", "hydra.launcher.workers=1"]


@pytest.fixture
def failed_cohorts(monkeypatch: pytest.MonkeyPatch) -> "list[weakref.ref[Cohort]]":
    """Let memory be short for all cohorts without normalization, and return the cohorts that failed."""
    forward, cohorts = Cohort.forward, list[weakref.ref[Cohort]]()

    def limited(self: Cohort, images: torch.Tensor) -> torch.Tensor:
        if self.model.architecture.normalization.name == "none":  # type: ignore[attr-defined]
            cohorts.append(weakref.ref(self))
            raise MemoryError
        return forward(self, images)

    monkeypatch.setattr(Cohort, "forward", limited)
    return cohorts


@pytest.mark.usefixtures("failed_cohorts")
def test_a_failed_regroup_drops_no_remaining_cohort(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(planned_runs: Sequence[Any]) -> list[Any]:
        raise DataError("the data are gone")

    monkeypatch.setattr(execute, "split_in_two", fail)
    assert run_regexp(monkeypatch, *SWEEP) == 3
    err = capsys.readouterr().err
    assert err.startswith("regexp: the data are gone\nThe other runs have finished")
    assert len(read_summaries()) == 2
    assert len(list(Path("outputs").rglob("failure.json"))) == 2


@pytest.mark.slow
def test_a_cohort_that_failed_leaves_its_memory_to_those_that_follow(
    monkeypatch: pytest.MonkeyPatch, failed_cohorts: "list[weakref.ref[Cohort]]"
) -> None:
    """The errors are kept until the end of the sweep, and must not keep the tensors."""
    monkeypatch.setattr("regexp.execution.forecasting.forecast.MAX_SECONDS", -1.0)
    train_cohort, living = execute.train_cohort, list[int]()

    def watched(*arguments: Any, **options: Any) -> Any:
        gc.collect()
        living.append(sum(cohort() is not None for cohort in failed_cohorts))
        return train_cohort(*arguments, **options)

    monkeypatch.setattr(execute, "train_cohort", watched)
    assert run_regexp(monkeypatch, *SWEEP) == 3
    assert len(failed_cohorts) >= 3  # two runs, and then one after the other
    assert len(living) >= 4
    assert not any(living)
    assert len(read_summaries()) == 2
