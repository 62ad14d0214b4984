"""Paths that are not UTF-8, as in old archives: they are used, recorded and shown."""

import csv
import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from regexp import load_run
from regexp.cli.compare import main as compare_main
from regexp.comparison.compare import compare_collection
from regexp.comparison.loading import collect
from regexp.comparison.missing_runs import list_unfinished
from regexp.config.compose import compose_job
from tests.helpers.commands import SHORT, run_main, run_regexp

BYTES = "caf\udce9"  # é as Latin-1 has it


def split_in_shell(command: str) -> list[str]:
    """Return the words of a command that is pasted into a shell."""
    process = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True)
    return [os.fsdecode(word) for word in process.stdout.split(b"\0")[:-1]]


@pytest.fixture
def words() -> list[str]:
    """Return a command line that reads from a file, and writes to a directory, whose names are not UTF-8."""
    for seed, name in enumerate((f"{BYTES}.npz", "plain.npz")):
        images = np.random.default_rng(seed).integers(0, 256, (60, 4, 4), dtype=np.uint8)
        np.savez(name, images=images, labels=np.arange(60) % 2)
    return ["-m", *SHORT, "data=arrays", f"data.path={BYTES}.npz,plain.npz", f"hydra.sweep.dir=o{BYTES}", "seed=0,1"]


@pytest.mark.slow
def test_a_path_that_is_not_utf8_is_used_recorded_and_shown(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_regexp(monkeypatch, *words) == 0
    output = capsys.readouterr().out
    assert r"regexp-compare $'ocaf\351/default'" in output
    [directory] = Path(f"o{BYTES}/default").glob("*caf*seed=0*")
    # Every file that others read is UTF-8, and what reads them back finds the path.
    for path in Path(f"o{BYTES}").rglob("*"):
        if path.is_file() and path.suffix in (".json", ".csv", ".yaml", ".log"):
            path.read_text(encoding="utf-8")
    assert r"caf\xe9.npz" in (directory / "run.log").read_text()
    trained_run = load_run(directory)
    assert trained_run.config["data.path"] == f"{BYTES}.npz"
    assert compose_job(trained_run.record["overrides"]).config.data.path == f"{BYTES}.npz"  # type: ignore[attr-defined]
    assert yaml.safe_load((directory / ".hydra/config.yaml").read_text())["data"]["path"] == f"{BYTES}.npz"
    assert r"$'data.path=caf\351.npz,plain.npz'" in trained_run.record["command"]
    [events] = directory.glob("events.*")
    assert rb"caf\xe9.npz" in events.read_bytes()
    # What a comparison suggests for a run that is missing trains that run, as pasted.
    monkeypatch.delenv("UV", raising=False)
    shutil.rmtree(directory)
    comparison = compare_collection(collect([Path(f"o{BYTES}/default")]))
    [group] = list_unfinished(comparison)
    _, *missing_words = split_in_shell(group.command)
    assert f"hydra.sweep.dir=o{BYTES}" in missing_words
    assert run_regexp(monkeypatch, *missing_words) == 0
    [directory] = Path(f"o{BYTES}/default").glob("*caf*seed=0*")
    assert load_run(directory).summary["status"] == "completed"


@pytest.mark.slow
def test_a_comparison_of_such_runs_is_written_in_utf8(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_regexp(monkeypatch, *words) == 0
    capsys.readouterr()
    for file_format in ("md", "csv", "json", "text"):
        arguments = [f"o{BYTES}/default", "--format", file_format]
        arguments += ["--output", f"r{BYTES}", "--tensorboard"] if file_format == "text" else []
        assert run_main(monkeypatch, compare_main, "regexp-compare", *arguments) == 0
        output = capsys.readouterr().out
        if file_format != "text":
            output.encode()
        if file_format == "json":
            assert json.loads(output)["runs"] == r"ocaf\xe9/default"
        if file_format == "csv":
            assert len(list(csv.DictReader(io.StringIO(output)))) == 2
    Path(f"r{BYTES}/comparison.md").read_text(encoding="utf-8")


def test_a_suggested_command_with_such_a_path_runs_as_pasted(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_regexp(monkeypatch, "data=arrays", f"data.path={BYTES}.npz,plain.npz") == 2
    command = capsys.readouterr().err.rpartition("; type regexp ")[2].strip()
    assert split_in_shell(command)[:2] == ["-m", f"data.path={BYTES}.npz,plain.npz"]
