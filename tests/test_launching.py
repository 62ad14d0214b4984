"""Sweeps from the command line: jobs become runs that train together."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cohorts import DOUBLE
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import OmegaConf

from regexp import load_run
from regexp.__main__ import _status
from regexp.launching import objective
from regexp.overview import overview, remarks, rows_of
from regexp.runs import Run, runs_in

SHORT = ["epochs=2", "model.hidden_sizes=[8]", "early_stopping=none"]


def regexp(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The command in this process; returns its exit status."""
    monkeypatch.setattr("regexp.exits._worst", 0)
    monkeypatch.setattr(sys, "argv", ["regexp", *words])
    return _status(list(words))


def finished(name: str = "default") -> dict[str, dict[str, Any]]:
    """Summaries by folder."""
    return {path.parent.name: json.loads(path.read_text()) for path in Path("outputs").glob(f"{name}/*/summary.json")}


def test_hydra_finds_the_plugins() -> None:
    for kind, name in ((Launcher, "CohortLauncher"), (Sweeper, "GridSweeper")):
        assert name in [found.__name__ for found in Plugins.instance().discover(kind)]


def test_a_sweep_trains_together(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert regexp(monkeypatch, "-m", *SHORT, "normalization=none,batch", "optimizer.lr=0.01,0.02", "seed=0,1") == 0
    summaries = finished()
    assert len(summaries) == 8
    assert {summary["cohort"]["size"] for summary in summaries.values()} == {4}
    assert len({summary["cohort"]["id"] for summary in summaries.values()}) == 2
    out = capsys.readouterr().out
    assert out.startswith("8 runs: 8 to train\ncohort  runs  image streams")
    rows = [line.split() for line in out.splitlines()[2:4]]
    assert [[*row[:3], row[-1]] for row in rows] == [["1", "4", "2", "batch"], ["2", "4", "2", "none"]]
    assert "4 together, 2 image streams" in out
    assert not Path("outputs/multirun.yaml").exists()


def test_a_sweep_trains_only_what_is_new(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    regexp(monkeypatch, "-m", *SHORT, "seed=0,1")
    before = {path: path.stat().st_mtime_ns for path in Path("outputs").rglob("summary.json")}
    capsys.readouterr()
    assert regexp(monkeypatch, "-m", *SHORT, "seed=0,1,2,2") == 0
    assert "4 runs: 1 to train, 2 finished before, 1 given twice" in capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert len(finished()) == 3


@pytest.mark.parametrize(("most", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (3, [3, 2]), (9, [5])])
def test_cohorts_have_their_bound(monkeypatch: pytest.MonkeyPatch, most: int, sizes: list[int]) -> None:
    regexp(monkeypatch, "-m", *SHORT, "seed=range(5)", f"hydra.launcher.max_runs={most}")
    cohorts = [summary["cohort"] for summary in finished().values()]
    assert sorted(cohort["size"] for cohort in cohorts) == sorted(size for size in sizes for _ in range(size))


def test_a_divided_cohort_keeps_image_streams_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    regexp(monkeypatch, "-m", *SHORT, "optimizer.lr=0.01,0.02", "seed=0,1", "hydra.launcher.max_runs=2")
    assert capsys.readouterr().out.count("2 together, 1 image stream") == 2


def test_runs_equal_those_of_the_basic_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = [*SHORT, DOUBLE, "normalization=batch", "model.dropout=0,0.3", "augmentation=none,shift", "seed=0,1"]
    assert regexp(monkeypatch, "-m", *sweep) == 0
    assert regexp(monkeypatch, "-m", *sweep, "hydra/launcher=basic", "name=alone") == 0
    together = {run.directory.name: run for run in runs_in(Path("outputs/default"))}
    alone = {run.directory.name: run for run in runs_in(Path("outputs/alone"))}
    assert len(together) == 8
    assert together.keys() == alone.keys()
    for name, run in together.items():
        for one, other in zip(run.metrics, alone[name].metrics, strict=True):
            assert {key: value for key, value in one.items() if key != "seconds"} == pytest.approx(
                {key: value for key, value in other.items() if key != "seconds"}, rel=0, abs=1e-9
            )


def test_a_run_that_diverges_disturbs_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert regexp(monkeypatch, "-m", *SHORT, "optimizer.lr=1e38,0.001,0.002") == 3
    assert sorted(summary["status"] for summary in finished().values()) == ["completed", "completed", "diverged"]
    table = capsys.readouterr().out.split("\n\n")[1]
    assert "1e+38" in table.splitlines()[-1]
    assert "1 diverged" in table.splitlines()[-1]


def test_a_cohort_that_fails_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from regexp import building
    from regexp.errors import RunError

    build = building.build

    def broken(claims: Any) -> Any:
        if claims[0].job.config.normalization.name == "batch":
            raise RunError("out of luck")
        return build(claims)

    monkeypatch.setattr(building, "build", broken)
    assert regexp(monkeypatch, "-m", *SHORT, "normalization=none,batch,layer") == 3
    assert len(finished()) == 2
    [failed] = Path("outputs").rglob("failure.json")
    assert json.loads(failed.read_text())["message"] == "out of luck"
    assert "out of luck" in capsys.readouterr().err


def test_nothing_is_trained_where_one_job_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert regexp(monkeypatch, "-m", *SHORT, "optimizer.lr=0.1,-1") == 2
    assert "optimizer.lr=-1: must be above 0; for example optimizer.lr=0.001 (1 of 2 runs)" in capsys.readouterr().err
    assert not Path("outputs").exists()


def test_every_run_records_its_own_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    regexp(monkeypatch, "-m", *SHORT, "seed=0,1,2")
    for run in runs_in(Path("outputs/default")):
        recorded = OmegaConf.load(run.directory / ".hydra" / "hydra.yaml").hydra.overrides.task
        assert recorded == OmegaConf.load(run.directory / ".hydra" / "overrides.yaml")
        assert recorded[-1] == f"seed={run.config['seed']}"


def test_a_sweep_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert regexp(monkeypatch, "-m", *SHORT, "seed=0,1,2", "hydra.sweeper.max_batch_size=2") == 0
    assert sorted(summary["cohort"]["size"] for summary in finished().values()) == [1, 2, 2]


def test_hydras_basic_sweeper_works_with_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert regexp(monkeypatch, "-m", *SHORT, "seed=0,1", "hydra/sweeper=basic") == 0
    assert {summary["cohort"]["size"] for summary in finished().values()} == {2}


def test_a_searching_sweeper_is_told_the_best_monitored_value(monkeypatch: pytest.MonkeyPatch) -> None:
    regexp(monkeypatch, "-m", *SHORT, "early_stopping=default", "early_stopping.monitor=val_loss,val_accuracy")
    for run in runs_in(Path("outputs/default")):
        values = [row[run.config["early_stopping.monitor"]] for row in run.metrics]
        assert objective(run) == pytest.approx(min(values) if "loss" in run.directory.name else max(values))


def recorded(tmp_path: Path, overrides: list[str], val: float, test: float, status: str = "completed") -> Run:
    """A run's folder, as the table reads it."""
    folder = tmp_path / ",".join(overrides)
    folder.mkdir()
    config = {"early_stopping.restore_best": True, **dict(override.split("=") for override in overrides)}
    (folder / "run.json").write_text(json.dumps({"overrides": overrides, "config": config}))
    best = None if status == "diverged" else {"val_accuracy": val}
    summary = {"status": status, "best": best, "last": {"val_accuracy": None}, "epochs": 3, "test": {"accuracy": test}}
    (folder / "summary.json").write_text(json.dumps(summary))
    return load_run(folder)


def test_the_table_folds_seeds_and_sorts_by_validation(tmp_path: Path) -> None:
    runs = [
        recorded(tmp_path, [f"optimizer.lr={lr}", "epochs=3", f"seed={seed}"], val + seed / 100, 0.5)
        for lr, val in ((0.1, 0.7), (0.2, 0.9), (0.3, 0.8))
        for seed in (0, 2)
    ]
    runs.append(recorded(tmp_path, ["optimizer.lr=9", "epochs=3", "seed=0"], 0, 0, "diverged"))
    rows = rows_of([*runs, runs[0]])
    assert [row.changes for row in rows] == [{"optimizer.lr": lr} for lr in ("0.2", "0.3", "0.1", "9")]
    assert [len(row.runs) for row in rows] == [2, 2, 2, 1]
    assert [row.marks() for row in rows] == ["", "", "", " (1 diverged)"]
    table = overview(runs)
    assert [column.header for column in table.columns] == ["lr", "seeds", "epochs", "validation %", "test %"]
    cells = [list(column.cells) for column in table.columns]
    assert cells[3][0] == "91.00 ± 1.41"
    assert cells[3][-1] == "-"


def test_only_the_first_rows_are_shown(tmp_path: Path) -> None:
    runs = [recorded(tmp_path, [f"lr={i}"], i / 100, 0.5) for i in range(40)]
    assert overview(runs).row_count == 30
    assert remarks(runs) == ["and 10 more configurations, with lower validation accuracy"]


def test_starting_costs_little() -> None:
    code = (
        "import sys; from hydra.core.plugins import Plugins; Plugins.instance(); "
        "print([name for name in ('torch', 'regexp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_job_is_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from regexp import composition

    made: list[Any] = []
    original = composition.make_job

    def counted(*arguments: Any) -> Any:
        made.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(composition, "make_job", counted)
    words = [*SHORT, "normalization=none,batch", "seed=0,1", "hydra.launcher.dry_run=true"]
    assert regexp(monkeypatch, "-m", *words) == 0
    assert len(made) == 4
    assert {job[2].mode.name for job in made} == {"MULTIRUN"}


def test_the_experiment_leaves_options_to_their_groups() -> None:
    from regexp.composition import compose_job

    config = compose_job(["experiment=lesson"]).config
    assert (config.early_stopping.patience, config.optimizer.lr, config.epochs) == (5, 1e-3, 30)
    assert not config.early_stopping.restore_best
    other = compose_job(["experiment=lesson", "early_stopping=none", "optimizer=sgd"]).config
    assert other.early_stopping.patience is None
    assert other.optimizer.lr == compose_job(["optimizer=sgd"]).config.optimizer.lr


def test_tensorboard_is_pointed_at_the_sweeps_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("UV", raising=False)
    regexp(monkeypatch, "-m", *SHORT, "seed=0,1", "name=one")
    assert capsys.readouterr().out.endswith("\n\ncurves   tensorboard --logdir outputs/one\n")
    regexp(monkeypatch, "-m", *SHORT, "seed=1,2", "name=one")
    told = capsys.readouterr().out.splitlines()
    assert told[-2:] == [
        "curves   tensorboard --logdir outputs/one",
        "         shows 1 more from one; name=OTHER keeps a sweep apart",
    ]
    regexp(monkeypatch, "-m", *SHORT, "seed=0", "name=one,two")
    assert capsys.readouterr().out.splitlines()[-1] == "curves   tensorboard --logdir outputs"


def test_a_row_is_a_configuration_however_it_was_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Defaults, force, a device and another order of the words: seeds of one configuration are one row."""
    regexp(monkeypatch, *SHORT, "seed=0", "device=cpu")
    regexp(monkeypatch, "-m", *SHORT, "seed=1,2", "force=true")
    capsys.readouterr()
    words = [*SHORT, "seed=range(4)", "normalization=none,batch", "optimizer.lr=1e-3,0.01"]
    assert regexp(monkeypatch, "-m", *words, "augmentation=none,lesson") == 0
    out = capsys.readouterr().out
    assert out.startswith("32 runs: 29 to train, 3 finished before\n")
    header, *rows = out.split("\n\n")[1].splitlines()
    assert header.split()[:4] == ["normalization", "lr", "augmentation", "seeds"]
    told = {tuple(row.split()[:4]) for row in rows}
    rates = {row.split()[1] for row in rows}
    assert rates == {"0.001", "0.01"}
    expected = {(n, lr, a, "4") for n in ("none", "batch") for lr in rates for a in ("none", "lesson")}
    assert told == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "seed=range(0)"], "seed=range(0): makes no runs, since it has no values"),
        (["-m", "seed=range(1,10,0)"], "seed=range(1,10,0): makes no runs, since it has no values"),
        (["-m", "normalization=glob(zz*)"], "normalization=glob(zz*): makes no runs, since it has no values"),
        (
            ["-m", "seed=0,1", "hydra.launcher.max_runs=0"],
            "hydra.launcher.max_runs=0: must be a whole number of at least 1",
        ),
        (["-m", "seed=0,1", "hydra.launcher.max_runs=-3"], "must be a whole number of at least 1, or null"),
        (["-m", "seed=0,1", "hydra.launcher.max_runs=1.5"], "must be a whole number of at least 1"),
        (["-m", "seed=0,1", "hydra.launcher.max_runs=1,2"], "must be a whole number of at least 1"),
        (["-m", "seed=0,1", "hydra.launcher.dry_run=maybe"], "must be true or false"),
        (["-m", "hydra.launcher.nosuch=1"], "there is no such key; hydra.launcher has max_runs and dry_run"),
        (["-m", "hydra/launcher=bsic"], "hydra/launcher=bsic: is one of basic, cohort; others come with packages"),
        (["hydra.launcher.dry_run=true"], "is for sweeps; type regexp -m hydra.launcher.dry_run=true"),
        (["hydra/launcher=basic"], "is for sweeps; type regexp -m hydra/launcher=basic"),
    ],
    ids=" ".join,
)
def test_a_mistake_in_launching_a_sweep_is_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    monkeypatch.setattr("regexp.exits._worst", 0)
    monkeypatch.setattr(sys, "argv", ["regexp", *words, *SHORT])
    assert _status([*words, *SHORT]) == 2
    assert said in capsys.readouterr().err
    monkeypatch.setattr("regexp.exits._worst", 0)
    assert _status([*words, *SHORT, "epochs=ten"]) == 2
    assert "epochs=ten: must be a whole number" in capsys.readouterr().err
    assert not Path("outputs").exists()


def test_a_sweep_over_what_a_pattern_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert regexp(monkeypatch, "-m", *SHORT, "normalization=glob(*a*)") == 0
    assert {run.config["normalization"] for run in runs_in(Path("outputs/default"))} == {"batch", "layer"}
