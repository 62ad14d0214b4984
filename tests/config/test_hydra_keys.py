"""Hydra's own keys: each works in a single run and in a sweep as Hydra's manual says, or is refused with a reason."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers.command_lines import find_problems
from helpers.commands import SHORT, run_regexp
from hydra.conf import HydraConf
from omegaconf import OmegaConf

from regexp.cli.sweep_cautions import find_repeated_runs
from regexp.config.compose import make_composer
from regexp.config.composing.composer import Composer
from regexp.config.hydra_config.key_rules import GROUP_RULES, KEY_RULES, find_hydra_problems
from regexp.config.hydra_config.search_path import list_groups
from regexp.errors import ConfigError
from regexp.execution import builders


def list_hydra_keys(node: Any = None, prefix: str = "hydra.") -> Iterator[str]:
    """Yield the dotted names of all keys that Hydra declares."""
    node = HydraConf() if node is None else node
    for item in fields(node):
        value = getattr(node, item.name)
        if is_dataclass(value):
            yield from list_hydra_keys(value, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name


def test_every_key_of_hydra_has_a_rule() -> None:
    keys = list(list_hydra_keys())
    assert len(keys) > 30
    covered = {rule: [key for key in keys if f"{key}.".startswith(f"{rule}.")] for rule in KEY_RULES}
    assert [rule for rule, covered_keys in covered.items() if not covered_keys] == []
    assert sorted(key for covered_keys in covered.values() for key in covered_keys) == sorted(keys)


def test_every_group_of_hydra_has_a_rule() -> None:
    declared = {name for entry in HydraConf().defaults if isinstance(entry, dict) for name in entry}
    assert set(GROUP_RULES) == declared | set(list_groups(make_composer().loader, "hydra/"))


# What works ------------------------------------------------------------------------------------------------------

# For each key that works, words that set it. All are typed together, with DIR for run or sweep.
WORDS = {
    "hydra.mode": [],  # typed beside the others
    "hydra.searchpath": ["hydra.searchpath=[mine]", "optimizer=custom"],
    "hydra.run.dir": ["hydra.run.dir=out-${hydra.job.override_dirname}"],
    "hydra.sweep.dir": ["hydra.sweep.dir=swept-${hydra.job.override_dirname}"],
    "hydra.hydra_logging": ["+hydra.hydra_logging.loggers={hydra_key:{level:DEBUG}}"],
    "hydra.job_logging": ["hydra/job_logging=default", "+hydra.job_logging.loggers={job_key:{level:DEBUG}}"],
    "hydra.verbose": ["hydra.verbose=[verbose_key]"],
    "hydra.job.name": ["hydra.job.name=chosen"],
    "hydra.job.chdir": ["hydra.job.chdir=false"],
    "hydra.job.env_set": ["+hydra.job.env_set.REGEXP_SET=7"],
    "hydra.job.env_copy": ["hydra.job.env_copy=[REGEXP_COPIED]"],
    "hydra.job.config.override_dirname.kv_sep": ["hydra.job.config.override_dirname.kv_sep=_"],
    "hydra.job.config.override_dirname.item_sep": ["hydra.job.config.override_dirname.item_sep=+"],
    "hydra.job.config.override_dirname.exclude_keys": [
        "hydra.job.config.override_dirname.exclude_keys=[model.hidden_sizes,optimizer]"
    ],
    "hydra.launcher": ["hydra.launcher.max_runs=1"],
    "hydra.sweeper": ["+hydra.sweeper.params={seed:'0,1'}"],
}


@dataclass(frozen=True)
class Trained:
    """What a command with all keys left.

    Attributes:
        directory: the directory in which it was typed.
        variables: the environment of its training.
        hydra: Hydra's configuration, as it is recorded with a run.
    """

    directory: Path
    variables: dict[str, str]
    hydra: Any


def run_with_all_keys(directory: Path, keys: list[str], *words: str) -> Trained:
    """Run a command that sets these keys in a directory."""
    variables: dict[str, str] = {}
    build = builders.build_cohort

    def recording_build(planned_runs: Any) -> Any:
        variables.update(os.environ)
        return build(planned_runs)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(directory)
        monkeypatch.setenv("REGEXP_COPIED", "copied")
        monkeypatch.setattr(builders, "build_cohort", recording_build)
        Path("mine/optimizer").mkdir(parents=True)
        Path("mine/optimizer/custom.yaml").write_text("defaults: [adam, _self_]\nlr: 0.25")
        assert run_regexp(monkeypatch, *SHORT, *(word for key in keys for word in WORDS[key]), *words) == 0
    [file, *_] = directory.rglob(".hydra/hydra.yaml")
    return Trained(directory, variables, OmegaConf.load(file).hydra)


RUN_KEYS = [key for key, rule in KEY_RULES.items() if rule.run]
SWEEP_KEYS = [key for key, rule in KEY_RULES.items() if rule.sweep]


@pytest.fixture(scope="module")
def single_run(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return run_with_all_keys(tmp_path_factory.mktemp("run"), RUN_KEYS, "hydra.mode=RUN")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return run_with_all_keys(tmp_path_factory.mktemp("sweep"), SWEEP_KEYS, "hydra.mode=MULTIRUN")


def find_output(trained: Trained) -> Path:
    """Return the directory that holds the runs."""
    [path] = [path for path in trained.directory.iterdir() if path.name != "mine"]
    return path


def get_option_value(trained: Trained) -> bool:
    [run, *_] = trained.directory.rglob("run.json")
    return '"optimizer.lr": 0.25' in run.read_text()


EFFECTS: dict[str, Callable[[Trained], bool]] = {
    "hydra.mode": lambda trained: trained.hydra.mode is not None,
    "hydra.searchpath": get_option_value,
    "hydra.run.dir": lambda trained: find_output(trained).name.startswith("out-"),
    "hydra.sweep.dir": lambda trained: find_output(trained).name.startswith("swept-"),
    "hydra.hydra_logging": lambda trained: logging.getLogger("hydra_key").level == logging.DEBUG,
    "hydra.job_logging": lambda trained: logging.getLogger("job_key").level == logging.DEBUG,
    "hydra.verbose": lambda trained: logging.getLogger("verbose_key").level == logging.DEBUG,
    "hydra.job.name": lambda trained: (find_output(trained) / "chosen.log").exists(),
    "hydra.job.chdir": lambda trained: not trained.hydra.job.chdir,
    "hydra.job.env_set": lambda trained: trained.variables["REGEXP_SET"] == "7" and "REGEXP_SET" not in os.environ,
    "hydra.job.env_copy": lambda trained: trained.hydra.job.env_set.REGEXP_COPIED == "copied",
    "hydra.job.config.override_dirname.kv_sep": lambda trained: "epochs_2" in find_dirname(trained),
    "hydra.job.config.override_dirname.item_sep": lambda trained: "+" in find_dirname(trained),
    "hydra.job.config.override_dirname.exclude_keys": lambda trained: "hidden" not in find_dirname(trained),
    "hydra.launcher": lambda trained: trained.hydra.launcher.max_runs == 1,
    "hydra.sweeper": lambda trained: len(list(trained.directory.rglob("summary.json"))) == 2,
}


def find_dirname(trained: Trained) -> str:
    """Return hydra.job.override_dirname, which is the end of the directory's name."""
    return find_output(trained).name.partition("-")[2]


@pytest.mark.parametrize("key", RUN_KEYS)
def test_a_key_has_its_effect_on_a_single_run(single_run: Trained, key: str) -> None:
    assert EFFECTS[key](single_run)


@pytest.mark.parametrize("key", SWEEP_KEYS)
def test_a_key_has_its_effect_on_a_sweep(sweep: Trained, key: str) -> None:
    assert EFFECTS[key](sweep)


def test_logging_needs_this_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-m", *SHORT, "seed=0,1", "hydra/job_logging=default", "hydra.launcher.workers=2"]
    assert run_regexp(monkeypatch, *words) == 2
    assert "worker processes do not log" in capsys.readouterr().err


# What is refused -------------------------------------------------------------------------------------------------

GROUPS = list_groups(make_composer().loader, "hydra/")
_VALUES = {"hydra.mode": "RUN", "hydra.launcher": "{max_runs: 1}", "hydra.sweeper": "{max_batch_size: 1}"}


@pytest.mark.parametrize("multirun", [False, True])
@pytest.mark.parametrize("key", KEY_RULES)
def test_a_key_without_effect_is_refused_with_a_reason(key: str, multirun: bool) -> None:
    rule = KEY_RULES[key]
    if rule.sweep if multirun else rule.run:
        return
    parent, _, last = key.rpartition(".")
    value = _VALUES.get(key, "x")
    for word in (f"{key}={value}", f"+{key}={value}", f"++{key}={value}", f"{parent}={{{last}:{value}}}"):
        problem = find_hydra_problems([word], multirun, GROUPS)[word]
        assert problem.startswith(f"{word}: ")
        # It ends with what to do.
        assert problem.endswith(("leave it out", "=x", "=1", "=DIR", "NAME", "NAME instead")), problem


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("hydra.mode=run", "must be RUN or MULTIRUN"),
        ("-m hydra.mode=RUN", "-m asks for a sweep; leave one of the two out"),
        ("hydra.job.nam=x", "there is no such key; did you mean hydra.job.name?"),
        ("hydra.job.env_copy=[NO_SUCH_VARIABLE]", "there is no environment variable NO_SUCH_VARIABLE"),
        ("-m hydra.verbose=true,false", "have one value for all runs of a sweep"),
        ("hydra.verbose=true,false", "have one value for all runs of a sweep"),
        ("~hydra.job.env_set", "cannot be dropped"),
        ("hydra/job_logging=nope", "must be one of default, disabled, none, stdout"),
        ("hydra/loging=default", "there is no such group"),
        ("hydra/output=default", "type hydra.run.dir=DIR"),
        ("hydra/help=default", "regexp --help has a text of its own"),
        ("hydra.searchpath=[nowhere]", "hydra.searchpath=[nowhere]: there is no such directory"),
        ("hydra.searchpath=nowhere", "must be a list of directories; type hydra.searchpath=[nowhere]"),
        ("hydra.searchpath=[pkg://nowhere]", "cannot be found"),
        ("-m hydra.sweeper.max_batch_size=0", "must be a whole number of at least 1, or null"),
        ("-m hydra.sweeper.size=1", "hydra.sweeper has max_batch_size, until, max_seeds, margin and params"),
        ("-m hydra.sweeper.until=sure", "must be decided or null"),
        ("-m hydra.sweeper.max_seeds=1001", "must be a whole number from 1 to 1000, or null"),
        ("-m hydra.sweeper.margin=0", "must be a number above 0, the difference that does not matter, or null"),
        ("-m hydra.sweeper.margin=-0.2", "must be a number above 0, the difference that does not matter, or null"),
        ("hydra.sweeper.until=decided", "applies to sweeps only; type regexp -m hydra.sweeper.until=decided"),
        ("-m hydra.run.dir=x", "type hydra.sweep.dir=x"),
        ("hydra.sweep.dir=x", "type hydra.run.dir=x"),
    ],
)
def test_a_mistake_in_a_key_of_hydra_is_an_error_with_a_remedy(composer: Composer, line: str, part: str) -> None:
    assert part in "\n".join(find_problems(composer, *line.split()))


@pytest.mark.parametrize(
    "content", ["sweep: {subdir: '${hydra.job.num}'}", "output_subdir: x", "job: {num: 3}", "job: {id: a}"]
)
def test_a_file_cannot_set_what_has_no_effect(tmp_path: Path, content: str) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/custom.yaml").write_text(f"# @package _global_\nhydra:\n  {content}")
    with pytest.raises(ConfigError, match=r"^hydra\.\S+=\S+: "):
        make_composer(str(tmp_path)).compose_command_line(["experiment=custom"], False)


def test_options_on_the_search_path_are_offered(tmp_path: Path) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer/custom.yaml").write_text("defaults: [adam, _self_]\nlr: 0.25")
    composer = make_composer()
    words = [f"hydra.searchpath=[{tmp_path}]", "optimizer=custm"]
    with pytest.raises(ConfigError, match=r"one of adam, adamw, custom.*did you mean optimizer=custom\?"):
        composer.compose_command_line(words, False)
    jobs = make_composer().compose_command_line([words[0], "optimizer=glob(c*)"], True)
    assert [job.config.optimizer.lr for job in jobs] == [0.25]


@pytest.mark.parametrize(
    "words",
    [
        ["--cfg", "job", "experiment=null"],
        ["-m", "experiment=null", "hydra.launcher.dry_run=true"],
    ],
)
def test_no_experiment_can_be_chosen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert run_regexp(monkeypatch, *words) == 0
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sweep_word", "is_one_run"),
    [("device=cuda,cpu", True), ("tags=[a],[b]", True), ("name=a,b", False), ("seed=0,1", False)],
)
def test_values_that_are_one_run_are_said(sweep_word: str, is_one_run: bool) -> None:
    cautions = list(find_repeated_runs([sweep_word, "epochs=3"]))
    assert len(cautions) == is_one_run
    assert all(caution.startswith(f"{sweep_word}: ") and "these are one run" in caution for caution in cautions)
