"""More epochs for finished runs: they go on, and end as runs that were trained with so many epochs from the start."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from regexp import Run, run, sweep
from regexp.config.compose import compose_jobs
from regexp.config.schema import OPTIONS, Config
from regexp.execution.building.optimizer_builders import make_averaging, make_schedule
from regexp.execution.checkpoint_file import load_checkpoint
from regexp.execution.launcher import print_forecast
from regexp.execution.run_recorder import RunRecorder
from regexp.execution.terminal import Terminal

BASE = ["model.hidden_sizes=[3]", "data.train_size=96", "data.val_size=32", "device.precision=float64"]
ALL = "early_stopping.patience=null"
# What a run of 4 epochs that becomes one of 7 is trained with. Rates are high, so that every state matters.
OPTION_SETS = [
    f"{ALL}",
    f"{ALL} seed=1 optimizer.lr=0.05",
    f"{ALL} early_stopping.restore_best=false model.dropout=0.3 optimizer.lr=0.1",
    f"{ALL} schedule=step schedule.step_size=3 loss.label_smoothing=0.1",
    f"{ALL} schedule=plateau schedule.patience=1 optimizer.lr=0.5 schedule.threshold=0.3",
    f"{ALL} optimizer=sgd optimizer.momentum=0.9 optimizer.lr=0.1 normalization=batch",
    f"{ALL} augmentation=lesson optimizer.lr=0.05",
    f"{ALL} averaging=ema averaging.decay=0.9 optimizer.lr=0.1 normalization=batch",
    f"{ALL} averaging=ema seed=2 optimizer.lr=0.05 schedule=step schedule.step_size=2",
    f"{ALL} mixing=mixup optimizer.sam_rho=0.05 optimizer.lookahead_k=5 optimizer.lr=0.05",
    "early_stopping=progress early_stopping.strip=3 optimizer.lr=0.2 seed=3",
    # Early stopping waits at the last epoch of the shorter run, ends with it, or has ended before.
    "early_stopping.patience=5 early_stopping.min_delta=10 optimizer.lr=0.02",
    "early_stopping.patience=3 early_stopping.min_delta=10 optimizer.lr=0.02",
    "early_stopping.patience=2 early_stopping.min_delta=10 optimizer.lr=0.02",
]


def with_epochs(epochs: int, option_sets: Sequence[str] = OPTION_SETS) -> list[list[str]]:
    return [[*BASE, f"epochs={epochs}", *options.split()] for options in option_sets]


def train(epochs: int, outputs: Path, workers: int = 1) -> list[Run]:
    """Train all option sets in small sweeps: the report of one over so many keys takes longer than its training."""
    overrides = with_epochs(epochs)
    parts = [overrides[i : i + 5] for i in range(0, len(overrides), 5)]
    return [one for part in parts for one in sweep(part, outputs, quiet=True, workers=workers)]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def short_runs(outputs: Path) -> list[Run]:
    return train(4, outputs / "continued")


@pytest.fixture(scope="module")
def long_runs(outputs: Path) -> list[Run]:
    """Return the oracle: the runs trained with 7 epochs from the start."""
    return train(7, outputs / "from the start")


@pytest.fixture(scope="module")
def short_files(short_runs: list[Run]) -> dict[Path, bytes]:
    return read_files(short_runs)


@pytest.fixture(scope="module")
def continued_runs(outputs: Path, short_files: dict[Path, bytes]) -> list[Run]:
    return train(7, outputs / "continued")


def read_files(runs: Sequence[Run]) -> dict[Path, bytes]:
    return {path: path.read_bytes() for one in runs for path in one.directory.rglob("*") if path.is_file()}


def figures(one: Run) -> dict[str, Any]:
    """Return the results of a run but for its times and its cohort, as numbers and words by name."""
    assert one.summary is not None
    summary = {key: value for key, value in one.summary.items() if key not in ("finished", "cohort")}
    results = flatten("summary", summary)
    for row in one.metrics:
        results |= {f"epoch {row['epoch']} {name}": value for name, value in row.items() if name != "seconds"}
    for kind in ("best", "last"):
        for name, tensor in one.model(kind).state_dict().items():
            results |= {f"{kind} {name} {i}": value for i, value in enumerate(tensor.flatten().tolist())}
    checkpoint = load_checkpoint(one.directory)
    assert checkpoint is not None
    for name, tensor in checkpoint.tensors.items():
        results |= {f"checkpoint {name} {i}": value for i, value in enumerate(tensor.flatten().tolist())}
    results |= flatten("state", {**checkpoint.metadata, "events": "", "metrics": ""})
    return {key: value for key, value in results.items() if "seconds" not in key}


def flatten(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {key: entry for part in value for key, entry in flatten(f"{name} {part}", value[part]).items()}
    return {name: json.dumps(value) if isinstance(value, list) else value}


def assert_equal(results: dict[str, Any], expected: dict[str, Any]) -> None:
    assert results.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, float) and math.isfinite(value):
            assert results[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name
        else:
            assert results[name] == value, name


@pytest.mark.parametrize("i", range(len(OPTION_SETS)), ids=OPTION_SETS)
def test_continued_runs_end_as_from_the_start(i: int, continued_runs: list[Run], long_runs: list[Run]) -> None:
    one, oracle = continued_runs[i], long_runs[i]
    assert one.record["continues"]["epoch"] == min(4, len(oracle.metrics))
    assert_equal(figures(one), figures(oracle))
    assert one.summary is not None
    assert one.summary["seconds"] == pytest.approx(sum(row["seconds"] for row in one.metrics))


def test_the_event_file_is_that_of_a_run_from_the_start(continued_runs: list[Run], long_runs: list[Run]) -> None:
    for one, oracle in zip(continued_runs, long_runs, strict=True):
        assert_equal(tensorboard_values(one), tensorboard_values(oracle))


def tensorboard_values(one: Run) -> dict[str, Any]:
    """Return what TensorBoard shows of a run but for times, by step and tag."""
    values: dict[str, Any] = {}
    [path] = one.directory.glob("events.out.tfevents.*")
    for event in map(Event.FromString, RawEventFileLoader(str(path)).Load()):
        for value in event.summary.value:
            name = f"{event.step} {value.tag}"
            assert name not in values
            if value.HasField("simple_value"):
                values[name] = 0.0 if "seconds" in name else value.simple_value
            elif "session" not in name:
                values[name] = value.SerializeToString()
            else:
                values[name] = ""
    return values


def test_shorter_runs_stay_as_they_are(short_files: dict[Path, bytes], continued_runs: list[Run]) -> None:
    assert {path: path.read_bytes() for path in short_files} == short_files
    assert not {path.parent for path in short_files} & {one.directory for one in continued_runs}


def test_in_float32_a_run_alone_gets_the_same_bits(outputs: Path) -> None:
    words = [*BASE[:3], "model.dropout=0.2", "normalization=batch", ALL]
    run([*words, "epochs=2"], outputs / "bits", quiet=True)
    one = run([*words, "epochs=4"], outputs / "bits", quiet=True)
    oracle = run([*words, "epochs=4"], outputs / "all bits", quiet=True)
    assert "continues" in one.record
    results, expected = figures(one), figures(oracle)
    assert [name for name in expected if results[name] != expected[name]] == []


def test_a_run_goes_on_from_the_largest_number_of_epochs(outputs: Path) -> None:
    for epochs in (1, 3, 2):
        run([*BASE, ALL, f"epochs={epochs}"], outputs / "several", quiet=True)
    one = run([*BASE, ALL, "epochs=4"], outputs / "several", quiet=True)
    assert one.record["continues"]["epoch"] == 3
    assert_equal(figures(one), figures(run([*BASE, ALL, "epochs=4"], outputs / "at once", quiet=True)))


class Killed(BaseException):
    """Ends the process, as far as the program can see."""


@pytest.mark.parametrize(
    "moment",
    [
        "record_epoch",
        "_end_events",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("record_start", "record_checkpoint")),
    ],
)
def test_a_kill_while_a_run_goes_on_loses_nothing(
    moment: str, short_runs: list[Run], long_runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_directory(short_runs[1].directory, tmp_path / "default" / "short")

    def killed(*_: Any) -> None:
        raise Killed

    [words] = with_epochs(7, OPTION_SETS[1:2])
    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, moment, killed)
        with pytest.raises(Killed):
            run(words, tmp_path, quiet=True)
    one = run(words, tmp_path, quiet=True)
    assert one.record["continues"]["epoch"] == 4
    assert one.record["resumed"]
    assert_equal(figures(one), figures(long_runs[1]))


def copy_directory(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            copied_path = target / path.relative_to(source)
            copied_path.parent.mkdir(parents=True, exist_ok=True)
            copied_path.write_bytes(path.read_bytes())


def test_what_is_said_of_a_sweep(short_runs: list[Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run says what would happen, and the sweep that it happens; other runs start beside those that go on."""
    for one in [*short_runs[:2], *short_runs[-3:]]:
        copy_directory(one.directory, tmp_path / "default" / one.directory.name)
    words = [*with_epochs(7, [*OPTION_SETS[:2], *OPTION_SETS[-3:]]), [*BASE, "epochs=7", ALL, "seed=9"]]
    jobs = compose_jobs(words)
    print_forecast(jobs, tmp_path, Terminal(), max_runs=None, workers=1)
    out = " ".join(capsys.readouterr().out.split())
    assert "3 runs would go on from finished runs of fewer epochs, after epoch 4; those runs stay as they are." in out
    assert "2 runs have stopped early with fewer epochs, which more epochs do not change" in out
    assert "6 runs: 6 to train (5 from where fewer epochs ended)" in out
    runs = sweep(words, tmp_path, workers=1)
    out = " ".join(capsys.readouterr().out.split())
    assert "3 runs go on from finished runs of fewer epochs, after epoch 4; those runs stay as they are." in out
    assert ["continues" in one.record for one in runs] == [True] * 5 + [False]


def test_what_is_said_of_a_single_run(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*BASE, "early_stopping.patience=1", "early_stopping.min_delta=10"]
    first = run([*words, "epochs=3"])
    assert first.status == "stopped_early"
    run([*words, "epochs=4"])
    out = capsys.readouterr().out
    assert f"{first.directory} stopped early after epoch 2, which more epochs do not change.\n" in out


def spoil_checkpoint(one: Run) -> None:
    path = one.directory / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param("averaging=swa", "averaging=swa depends on the number of epochs", marks=pytest.mark.slow),
        ("schedule=cosine", "schedule=cosine depends on the number of epochs"),
        ("keep_checkpoints=false", "its checkpoint is gone: trained with keep_checkpoints=false"),
        pytest.param(
            "keep_checkpoints=false early_stopping.restore_best=false",
            "its checkpoint is cut down: trained with keep_checkpoints=false",
            marks=pytest.mark.slow,
        ),
        ("optimizer.lr=1e300", "it diverged"),
        ("spoilt", "its checkpoint is damaged, or of another version"),
        ("other code", "trained by other code"),
        ("other data", "trained on other data"),
    ],
)
def test_a_run_that_cannot_go_on_says_why(
    options: str, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*BASE, ALL, *(options.split() if "=" in options else [])]
    first = run([*words, "epochs=1"], quiet=True)
    if options == "spoilt":
        spoil_checkpoint(first)
    elif options == "other code":
        monkeypatch.setattr("regexp.runs.identity.code_hash", lambda: "changed")
    elif options == "other data":
        content = (first.directory / "run.json").read_text()
        fingerprint = first.record["identity"]["data"]
        (first.directory / "run.json").write_text(content.replace(fingerprint, "other"))
    second = run([*words, "epochs=2"])
    out = capsys.readouterr().out
    assert f"Starts from the beginning, not from where {first.directory} ended ({reason}).\n" in out
    assert "continues" not in second.record


def test_force_trains_from_the_beginning_and_fewer_epochs_are_another_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run([*BASE, ALL, "epochs=2"], quiet=True)
    assert "continues" not in run([*BASE, ALL, "epochs=3", "force=true"]).record
    assert "continues" not in run([*BASE, ALL, "epochs=1"]).record
    assert "fewer epochs" not in (out := capsys.readouterr().out)
    assert "beginning" not in out


@pytest.mark.parametrize("name", OPTIONS["schedule"])
def test_a_schedule_that_does_not_span_the_run_is_that_of_more_epochs(name: str) -> None:
    """It is the mark in the schema that says where runs may go on."""
    option = OPTIONS["schedule"][name]()
    schedules = [make_schedule(Config(schedule=option, epochs=epochs), 5) for epochs in (4, 8)]
    factors = [[schedule(step) for step in range(20)] for schedule in schedules]
    assert (factors[0] != factors[1]) == option.spans_the_run


@pytest.mark.parametrize("name", OPTIONS["averaging"])
def test_an_average_that_does_not_span_the_run_is_that_of_more_epochs(name: str) -> None:
    option = OPTIONS["averaging"][name]()
    rules = [make_averaging(Config(averaging=option, epochs=epochs)) for epochs in (4, 8)]
    assert (rules[0] != rules[1]) == option.spans_the_run


@pytest.mark.slow
def test_runs_go_on_in_workers(short_runs: list[Run], long_runs: list[Run], tmp_path: Path) -> None:
    for one in short_runs:
        copy_directory(one.directory, tmp_path / "default" / one.directory.name)
    runs = train(7, tmp_path, workers=2)
    for one, oracle in zip(runs, long_runs, strict=True):
        assert "continues" in one.record
        assert_equal(figures(one), figures(oracle))
