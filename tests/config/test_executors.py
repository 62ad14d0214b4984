"""The keys that choose an executor and describe it, for every entry of the registry."""

import re
from pathlib import Path

import pytest
from helpers.command_lines import compose

from regexp.config import executor_registry
from regexp.config.composing.composer import Composer
from regexp.config.executor_registry import (
    EXECUTORS,
    ExecutorSettings,
    find_idle_options,
    list_default_options,
    list_patterns,
    read_settings,
)
from regexp.config.hydra_config.key_rules import find_hydra_problems
from regexp.errors import ConfigError, SetupError
from regexp.utils.lazy import load_object

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = [(name, option) for name, entry in EXECUTORS.items() for option in entry.options]


def find_problem(word: str) -> str:
    return find_hydra_problems([word], True, {"launcher": ["basic", "cohort"]}).get(word, "")


@pytest.mark.parametrize("name", EXECUTORS)
def test_every_executor_is_there(name: str) -> None:
    assert callable(load_object(EXECUTORS[name].target))
    assert find_problem(f"hydra.launcher.executor={name}") == ""
    settings = read_settings(name, list_default_options())
    assert settings == ExecutorSettings(name, list_default_options().get(name, {}))
    page = (ROOT / "docs" / "scaling.md").read_text()
    assert f"| `{name}`" in page
    if EXECUTORS[name].library:
        assert f"`uv sync --extra {name}`" in page
        assert re.search(rf"^{name} = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_every_option_is_documented_and_takes_its_example(name: str, option: str) -> None:
    entry = EXECUTORS[name].options[option]
    key = f"hydra.launcher.{name}.{option}"
    default = entry.default if isinstance(entry.default, str) else str(entry.default).lower().replace("none", "null")
    page = (ROOT / "docs" / "scaling.md").read_text().partition(f"| key below `hydra.launcher.{name}` |")[2]
    assert f"| `{option}` | {default} |" in page
    assert re.fullmatch(list_patterns()[key][0], entry.example)
    if not entry.is_text and not entry.is_mapping:
        assert find_problem(f"{key}=often") == f"{key}=often: must be {list_patterns()[key][1]}"
    with pytest.raises(ConfigError, match=re.escape(f"{key}=: must be") if entry.is_text else re.escape(key)):
        read_settings(name, {name: {option: "" if entry.is_text else "often"}})


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("hydra.launcher.executor=slrum", "must be one of auto, ray, slurm"),
        ("hydra.launcher.slurm.partitions=x", "there is no such key; hydra.launcher.slurm has partition, time, cpus"),
        ("hydra.launcher.slurm.time=tomorrow", "must be minutes, H:MM:SS or D-HH:MM:SS; for example hydra.launcher."),
        ("hydra.launcher.slurm={cpus: 0}", "must be a whole number of at least 1"),
        ("hydra.launcher.ray.num_cpus=0", "must be a number above 0"),
        ("hydra.launcher.ray.num_gpus=-1", "must be a number of at least 0"),
    ],
)
def test_mistakes_are_answered_with_what_to_type(word: str, message: str) -> None:
    assert find_problem(word).startswith(f"{word}: {message}")


def test_an_unknown_option_in_a_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.slurm\.partitio: there is no such key"):
        read_settings("slurm", {"slurm": {"partitio": "x"}})


def test_an_option_of_another_executor_has_no_effect() -> None:
    options = {"slurm": {"partition": "gpu", "cpus": 1}, "ray": {"fetch": True}}
    assert list(find_idle_options("ray", options)) == [
        "hydra.launcher.slurm.partition=gpu has no effect with hydra.launcher.executor=ray"
    ]


@pytest.mark.parametrize("name", [name for name, entry in EXECUTORS.items() if entry.library])
def test_a_missing_library_is_one_line_with_what_to_type(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor_registry, "find_spec", lambda library: None)
    library = EXECUTORS[name].library
    with pytest.raises(SetupError) as raised:
        ExecutorSettings(name).refuse_if_missing()
    assert str(raised.value) == (
        f"hydra.launcher.executor={name} needs {library}, which is not installed; type: uv sync --extra {name} (or pip "
        f"install 'regexp[{name}]')"
    )


def test_words_are_taken_as_they_are_typed(composer: Composer) -> None:
    words = ["hydra.launcher.slurm.time=10", "hydra.launcher.slurm.partition=gpu,debug", "seed=0"]
    words += ["+hydra.launcher.slurm.sbatch={account: my-group, mem: 8G}", "+hydra.launcher.slurm.sbatch.qos=long"]
    [job] = compose(composer, "-m", "hydra.launcher.executor=slurm", *words)
    slurm = job.hydra.launcher.slurm
    assert (slurm.time, slurm.partition) == ("10", "gpu,debug")
    assert dict(slurm.sbatch) == {"account": "my-group", "mem": "8G", "qos": "long"}
