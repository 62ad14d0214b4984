"""Metrics of the user's own: where they are shown, what they decide, and what is said of those that are no numbers."""

import csv
import json
from pathlib import Path

import pytest
import torch
from helpers.cohorts import make_cohort
from helpers.commands import read_summaries, run_main, run_regexp
from sklearn.metrics import balanced_accuracy_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from regexp import compare, load_run, run, sweep
from regexp.cli.compare import main as compare_main
from regexp.config.compose import compose_job
from regexp.config.metric_registry import COLUMNS
from regexp.errors import ConfigError, Interrupted
from regexp.execution.builders import load_dataset
from regexp.execution.forecasting import memory
from regexp.execution.launching.objective import worst_value
from regexp.training import evaluation
from regexp.training.metrics import UserMetric
from regexp.utils.signals import StopRequest
from regexp.verify import main as verify_main

SOURCE = """
import torch


def balanced(logits, labels, floor=0.0):
    predictions = logits.argmax(1)
    recalls = [(predictions[labels == label] == label).double().mean() for label in labels.unique()]
    return torch.stack(recalls).mean().clamp(min=floor)


class Entropy:
    def __call__(self, logits, labels):
        return -float((logits.softmax(1) * logits.log_softmax(1)).sum(1).mean())


def first(logits, labels):
    return logits[0, 0] + torch.rand(())


def change(logits, labels, kind, after=0):
    if len(labels) <= after:
        return 0.5
    if kind == "raises":
        raise ValueError("a mistake of the user's")
    return {"list": [1], "losses": logits[:, 0], "undefined": logits.sum() / 0 - logits.sum() / 0, "none": None}[kind]


open("code_has_run", "a").close()
"""
SOURCE_FILE = "metrics.py"
MARKER = Path("code_has_run")
WORDS = ["data.train_size=100", "early_stopping=none", "epochs=2", "model.hidden_sizes=[8]"]
BALANCED = ["metrics.balance.target=metrics.py:balanced", "metrics.balance.percent=true"]
ENTROPY = ["metrics.entropy.target=metrics.py:Entropy", "metrics.entropy.better=lower"]


@pytest.fixture(autouse=True)
def _source() -> None:
    Path(SOURCE_FILE).write_text(SOURCE)


def test_it_is_computed_on_all_images_of_a_split_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(evaluation.BYTES_AT_ONCE, "cpu", 1)  # one image at a time
    cohort, _ = make_cohort([*WORDS, *BALANCED], [*WORDS, *BALANCED, "seed=1"])
    split = cohort.dataset.validation
    values = evaluation.evaluate(cohort.model, 2, split, cohort.backend, predict=True, user_metrics=cohort.user_metrics)
    assert values.predictions is not None
    expected = [balanced_accuracy_score(split.labels.numpy(), row.numpy()) for row in values.predictions]
    assert values.values["balance"].tolist() == pytest.approx(expected)


def test_it_is_shown_wherever_metrics_are(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    done = run([*WORDS, *BALANCED, *ENTROPY])
    output = capsys.readouterr().out
    assert "balance" in output
    with (done.directory / "metrics.csv").open() as file:
        header = next(csv.reader(file))
    assert [column for column in header if column in COLUMNS] == list(COLUMNS)
    assert set(header) - set(COLUMNS) == {
        f"{split}_{name}" for split in ("train", "val") for name in ("balance", "entropy")
    }
    assert done.summary is not None
    assert done.metrics[-1]["val_balance"] == done.summary["last"]["val_balance"]
    for part in ("best", "last"):
        assert {"train_balance", "val_entropy"} <= done.summary[part].keys()
    assert {"balance", "entropy"} <= done.summary["test"].keys()
    accumulator = EventAccumulator(str(done.directory)).Reload()
    tags = set(accumulator.Tags()["scalars"])
    assert {"train/balance", "val/balance", "values_kept/val_balance", "values_kept/test_balance"} <= tags
    assert "values_kept/test_entropy" in tags
    assert accumulator.Scalars("values_kept/test_balance")[0].value == pytest.approx(done.summary["test"]["balance"])
    run([*WORDS, *BALANCED, *ENTROPY])  # as it is shown again
    assert "balance" in capsys.readouterr().out


def test_early_stopping_watches_it_in_its_direction() -> None:
    words = [*WORDS, *BALANCED, *ENTROPY, "epochs=4", "early_stopping=patient"]
    directions = {"balance": max, "entropy": min}
    runs = sweep([[*words, f"early_stopping.monitor=val_{name}"] for name in directions], quiet=True, workers=1)
    for done, (name, best) in zip(runs, directions.items(), strict=True):
        values = [row[f"val_{name}"] for row in done.metrics]
        assert done.summary is not None
        assert values[done.summary["best_epoch"] - 1] == best(values)
    for monitor, worst in (("val_balance", 0.0), ("val_entropy", float("inf")), ("val_loss", float("inf"))):
        options = {"metrics.balance.better": "higher", "metrics.balance.percent": True}
        options |= {"metrics.entropy.better": "lower", "early_stopping.monitor": monitor}
        assert worst_value(options) == worst


def test_an_interrupted_run_resumes_to_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*WORDS, *BALANCED, "metrics.first.target=metrics.py:first", "early_stopping.monitor=val_balance"]
    expected = run(words, "undisturbed", quiet=True)
    with monkeypatch.context() as patch:
        has_begun = property(lambda self: any(Path("outputs").glob("*/*/metrics.csv")))
        patch.setattr(StopRequest, "requested", has_begun)
        with pytest.raises(Interrupted):
            run(words, quiet=True)
    torch.manual_seed(3)
    resumed = run(words, quiet=True)
    assert "resumed" in resumed.record
    assert [{**row, "seconds": 0} for row in resumed.metrics] == [{**row, "seconds": 0} for row in expected.metrics]


def test_comparisons_know_it_from_the_records_and_run_no_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, *BALANCED, *ENTROPY]
    jobs = [[*words, f"optimizer.lr={rate}", f"seed={seed}"] for rate in (0.001, 0.03) for seed in (0, 1)]
    sweep(jobs, quiet=True, workers=1)
    assert {summary["cohort"]["size"] for summary in read_summaries().values()} == {4}
    run([*WORDS, "seed=0"], quiet=True)  # without the metrics
    Path("metrics.py").unlink()
    MARKER.unlink()
    monkeypatch.setattr("regexp.user_code.loading._loaded_targets", {})
    capsys.readouterr()
    for metric in ("test_balance", "val_entropy", "values_kept/val_balance", "values_kept/test_entropy"):
        arguments = ["outputs/default", "--where", "metrics.balance.percent=true", "--metric", metric]
        assert run_main(monkeypatch, compare_main, "regexp-compare", *arguments, "--format", "json") == 0
        rows = json.loads(capsys.readouterr().out)["configurations"]
        assert len(rows) == 2
    [low, high] = sorted(
        compare("outputs/default", where=["metrics.balance.percent=true"]), key=lambda row: row["val_balance"]
    )
    assert low["test_balance"] < high["test_balance"]
    assert run_main(monkeypatch, compare_main, "regexp-compare", "outputs/default", "--sort", "val_balance") == 0
    assert run_main(monkeypatch, compare_main, "regexp-compare", "outputs/default", "--metric", "val_balanced") == 2
    assert "val_balance, train_balance" in (error := capsys.readouterr().err)
    assert "did you mean val_balance?" in error
    assert run_main(monkeypatch, compare_main, "regexp-compare", "outputs/default", "--tensorboard") == 0
    bands = EventAccumulator(str(next(Path("outputs/default/bands").iterdir()))).Reload()
    assert {"train/accuracy", "val/accuracy"} <= set(bands.Tags()["scalars"])
    assert load_run(next(Path("outputs/default").glob("*/run.json")).parent).metrics
    assert not MARKER.exists()


def test_it_is_part_of_the_identity(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*WORDS, "epochs=1"]
    first = run(words, quiet=True)
    done = run([*words, *BALANCED], quiet=True)
    assert done.directory != first.directory
    assert done.metrics[-1]["val_loss"] == first.metrics[-1]["val_loss"]
    assert run_main(monkeypatch, verify_main, "regexp.verify", str(done.directory)) == 2
    assert "which runs only with --code metrics.py:balanced" in capsys.readouterr().out
    arguments = [str(done.directory), "--code", "metrics.py:balanced"]
    assert run_main(monkeypatch, verify_main, "regexp.verify", *arguments) == 0
    assert "val_balance" in capsys.readouterr().out
    Path("metrics.py").write_text(SOURCE.replace("floor=0.0", "floor=0.1"))
    run([*words, *BALANCED])
    assert "1 finished run was trained by another version of metrics.py:balanced" in capsys.readouterr().out


def test_the_logits_of_a_split_count_as_memory() -> None:
    config = compose_job([*WORDS, *BALANCED]).config
    dataset = load_dataset(config)
    most = max(len(dataset.measured), len(dataset.validation), len(dataset.test or []))
    assert memory.estimate_logit_bytes(dataset, torch.float64) == 2 * most * 10 * 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "metrics.f1.target=metrics.py:balance",
            "metrics.f1.target=metrics.py:balance: metrics.py has no balance; did",
        ),
        ("metrics.f1.target=gone.py:f1", "metrics.f1.target=gone.py:f1: there is no such file"),
        ("metrics.f1.target=null", "metrics.f1: needs a function or class; type metrics.f1.target=FILE.py:NAME"),
        ("metrics.f1.better=lower", "metrics.f1: needs a function or class; type metrics.f1.target=FILE.py:NAME"),
        (
            "metrics.f1.targt=metrics.py:balanced",
            "metrics.f1.targt: there is no such key; did you mean metrics.f1.target",
        ),
        ("metrics.f1.target=metrics.py:balanced metrics.f1.floor=1", "did you mean metrics.f1.options.floor?"),
        (
            "metrics.f1.target=metrics.py:balanced metrics.f1.better=up",
            "metrics.f1.better=up: must be one of higher, low",
        ),
        ("metrics.f1.target=metrics.py:balanced metrics.f1.percent=some", "metrics.f1.percent=some: must be true or f"),
        ("metrics.f1.target=metrics.py:balanced metrics.f1.options=3", "metrics.f1.options=3: must be a mapping"),
        (
            "metrics.f1=metrics.py:balanced",
            "metrics.f1=metrics.py:balanced: must be a mapping of keys; type metrics.f1.t",
        ),
        ("metrics=3", "metrics=3: must be a mapping"),
        *(
            (f"metrics.{name}.target=metrics.py:balanced", f"metrics.{name}: there is a {name} already")
            for name in ("loss", "accuracy", "objective", "lr", "seconds", "gap", "epochs", "epoch", "best_epoch")
        ),
        ("metrics.f-1.target=metrics.py:balanced", "metrics.f-1: a name consists of letters, digits and _"),
        ("early_stopping.monitor=val_f1", "early_stopping.monitor=val_f1: must be one of val_loss, val_accuracy"),
        (
            "metrics.f1.target=metrics.py:balanced early_stopping.monitor=val_f2",
            "must be one of val_loss, val_accuracy, val_f1; did you mean early_stopping.monitor=val_f1?",
        ),
        ("metrics.f1.target=metrics.py:balanced early_stopping.monitor=train_f1", "must be one of val_loss, val_acc"),
    ],
)
def test_mistakes_of_the_configuration_are_found_before_any_code_runs(words: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        compose_job(words.split())
    assert message in str(error.value)
    assert not MARKER.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "metrics.py:change: needs a value for kind; type metrics.mine.options.kind=VALUE"),
        (
            {"knd": 1},
            "metrics.mine.options.knd: metrics.py:change has no such parameter; did you mean metrics.mine.opt",
        ),
        (
            {"kind": "list"},
            "metrics.mine.target=metrics.py:change: returns list for logits [40, 10] and labels [40]; mu",
        ),
        ({"kind": "none"}, "returns NoneType for logits [40, 10]"),
        ({"kind": "losses"}, "returns [40] for logits [40, 10] and labels [40]; must return one number for all images"),
        ({"kind": "undefined"}, "metrics.mine.target=metrics.py:change: returns NaN for logits [40, 10]"),
        (
            {"kind": "raises"},
            "fails for logits [40, 10] and labels [40]: ValueError: a mistake of the user's (metrics.p",
        ),
    ],
)
def test_what_is_no_number_is_told_with_what_was_seen(
    options: dict[str, object], message: str, shared_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shared_directory)
    with pytest.raises(ConfigError) as error:
        UserMetric("mine", "metrics.py:change", options, 10)
    assert message in str(error.value)


def test_its_mistakes_end_the_command_with_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, "metrics.mine.target=metrics.py:change", "metrics.mine.options.after=40"]
    assert run_regexp(monkeypatch, *words[:-1], "metrics.mine.options.kind=losses") == 2
    assert "must return one number for all images" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"^metrics\.py:change: ValueError: a mistake of the user's \(metrics\.py, "):
        run([*words, "metrics.mine.options.kind=raises"], quiet=True)
