"""Models of the user's own, from the command line and from Python: sweeps, resuming, edits, and who may run code."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.command_lines import OWN_MODULES
from helpers.commands import read_summaries, run_main, run_regexp
from torch import Tensor, nn

from regexp import compare, load_run, run, sweep
from regexp.cli.compare import main as compare_main
from regexp.config.compose import compose_job
from regexp.errors import ConfigError, Interrupted, OutOfMemory, RunError
from regexp.predict import main as predict_main
from regexp.runs.listing.finding import find_runs
from regexp.utils.signals import StopRequest
from regexp.verify import main as verify_main

WORDS = ["model=module", "model.target=net.py:ConvNet", "data.train_size=100", "early_stopping=none", "epochs=2"]
MARKER = Path("code_has_run")


@pytest.fixture(autouse=True)
def _net() -> None:
    """Have a file of the user's that leaves a mark when it runs."""
    Path("net.py").write_text(f"{OWN_MODULES.read_text()}\nopen('{MARKER}', 'a').close()\n")


@pytest.mark.slow
def test_a_sweep_over_an_option_of_the_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, "epochs=1", "model.options.width=2,4", "seed=0,1"]
    assert run_regexp(monkeypatch, "-m", *words, "hydra.launcher.workers=1") == 0
    summaries = read_summaries()
    assert len(summaries) == 4
    assert {summary["cohort"]["size"] for summary in summaries.values()} == {2}  # a width shapes the tensors
    output = capsys.readouterr().out
    assert "width" in output
    assert {str(row["model.options.width"]) for row in compare("outputs/default")} == {"2", "4"}
    assert run_regexp(monkeypatch, "-m", *words, "hydra.launcher.workers=1") == 0
    assert "4 already finished" in capsys.readouterr().out


@pytest.mark.slow
def test_workers_load_the_file_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_regexp(monkeypatch, "-m", *WORDS, "model.options.width=2,4", "hydra.launcher.workers=2") == 0
    in_workers = read_summaries()
    shutil.rmtree("outputs")
    assert run_regexp(monkeypatch, "-m", *WORDS, "model.options.width=2,4", "hydra.launcher.workers=1") == 0
    for label, summary in read_summaries().items():
        assert summary["last"] == in_workers[label]["last"]


@pytest.mark.slow
def test_an_interrupted_run_resumes_to_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(WORDS, "undisturbed", quiet=True)
    with monkeypatch.context() as patch:
        patch.setattr(
            StopRequest,
            "requested",
            property(lambda self: MARKER.exists() and any(Path("outputs").glob("*/*/metrics.csv"))),
        )
        with pytest.raises(Interrupted):
            run(WORDS, quiet=True)
    resumed = run(WORDS, quiet=True)
    assert "resumed" in resumed.record
    assert [{**row, "seconds": 0} for row in resumed.metrics] == [{**row, "seconds": 0} for row in expected.metrics]
    state, expected_state = resumed.model(target="net.py:ConvNet"), expected.model(target="net.py:ConvNet")
    assert all(torch.equal(a, b) for a, b in zip(state.parameters(), expected_state.parameters(), strict=True))


def test_an_edit_trains_anew_and_says_why_and_a_comment_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    run(WORDS)
    with Path("net.py").open("a") as file:
        file.write("# a comment\n")
    run(WORDS)
    assert "another version" not in capsys.readouterr().out
    Path("net.py").write_text(Path("net.py").read_text().replace("p: float = 0.2", "p: float = 0.3"))
    run(WORDS)
    assert "1 finished run was trained by another version of net.py:ConvNet. It is set aside" in capsys.readouterr().out
    assert len(list(Path("outputs/default").iterdir())) == 2


def test_nothing_below_outputs_runs_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(WORDS, quiet=True)
    MARKER.unlink()
    monkeypatch.setattr("regexp.user_code.loading._loaded_targets", {})
    with pytest.raises(ConfigError, match=r"type target='net\.py:ConvNet', or pass the class or function"):
        load_run(done.directory).model()
    np.save("images.npy", np.zeros((1, 8, 8), np.uint8))
    predict_words = ["regexp.predict", str(done.directory), "images.npy"]
    assert run_main(monkeypatch, predict_main, *predict_words) == 2
    assert "which runs only with --code net.py:ConvNet" in capsys.readouterr().err
    assert run_main(monkeypatch, compare_main, "regexp-compare", "outputs/default") == 0
    assert run_main(monkeypatch, verify_main, "regexp.verify", "outputs/default") == 2
    assert "skipped" in (output := capsys.readouterr().out)
    assert "which runs only with --code net.py:ConvNet" in output
    assert not MARKER.exists()
    assert run_main(monkeypatch, predict_main, *predict_words, "--code", "./net.py:ConvNet") == 0
    assert MARKER.exists()
    MARKER.unlink()
    monkeypatch.setattr("regexp.user_code.loading._loaded_targets", {})
    assert run_main(monkeypatch, verify_main, "regexp.verify", "outputs/default", "--code", "./net.py:ConvNet") == 0
    assert MARKER.exists()


def test_the_model_of_a_run_is_made_by_the_target_that_the_call_names() -> None:
    done = run([*WORDS, "data.train_size=200", "epochs=3", "model.options.width=3", "model.options.p=0.0"], quiet=True)
    images = torch.rand(5, 1, 8, 8)
    model = load_run(done.directory).model(target="net.py:ConvNet")
    for weights in ("best", "last"):
        other = load_run(done.directory).model(weights, target="net.py:ConvNet")
        assert (weights == "last") == torch.equal(other(images), model(images))
    assert model(images).shape == (5, 10)
    with pytest.raises(ConfigError, match=r"runs only where you name it; type target='net\.py:ConvNet'"):
        load_run(done.directory).predict(images)
    assert len(load_run(done.directory).predict(images, target="net.py:ConvNet")) == 5
    with pytest.raises(ConfigError, match=r"net\.py:Drawing has no such parameter"):
        load_run(done.directory).model(target="net.py:Drawing")
    with pytest.raises(RunError, match="does not hold the weights of this run"):
        load_run(done.directory).model(target=lambda **options: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    mlp = run(["data.train_size=100", "epochs=1"], quiet=True)
    with pytest.raises(ConfigError, match="is of model=mlp, which needs no target"):
        mlp.model(target="net.py:ConvNet")


class Perceptron(nn.Module):
    """A network as a notebook defines it."""

    def __init__(self, classes: int, width: int = 8, fails_at: int = 0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, classes)
        )
        self.num_calls, self.fails_at = 0, fails_at

    def forward(self, x: Tensor) -> Tensor:
        self.num_calls += 1
        if self.num_calls == self.fails_at:
            raise ValueError("a mistake of the user's")
        logits: Tensor = self.layers(x)
        return logits


def test_python_passes_a_class_or_a_factory() -> None:
    words = ["data.train_size=100", "epochs=1", "early_stopping=none"]
    runs = sweep(
        [[*words, f"model.options.width={width}", f"seed={seed}"] for width in (4, 8) for seed in (0, 1)],
        quiet=True,
        workers=1,
        model=Perceptron,
    )
    assert [trained.summary["cohort"]["size"] for trained in runs if trained.summary is not None] == [2, 2, 2, 2]
    again = sweep([[*words, "model.options.width=4", "seed=0"]], quiet=True, model=Perceptron)
    assert again[0].directory == runs[0].directory
    assert "resumed" not in again[0].record
    assert isinstance(runs[0].model(target=Perceptron), Perceptron)

    factory = run(words, quiet=True, model=lambda classes: nn.Sequential(nn.Flatten(), nn.Linear(64, classes)))
    assert factory.status == "completed"


def test_a_mistake_in_the_module_is_the_users_with_status_2_and_leaves_the_others_alone() -> None:
    words = ["data.train_size=200", "epochs=2", "early_stopping=none"]
    with pytest.raises(RunError) as error:
        sweep([[*words, f"model.options.fails_at={step}"] for step in (0, 9)], quiet=True, workers=1, model=Perceptron)
    assert "ValueError: a mistake of the user's (test_own_models.py, line " in str(error.value.__cause__ or error.value)
    statuses = {trained.directory.name: trained.status for trained in find_runs(Path("outputs/default"))}
    assert sorted(statuses.values()) == ["completed", "failed"]


def test_a_shortage_of_memory_in_the_module_is_one() -> None:
    Path("net.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, classes):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(64, classes)\n"
        "    def forward(self, x):\n"
        "        return self.layer(x.flatten(1)) + torch.empty(2**50).sum()\n"
    )
    with pytest.raises(OutOfMemory, match="not enough memory"):
        run(["model=module", "model.target=net.py:Net", "epochs=1"], quiet=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("model=module", "model=module: needs a class or function; type model.target=FILE.py:NAME"),
        ("model=module model.target=gone.py:Net", "model.target=gone.py:Net: there is no such file"),
        ("model.target=net.py:ConvNet", "model.target=net.py:ConvNet: model=mlp has no such key; model=module has it"),
        ("model=module model.target=net.py:ConvNet model.width=3", "did you mean model.options.width=3?"),
        ("model=module model.target=net.py:ConvNet model.dropout=0.1", "did you mean model.options.dropout=0.1?"),
        ("model=module model.target=net.py:ConvNet model.options=3", "model.options=3: must be a mapping"),
        ("model=module model.target=net.py:ConvNet device.graphs=true", "only an mlp can be captured"),
        ("model=module model.target=python:NeverPassed", "names an object of another Python program"),
    ],
)
def test_mistakes_of_the_configuration_are_found_before_any_code_runs(words: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        compose_job(words.split())
    assert message in str(error.value)
    assert not MARKER.exists()


def test_all_types_of_options_reach_the_module() -> None:
    Path("net.py").write_text(
        "import torch\n"
        "def make(classes, **options):\n"
        "    expected = {'a': 1, 'b': 0.5, 'c': True, 'd': None, 'e': [1, 2], 'f': {'g': 'h'}, 'i': 'text'}\n"
        "    assert options == expected, options\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes))\n"
    )
    options = ["a=1", "b=0.5", "c=true", "d=null", "e=[1,2]", "f={g: h}", "i=text"]
    words: list[Any] = ["model=module", "model.target=net.py:make", *(f"model.options.{option}" for option in options)]
    assert run([*words, "epochs=1"], quiet=True).status == "completed"
