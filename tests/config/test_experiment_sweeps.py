"""Experiment files that hold a whole sweep, on the command line and from Python."""

from pathlib import Path

import pytest
from helpers.command_lines import compose, find_problems

from regexp.api.training import run, sweep
from regexp.cli.arguments import read_arguments
from regexp.cli.command import compose_jobs
from regexp.config import compose as composing
from regexp.config.composing.composer import Composer
from regexp.errors import ConfigError
from regexp.runs.listing.run_list import Runs

SWEEP = """# @package _global_
epochs: 2
hydra: {mode: MULTIRUN, sweeper: {params: {seed: "range(3)", normalization: "none,batch"}}}
"""
# Sweeps with a mistake in their file, and what is said of it.
WRONG_SWEEPS = {
    "unknown": ("{sede: 'range(3)'}", "sede=range(3): there is no such key; did you mean seed=range(3)?"),
    "list": ("{seed: [0, 1]}", "seed=[0,1]: several values have no brackets in hydra.sweeper.params; write seed: 0,1"),
    "group": (
        "{normalization: [none, batch]}",
        "normalization=[none,batch]: several values have no brackets in hydra.sweeper.params; write normalization: "
        "none,batch",
    ),
    "unreadable": ("{seed: 'choice(0,1'}", "seed=choice(0,1: cannot be read; see hydra.sweeper.params"),
}
# The section hydra of a file, with a mistake, and what is said of it.
WRONG_SECTIONS = {
    "text": (
        "{mode: MULTIRUN, sweeper: {params: 'seed=0,1'}}",
        "hydra.sweeper.params: must be a mapping of keys, each with its values, such as seed: 0,1",
    ),
    "mode": ("{mode: SWEEP}", "hydra.mode=SWEEP: must be RUN or MULTIRUN"),
    "search": (
        "{mode: MULTIRUN, sweeper: {n_trials: 3}}",
        "hydra.sweeper.n_trials=3: belongs to a search; type -m hydra/sweeper=optuna as well",
    ),
}


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the experiment `table`, which is a sweep, and others whose sweeps hold mistakes."""
    directory = tmp_path_factory.mktemp("options")
    (directory / "experiment").mkdir()
    (directory / "experiment/table.yaml").write_text(SWEEP)
    for name, (params, _) in WRONG_SWEEPS.items():
        text = f"# @package _global_\nhydra: {{mode: MULTIRUN, sweeper: {{params: {params}}}}}\n"
        (directory / f"experiment/{name}.yaml").write_text(text)
    for name, (section, _) in WRONG_SECTIONS.items():
        (directory / f"experiment/{name}.yaml").write_text(f"# @package _global_\nhydra: {section}\n")
    return directory


@pytest.fixture(scope="module")
def composer(options: Path) -> Composer:
    return composing.make_composer(str(options))


def list_values(composer: Composer, *words: str) -> set[tuple[int, str]]:
    return {(job.config.seed, job.config.normalization.name) for job in compose(composer, *words)}


@pytest.mark.parametrize("flags", [[], ["-m"]], ids=["alone", "with the flag"])
def test_an_experiment_that_holds_a_sweep_needs_no_flag(composer: Composer, flags: list[str]) -> None:
    words = [*flags, "experiment=table"]
    assert list_values(composer, *words) == {(seed, name) for seed in range(3) for name in ("none", "batch")}
    # A typed value replaces those of the file, and keys of sweeps need no flag either.
    assert list_values(composer, *words, "seed=7,8", "normalization=layer") == {(7, "layer"), (8, "layer")}
    assert (
        len(compose(composer, *words, "model.dropout=0,0.1", "hydra.sweep.dir=out", "hydra.launcher.workers=1")) == 12
    )


def test_one_run_of_such_an_experiment(composer: Composer) -> None:
    [job] = compose(composer, "experiment=table", "hydra.mode=RUN", "seed=5")
    assert (job.config.seed, job.config.epochs) == (5, 2)


def test_mistakes_beside_such_an_experiment(composer: Composer) -> None:
    problems = find_problems(composer, "experiment=table", "hydra.launcher.workers=x", "hydra.run.dir=out", "sed=1")
    assert [problem.partition(":")[0] for problem in problems] == [
        "hydra.launcher.workers=x", "hydra.run.dir=out", "sed=1",
    ]  # fmt: skip
    [problem] = find_problems(composer, "experiment=table", "hydra.mode=RUN", "seed=0,1")
    assert "type regexp -m seed=0,1" in problem


@pytest.mark.parametrize("name", WRONG_SWEEPS)
def test_mistakes_in_the_sweep_of_a_file(composer: Composer, name: str) -> None:
    assert find_problems(composer, f"experiment={name}") == [WRONG_SWEEPS[name][1]]


@pytest.mark.parametrize("name", WRONG_SECTIONS)
def test_mistakes_in_hydras_section_of_a_file(composer: Composer, options: Path, name: str) -> None:
    problems = find_problems(composer, f"experiment={name}")
    assert problems == [f"{options}/experiment/{name}.yaml: {WRONG_SECTIONS[name][1]}"]


def test_a_sweep_that_would_be_ignored_is_told(composer: Composer, options: Path) -> None:
    (options / "experiment/flagless.yaml").write_text(SWEEP.replace("mode: MULTIRUN, ", ""))
    [job] = compose(composer, "experiment=flagless")
    assert job.warnings[-1] == (
        "hydra.sweeper.params (seed=range(3), normalization=none,batch) has no effect on a single run; type regexp -m "
        "for the sweep, or write hydra.mode: MULTIRUN into its file"
    )
    [job] = compose(composer, "experiment=flagless", "hydra.mode=RUN")
    assert not any("hydra.sweeper.params" in warning for warning in job.warnings)
    assert find_problems(composer, "-m", "experiment=lesson,flagless") == [
        "experiment=lesson,flagless: experiment=flagless holds a sweep of its own; train these experiments one after "
        "the other"
    ]


def test_hydra_is_given_paths_with_commas_as_in_a_sweep(options: Path) -> None:
    words = ["--config-dir", str(options), "experiment=table", "data.root=a,b"]
    arguments, jobs = compose_jobs(read_arguments(words))
    assert (arguments.hydra_words()[-1], len(jobs)) == ("data.root=a,b", 12)


def test_python_trains_the_sweep_of_an_experiment(composer: Composer, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[list[str]] = []
    monkeypatch.setitem(composing._composers, "", composer)
    monkeypatch.setattr("regexp.api.training._train", lambda runs, *_: trained.extend(runs) or Runs([None]))
    sweep(experiment="table")
    assert len(trained) == 6
    trained.clear()
    sweep({"seed": [7, 8]}, experiment="table")
    assert [words[:2] for words in trained] == [
        [f"seed={seed}", f"normalization={name}"] for seed in (7, 8) for name in ("none", "batch")
    ]
    with pytest.raises(ConfigError, match="experiment=table: is a sweep of 6 runs; call sweep"):
        run(experiment="table")
    trained.clear()
    run({"seed": 0, "normalization": "none"}, experiment="table")
    assert len(trained) == 1


def test_python_lists_all_mistakes_beside_such_an_experiment(
    composer: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(composing._composers, "", composer)
    with pytest.raises(ConfigError, match=r"epoch=3: .*did you mean epochs=3\?"):
        sweep(experiment="table", epoch=3)
    with pytest.raises(ConfigError, match="did you mean experiment=table"):
        sweep(experiment="tabel")
