"""Every entry point: the flags that it takes, and what becomes of output that cannot be written."""

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from helpers.commands import SHORT, run_main, run_regexp

import regexp
from regexp.cli.hydra_parser import get_args_parser

PACKAGE = Path(regexp.__file__).parent


def find_entry_points() -> dict[str, Callable[[], None]]:
    """Return the main functions of all commands: installed ones, and modules that run with `python -m`."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    modules = {name: target.removesuffix(":main") for name, target in project["scripts"].items()}
    for path in PACKAGE.rglob("*.py"):
        conditions = [node.test for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.If)]
        if "__name__ == '__main__'" in map(ast.unparse, conditions):
            name = ".".join(["regexp", *path.relative_to(PACKAGE).with_suffix("").parts])
            if name not in modules.values():
                modules[f"python -m {name}"] = name
    return {name: import_module(module).main for name, module in modules.items()}


ENTRY_POINTS = find_entry_points()
FLAGS = sorted({flag for action in get_args_parser()._actions for flag in action.option_strings})


@pytest.fixture(autouse=True)
def _composers_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the options that a command line adds, which last as long as the process."""
    monkeypatch.setattr("regexp.config.compose._composers", {})


def test_all_entry_points_are_found() -> None:
    modules = ("preview", "verify", "predict", "clear")
    assert set(ENTRY_POINTS) == {"regexp", "regexp-compare", *(f"python -m regexp.{module}" for module in modules)}


@pytest.mark.parametrize("flag", [*FLAGS, "--version"])
@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_an_entry_point_takes_the_flags_of_regexp_or_says_why_not(
    name: str, flag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # "none" is a value of no flag, so that nothing is trained or shown.
    words = [flag] if flag in ("--version", "-h", "--help") else [flag, "none", "lr=1"]
    status = run_main(monkeypatch, ENTRY_POINTS[name], name, *words)
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    assert "no such flag" not in output.err
    assert "unrecognized" not in output.err
    if status == 0:
        assert output.out
    else:
        assert status == 2
        assert output.err.startswith("regexp: ")


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_a_flag_that_does_not_exist_is_a_mistake_with_a_remedy(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for flag, part in (("--bogus", "--help lists what you can type"), ("--verison", "did you mean --version?")):
        assert run_main(monkeypatch, ENTRY_POINTS[name], name, flag) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"regexp: {flag}: there is no such flag")
        assert part in error


def test_a_preview_takes_options_of_the_users_and_sweeps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine/augmentation").mkdir(parents=True)
    Path("mine/augmentation/custom.yaml").write_text("flip: {p: 1}")
    preview = ENTRY_POINTS["python -m regexp.preview"]
    words = ["--config-dir", "mine", "-m", "augmentation=custom,shift", "hydra.sweep.dir=pictures"]
    assert run_main(monkeypatch, preview, "preview", *words) == 0
    paths = [Path("pictures/preview") / f"augmentation={name}" / "augmentation.png" for name in ("custom", "shift")]
    assert capsys.readouterr().out.split() == [str(path) for path in paths]
    assert all(path.exists() for path in paths)
    assert run_main(monkeypatch, preview, "preview", "--cfg", "job", "-p", "optimizer") == 0
    assert "lr: 0.001" in capsys.readouterr().out
    assert run_main(monkeypatch, preview, "preview", "hydra.job.name=x") == 2
    assert "hydra.job.name=x: has no effect on a picture" in capsys.readouterr().err


def test_runs_of_the_users_options_are_verified(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine/optimizer").mkdir(parents=True)
    Path("mine/optimizer/custom.yaml").write_text("defaults: [adam, _self_]\nlr: 0.25")
    assert run_regexp(monkeypatch, "--config-dir", "mine", "optimizer=custom", *SHORT) == 0
    verify = ENTRY_POINTS["python -m regexp.verify"]
    monkeypatch.setattr("regexp.config.compose._composers", {})
    assert run_main(monkeypatch, verify, "verify", "outputs/default") == 2
    assert "type that here too" in capsys.readouterr().out
    assert run_main(monkeypatch, verify, "verify", "outputs/default", "--config-dir", "mine") == 0
    assert "1 of 1 runs agree" in capsys.readouterr().out


# Output that cannot be written -----------------------------------------------------------------------------------

COMMANDS = {
    "regexp": ["-m", "regexp"],
    "regexp-compare": ["-m", "regexp.cli.compare"],
    "python -m regexp.preview": ["-m", "regexp.preview"],
    "python -m regexp.verify": ["-m", "regexp.verify"],
    "python -m regexp.predict": ["-m", "regexp.predict"],
    "python -m regexp.clear": ["-m", "regexp.clear"],
}
FULL = "> /dev/full"


def run_in_bash(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line in which $PY is this Python."""
    variables = {**os.environ, "PY": f"{sys.executable} -W error", **environment}
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=variables, check=False)


def check_output_is_lost_quietly(words: str, redirection: str, status: int, **environment: str) -> None:
    """Check that a command whose output cannot be written ends with nothing but a line about the disk, and its status.

    A full disk gives status 4 where the status was 0.
    """
    process = run_in_bash(f"$PY {words} {redirection}; exit ${{PIPESTATUS[0]}}", **environment)
    full = "regexp: cannot write the output: No space left on device\n"
    expected = (status or 4, full) if redirection == FULL else (status, "")
    assert (process.returncode, process.stderr) == expected, process


@pytest.mark.parametrize(
    "redirection", [*(pytest.param(each, marks=pytest.mark.slow) for each in ("| true", ">&-")), FULL]
)
@pytest.mark.parametrize("name", COMMANDS)
def test_lost_help_is_no_error(name: str, redirection: str) -> None:
    assert set(COMMANDS) == set(ENTRY_POINTS)
    check_output_is_lost_quietly(" ".join([*COMMANDS[name], "--help"]), redirection, 0, PYTHONUNBUFFERED="1")


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("redirection", ["| true", ">&-", FULL, ">&- 2>&-"])
@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("-m regexp --version", 0),
        ("-m regexp --cfg job", 0),
        ("-m regexp --hydra-help", 0),
        ("-m regexp --info all", 0),
        ("-m regexp -m hydra.launcher.dry_run=true epochs=7 seed=0,1", 0),
        (f"-m regexp {' '.join(SHORT)}", 0),
        (f"-m regexp -m {' '.join(SHORT)} optimizer.lr=1e38,0.1", 3),
        (f"-m regexp -m {' '.join(SHORT)} seed=0,1 >/dev/null && $PY -m regexp.cli.compare", 0),
        ("-m regexp.preview epochs=7", 0),
    ],
)
def test_output_that_cannot_be_written_changes_no_status(
    words: str, status: int, redirection: str, unbuffered: str
) -> None:
    if redirection.endswith("2>&-"):
        process = run_in_bash(f"$PY {words} {redirection}", PYTHONUNBUFFERED=unbuffered)
        assert (process.returncode, process.stderr, process.stdout) == (status, "", "")
    else:
        check_output_is_lost_quietly(words, redirection, status, PYTHONUNBUFFERED=unbuffered)


@pytest.mark.slow
def test_training_goes_on_without_its_output() -> None:
    check_output_is_lost_quietly(f"-m regexp {' '.join(SHORT)}", FULL, 4)
    assert len(list(Path("outputs/default").glob("*/summary.json"))) == 1


def test_a_message_goes_nowhere_where_standard_error_is_closed() -> None:
    process = run_in_bash("$PY -m regexp lr=1 2>&-")
    assert (process.returncode, process.stdout) == (2, "")


@pytest.mark.slow
def test_no_file_takes_the_place_of_a_closed_stream() -> None:
    """What is printed to a closed standard output would end in the next file that is opened."""
    run_in_bash(f"$PY -m regexp {' '.join(SHORT)} <&- >&- 2>&-")
    [directory] = Path("outputs/default").iterdir()
    header, *rows = (directory / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("epoch,")
    assert [row.partition(",")[0] for row in rows] == ["1", "2"]


def test_the_streams_of_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    from regexp.cli.standard_streams import protect_standard_streams

    streams = sys.stdout, sys.stderr
    protect_standard_streams()
    assert (sys.stdout, sys.stderr) == streams


def test_what_cannot_be_encoded_is_shown_all_the_same() -> None:
    code = (
        "from regexp.cli.standard_streams import protect_standard_streams as protect; protect(); "
        r"print('caf\udce9 ü €')"
    )
    for encoding, shown in (("utf-8", b"caf\xe9 \xc3\xbc \xe2\x82\xac\n"), ("latin-1", b"caf\xe9 \xfc ?\n")):
        variables = {**os.environ, "PYTHONIOENCODING": encoding}
        process = subprocess.run([sys.executable, "-c", code], capture_output=True, env=variables, check=True)
        assert process.stdout == shown
