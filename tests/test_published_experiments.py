"""The registry of published results and the experiment files that it names, and each of them at a scale of seconds."""

import shutil
from pathlib import Path

import pytest
import reproduce
import yaml
from reproducing.experiment import Experiment
from reproducing.registry import EXPERIMENTS

from regexp.config.hydra_config.search_path import CONF
from regexp.config.words.elements import split_elements


def read_sweeps() -> dict[str, dict[str, str]]:
    """Return the values that each experiment file sweeps over, by key, as texts."""
    sweeps = {}
    for file in (CONF / "experiment").glob("*.yaml"):
        params = yaml.safe_load(file.read_text()).get("hydra", {}).get("sweeper", {}).get("params")
        if params:
            sweeps[file.stem] = {key: str(values) for key, values in params.items()}
    return sweeps


def test_every_experiment_file_that_sweeps_is_in_the_registry() -> None:
    words_of_all = [words for experiment in EXPERIMENTS.values() for words in experiment.list_commands()]
    assert {words[0].removeprefix("experiment=") for words in words_of_all} == set(read_sweeps())


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_the_registry_names_values_of_the_sweeps(experiment: Experiment) -> None:
    sweeps = [read_sweeps()[words[0].removeprefix("experiment=")] for words in experiment.list_commands()]

    def is_swept(key: str, value: str) -> bool:
        return any(value in split_elements(params.get(key, "").replace(" ", "")) for params in sweeps)

    named = [experiment.baseline, *(item.values for item in experiment.configurations)]
    named += [] if experiment.is_cocktail else [claim.values for claim in experiment.claims]
    if experiment.is_cocktail:
        named += [dict([claim.values["regularizer"].split("=")]) for claim in experiment.claims]
    assert [values for values in named for key, value in values.items() if not is_swept(key, value)] == []
    assert experiment.split is None or any(experiment.split in params for params in sweeps)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_every_experiment_runs_at_a_scale_of_seconds(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [experiment.name, "--small", "--report", "report.md"]
    reproduce.reproduce(reproduce.parse_arguments(words))
    page = Path("report.md").read_text()
    assert f"## {experiment.title}" in page
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    rows = [line for line in lines if "---" not in line and "| seeds |" not in line]
    assert len(rows) >= len(experiment.configurations)
    assert Path(f"pictures/results_{experiment.name}.png").stat().st_size > 5_000
    for configuration in experiment.configurations:
        assert configuration.label in page
    shutil.rmtree("outputs")
    reproduce.reproduce(reproduce.parse_arguments([*words[1:], "--report-only"]))
    assert Path("report.md").read_text() == page
