"""Rounds of seeds: who gets more, why, and what a second command does."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from helpers.commands import SHORT, read_summaries, record_calls, run_regexp
from helpers.run_directories import CONFIGS, write_run

import regexp
from regexp.comparison.compare import compare_collection
from regexp.comparison.loading import collect
from regexp.config.compose import compose_job
from regexp.config.schema import flatten
from regexp.errors import ConfigError, Interrupted, RunBusy, RunError
from regexp.execution import builders
from regexp.execution.launching.rounds import train_until_decided
from regexp.execution.launching.seed_planning import OpenSweep, plan_seeds
from regexp.execution.terminal import Terminal
from regexp.runs.listing.seed_plans import refuse_another_schedule
from regexp.runs.run import Run
from regexp.runs.seed_plan import make_seed_plan
from regexp.utils.messages import speak_python

# Test accuracies of three configurations by seed: a baseline, one that is better, and one that is hardly different.
NOISE = [0.004, -0.003, 0.001, -0.004, 0.003, -0.001, 0.002, -0.002, 0.0, 0.001, -0.001, 0.002]
ACCURACIES = {
    "none": [0.9] * 12,
    "batch": [0.93 + noise for noise in NOISE],
    "layer": [0.9 + 4 * noise for noise in NOISE],
}
GRID = [[f"normalization={name}", f"seed={seed}"] for name in ACCURACIES for seed in range(3)]


@pytest.fixture(autouse=True, scope="module")
def one_composition() -> None:
    """Compose one configuration; the others differ from it in one value."""
    base = json.loads(json.dumps(flatten(compose_job([]).config)))
    for name in ACCURACIES:
        CONFIGS.setdefault((f"normalization={name}",), {**base, "normalization": name})


@dataclass
class FakeTraining:
    """Rounds of runs that are written without training.

    Attributes:
        directory: the directory that gets the runs.
        diverging: the configurations and seeds that diverge.
        failing: those that fail.
        rounds: the overrides of each round.
        lines: what was printed.
        reports: the number of runs in each table.
    """

    directory: Path
    diverging: Sequence[tuple[str, int]] = ()
    failing: Sequence[tuple[str, int]] = ()
    rounds: list[list[str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    reports: list[int] = field(default_factory=list)

    def train_round(self, runs: Sequence[Sequence[str]]) -> list[Run]:
        """Write the runs that are missing, and return all."""
        self.rounds.append([" ".join(overrides) for overrides in runs])
        trained = []
        for normalization, seed_override in runs:
            name, seed = normalization.partition("=")[2], int(seed_override.partition("=")[2])
            status = "diverged" if (name, seed) in self.diverging else "completed"
            status = "failed" if (name, seed) in self.failing else status
            path = self.directory / f"{normalization},{seed_override}"
            if not path.exists():
                write_run(self.directory, [normalization], seed, ACCURACIES[name][seed], status=status)
            trained.append(Run(path))
        return trained

    def run(self, sweep: OpenSweep | None) -> list[Run]:
        """Train a sweep until it is decided."""
        assert sweep is not None
        terminal = Terminal(quiet=True)
        terminal.print_line = self.lines.append  # type: ignore[method-assign]
        terminal.report = lambda runs, **_: self.reports.append(len(runs))  # type: ignore[method-assign]
        return train_until_decided(sweep, self.train_round, terminal)


def count_seeds(runs: Sequence[Run]) -> dict[str, int]:
    """Return the number of seeds of each configuration."""
    names = [run.directory.name.partition(",")[0].partition("=")[2] for run in runs]
    return {name: names.count(name) for name in dict.fromkeys(names)}


def test_seeds_are_added_where_a_verdict_is_open(tmp_path: Path) -> None:
    training = FakeTraining(tmp_path)
    runs = training.run(plan_seeds(GRID, "decided", 12, None))
    # "batch" is decided after the second look, "layer" is given up later; the baseline has as many seeds as it takes.
    counts = count_seeds(runs)
    assert counts["batch"] == 6
    assert 6 <= counts["layer"] < 12
    assert counts["none"] == counts["layer"]
    assert training.rounds[0] == [" ".join(overrides) for overrides in GRID]
    assert training.rounds[1] == [
        f"normalization={name} seed={seed}" for name in ("none", "batch", "layer") for seed in (3, 4, 5)
    ]
    assert all("batch" not in overrides for later_round in training.rounds[2:] for overrides in later_round)
    assert training.reports == [len(runs)]
    text = "\n".join(training.lines)
    assert all(len(line) <= 80 for line in text.splitlines())
    text = " ".join(text.split())
    assert "looks after 3, 6, 9 and 12 seeds" in text
    assert "look 2 of 4, after 6 seeds: 1 of 2 verdicts decided decided batch (better)" in text
    assert "open layer (unclear): even 12 seeds would hardly settle it" in text
    assert "and the baseline, as they may settle it" in text


def test_equivalence_within_the_margin_ends_the_search(tmp_path: Path) -> None:
    training = FakeTraining(tmp_path)
    runs = training.run(plan_seeds(GRID, "decided", 12, 3.0))
    assert count_seeds(runs)["layer"] < 12
    assert any(line.startswith("decided  ") and "layer (equivalent)" in line for line in training.lines)


def test_all_seeds_may_be_spent(tmp_path: Path) -> None:
    training = FakeTraining(tmp_path)
    runs = training.run(plan_seeds(GRID, "decided", 4, 2.0))
    assert count_seeds(runs)["layer"] == 4
    assert any("layer (undecided): no seeds are left" in line for line in training.lines)


def test_diverging_configurations_get_no_more_seeds(tmp_path: Path) -> None:
    training = FakeTraining(tmp_path, [("layer", seed) for seed in range(12)])
    assert count_seeds(training.run(plan_seeds(GRID, "decided", 12, None)))["layer"] == 3


def test_one_seed_that_diverges_leaves_the_others(tmp_path: Path) -> None:
    training = FakeTraining(tmp_path, [("batch", 1)])
    runs = training.run(plan_seeds(GRID, "decided", 12, None))
    assert 6 <= count_seeds(runs)["batch"] <= 9
    assert any(line.startswith("decided  batch (better, among") for line in training.lines)


def test_a_run_that_fails_ends_nothing_and_decides_nothing(tmp_path: Path) -> None:
    training = FakeTraining(tmp_path, failing=[("batch", 4)])  # with it, "batch" would be decided after six seeds
    with pytest.raises(RunError, match=r"^normalization=batch,seed=4: (.|\n)*The other runs have finished") as error:
        training.run(plan_seeds(GRID, "decided", 12, None))
    assert error.value.status == 3
    seeds = [overrides.split() for round_ in training.rounds for overrides in round_]
    counts = {name: sum(words[0] == f"normalization={name}" for words in seeds) for name in ACCURACIES}
    assert counts["batch"] == 6
    assert counts["none"] == counts["layer"] >= 6
    assert not any("batch (" in line for line in training.lines)
    assert any(line.startswith("failed   runs of batch, or") for line in training.lines)
    assert all(len(line) <= 80 for text in training.lines for line in text.splitlines())
    assert training.reports == [sum(counts.values())]


def test_nothing_is_decided_without_a_run_of_the_baseline(tmp_path: Path) -> None:
    training = FakeTraining(tmp_path, failing=[("none", 4)])
    with pytest.raises(RunError, match=r"^normalization=none,seed=4: "):
        training.run(plan_seeds(GRID, "decided", 12, None))
    assert len(training.rounds) == 2
    assert any("2 of 4, after 6 seeds: 0 of 2 verdicts decided" in line for line in training.lines)
    assert not any(line.startswith(("decided", "open")) for line in training.lines)


def test_nothing_is_left_where_a_run_of_each_configuration_fails(tmp_path: Path) -> None:
    training = FakeTraining(tmp_path, failing=[(name, seed) for name in ACCURACIES for seed in range(3)])
    with pytest.raises(RunError, match=r"^normalization=none,seed=0: "):
        training.run(plan_seeds(GRID, "decided", 12, None))
    assert len(training.rounds) == 1
    assert training.reports == []


def test_a_second_command_takes_the_same_rounds(tmp_path: Path) -> None:
    sweep = plan_seeds(GRID, "decided", 12, None)
    whole, begun, resumed = FakeTraining(tmp_path / "a"), FakeTraining(tmp_path / "b"), FakeTraining(tmp_path / "b")
    runs = whole.run(sweep)

    write_round = begun.train_round

    def die_in_the_second(runs: Sequence[Sequence[str]]) -> list[Run]:
        if not begun.rounds:
            return write_round(runs)
        write_round(runs[: len(runs) // 2])
        raise Interrupted(2)

    begun.train_round = die_in_the_second  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        begun.run(sweep)
    resumed_runs = resumed.run(sweep)
    assert resumed.rounds == whole.rounds
    assert [run.directory.name for run in resumed_runs] == [run.directory.name for run in runs]
    assert resumed.lines == whole.lines


def test_runs_of_other_processes_are_waited_for(tmp_path: Path) -> None:
    training = FakeTraining(tmp_path)
    write_run(tmp_path, ["normalization=layer"], 1, status="unfinished")
    with pytest.raises(RunBusy, match="no look can be taken"):
        training.run(plan_seeds(GRID, "decided", 12, None))
    assert training.reports == []


def test_the_record_of_the_sweep_corrects_every_later_comparison(tmp_path: Path) -> None:
    plan = make_seed_plan([0, 1, 2], 12, 0.5)
    directories = [
        write_run(tmp_path / "x", [f"normalization={name}"], seed, accuracies[seed])
        for name, accuracies in ACCURACIES.items()
        for seed in range(3)
    ]
    comparison = compare_collection(collect([tmp_path / "x"]))
    [batch] = [row.difference for row in comparison.rows if row.title == "batch"]
    assert batch is not None
    assert batch.significant
    members = [{"directory": directory.name, "overrides": []} for directory in directories]
    record = {"command": "regexp -m", "seed_plan": plan.to_record(), "members": members}
    file = tmp_path / "x" / "sweeps" / "20260101-000000-000000.json"
    file.parent.mkdir()
    file.write_text(json.dumps(record))
    for paths in ([tmp_path / "x"], [file]):
        comparison = compare_collection(collect(paths))
        [batch] = [row.difference for row in comparison.rows if row.title == "batch"]
        assert batch is not None
        assert (batch.significant, batch.num_looks, batch.margin) == (False, 1, 0.005)
    # Another plan for the same runs is refused, another margin is not.
    refuse_another_schedule(make_seed_plan([0, 1, 2], 12), directories)
    with pytest.raises(ConfigError, match="a plan of 3 seeds at first and 12 at most, and a plan cannot change"):
        refuse_another_schedule(make_seed_plan([0, 1, 2], 20), directories)
    file.write_text(json.dumps({**record, "seed_plan": {"seeds": [1]}}))
    assert any("is broken" in remark for remark in collect([tmp_path / "x"]).remarks)


PAIR = [["normalization=none"], ["normalization=batch"]]


def add_seeds(runs: Sequence[Sequence[str]], seeds: Sequence[int]) -> list[list[str]]:
    return [[*overrides, f"seed={seed}"] for overrides in runs for seed in seeds]


@pytest.mark.parametrize(
    ("jobs", "arguments", "message"),
    [
        (GRID, (None, 5, None), "hydra.sweeper.max_seeds=5: applies with hydra.sweeper.until=decided only"),
        (GRID, (None, None, 0.2), "hydra.sweeper.margin=0.2: applies with hydra.sweeper.until=decided only"),
        (GRID, ("sure", None, None), "hydra.sweeper.until=sure: must be decided"),
        (GRID, ("decided", 3, None), "hydra.sweeper.max_seeds=3: must be more than the 3 seeds"),
        (GRID, ("decided", 1001, None), "hydra.sweeper.max_seeds=1001: must be a whole number from 1 to 1000"),
        (GRID, ("decided", "many", None), "hydra.sweeper.max_seeds=many: must be a whole number"),
        (GRID, ("decided", None, 0), "hydra.sweeper.margin=0: must be a number above 0"),
        (GRID, ("decided", None, "x"), "hydra.sweeper.margin=x: must be a number above 0"),
        (PAIR, ("decided", None, None), "a verdict takes two seeds at least; .*such as 'seed=range\\(3\\)'"),
        (add_seeds(PAIR, [4]), ("decided", None, None), "a verdict takes two seeds at least"),
        (add_seeds(PAIR[:1], [0, 1]), ("decided", None, None), "one configuration leaves nothing to decide"),
        (add_seeds(PAIR, [0, 1])[:3], ("decided", None, None), "must begin with the same seeds"),
        ([*add_seeds(PAIR, [0, 1]), ["seed=x"]], ("decided", None, None), "seed=x: seed must be a whole number"),
    ],
    ids=lambda value: "" if isinstance(value, list) else str(value)[:40],
)
def test_mistakes_are_answered_before_anything_is_trained(
    jobs: list[list[str]], arguments: tuple[object, object, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_seeds(jobs, *arguments)
    if message.startswith("hydra"):
        with speak_python(), pytest.raises(ConfigError, match=r"^(until|max_seeds|margin)=") as error:
            plan_seeds(jobs, *arguments)
        assert "hydra" not in str(error.value)


def test_seeds_are_added_whatever_else_was_typed() -> None:
    sweep = plan_seeds(add_seeds([["hydra.verbose=true", "normalization=none"], ["lr=1"]], [7, 3]), "decided", 4, None)
    assert sweep is not None
    assert sweep.plan.seeds == (7, 3, 8, 9)
    assert sweep.write_overrides(0, 8) == ["hydra.verbose=true", "normalization=none", "seed=8"]
    assert sweep.write_overrides(1, 9) == ["lr=1", "seed=9"]


# Commands -----------------------------------------------------------------------------------------------------------

UNTIL = ["hydra.sweeper.until=decided", "hydra.sweeper.max_seeds=6"]


@pytest.mark.slow
def test_a_command_trains_until_it_is_decided_and_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", *SHORT, "normalization=none,batch,layer", "seed=range(2)", *UNTIL]
    assert run_regexp(monkeypatch, *words) == 0
    first = capsys.readouterr().out
    summaries = read_summaries()
    assert "Verdicts and Holm's p are corrected" in " ".join(first.split())
    assert first.count("±: 95 % interval") == 1  # one table, at the end
    record = json.loads(max(Path("outputs/default/sweeps").glob("*.json")).read_text())
    assert record["seed_plan"] == {"until": "decided", "seeds": list(range(6)), "looks": [2, 4, 6], "margin": None}
    cohorts = record_calls(monkeypatch, builders.Cohort, "end_epoch")
    assert run_regexp(monkeypatch, *words) == 0
    assert cohorts == []
    assert read_summaries() == summaries
    second = capsys.readouterr().out
    assert second[second.index("\n\n") :] == first[first.index("\n\n") :]  # the table and its notes
    # A longer plan would spend the level a second time.
    assert run_regexp(monkeypatch, *words[:-1], "hydra.sweeper.max_seeds=8") == 2
    assert "a plan cannot change after a look" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_a_sweep_in_python_equals_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["-m", *SHORT, "normalization=none,batch", "seed=range(2)", *UNTIL]
    assert run_regexp(monkeypatch, *words) == 0
    grid = {"normalization": ["none", "batch"], "seed": range(2)}
    values = {"epochs": 2, "model.hidden_sizes": [[8]], "early_stopping": "none"}
    runs = regexp.sweep(grid | values, outputs="python", quiet=True, until="decided", max_seeds=6)
    commanded = [Run(path.parent) for path in Path("outputs/default").glob("*/summary.json")]
    assert read_accuracies(runs) == read_accuracies(commanded)
    [row] = [row for row in regexp.compare("python/default") if not row["baseline"]]
    assert row["looks"] == len(runs) // 4


def read_accuracies(runs: Sequence[Run]) -> dict[tuple[str, int], float]:
    """Return the test accuracy of runs by normalization and seed."""
    return {
        (run.config["normalization"], run.config["seed"]): run.summary["test"]["accuracy"]
        for run in runs
        if run.summary is not None
    }


@pytest.mark.slow
def test_a_dry_run_shows_the_first_round(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-m", *SHORT, "normalization=none,batch", "seed=range(2)", *UNTIL, "hydra.launcher.dry_run=true"]
    assert run_regexp(monkeypatch, *words) == 0
    assert "This is the first round; the others train 8 runs at most." in capsys.readouterr().out
    assert not Path("outputs").exists()
