"""Sweeps started from the command line."""

import json
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from helpers.cohorts import DOUBLE
from helpers.commands import SHORT, fail_builds, read_summaries, record_calls, run_regexp
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import OmegaConf

from regexp.config.compose import compose_job
from regexp.config.job import JobTemplate
from regexp.errors import RunError
from regexp.execution.launcher import LazyJobReturn
from regexp.execution.launching.objective import Objective
from regexp.runs.listing.finding import find_runs


def test_hydra_finds_the_plugins() -> None:
    for kind, name in ((Launcher, "CohortLauncher"), (Sweeper, "GridSweeper")):
        assert name in [plugin.__name__ for plugin in Plugins.instance().discover(kind)]


def test_a_sweep_trains_together(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_regexp(monkeypatch, "-m", *SHORT, "normalization=none,batch", "optimizer.lr=0.01,0.02", "seed=0,1") == 0
    finished = read_summaries()
    assert len(finished) == 8
    assert {summary["cohort"]["size"] for summary in finished.values()} == {4}
    assert len({summary["cohort"]["id"] for summary in finished.values()}) == 2
    out = capsys.readouterr().out
    assert out.startswith("8 runs: 8 to train\ncohort  runs  image streams")
    rows = [line.split() for line in out.splitlines()[2:4]]
    assert [[*row[:3], row[-1]] for row in rows] == [["1", "4", "2", "batch"], ["2", "4", "2", "none"]]
    assert "4 together, 2 image streams" in out
    assert not Path("outputs/multirun.yaml").exists()


def test_a_sweep_trains_only_new_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run_regexp(monkeypatch, "-m", *SHORT, "seed=0,1")
    before = {path: path.stat().st_mtime_ns for path in Path("outputs").rglob("summary.json")}
    capsys.readouterr()
    assert run_regexp(monkeypatch, "-m", *SHORT, "seed=0,1,2,2") == 0
    assert "4 runs: 1 to train, 2 already finished, 1 duplicate" in capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert len(read_summaries()) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("max_runs", "sizes"), [(1, [1] * 3), (2, [2, 2, 1]), (9, [3])])
def test_no_cohort_is_larger_than_max_runs(monkeypatch: pytest.MonkeyPatch, max_runs: int, sizes: list[int]) -> None:
    run_regexp(monkeypatch, "-m", *SHORT, f"seed=range({sum(sizes)})", f"hydra.launcher.max_runs={max_runs}")
    cohorts = [summary["cohort"] for summary in read_summaries().values()]
    assert sorted(cohort["size"] for cohort in cohorts) == sorted(size for size in sizes for _ in range(size))


def test_splitting_a_cohort_keeps_image_streams_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_regexp(monkeypatch, "-m", *SHORT, "optimizer.lr=0.01,0.02", "seed=0,1", "hydra.launcher.max_runs=2")
    assert capsys.readouterr().out.count("2 together, 1 image stream") == 2


@pytest.mark.slow
def test_runs_equal_those_of_the_basic_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = [*SHORT, DOUBLE, "normalization=batch", "model.dropout=0,0.3", "augmentation=none,shift", "seed=0,1"]
    assert run_regexp(monkeypatch, "-m", *sweep) == 0
    assert run_regexp(monkeypatch, "-m", *sweep, "hydra/launcher=basic", "name=alone") == 0
    together, alone = (
        {run.record["identity"]["config"]: run for run in find_runs(Path("outputs", name))}
        for name in ("default", "alone")
    )
    assert len(together) == 8
    assert together.keys() == alone.keys()
    for name, run in together.items():
        for row, row_alone in zip(run.metrics, alone[name].metrics, strict=True):
            assert {key: value for key, value in row.items() if key != "seconds"} == pytest.approx(
                {key: value for key, value in row_alone.items() if key != "seconds"}, rel=0, abs=1e-9
            )


def test_a_run_that_diverges_does_not_disturb_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_regexp(monkeypatch, "-m", *SHORT, "optimizer.lr=1e38,0.001,0.002") == 3
    assert sorted(summary["status"] for summary in read_summaries().values()) == ["completed", "completed", "diverged"]
    table = capsys.readouterr().out.split("\n\n")[1]
    assert "1e+38" in table.splitlines()[-1]
    assert "1 diverged" in table.splitlines()[-1]


@pytest.mark.slow
def test_the_other_cohorts_train_when_one_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_builds(monkeypatch, "batch", RunError("out of luck"))
    assert run_regexp(monkeypatch, "-m", *SHORT, "normalization=none,batch,layer") == 3
    assert len(read_summaries()) == 2
    [failure] = Path("outputs").rglob("failure.json")
    assert json.loads(failure.read_text())["message"] == "out of luck"
    assert "out of luck" in capsys.readouterr().err


def test_nothing_is_trained_if_one_job_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_regexp(monkeypatch, "-m", *SHORT, "optimizer.lr=0.1,-1") == 2
    assert "optimizer.lr=-1: must be above 0; for example optimizer.lr=0.001 (1 of 2 runs)" in capsys.readouterr().err
    assert not Path("outputs").exists()


def test_every_run_records_its_own_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    run_regexp(monkeypatch, "-m", *SHORT, "seed=0,1,2")
    for run in find_runs(Path("outputs/default")):
        recorded = OmegaConf.load(run.directory / ".hydra" / "hydra.yaml").hydra.overrides.task
        assert recorded == OmegaConf.load(run.directory / ".hydra" / "overrides.yaml")
        assert recorded[-1] == f"seed={run.config['seed']}"


def test_a_sweep_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_regexp(monkeypatch, "-m", *SHORT, "seed=0,1,2", "hydra.sweeper.max_batch_size=2") == 0
    assert sorted(summary["cohort"]["size"] for summary in read_summaries().values()) == [1, 2, 2]


def test_hydras_basic_sweeper_works_with_the_cohort_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_regexp(monkeypatch, "-m", *SHORT, "seed=0,1", "hydra/sweeper=basic") == 0
    assert {summary["cohort"]["size"] for summary in read_summaries().values()} == {2}


def test_a_searching_sweeper_gets_the_best_monitored_value(monkeypatch: pytest.MonkeyPatch) -> None:
    run_regexp(monkeypatch, "-m", *SHORT, "early_stopping=default", "early_stopping.monitor=val_loss,val_accuracy")
    for run in find_runs(Path("outputs/default")):
        values = [row[run.config["early_stopping.monitor"]] for row in run.metrics]
        assert Objective.of(run) == pytest.approx(min(values) if "loss" in run.directory.name else max(values))


def test_the_table_folds_seeds_and_sorts_by_validation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_regexp(monkeypatch, "-m", *SHORT, "optimizer.lr=1e-4,0.03,1e38", "seed=0,1")
    out = capsys.readouterr().out
    header, *rows, folded = [re.split("  +", line.strip()) for line in out.split("\n\n")[1].splitlines()]
    assert folded == ["diverged)"]
    assert header == ["lr", "seeds", "epochs", "validation %", "test %", "difference", "verdict"]
    assert [row[:3] for row in rows] == [["0.03", "2", "2"], ["0.0001", "2", "2"], ["1e+38", "0 (2", "-"]]
    for row, lr in zip(rows[:2], ("0.03", "0.0001"), strict=True):
        seed_summaries = [summary for name, summary in read_summaries().items() if f"lr={lr}," in f"{name},"]
        for cell, scores in zip(row[3:5], ("best", "test"), strict=True):
            key = "accuracy" if scores == "test" else "val_accuracy"
            first, second = (summary[scores][key] for summary in seed_summaries)
            # The confidence interval of two seeds is their mean ± t(0.975; 1) = 12.706 times half their difference.
            half_width = 100 * 12.7062 * abs(first - second) / 2
            digits = 2 if half_width < 10 else 0
            interval = "" if first == second else f" ± {half_width:.{digits}f}"
            assert cell == f"{50 * (first + second):.{digits}f}{interval}"
    assert rows[1][-1] == "baseline"
    assert "2 runs diverged: not in the means" in " ".join(out.split())


def test_hydras_plugins_import_no_torch_and_only_the_executors_names_of_regexp() -> None:
    code = (
        "import sys; from hydra.core.plugins import Plugins; Plugins.instance(); "
        "print(*sorted(name for name in sys.modules if name.partition('.')[0] in ('torch', 'regexp')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    light_modules = ["config", "config.executor_registry", "errors", "utils", "utils.messages"]
    assert done.stdout.split() == ["regexp", *(f"regexp.{name}" for name in light_modules)]


def test_a_job_is_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    templates = record_calls(monkeypatch, JobTemplate, "make_job")
    words = [*SHORT, "normalization=none,batch", "seed=0,1", "hydra.launcher.dry_run=true"]
    assert run_regexp(monkeypatch, "-m", *words) == 0
    assert len(templates) == 4
    assert len(set(map(id, templates))) == 2  # one for each choice of options
    assert {template.hydra.mode.name for template in templates} == {"MULTIRUN"}


def test_a_result_has_the_configurations_of_its_job() -> None:
    job = compose_job(["seed=3"])
    result = LazyJobReturn(job, 7, 0.5)
    assert (result.return_value, result.overrides) == (0.5, ["seed=3"])
    assert result.cfg == job.composed_config
    assert result.cfg.seed == 3
    assert (result.hydra_cfg.hydra.job.id, result.hydra_cfg.hydra.job.num) == ("7", 7)
    assert LazyJobReturn(job, 8, None).hydra_cfg.hydra.job.num == 8


def test_options_may_be_chosen_over_those_of_an_experiment() -> None:
    config = compose_job(["experiment=lesson"]).config
    assert (config.early_stopping.patience, config.optimizer.lr, config.epochs) == (5, 1e-3, 30)
    assert not config.early_stopping.restore_best
    other = compose_job(["experiment=lesson", "early_stopping=none", "optimizer=sgd"]).config
    assert other.early_stopping.patience is None
    assert other.optimizer.lr == compose_job(["optimizer=sgd"]).config.optimizer.lr


@pytest.mark.slow
def test_the_report_says_what_to_type_to_see_exactly_these_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("UV", raising=False)
    run_regexp(monkeypatch, "-m", *SHORT, "seed=0,1", "name=one")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["curves   tensorboard --logdir outputs/one", "compare  regexp-compare"]
    run_regexp(monkeypatch, "-m", *SHORT, "seed=1,2", "name=one")
    logdir = Path(capsys.readouterr().out.splitlines()[-2].removeprefix("curves   tensorboard --logdir "))
    assert logdir.is_relative_to(tmp_path / "cache")
    links = {link.name: link.resolve() for link in logdir.iterdir() if link.is_symlink()}
    assert [name.partition(",")[0] for name in sorted(links)] == ["seed=1", "seed=2"]
    assert all(path == Path("outputs/one", name).resolve() for name, path in links.items())
    run_regexp(monkeypatch, "-m", *SHORT, "seed=0", "name=one,two")
    # A seed that was trained twice counts once, in the table and in TensorBoard.
    assert capsys.readouterr().out.splitlines()[-2] == "curves   tensorboard --logdir outputs/two"
    run_regexp(monkeypatch, "-m", *SHORT, "seed=0,1", "hydra.sweep.dir=elsewhere")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [
        "curves   tensorboard --logdir elsewhere/default",
        "compare  regexp-compare elsewhere/default",
    ]


@pytest.mark.slow
def test_a_row_is_a_configuration_however_it_was_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typed defaults, force, a device and the order of the words do not separate the seeds of a configuration."""
    run_regexp(monkeypatch, *SHORT, "seed=0", "device=cpu")
    run_regexp(monkeypatch, "-m", *SHORT, "seed=1,2", "force=true")
    capsys.readouterr()
    monkeypatch.setenv("COLUMNS", "120")
    words = [*SHORT, "seed=range(4)", "normalization=none,batch", "optimizer.lr=1e-3,0.01"]
    assert run_regexp(monkeypatch, "-m", *words, "augmentation=none,lesson") == 0
    out = capsys.readouterr().out
    assert out.startswith("32 runs: 29 to train, 3 already finished\n")
    table = out.split("\n\n")[1]
    assert " ".join(table.split()).startswith("normalization lr augmentation seeds")
    rows = set(re.findall(r"^(\w+) +(\S+) +(\w+) +4 ", table, re.MULTILINE))
    assert rows == set(product(("none", "batch"), ("0.001", "0.01"), ("none", "lesson")))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-m", "seed=range(0)"], "seed=range(0): has no values, so the sweep has no runs"),
        (["-m", "seed=range(1,10,0)"], "seed=range(1,10,0): has no values, so the sweep has no runs"),
        (["-m", "normalization=glob(zz*)"], "normalization=glob(zz*): has no values, so the sweep has no runs"),
        (
            ["-m", "seed=0,1", "hydra.launcher.max_runs=0"],
            "hydra.launcher.max_runs=0: must be a whole number of at least 1",
        ),
        (["-m", "seed=0,1", "hydra.launcher.max_runs=-3"], "must be a whole number of at least 1, or null"),
        (["-m", "seed=0,1", "hydra.launcher.max_runs=1.5"], "must be a whole number of at least 1"),
        (["-m", "seed=0,1", "hydra.launcher.max_runs=1,2"], "must be a whole number of at least 1"),
        (["-m", "seed=0,1", "hydra.launcher.dry_run=maybe"], "must be true or false"),
        (["-m", "hydra.launcher.nosuch=1"], "there is no such key; hydra.launcher has max_runs, workers, dry_run, ex"),
        (["-m", "hydra/launcher=bsic"], "hydra/launcher=bsic: must be one of basic, cohort; others come with packages"),
        (["hydra.launcher.dry_run=true"], "applies to sweeps only; type regexp -m hydra.launcher.dry_run=true"),
        (["hydra/launcher=basic"], "applies to sweeps only; type regexp -m hydra/launcher=basic"),
    ],
    ids=" ".join,
)
def test_a_mistake_in_the_options_of_a_sweep_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run_regexp(monkeypatch, *words, *SHORT) == 2
    assert message in capsys.readouterr().err
    assert run_regexp(monkeypatch, *words, *SHORT, "epochs=ten") == 2
    assert "epochs=ten: must be a whole number" in capsys.readouterr().err
    assert not Path("outputs").exists()


def test_a_sweep_over_the_options_that_match_a_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_regexp(monkeypatch, "-m", *SHORT, "normalization=glob(*a*)") == 0
    assert {run.config["normalization"] for run in find_runs(Path("outputs/default"))} == {"batch", "layer"}


@pytest.mark.slow
def test_labels_name_what_the_command_varied_in_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch has one job: only the command says what varies. Folders of another name are found by their identity."""
    words = ["-m", *SHORT, "normalization=none,batch", "seed=0,1", "hydra.sweeper.max_batch_size=1"]
    assert run_regexp(monkeypatch, *words) == 0
    names = sorted(read_summaries())
    assert [name.partition(",epochs=2")[0] for name in names] == [
        f"normalization={normalization},seed={seed}" for normalization in ("batch", "none") for seed in (0, 1)
    ]
    folder = Path("outputs/default") / names[0]
    finished = (folder / "summary.json").read_text()
    folder.rename(folder.with_name("epochs=2,hidden_sizes=8,normali-31d54ab2"))  # as an earlier version named it
    assert run_regexp(monkeypatch, *words) == 0
    assert len(read_summaries()) == 4
    assert (folder.with_name("epochs=2,hidden_sizes=8,normali-31d54ab2") / "summary.json").read_text() == finished
