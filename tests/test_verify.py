"""Verifying a sweep: runs trained again alone, against their records, changed records and disturbed cohorts."""

import csv
import json
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import run_main

from regexp import Run, run, sweep
from regexp.config.compose import make_composer
from regexp.config.metric_registry import METRICS, list_curves
from regexp.errors import ConfigError, RunError
from regexp.execution.terminal import Terminal
from regexp.execution.train import train
from regexp.training.cohort import Cohort
from regexp.verify import MetricDifference, TrainingRecord, _prepare, main, verify

SHORT = ["epochs=4", "model.hidden_sizes=[8]"]
DIRECTORY = Path("outputs/default")
COMPARED_COLUMNS = ("objective", *list_curves(METRICS))
NO_DIFFERENCE = [(metric, None, 0.0) for metric in COMPARED_COLUMNS]


def verify_runs(
    *labels: str, directory: Path = DIRECTORY, count: int = 3, seed: int = 0, float64: bool = False
) -> dict[str, list[MetricDifference]]:
    return verify(directory, count, labels, seed, float64)


def read_metrics(directory: Path) -> list[dict[str, float]]:
    with (directory / "metrics.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def to_tuples(differences: list[MetricDifference]) -> list[tuple[str, int | None, float]]:
    return [(difference.metric, difference.first_epoch, difference.largest) for difference in differences]


def update_json(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


@pytest.mark.parametrize("float64", [False, True])
def test_the_differences_are_those_between_the_files(float64: bool, capsys: pytest.CaptureFixture[str]) -> None:
    recorded_runs = sweep([[*SHORT, "optimizer.lr=0.03", f"seed={seed}"] for seed in range(3)], quiet=True)
    spreads = {
        metric: statistics.stdev(recorded.summary["best"][metric] for recorded in recorded_runs if recorded.summary)
        for metric in COMPARED_COLUMNS[1:]
    }
    precision = ["device.precision=float64"] if float64 else []
    reference_runs = sweep(
        [[*recorded.record["overrides"], *precision] for recorded in recorded_runs], "again", quiet=True
    )
    differences_by_label = verify_runs(float64=float64)
    assert set(differences_by_label) == {recorded.directory.name for recorded in recorded_runs}
    for recorded, reference_run in zip(recorded_runs, reference_runs, strict=True):
        reference = read_metrics(reference_run.directory)
        alone = read_metrics(run([*recorded.record["overrides"], *precision], "alone", quiet=True).directory)
        differences = differences_by_label[recorded.directory.name]
        for difference in differences:
            metric = difference.metric
            distances = [abs(a[metric] - b[metric]) for a, b in zip(reference, alone, strict=True)]
            assert difference.largest == max(distances) < (1e-9 if float64 else 1e-3)
            assert difference.first_epoch == next((i for i, distance in enumerate(distances, 1) if distance), None)
        assert {row.metric: row.seed_spread for row in differences if row.metric != "objective"} == spreads
        assert differences[0].seed_spread == statistics.stdev(
            read_metrics(one.directory)[one.summary["best_epoch"] - 1]["objective"]
            for one in recorded_runs
            if one.summary
        )
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert printed.count("in a cohort of 3: 4 epochs; alone: 4\n") == 3
    assert not float64 or "3 of 3 runs agree to 1e-09, in float64\n" in printed


def test_a_run_that_trained_alone_comes_out_with_the_same_bits(capsys: pytest.CaptureFixture[str]) -> None:
    recorded = run([*SHORT, "normalization=batch", "model.dropout=0.3", "augmentation=shift"], quiet=True)
    differences = verify_runs()[recorded.directory.name]
    assert to_tuples(differences) == NO_DIFFERENCE
    assert {difference.seed_spread for difference in differences} == {None}
    printed = capsys.readouterr().out
    assert "in a cohort of 1: 4 epochs; alone: 4" in printed
    assert "has changed since" not in printed
    assert "val_loss               none             0.0e+00                     -" in printed.splitlines()


def test_a_changed_metric_is_found_in_its_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    recorded = run(SHORT, quiet=True)
    rows = [[*row.values()] for row in read_metrics(recorded.directory)]
    rows[2][4] += 0.25  # val_loss of epoch 3
    rows.append([5.0, *rows[3][1:]])
    path = recorded.directory / "metrics.csv"
    lines = [path.read_text().splitlines()[0], *(",".join([f"{row[0]:.0f}", *map(repr, row[1:])]) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    [differences] = verify_runs().values()
    assert to_tuples(differences) == [
        (metric, 3 if metric == "val_loss" else None, pytest.approx(0.25) if metric == "val_loss" else 0.0)
        for metric in COMPARED_COLUMNS
    ]
    assert "5 epochs; alone: 4" in capsys.readouterr().out


def test_runs_are_drawn_by_seed_or_chosen_by_label_or_by_directory() -> None:
    sweep([[*SHORT, "epochs=1", f"seed={seed}"] for seed in range(6)], quiet=True)
    draws = [list(verify_runs(count=2, seed=seed)) for seed in (0, 0, 1, 2, 3)]
    assert draws[0] == draws[1]
    assert {len(labels) for labels in draws} == {2}
    assert len({*map(tuple, draws)}) > 1
    first, second = draws[0]
    assert list(verify_runs(second, first, second)) == [second, first]
    [(label, differences)] = verify_runs(directory=DIRECTORY / first).items()
    assert label == first
    assert None not in {difference.seed_spread for difference in differences}


def test_in_float64_the_drawn_runs_train_together(capsys: pytest.CaptureFixture[str]) -> None:
    grid = [[*SHORT, "epochs=1", f"normalization={name}", f"seed={s}"] for name in ("none", "batch") for s in (0, 1)]
    sweep(grid, quiet=True)
    for seed in range(3):
        labels = list(verify_runs(float64=True, seed=seed))
        assert len(labels) == 2
        assert len({label.partition(",")[0] for label in labels}) == 1
    with pytest.raises(ConfigError, match=f"--float64: no other run trains together with {labels[0]}"):
        verify_runs(labels[0], float64=True)


def test_in_float64_a_cohort_that_changes_its_runs_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = Cohort.step

    def disturbed_step(self: Cohort, *arguments: Any) -> None:
        step(self, *arguments)
        if len(self.members) > 1 and self.epoch == 2:
            next(self.model.parameters()).data[0] += 1e-7

    sweep([[*SHORT, f"seed={seed}"] for seed in (0, 1)], quiet=True)
    monkeypatch.setattr(Cohort, "step", disturbed_step)
    with pytest.raises(
        RunError, match=r"in float64 these runs differ by more than 1e-09 alone and in a cohort: seed=0,\S+$"
    ):
        verify_runs(float64=True)
    printed = capsys.readouterr().out
    assert "1 of 2 runs agree to" in printed
    assert printed.count("val_loss") == 2
    assert "train_loss                2" in printed


def test_a_run_on_mps_is_verified_in_float64_on_the_cpu() -> None:
    recorded = TrainingRecord.from_run(run([*SHORT, "epochs=1"], quiet=True))
    on_mps = replace(recorded, provenance={**recorded.provenance, "device": "mps:0, float32"})
    assert _prepare(on_mps, float64=True)[0].overrides[-2:] == ["device.precision=float64", "device.kind=cpu"]
    assert _prepare(on_mps, float64=False)[0].overrides == recorded.overrides


def test_what_has_changed_since_a_run_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    recorded = run([*SHORT, "epochs=1"], quiet=True)
    code = recorded.record["identity"]["code"]
    update_json(recorded.directory / "run.json", identity={**recorded.record["identity"], "code": "older"})
    update_json(recorded.directory / "summary.json", device="cpu (64 threads), float32")
    verify_runs()
    printed = capsys.readouterr().out
    assert f"the code has changed since: older then, {code} now\n" in printed
    assert "the device has changed since: cpu (64 threads), float32 then, cpu (" in printed
    assert "the data has changed" not in printed


def test_runs_with_options_from_a_config_dir_are_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine/augmentation").mkdir(parents=True)
    Path("mine/augmentation/wild.yaml").write_text("noise: {std: 0.3}")
    train([make_composer("mine").compose_job(["augmentation=wild", *SHORT])], Path("outputs"), Terminal(quiet=True))
    changed = run([*SHORT, "seed=1"], quiet=True)  # as if a configuration file had changed since
    update_json(changed.directory / "run.json", config={**changed.config, "optimizer.lr": 0.5})
    with pytest.raises(ConfigError, match="no finished run that can be trained again"):
        verify_runs()
    lines = sorted(capsys.readouterr().out.splitlines())
    assert [line.split()[:2] for line in lines] == [
        ["skipped", "augmentation=wild,epochs=4,hidden_sizes=8:"],
        ["skipped", f"{changed.directory.name}:"],
    ]
    assert all("--config-dir" in line for line in lines)
    assert "augmentation must be one of" in lines[0]
    assert lines[1].endswith("it differs in optimizer.lr")
    recorded = run(SHORT, quiet=True)
    assert list(verify_runs()) == [recorded.directory.name]


def test_diverged_and_broken_runs_are_left_out() -> None:
    whole, broken, empty, short = sweep([[*SHORT, "epochs=1", f"seed={seed}"] for seed in range(4)], quiet=True)
    diverged = run([*SHORT, "optimizer.lr=1e38"], quiet=True)
    (broken.directory / "run.json").write_text("{")
    (empty.directory / "run.json").write_text("{}")
    (short.directory / "metrics.csv").write_text("")
    assert list(verify_runs()) == [whole.directory.name]
    for unusable, message in (
        (broken, "is broken"),
        (empty, "its record is incomplete"),
        (short, "its record is incomplete"),
        (diverged, "is diverged"),
    ):
        with pytest.raises(RunError, match=message):
            verify_runs(whole.directory.name, unusable.directory.name)
        with pytest.raises(RunError, match=message):
            verify_runs(directory=unusable.directory)


def test_missing_directories_and_labels_are_reported() -> None:
    recorded = run([*SHORT, "epochs=1"], quiet=True)
    for directory, labels, message in (
        (Path("nowhere"), (), "nowhere: there is no such directory"),
        (Path("outputs"), (), "outputs: holds no runs"),
        (DIRECTORY, ("seed=7",), f"--run seed=7: is not in {DIRECTORY}, which holds {recorded.directory.name}"),
    ):
        with pytest.raises(ConfigError) as caught:
            verify_runs(*labels, directory=directory)
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["nowhere"], 2, "regexp: nowhere: there is no such directory"),
        ([], 2, "the following arguments are required: DIR"),
        (["broken", "--runs", "0"], 2, "--runs 0: must be at least 1"),
        (["broken", "--run", "a", "--runs", "2"], 2, "not allowed with"),
        (["broken/a"], 3, "broken/a/run.json is broken"),
        (["broken"], 2, "regexp: there is no finished run that can be trained again"),
    ],
)
def test_a_mistake_ends_with_a_message_and_a_status(
    words: list[str], status: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken/a").mkdir(parents=True)
    Path("broken/a/run.json").write_text("[")
    assert run_main(monkeypatch, main, "verify", *words) == status
    assert message in capsys.readouterr().err


def test_an_interruption_leaves_no_temporary_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run(SHORT, quiet=True)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr("regexp.utils.signals.StopRequest.requested", True)
    assert run_main(monkeypatch, main, "verify", str(DIRECTORY)) == 130
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.slow
def test_the_module_runs_as_a_command_and_imports_no_torch() -> None:
    recorded = Run(run([*SHORT, "epochs=1"], quiet=True).directory)
    process = subprocess.run(
        [sys.executable, "-W", "error", "-m", "regexp.verify", str(recorded.directory)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (process.returncode, process.stderr) == (0, "")
    assert recorded.directory.name in process.stdout
    code = "import sys, regexp.verify; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
