"""The command line as a user meets it: whole processes, their output and their exit statuses."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from regexp.config.compose import CONF

REGEXP = [sys.executable, "-W", "error", "-m", "regexp"]
# One thread: several processes at once would wait for each other. UV says how we were started.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "UV"} | {"OMP_NUM_THREADS": "1"}
SHORT = ["epochs=2", "model.hidden_sizes=[8]", "early_stopping=none"]


def regexp(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*REGEXP, *arguments], capture_output=True, text=True, check=False, env={**ENVIRONMENT, **environment}
    )


def test_a_run_ends_with_its_figures_and_what_to_type_next() -> None:
    done = regexp(*SHORT, UV="uv")
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["device", "data", "model", "augmentation"]
    assert max(len(line) for line in lines if not line.startswith("try")) <= 80  # that one is as long as what was typed
    for row in ("training", "validation", "gap", "test"):
        assert any(line.startswith(row) for line in lines[6:])
    assert "curves   uv run tensorboard --logdir outputs" in lines
    again = regexp(*SHORT)
    assert again.returncode == 0
    assert "ago; force=true trains it again" in again.stdout
    assert "curves   tensorboard --logdir outputs" in again.stdout.splitlines()


def test_help_lists_every_group_option_and_key() -> None:
    done = regexp("--help")
    assert done.returncode == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    for file in CONF.glob("*/*.yaml"):
        assert f"\n    {file.stem} " in done.stdout
        assert f"\n  {file.parent.name}\n" in done.stdout
    for key in (
        "optimizer.lr",
        "early_stopping.patience",
        "data.val_size",
        "device.precision",
        "seed",
        "optimizer.momentum",
    ):
        assert f"\n  {key}=" in done.stdout
    assert "Examples" in done.stdout


def test_the_configuration_is_shown_without_training() -> None:
    done = regexp("--cfg", "job", "normalization=batch", "seed=3")
    assert done.returncode == 0
    assert "seed: 3" in done.stdout
    assert "momentum: 0.1" in done.stdout
    assert not Path("outputs").exists()


def test_the_shell_completes_options() -> None:
    line = "regexp normalization="
    done = regexp("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert done.stdout.split() == ["normalization=batch", "normalization=layer", "normalization=none"]


@pytest.mark.parametrize(
    ("arguments", "status", "part"),
    [
        (["model.dropout=2", "optimizer.lr=-1"], 2, "optimizer.lr=-1: must be above 0"),
        (["normalisation=batch"], 2, "normalisation"),
        (["normalization=null"], 2, "choose one of batch, layer, none"),
        (["experiment=lessen"], 2, "lesson"),
        (["+foo=1"], 2, "foo: there is no such key"),
        (["seed=[1"], 2, "[1"),
        (["data=mnist", "data.root=/dev/null"], 4, "data.root=DIR"),
        (["data=image_folder", "data.root=none"], 4, "data.root=none: there is no such folder"),
        (["data=arrays", "data.path=none.npz"], 4, "data.path=none.npz: there is no such file"),
        (["hydra.run.dir=/dev/null/x"], 4, "/dev/null/x"),
    ],
)
def test_bad_input_gets_a_message_and_a_status(arguments: list[str], status: int, part: str) -> None:
    done = regexp(*arguments)
    assert done.returncode == status
    assert part in done.stderr
    assert done.stderr.startswith("regexp: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_broken_files_of_options_are_named() -> None:
    folder = Path("mine/augmentation")
    folder.mkdir(parents=True)
    for content, part in (("a: [1\n b", "own.yaml"), ("5", "int"), ("flip: {p: 2}", "augmentation.flip.p=2")):
        (folder / "own.yaml").write_text(content)
        done = regexp("--config-dir", "mine", "augmentation=own")
        assert done.returncode == 2
        assert part in done.stderr
        assert "Traceback" not in done.stderr
    (folder / "own.yaml").write_text("flip: {p: 0.2}")
    assert regexp("--config-dir", "mine", "augmentation=own", *SHORT).returncode == 0


def test_what_does_not_fit_into_memory_is_said() -> None:
    overcommit = Path("/proc/sys/vm/overcommit_memory")
    if overcommit.exists() and overcommit.read_text().strip() == "1":
        pytest.skip("this machine promises memory that it has not got")
    done = regexp("model.hidden_sizes=[900000,900000]")
    assert done.returncode == 4
    assert "not enough memory; use smaller model.hidden_sizes" in done.stderr
    assert "Traceback" not in done.stderr


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=ENVIRONMENT, check=False)


def test_the_reader_of_the_output_may_leave() -> None:
    command = shlex.join([*REGEXP, *SHORT])
    head = shell(f"{command} | head -n 1")
    assert head.stdout.startswith("device")
    assert head.stderr == ""
    assert len(list(Path("outputs/default").glob("*/summary.json"))) == 1
    done = shell(f"{command} > /dev/full")
    assert done.returncode == 4
    assert done.stderr == "regexp: cannot write: No space left on device\n"


@pytest.mark.parametrize("augmentation", ["lesson", "shift", "affine"])
def test_what_is_about_to_train_fits_80_columns(augmentation: str) -> None:
    done = regexp(*SHORT, f"augmentation={augmentation}")
    header = done.stdout.split("epoch 1/")[0].splitlines()
    assert max(len(line.rstrip()) for line in header) <= 80


def test_sizes_that_the_data_cannot_give_are_a_mistake_of_the_configuration() -> None:
    done = regexp("data.val_size=99999")
    assert done.returncode == 2
    assert done.stderr.startswith("regexp: data.val_size=99999")


def test_divergence_has_a_status_of_its_own() -> None:
    done = regexp(*SHORT, "optimizer.lr=1e38")
    assert done.returncode == 3
    assert "Diverged in epoch 1: the loss is not finite at a learning rate of 1e+38" in " ".join(done.stdout.split())


def test_a_multirun_goes_on_after_a_run_that_fails() -> None:
    done = regexp("-m", *SHORT, "optimizer.lr=1e38,0.001")
    assert done.returncode == 3
    statuses = {
        path.parent.name: json.loads(path.read_text())["status"]
        for path in Path("outputs/default").glob("*/summary.json")
    }
    assert sorted(statuses.values()) == ["completed", "diverged"]


def started(*arguments: str) -> subprocess.Popen[str]:
    """A run in its own process, after its first epochs were recorded."""
    process = subprocess.Popen(
        [*REGEXP, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if any(len(path.read_text().splitlines()) > 3 for path in Path("outputs").glob("default/*/metrics.csv")):
            return process
        time.sleep(0.01)
    raise AssertionError(f"no epoch was recorded: {process.communicate()}")


LONG = ["epochs=500", "early_stopping=none", "model.hidden_sizes=[8]", "normalization=batch", "model.dropout=0.1"]


def figures(outputs: Path | str = "outputs") -> list[str]:
    """metrics.csv without the seconds."""
    [file] = Path(outputs).glob("default/*/metrics.csv")
    return [line.rpartition(",")[0] for line in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The figures of a run that nothing stopped."""
    outputs = tmp_path_factory.mktemp("whole")
    assert regexp(*LONG, f"hydra.run.dir={outputs}").returncode == 0
    return figures(outputs)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_after_the_epoch_and_the_same_command_goes_on(number: int, status: int, whole: list[str]) -> None:
    process = started(*LONG)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert "Run the same command again to resume." in out
    assert err == ""
    interrupted = len(figures()) - 1
    assert interrupted < 500
    assert f"resuming after epoch {interrupted}" in regexp(*LONG).stdout
    assert figures() == whole


def test_a_killed_run_goes_on_from_its_checkpoint(whole: list[str]) -> None:
    process = started(*LONG)
    deadline = time.monotonic() + 60
    while not list(Path("outputs").glob("default/*/checkpoint.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert "resuming after epoch" in regexp(*LONG).stdout
    assert figures() == whole
    assert len(list(Path("outputs/default").glob("*/events.*"))) == 1


def test_preview_writes_the_picture() -> None:
    command = [sys.executable, "-W", "error", "-m", "regexp.preview", "augmentation=affine"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "outputs/preview/augmentation=affine/augmentation.png"
    assert Path(done.stdout.strip()).read_bytes().startswith(b"\x89PNG")
    bad = subprocess.run([*command, "epochs=0"], capture_output=True, text=True, check=False)
    assert bad.returncode == 2
    assert bad.stderr.startswith("regexp: epochs=0")
