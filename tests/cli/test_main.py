"""The `regexp` command as a user sees it: its output, its exit statuses, and whole processes."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import SHORT, run_main
from helpers.commands import run_regexp as run_in_this_process

from regexp import run
from regexp.__main__ import main
from regexp.config.hydra_config.search_path import CONF
from regexp.config.schema import OPTIONS
from regexp.execution.run_recorder import RunRecorder

REGEXP = [sys.executable, "-W", "error", "-m", "regexp"]
# Without UV, which uv sets for what it runs.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "UV"}


def run_regexp(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*REGEXP, *arguments], capture_output=True, text=True, check=False, env={**ENVIRONMENT, **environment}
    )


def test_a_run_ends_with_its_results_and_what_to_type_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process = run_regexp(*SHORT, UV="uv")
    assert process.returncode == 0
    assert process.stderr == ""
    lines = process.stdout.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["device", "data", "model", "augmentation"]
    # The line with the next command to try is as long as what was typed.
    assert max(len(line) for line in lines if not line.startswith("try")) <= 80
    for row in ("training", "validation", "gap", "test"):
        assert any(line.startswith(row) for line in lines[6:])
    assert "curves   uv run tensorboard --logdir outputs" in lines
    monkeypatch.delenv("UV", raising=False)
    assert run_in_this_process(monkeypatch, *SHORT) == 0
    out = capsys.readouterr().out
    assert "ago; force=true trains it again" in out
    assert "curves   tensorboard --logdir outputs" in out.splitlines()


def test_help_lists_every_group_option_and_key() -> None:
    process = run_regexp("--help")
    assert process.returncode == 0
    assert max(len(line) for line in process.stdout.splitlines()) <= 80
    for file in CONF.glob("*/*.yaml"):
        assert f"\n    {file.stem} " in process.stdout
        assert f"\n  {file.parent.name}\n" in process.stdout
    for key in (
        "optimizer.lr",
        "early_stopping.patience",
        "data.val_size",
        "device.precision",
        "seed",
        "optimizer.momentum",
    ):
        assert f"\n  {key}=" in process.stdout
    assert "Examples" in process.stdout


def test_cfg_shows_the_configuration_without_training() -> None:
    process = run_regexp("--cfg", "job", "normalization=batch", "seed=3")
    assert process.returncode == 0
    assert "seed: 3" in process.stdout
    assert "momentum: 0.1" in process.stdout
    assert not Path("outputs").exists()


def test_the_shell_completes_options() -> None:
    line = "regexp normalization="
    process = run_regexp("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert process.stdout.split() == [f"normalization={name}" for name in sorted(OPTIONS["normalization"])]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["model.dropout=2", "optimizer.lr=-1"], 2, "optimizer.lr=-1: must be above 0"),
        (["normalisation=batch"], 2, "normalisation"),
        (["normalization=null"], 2, "choose one of batch, group, layer, none, rms"),
        (["experiment=lessen"], 2, "lesson"),
        (["+foo=1"], 2, "foo: there is no such key"),
        (["seed=[1"], 2, "[1"),
        (["data=mnist", "data.root=/dev/null"], 4, "data.root=DIR"),
        (["data=image_folder", "data.root=none"], 4, "data.root=none: there is no such folder"),
        (["data=arrays", "data.path=none.npz"], 4, "data.path=none.npz: there is no such file"),
        (["hydra.run.dir=/dev/null/x"], 4, "/dev/null/x"),
        (["data.val_size=99999"], 2, "regexp: data.val_size=99999"),
    ],
)
def test_bad_input_ends_with_a_message_and_a_status(
    arguments: list[str],
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_in_this_process(monkeypatch, *arguments) == status
    out, err = capsys.readouterr()
    assert message in err
    assert err.startswith("regexp: ")
    assert "Traceback" not in err
    assert out == ""


def test_broken_option_files_are_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    group = Path("mine/augmentation")
    group.mkdir(parents=True)
    for content, message in (("a: [1\n b", "own.yaml"), ("5", "int"), ("flip: {p: 2}", "augmentation.flip.p=2")):
        (group / "own.yaml").write_text(content)
        assert run_in_this_process(monkeypatch, "--config-dir", "mine", "augmentation=own") == 2
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error
    (group / "own.yaml").write_text("flip: {p: 0.2}")
    assert run_in_this_process(monkeypatch, "--config-dir", "mine", "augmentation=own", *SHORT) == 0


@pytest.mark.slow
def test_a_model_that_does_not_fit_into_memory_is_reported() -> None:
    overcommit = Path("/proc/sys/vm/overcommit_memory")
    if overcommit.exists() and overcommit.read_text().strip() == "1":
        pytest.skip("this machine promises memory that it does not have")
    process = run_regexp("model.hidden_sizes=[900000,900000]")
    assert process.returncode == 4
    assert "not enough memory; use a smaller model" in process.stderr
    assert "Traceback" not in process.stderr


def run_in_bash(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=ENVIRONMENT, check=False)


@pytest.mark.slow
def test_a_closed_pipe_or_full_disk_costs_the_output_only() -> None:
    command = shlex.join([*REGEXP, *SHORT])
    head = run_in_bash(f"{command} | head -n 1")
    assert head.stdout.startswith("device")
    assert head.stderr == ""
    assert len(list(Path("outputs/default").glob("*/summary.json"))) == 1
    process = run_in_bash(f"{command} > /dev/full")
    assert process.returncode == 4
    assert process.stderr == "regexp: cannot write the output: No space left on device\n"


@pytest.mark.parametrize("augmentation", ["lesson", "shift", "affine"])
def test_the_header_fits_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], augmentation: str
) -> None:
    assert run_in_this_process(monkeypatch, *SHORT, f"augmentation={augmentation}") == 0
    header = capsys.readouterr().out.split("epoch 1/")[0].splitlines()
    assert max(len(line.rstrip()) for line in header) <= 80


def test_a_diverged_run_has_its_own_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_in_this_process(monkeypatch, *SHORT, "optimizer.lr=1e38") == 3
    output = " ".join(capsys.readouterr().out.split())
    assert "Diverged in epoch 1: the loss is not finite at a learning rate of 1e+38" in output


def start_regexp(*arguments: str) -> subprocess.Popen[str]:
    """Start a run in its own process, and return when its first epochs are recorded."""
    process = subprocess.Popen(
        [*REGEXP, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if any(len(path.read_text().splitlines()) > 3 for path in Path("outputs").glob("default/*/metrics.csv")):
            return process
        time.sleep(0.01)
    raise AssertionError(f"no epoch was recorded: {process.communicate()}")


# Some seconds of training: long enough for a signal to arrive before its end, even on a busy machine.
EPOCHS = 500
LONG = [
    f"epochs={EPOCHS}",
    "early_stopping=none",
    "data.train_size=128",
    "model.hidden_sizes=[8]",
    "normalization=batch",
    "model.dropout=0.1",
]


def read_metrics(outputs: Path | str = "outputs") -> list[str]:
    """Return the lines of metrics.csv without the seconds."""
    [file] = Path(outputs).glob("default/*/metrics.csv")
    return [line.rpartition(",")[0] for line in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def uninterrupted_metrics(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the metrics of a run that nothing stopped."""
    outputs = tmp_path_factory.mktemp("uninterrupted")
    run(LONG, outputs, quiet=True)
    return read_metrics(outputs)


def test_an_interruption_stops_a_run_after_its_epoch_and_the_same_command_resumes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*LONG, "epochs=5"]
    run(words, "uninterrupted", quiet=True)
    record_epoch = RunRecorder.record_epoch

    def record_and_interrupt(self: RunRecorder, *arguments: Any) -> None:
        record_epoch(self, *arguments)
        if len(read_metrics()) == 3:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "record_epoch", record_and_interrupt)
        assert run_main(monkeypatch, main, "regexp", *words) == 130
    out, err = capsys.readouterr()
    assert "Run the same command again to resume." in out
    assert err == ""
    assert len(read_metrics()) == 3
    assert run_in_this_process(monkeypatch, *words) == 0
    assert "resuming after epoch 2" in capsys.readouterr().out
    assert read_metrics() == read_metrics("uninterrupted")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_process_after_an_epoch_and_the_same_command_resumes(
    number: int,
    status: int,
    uninterrupted_metrics: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = start_regexp(*LONG)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert "Run the same command again to resume." in out
    assert err == ""
    epochs = len(read_metrics()) - 1
    assert epochs < EPOCHS
    assert run_in_this_process(monkeypatch, *LONG) == 0
    assert f"resuming after epoch {epochs}" in capsys.readouterr().out
    assert read_metrics() == uninterrupted_metrics


@pytest.mark.slow
def test_a_killed_run_is_resumed_from_its_checkpoint(uninterrupted_metrics: list[str]) -> None:
    process = start_regexp(*LONG)
    deadline = time.monotonic() + 60
    while not list(Path("outputs").glob("default/*/checkpoint.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert "resuming after epoch" in run_regexp(*LONG).stdout
    assert read_metrics() == uninterrupted_metrics
    assert len(list(Path("outputs/default").glob("*/events.*"))) == 1


@pytest.mark.slow
def test_preview_writes_a_picture() -> None:
    command = [sys.executable, "-W", "error", "-m", "regexp.preview", "augmentation=affine"]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "outputs/preview/augmentation=affine/augmentation.png"
    assert Path(process.stdout.strip()).read_bytes().startswith(b"\x89PNG")
    failed = subprocess.run([*command, "epochs=0"], capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert failed.stderr.startswith("regexp: epochs=0")
