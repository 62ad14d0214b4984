"""Runs trained again alone, against what their files say and against disturbed ones."""

import csv
import json
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from regexp import Run, run, sweep
from regexp.config.compose import composer
from regexp.errors import ConfigError, RunError
from regexp.execution.terminal import Terminal
from regexp.execution.train import train
from regexp.training.cohort import Cohort
from regexp.verify import METRICS, MetricDifference, RecordedRun, _again, main, verify

SHORT = ["epochs=4", "model.hidden_sizes=[8]"]
FOLDER = Path("outputs/default")
EXACT = [(metric, None, 0.0) for metric in METRICS]


def again(
    *labels: str, folder: Path = FOLDER, count: int = 3, seed: int = 0, float64: bool = False
) -> dict[str, list[MetricDifference]]:
    return verify(folder, count, labels, seed, float64)


def rows(directory: Path) -> list[dict[str, float]]:
    with (directory / "metrics.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def cells(differences: list[MetricDifference]) -> list[tuple[str, int | None, float]]:
    return [(entry.metric, entry.first, entry.largest) for entry in differences]


def change(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


@pytest.mark.parametrize("float64", [False, True])
def test_the_figures_are_those_of_the_files(float64: bool, capsys: pytest.CaptureFixture[str]) -> None:
    together = sweep([[*SHORT, "optimizer.lr=0.03", f"seed={seed}"] for seed in range(3)], quiet=True)
    spreads = {
        name: statistics.stdev(done.summary["best"][name] for done in together if done.summary) for name in METRICS[1:]
    }
    double = ["device.precision=float64"] if float64 else []
    compared = sweep([[*done.record["overrides"], *double] for done in together], "again", quiet=True)
    found = again(float64=float64)
    assert set(found) == {done.directory.name for done in together}
    for done, other in zip(together, compared, strict=True):
        alone = rows(run([*done.record["overrides"], *double], "alone", quiet=True).directory)
        differences = found[done.directory.name]
        for entry in differences:
            gaps = [abs(a[entry.metric] - b[entry.metric]) for a, b in zip(rows(other.directory), alone, strict=True)]
            assert entry.largest == max(gaps) < (1e-9 if float64 else 1e-3)
            assert entry.first == next((i for i, gap in enumerate(gaps, 1) if gap), None)
        assert {entry.metric: entry.spread for entry in differences if entry.metric != "objective"} == spreads
        assert differences[0].spread == statistics.stdev(
            rows(one.directory)[one.summary["best_epoch"] - 1]["objective"] for one in together if one.summary
        )
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert printed.count("in a cohort of 3: 4 epochs; alone: 4\n") == 3
    assert not float64 or "3 of 3 the same to 1e-09, in float64\n" in printed


def test_what_had_no_company_has_the_same_bits(capsys: pytest.CaptureFixture[str]) -> None:
    done = run([*SHORT, "normalization=batch", "model.dropout=0.3", "augmentation=shift"], quiet=True)
    found = again()
    assert cells(found[done.directory.name]) == EXACT
    assert {entry.spread for entry in found[done.directory.name]} == {None}
    printed = capsys.readouterr().out
    assert "in a cohort of 1: 4 epochs; alone: 4" in printed
    assert "changed since" not in printed
    assert "val_loss               none             0.0e+00                     -" in printed.splitlines()


def test_a_changed_figure_is_found_in_its_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(SHORT, quiet=True)
    table = [[*row.values()] for row in rows(done.directory)]
    table[2][4] += 0.25  # val_loss of epoch 3
    table.append([5.0, *table[3][1:]])
    path = done.directory / "metrics.csv"
    lines = [path.read_text().splitlines()[0], *(",".join([f"{row[0]:.0f}", *map(repr, row[1:])]) for row in table)]
    path.write_text("\n".join(lines) + "\n")
    [differences] = again().values()
    assert cells(differences) == [
        (metric, 3 if metric == "val_loss" else None, pytest.approx(0.25) if metric == "val_loss" else 0.0)
        for metric in METRICS
    ]
    assert "5 epochs; alone: 4" in capsys.readouterr().out


def test_runs_are_drawn_by_seed_or_named_or_one() -> None:
    sweep([[*SHORT, "epochs=1", f"seed={seed}"] for seed in range(6)], quiet=True)
    drawn = [list(again(count=2, seed=seed)) for seed in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert {len(labels) for labels in drawn} == {2}
    assert len({*map(tuple, drawn)}) > 1
    one, other = drawn[0]
    assert list(again(other, one, other)) == [other, one]
    [(label, differences)] = again(folder=FOLDER / one).items()
    assert label == one
    assert None not in {entry.spread for entry in differences}


def test_in_float64_those_are_drawn_that_train_together(capsys: pytest.CaptureFixture[str]) -> None:
    grid = [[*SHORT, "epochs=1", f"normalization={name}", f"seed={s}"] for name in ("none", "batch") for s in (0, 1)]
    sweep(grid, quiet=True)
    for seed in range(3):
        found = again(float64=True, seed=seed)
        assert len(found) == 2
        assert len({label.rpartition(",")[0] for label in found}) == 1
    label = next(iter(found))
    with pytest.raises(ConfigError, match=f"--float64: {label} has no company"):
        again(label, float64=True)


def test_in_float64_company_that_changes_a_run_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = Cohort.step

    def disturbed(self: Cohort, *arguments: Any) -> None:
        step(self, *arguments)
        if len(self.members) > 1 and self.epoch == 2:
            next(self.model.parameters()).data[0] += 1e-7

    sweep([[*SHORT, f"seed={seed}"] for seed in (0, 1)], quiet=True)
    monkeypatch.setattr(Cohort, "step", disturbed)
    with pytest.raises(RunError, match=r"in float64 not the same alone and in company, to 1e-09: \S+,seed=0$"):
        again(float64=True)
    printed = capsys.readouterr().out
    assert "1 of 2 the same to" in printed
    assert printed.count("val_loss") == 2
    assert "train_loss                2" in printed


def test_mps_has_no_float64() -> None:
    done = RecordedRun.of(run([*SHORT, "epochs=1"], quiet=True))
    there = replace(done, made={**done.made, "device": "mps:0, float32"})
    assert _again(there, float64=True)[0].overrides[-2:] == ["device.precision=float64", "device.kind=cpu"]
    assert _again(there, float64=False)[0].overrides == done.overrides


def test_what_changed_since_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    done = run([*SHORT, "epochs=1"], quiet=True)
    now = done.record["identity"]["code"]
    change(done.directory / "run.json", identity={**done.record["identity"], "code": "older"})
    change(done.directory / "summary.json", device="cpu (64 threads), float32")
    again()
    printed = capsys.readouterr().out
    assert f"the code changed since: older, now {now}\n" in printed
    assert "the device changed since: cpu (64 threads), float32, now cpu (" in printed
    assert "the data changed" not in printed


def test_options_of_a_folder_of_the_users_are_said_to_be_missing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine/augmentation").mkdir(parents=True)
    Path("mine/augmentation/wild.yaml").write_text("noise: {std: 0.3}")
    train([composer("mine").job(["augmentation=wild", *SHORT])], Path("outputs"), Terminal(quiet=True))
    other = run([*SHORT, "seed=1"], quiet=True)  # of a configuration file that says something else today
    change(other.directory / "run.json", config={**other.config, "optimizer.lr": 0.5})
    with pytest.raises(ConfigError, match="no finished run that can be trained again"):
        again()
    printed = sorted(capsys.readouterr().out.splitlines())
    assert [line.split()[:2] for line in printed] == [
        ["skipped", "augmentation=wild,epochs=4,hidden_sizes=8,"],
        ["skipped", f"{other.directory.name},"],
    ]
    assert all("--config-dir" in line for line in printed)
    assert "augmentation is one of" in printed[0]
    assert printed[1].endswith("other optimizer.lr")
    done = run(SHORT, quiet=True)
    assert list(again()) == [done.directory.name]


def test_what_did_not_end_or_is_broken_is_left_out() -> None:
    whole, unread, empty, short = sweep([[*SHORT, "epochs=1", f"seed={seed}"] for seed in range(4)], quiet=True)
    diverged = run([*SHORT, "optimizer.lr=1e38"], quiet=True)
    (unread.directory / "run.json").write_text("{")
    (empty.directory / "run.json").write_text("{}")
    (short.directory / "metrics.csv").write_text("")
    assert list(again()) == [whole.directory.name]
    for broken, said in ((unread, "is broken"), (empty, "not whole"), (short, "not whole"), (diverged, "is diverged")):
        with pytest.raises(RunError, match=said):
            again(whole.directory.name, broken.directory.name)
        with pytest.raises(RunError, match=said):
            again(folder=broken.directory)


def test_what_is_not_there_is_named() -> None:
    done = run([*SHORT, "epochs=1"], quiet=True)
    for folder, labels, said in (
        (Path("nowhere"), (), "nowhere: there is no such folder"),
        (Path("outputs"), (), "outputs: holds no runs"),
        (FOLDER, ("seed=7",), f"--run seed=7: is not in {FOLDER}, which holds {done.directory.name}"),
    ):
        with pytest.raises(ConfigError) as caught:
            again(*labels, folder=folder)
        assert str(caught.value) == said


@pytest.mark.parametrize(
    ("words", "status", "part"),
    [
        (["nowhere"], 2, "regexp: nowhere: there is no such folder"),
        ([], 2, "the following arguments are required: DIR"),
        (["broken", "--runs", "0"], 2, "--runs 0: must be at least 1"),
        (["broken", "--run", "a", "--runs", "2"], 2, "not allowed with"),
        (["broken/a"], 3, "broken/a/run.json is broken"),
        (["broken"], 2, "regexp: there is no finished run that can be trained again"),
    ],
)
def test_mistakes_are_one_message_and_a_status(
    words: list[str], status: int, part: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken/a").mkdir(parents=True)
    Path("broken/a/run.json").write_text("[")
    monkeypatch.setattr("regexp.utils.exit_codes._worst", 0)
    monkeypatch.setattr("sys.argv", ["verify", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == status
    assert part in capsys.readouterr().err


def test_an_interruption_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run(SHORT, quiet=True)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr("regexp.utils.signals.StopRequest.requested", True)
    monkeypatch.setattr("sys.argv", ["verify", str(FOLDER)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_module_runs_and_needs_no_torch_to_answer() -> None:
    done = Run(run([*SHORT, "epochs=1"], quiet=True).directory)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "regexp.verify", str(done.directory)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert done.directory.name in ran.stdout
    code = "import sys, regexp.verify; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
