"""Failures while a sweep trains, forecasts before it trains, and the record that it leaves."""

import json
import math
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.commands import SHORT, fail_builds, read_summaries, run_regexp

from regexp import sweep
from regexp.config.compose import compose_jobs
from regexp.config.schema import OPTIONS
from regexp.errors import RunError
from regexp.execution.builders import (
    load_dataset,
    make_architecture,
)
from regexp.execution.building.optimizer_builders import count_optimizer_values, make_hyperparameters
from regexp.execution.forecasting import forecast, memory
from regexp.execution.grouping import group_into_cohorts
from regexp.execution.planning import distinguishing_values
from regexp.execution.run_recorder import RunRecorder
from regexp.runs.reserving.plan import plan_runs
from regexp.runs.run import Run
from regexp.runs.sweep_record import summarize_overrides
from regexp.training.cohort import Cohort

# The methods of a recorder that write.
METHODS = ("record_start", "record_epoch", "record_checkpoint", "record_result")


def failing_method(name: str, seed: int, error: Exception) -> Callable[..., None]:
    """Return a method of RunRecorder that raises an error for the run with this seed."""
    original = getattr(RunRecorder, name)

    def method(self: RunRecorder, *arguments: Any) -> None:
        if self.planned.job.config.seed == seed:
            raise error
        original(self, *arguments)

    return method


@pytest.fixture(scope="module")
def undisturbed_metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, float]]]:
    """Return the metrics of three runs that nothing disturbed, by their seeds."""
    runs = sweep([[*SHORT, f"seed={seed}"] for seed in (0, 1, 2)], tmp_path_factory.mktemp("undisturbed"), quiet=True)
    return {run.config["seed"]: run.metrics for run in runs}


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_cannot_be_recorded_fails_alone(
    undisturbed_metrics: dict[int, list[dict[str, float]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    method: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, method, failing_method(method, 1, ValueError("a broken pen")))
        assert run_regexp(monkeypatch, "-m", *SHORT, "seed=0,1,2") == 3
    assert len(read_summaries()) == 2
    [failure] = Path("outputs").rglob("failure.json")
    assert json.loads(failure.read_text())["message"] == "a broken pen"
    assert "ValueError: a broken pen" in (failure.parent / "run.log").read_text()
    streams = capsys.readouterr()
    assert "(1 failed)" in streams.out
    assert f"failed: {failure.parent} (a broken pen)" in " ".join(streams.out.split())
    hint = "The other runs have finished; run the same command again to train those that failed."
    assert f"regexp: a broken pen\n{hint}" in streams.err
    assert "Traceback" in streams.err  # a ValueError is a bug
    assert run_regexp(monkeypatch, "-m", *SHORT, "seed=0,1,2") == 0
    resuming = " (1 to resume)" if method == "record_result" else ""  # its last checkpoint is there
    assert f"3 runs: 1 to train{resuming}, 2 already finished" in capsys.readouterr().out
    for path in Path("outputs/default").glob("*/summary.json"):
        run = Run(path.parent)
        expected_rows = [
            {k: v for k, v in row.items() if k != "seconds"} for row in undisturbed_metrics[run.config["seed"]]
        ]
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in run.metrics]
        # The failed run was trained again alone, where float32 rounds differently.
        for row, expected in zip(rows, expected_rows, strict=True):
            assert row == (pytest.approx(expected, abs=1e-4) if run.config["seed"] == 1 else expected)


def test_the_runs_of_a_cohort_are_recorded_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits until all are being recorded."""
    monkeypatch.setattr(forecast, "MAX_SECONDS", 0.0)  # it records runs too
    barrier, record_result = threading.Barrier(3), RunRecorder.record_result

    def wait_for_others(self: RunRecorder, result: Any) -> None:
        barrier.wait(20)
        record_result(self, result)

    monkeypatch.setattr(RunRecorder, "record_result", wait_for_others)
    runs = sweep([[*SHORT, f"seed={seed}"] for seed in range(3)], quiet=True)
    assert {run.status for run in runs} == {"completed"}


def test_a_single_run_that_cannot_be_recorded_raises_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunRecorder, "record_epoch", failing_method("record_epoch", 0, ValueError("a broken pen")))
    with pytest.raises(ValueError, match="a broken pen"):
        sweep([SHORT], quiet=True)


def test_where_all_runs_fail_the_message_mentions_no_finished_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: RunRecorder, *arguments: Any) -> None:
        raise RunError("no room")

    monkeypatch.setattr(RunRecorder, "record_epoch", fail)
    with pytest.raises(RunError, match=r"^no room$"):
        sweep([[*SHORT, f"seed={s}"] for s in (0, 1)], quiet=True)


@pytest.mark.parametrize("fails_at", ["once", "epoch 3"])
def test_a_cohort_that_does_not_fit_in_memory_is_split_in_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fails_at: str
) -> None:
    """The halves start, or resume from the checkpoints of their runs, and nothing is recorded twice."""
    forward, failed_sizes = Cohort.forward, []

    def limited(self: Cohort, images: torch.Tensor) -> torch.Tensor:
        if len(self.members) > 2 and (fails_at == "once" or self.epoch == 3):
            failed_sizes.append(len(self.members))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, images)

    monkeypatch.setattr(Cohort, "forward", limited)
    monkeypatch.setattr("regexp.training.loop.CHECKPOINT_SHARE", 0)
    words = ["epochs=4", "model.hidden_sizes=[8]", "early_stopping=none", "seed=range(5)", "optimizer.lr=0.01,0.02"]
    assert run_regexp(monkeypatch, "-m", *words) == 0
    finished = read_summaries()
    assert {summary["cohort"]["size"] for summary in finished.values()} == {2, 1}
    assert max(failed_sizes) == 10 if fails_at == "once" else 5 in failed_sizes
    assert "runs do not fit in memory together; training them in two halves" in capsys.readouterr().out
    for path in Path("outputs/default").glob("*/metrics.csv"):
        run = Run(path.parent)
        assert [row["epoch"] for row in run.metrics] == [1, 2, 3, 4]
        assert not (path.parent / "failure.json").exists()
    assert len(finished) == 10


def test_a_single_run_that_does_not_fit_in_memory_says_what_to_make_smaller(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def limited(self: Cohort, images: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Cohort, "forward", limited)
    assert run_regexp(monkeypatch, "-m", *SHORT, "seed=0,1") == 4
    assert "not enough memory; use a smaller model" in capsys.readouterr().err
    assert len(list(Path("outputs").rglob("failure.json"))) == 2


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", *SHORT, "normalization=none,layer", "seed=0,1", "seed=0,1,1"]
    dry_run = [*words, "hydra.launcher.dry_run=true"]
    assert run_regexp(monkeypatch, *dry_run) == 0
    assert not Path("outputs").exists()
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "6 runs: 4 to train, 2 duplicates"
    assert [line.split()[:3] for line in out[2:4]] == [["1", "2", "2"], ["2", "2", "2"]]
    assert out[4].startswith(("2 cohorts, one after the other: at most ", "2 cohorts, one after the other: roughly "))
    assert run_regexp(monkeypatch, "-m", *SHORT, "normalization=none", "seed=0,1") == 0
    before = sorted(Path("outputs").rglob("*"))
    capsys.readouterr()
    assert run_regexp(monkeypatch, *dry_run) == 0
    assert "6 runs: 2 to train, 2 already finished, 2 duplicates" in capsys.readouterr().out
    assert run_regexp(monkeypatch, *dry_run, "force=true") == 0
    assert "6 runs: 4 to train, 2 duplicates" in capsys.readouterr().out
    assert sorted(Path("outputs").rglob("*")) == before


def test_a_sweep_records_its_command_its_grid_and_its_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regexp.execution.launcher._sweep", sys.modules["regexp.runs.sweep_record"].SweepRecord())
    words = ["-m", *SHORT, "normalization=none,batch", "seed=0,1,1", "hydra.sweeper.max_batch_size=3"]
    assert run_regexp(monkeypatch, *words) == 0
    [file] = Path("outputs/default/sweeps").iterdir()
    record = json.loads(file.read_text())
    assert record["id"] == file.stem
    assert record["command"].startswith("regexp -m epochs=2")
    assert record["grid"] == {"normalization": ["none", "batch"], "seed": ["0", "1"]}
    assert record["common"] == SHORT
    assert sorted(member["directory"] for member in record["members"]) == sorted(read_summaries())
    hashes = {name: summary["config_hash"] for name, summary in read_summaries().items()}
    assert {member["directory"]: member["config_hash"] for member in record["members"]} == hashes


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([["a=1", "b=2"], ["a=1", "b=3"]], {"grid": {"b": ["2", "3"]}, "common": ["a=1"]}),
        ([["a=1"], ["b=2"]], {"grid": {"a": ["1"], "b": ["2"]}, "common": []}),
        ([["a=1"]], {"grid": {}, "common": ["a=1"]}),
    ],
)
def test_the_grid_holds_the_overrides_that_differ(runs: Sequence[Sequence[str]], expected: dict[str, Any]) -> None:
    assert summarize_overrides(runs) == expected


def test_without_max_runs_a_cohort_uses_half_of_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    planned_runs = plan_runs(compose_jobs([[*SHORT, f"seed={s}"] for s in range(7)]), Path("outputs"))
    config = planned_runs[0].job.config
    dataset = load_dataset(config)
    architecture, optimizer_values = make_architecture(config, dataset), count_optimizer_values(config)
    run_bytes = memory.estimate_run_bytes(architecture, config.batch_size, optimizer_values, torch.float32)
    run_bytes += memory.estimate_stream_bytes(dataset.shape, len(dataset.train), torch.float32)
    all_bytes = 2 * (7 * run_bytes + memory.estimate_evaluation_bytes(torch.device("cpu")))
    cases = ((None, [7]), (all_bytes, [7]), (all_bytes - 2, [4, 3]), (1, [1] * 7))
    for free_bytes, sizes in cases:
        monkeypatch.setattr(memory, "read_free_bytes", lambda device, free_bytes=free_bytes: free_bytes)
        assert [len(cohort.runs) for cohort in group_into_cohorts(planned_runs)] == sizes


def test_the_free_memory_of_this_machine_is_read() -> None:
    free_bytes = memory.read_free_bytes(torch.device("cpu"))
    if Path("/proc/meminfo").exists():
        assert free_bytes is not None
        assert 0 < free_bytes < 2**50


# An optimizer's values are counted whatever the normalization, and its parameters whatever the optimizer.
@pytest.mark.parametrize(
    ("family", "normalization"),
    [*((family, "batch") for family in OPTIONS["optimizer"]), *(("adam", name) for name in OPTIONS["normalization"])],
)
def test_the_memory_of_a_run_is_estimated_tensor_by_tensor(family: str, normalization: str) -> None:
    words = [f"optimizer={family}", f"normalization={normalization}", "model.hidden_sizes=[64,32]"]
    [job] = compose_jobs([words])
    architecture = make_architecture(job.config, load_dataset(job.config))
    parameters = sum(parameter.numel() for parameter in architecture.make_module().parameters())
    optimizer_values = {"adam": 2, "adamw": 2, "sgd": 1, "rmsprop": 1}[family]
    activations = 64 * (64 + 32 + 10) * memory.VALUES_PER_ACTIVATION
    expected = 8 * (parameters * (3 + optimizer_values) + activations)
    assert count_optimizer_values(job.config) == optimizer_values
    assert memory.estimate_run_bytes(architecture, 64, optimizer_values, torch.float64) == expected
    assert make_hyperparameters(job.config, 1).arguments["lr"] == job.config.optimizer.lr


def test_forecasts_name_the_values_that_distinguish_cohorts() -> None:
    words = [[*SHORT, f"normalization={n}", f"batch_size={b}"] for n in ("none", "batch") for b in (32, 64)]
    planned_runs = plan_runs(compose_jobs([*words, [*words[0], "seed=1"]]), Path("outputs"))
    cohorts = forecast.forecast_cohorts(group_into_cohorts(planned_runs))
    all_values = distinguishing_values(cohorts)
    assert all(set(values) == {"normalization", "batch_size"} for values in all_values)
    runs = {
        (values["normalization"], values["batch_size"]): len(cohort.runs)
        for values, cohort in zip(all_values, cohorts, strict=True)
    }
    assert runs == {("none", "32"): 2, ("none", "64"): 1, ("batch", "32"): 1, ("batch", "64"): 1}
    assert all(0 < (cohort.seconds or 0) < math.inf for cohort in cohorts)


@pytest.mark.parametrize("busy_share", [1.0, 0.5])
def test_a_forecast_under_load_says_that_it_is_rough(
    busy_share: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The processor works for this process all the time, or half of it."""
    monkeypatch.setattr(forecast.time, "process_time", lambda: busy_share * time.perf_counter())
    words = [*SHORT, "normalization=none,batch", "hydra.launcher.dry_run=true", "hydra.launcher.workers=1"]
    assert run_regexp(monkeypatch, "-m", *words) == 0
    out = capsys.readouterr().out
    is_rough = busy_share < 1
    assert ("roughly" in out) == is_rough
    assert ("at most" in out) != is_rough
    assert out.endswith("The times are rough: other programs kept the processor busy meanwhile.\n") == is_rough


def test_a_cohort_that_takes_too_long_to_try_has_no_forecast(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(forecast, "MAX_SECONDS", 0.0)
    assert run_regexp(monkeypatch, "-m", *SHORT, "normalization=none,batch", "hydra.launcher.dry_run=true") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3:5] for line in lines[2:4]] == [["?", "?"], ["?", "?"]]
    assert lines[4] == "2 cohorts, one after the other: total time unknown"


def test_a_forecast_says_why_a_cohort_could_not_be_tried_and_hides_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_builds(monkeypatch, "batch", RunError("out of luck"))
    words = ["-m", *SHORT, "normalization=none,batch", "hydra.launcher.dry_run=true"]
    assert run_regexp(monkeypatch, *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "cohort 1 could not be tried: out of luck" in lines
    assert "2 cohorts, one after the other: total time unknown" in lines
    fail_builds(monkeypatch, "batch", ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        run_regexp(monkeypatch, *words)


def test_interrupted_runs_are_counted_and_resumed_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from regexp.utils.signals import StopRequest

    words = ["-m", *SHORT, "normalization=none", "seed=0,1"]
    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "requested", True)
        with pytest.raises(KeyboardInterrupt):
            run_regexp(monkeypatch, *words)
    capsys.readouterr()
    assert run_regexp(monkeypatch, "-m", *SHORT, "normalization=batch,none", "seed=0,1") == 0
    out = capsys.readouterr().out
    assert out.startswith("4 runs: 4 to train (2 to resume)\n")
    assert [line.split()[-1] for line in out.splitlines()[2:4]] == ["none", "batch"]
    assert out.count("resuming after epoch 1") == 1
