"""What happens to the others when recording or memory fails; what a sweep says before, and what it leaves."""

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.commands import SHORT, regexp, summaries

from regexp import sweep
from regexp.config.compose import compose_jobs
from regexp.config.schema import OPTIONS
from regexp.errors import RunError
from regexp.execution import builders, forecast, memory
from regexp.execution.builders import (
    estimate_run_bytes,
    group_into_cohorts,
    load_dataset,
    make_architecture,
    make_hyperparameters,
)
from regexp.execution.recorder import RunRecorder
from regexp.models.mlp import as_sequential
from regexp.runs.directories import plan_runs
from regexp.runs.run import Run
from regexp.runs.sweep_record import summarize_overrides
from regexp.training.cohort import Cohort

STAGES = ("begin", "epoch", "save", "finish")


def failing(stage: str, seed: int, error: Exception) -> Callable[..., None]:
    """A stage of recording that fails for the run with this seed."""
    original = getattr(RunRecorder, stage)

    def act(self: RunRecorder, *facts: Any) -> None:
        if self.planned.job.config.seed == seed:
            raise error
        original(self, *facts)

    return act


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_that_cannot_be_recorded_fails_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    whole = sweep([[*SHORT, f"seed={seed}"] for seed in (0, 1, 2)], "alone")
    undisturbed = {run.config["seed"]: run.metrics for run in whole}
    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, stage, failing(stage, 1, ValueError("a broken pen")))
        assert regexp(monkeypatch, "-m", *SHORT, "seed=0,1,2") == 3
    assert len(summaries()) == 2
    [failed] = Path("outputs").rglob("failure.json")
    assert json.loads(failed.read_text())["message"] == "a broken pen"
    assert "ValueError: a broken pen" in (failed.parent / "run.log").read_text()
    streams = capsys.readouterr()
    assert "(1 failed)" in streams.out
    assert f"failed: {failed.parent} (a broken pen)" in " ".join(streams.out.split())
    hint = "The other runs have finished; run the same command again to train those that failed."
    assert f"regexp: a broken pen\n{hint}" in streams.err
    assert "Traceback" in streams.err  # a ValueError is a bug
    assert regexp(monkeypatch, "-m", *SHORT, "seed=0,1,2") == 0
    going_on = " (1 to resume)" if stage == "finish" else ""  # its last checkpoint is there
    assert f"3 runs: 1 to train{going_on}, 2 already finished" in capsys.readouterr().out
    for path in Path("outputs/default").glob("*/summary.json"):
        run = Run(path.parent)
        expected = [{k: v for k, v in row.items() if k != "seconds"} for row in undisturbed[run.config["seed"]]]
        measured = [{k: v for k, v in row.items() if k != "seconds"} for row in run.metrics]
        # Alone, the failed one rounds otherwise than in company.
        for one, other in zip(measured, expected, strict=True):
            assert one == (pytest.approx(other, abs=1e-4) if run.config["seed"] == 1 else other)


def test_a_single_run_that_cannot_be_recorded_raises_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunRecorder, "epoch", failing("epoch", 0, ValueError("a broken pen")))
    with pytest.raises(ValueError, match="a broken pen"):
        sweep([SHORT], quiet=True)


def test_where_all_fail_nothing_is_said_to_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: RunRecorder, *facts: Any) -> None:
        raise RunError("no room")

    monkeypatch.setattr(RunRecorder, "epoch", full)
    with pytest.raises(RunError, match=r"^no room$"):
        sweep([[*SHORT, f"seed={s}"] for s in (0, 1)], quiet=True)


@pytest.mark.parametrize("first", ["forward", "later"])
def test_a_cohort_without_room_goes_on_in_halves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], first: str
) -> None:
    """From the beginning, or from checkpoints in the midst; nothing is recorded twice."""
    forward, said = Cohort.forward, []

    def limited(self: Cohort, images: torch.Tensor) -> torch.Tensor:
        if len(self.members) > 2 and (first == "forward" or self.epoch == 3):
            said.append(len(self.members))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, images)

    monkeypatch.setattr(Cohort, "forward", limited)
    monkeypatch.setattr("regexp.training.loop.CHECKPOINT_SHARE", 0)
    words = ["epochs=4", "model.hidden_sizes=[8]", "early_stopping=none", "seed=range(5)", "optimizer.lr=0.01,0.02"]
    assert regexp(monkeypatch, "-m", *words) == 0
    done = summaries()
    assert {summary["cohort"]["size"] for summary in done.values()} == {2, 1}
    assert max(said) == 10 if first == "forward" else 5 in said
    assert "runs do not fit in memory together; training them in two halves" in capsys.readouterr().out
    for path in Path("outputs/default").glob("*/metrics.csv"):
        run = Run(path.parent)
        assert [row["epoch"] for row in run.metrics] == [1, 2, 3, 4]
        assert not (path.parent / "failure.json").exists()
    assert len(done) == 10


def test_a_run_alone_without_room_says_what_to_make_smaller(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def limited(self: Cohort, images: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Cohort, "forward", limited)
    assert regexp(monkeypatch, "-m", *SHORT, "seed=0,1") == 4
    assert "not enough memory; use smaller model.hidden_sizes" in capsys.readouterr().err
    assert len(list(Path("outputs").rglob("failure.json"))) == 2


def test_a_dry_run_tells_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", *SHORT, "normalization=none,layer", "seed=0,1", "seed=0,1,1"]
    dry = [*words, "hydra.launcher.dry_run=true"]
    assert regexp(monkeypatch, *dry) == 0
    assert not Path("outputs").exists()
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "6 runs: 4 to train, 2 duplicates"
    assert [line.split()[:3] for line in out[2:4]] == [["1", "2", "2"], ["2", "2", "2"]]
    assert out[4].startswith("2 cohorts, one after the other: at most ")
    assert regexp(monkeypatch, "-m", *SHORT, "normalization=none", "seed=0,1") == 0
    before = sorted(Path("outputs").rglob("*"))
    capsys.readouterr()
    assert regexp(monkeypatch, *dry) == 0
    assert "6 runs: 2 to train, 2 already finished, 2 duplicates" in capsys.readouterr().out
    assert regexp(monkeypatch, *dry, "force=true") == 0
    assert "6 runs: 4 to train, 2 duplicates" in capsys.readouterr().out
    assert sorted(Path("outputs").rglob("*")) == before


def test_a_sweep_leaves_its_command_its_grid_and_its_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regexp.execution.launch._sweep", sys.modules["regexp.runs.sweep_record"].SweepRecord())
    words = ["-m", *SHORT, "normalization=none,batch", "seed=0,1,1", "hydra.sweeper.max_batch_size=3"]
    assert regexp(monkeypatch, *words) == 0
    [file] = Path("outputs/default/sweeps").iterdir()
    facts = json.loads(file.read_text())
    assert facts["id"] == file.stem
    assert facts["command"].startswith("regexp -m epochs=2")
    assert facts["grid"] == {"normalization": ["none", "batch"], "seed": ["0", "1"]}
    assert facts["common"] == SHORT
    assert sorted(member["directory"] for member in facts["members"]) == sorted(summaries())
    hashes = {name: summary["config_hash"] for name, summary in summaries().items()}
    assert {member["directory"]: member["config_hash"] for member in facts["members"]} == hashes


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([["a=1", "b=2"], ["a=1", "b=3"]], {"grid": {"b": ["2", "3"]}, "common": ["a=1"]}),
        ([["a=1"], ["b=2"]], {"grid": {"a": ["1"], "b": ["2"]}, "common": []}),
        ([["a=1"]], {"grid": {}, "common": ["a=1"]}),
    ],
)
def test_the_grid_is_what_differs(runs: Sequence[Sequence[str]], expected: dict[str, Any]) -> None:
    assert summarize_overrides(runs) == expected


def test_without_a_bound_a_cohort_takes_half_of_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    claims = plan_runs(compose_jobs([[*SHORT, f"seed={s}"] for s in range(7)]), Path("outputs"))
    config = claims[0].job.config
    dataset = load_dataset(config)
    each = estimate_run_bytes(config, make_architecture(config, dataset), torch.float32)
    each += memory.estimate_stream_bytes(dataset.shape, torch.float32)
    for room, sizes in ((None, [7]), (2 * 7 * each, [7]), (2 * 7 * each - 2, [4, 3]), (1, [1] * 7)):
        monkeypatch.setattr(memory, "read_free_bytes", lambda device, room=room: room)
        assert [len(group) for group in group_into_cohorts(claims)] == sizes


def test_the_machine_tells_its_free_memory() -> None:
    free = memory.read_free_bytes(torch.device("cpu"))
    if Path("/proc/meminfo").exists():
        assert free is not None
        assert 0 < free < 2**50


@pytest.mark.parametrize("family", list(OPTIONS["optimizer"]))
@pytest.mark.parametrize("normalization", list(OPTIONS["normalization"]))
def test_what_a_run_takes_is_counted_tensor_by_tensor(family: str, normalization: str) -> None:
    words = [f"optimizer={family}", f"normalization={normalization}", "model.hidden_sizes=[64,32]"]
    [job] = compose_jobs([words])
    architecture = make_architecture(job.config, load_dataset(job.config))
    own = sum(parameter.numel() for parameter in as_sequential(architecture).parameters())
    entries = {"adam": 2, "adamw": 2, "sgd": 1, "rmsprop": 1}[family]
    counted = estimate_run_bytes(job.config, architecture, torch.float64)
    activations = 64 * (64 + 32 + 10) * memory.VALUES_PER_ACTIVATION
    assert counted == 8 * (own * (3 + entries) + activations)
    assert make_hyperparameters(job.config, 1).arguments["lr"] == job.config.optimizer.lr


def test_forecasts_tell_what_separates_cohorts() -> None:
    words = [[*SHORT, f"normalization={n}", f"batch_size={b}"] for n in ("none", "batch") for b in (32, 64)]
    claims = plan_runs(compose_jobs([*words, [*words[0], "seed=1"]]), Path("outputs"))
    found = forecast.forecast_cohorts(group_into_cohorts(claims))
    separating = {(f.distinguishing_values["normalization"], f.distinguishing_values["batch_size"]): f.runs for f in found}
    assert separating == {("none", "32"): 2, ("none", "64"): 1, ("batch", "32"): 1, ("batch", "64"): 1}
    assert all(set(f.distinguishing_values) == {"normalization", "batch_size"} for f in found)
    assert all(f.seconds is not None and math.isfinite(f.seconds) and f.seconds > 0 for f in found)


def test_what_takes_too_long_to_try_is_not_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(forecast, "MAX_SECONDS", 0.0)
    assert regexp(monkeypatch, "-m", *SHORT, "normalization=none,batch", "hydra.launcher.dry_run=true") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3:5] for line in lines[2:4]] == [["?", "?"], ["?", "?"]]
    assert lines[4] == "2 cohorts, one after the other: total time unknown"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"memory.max": "max\n", "memory.current": "5\n"}, None),
        ({"memory.max": "100\n", "memory.current": "60\n"}, 40),
        ({"memory.max": "100\n", "memory.current": "60\n", "memory.stat": "anon 30\ninactive_file 25\n"}, 65),
    ],
)
def test_a_container_bounds_the_memory(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int | None
) -> None:
    monkeypatch.setattr(memory, "_read_lines", lambda path: files.get(path.name, "").splitlines())
    assert memory._read_container_bytes() == expected


def test_a_forecast_says_why_a_cohort_could_not_be_tried_and_hides_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:

    build, error = builders.build_cohort, [RunError("out of luck")]

    def broken(claims: Any) -> Any:
        if claims[0].job.config.normalization.name == "batch":
            raise error[0]
        return build(claims)

    monkeypatch.setattr(builders, "build_cohort", broken)
    words = ["-m", *SHORT, "normalization=none,batch", "hydra.launcher.dry_run=true"]
    assert regexp(monkeypatch, *words) == 0
    told = capsys.readouterr().out.splitlines()
    assert "cohort 1 could not be tried: out of luck" in told
    assert told[-1] == "2 cohorts, one after the other: total time unknown"
    error[0] = ValueError("a bug")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="a bug"):
        regexp(monkeypatch, *words)


def test_what_was_interrupted_is_counted_and_goes_on_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from regexp.utils.signals import StopRequest

    words = ["-m", *SHORT, "normalization=none", "seed=0,1"]
    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "requested", True)
        with pytest.raises(KeyboardInterrupt):
            regexp(monkeypatch, *words)
    capsys.readouterr()
    assert regexp(monkeypatch, "-m", *SHORT, "normalization=batch,none", "seed=0,1") == 0
    out = capsys.readouterr().out
    assert out.startswith("4 runs: 4 to train (2 to resume)\n")
    assert [line.split()[-1] for line in out.splitlines()[2:4]] == ["none", "batch"]
    assert out.count("resuming after epoch 1") == 1
