"""Options of the user's own in --help and in the completion of a shell: those of --config-dir and hydra.searchpath."""

import re
from pathlib import Path

import pytest
from helpers.commands import run_regexp

ADDED = {
    "config-dir": ["--config-dir", "mine"],
    "short flag": ["-cd=mine"],
    "search path": ["hydra.searchpath=[mine]"],
    "file of the search path": ["--config-dir", "named", "--config-name", "other"],
}


@pytest.fixture(autouse=True)
def _options() -> None:
    """Write options of the user's own: one of a group that is there, and one of a new group."""
    for path in ("mine/optimizer/quick.yaml", "mine/teams/blue.yaml"):
        Path(path).parent.mkdir(parents=True)
        Path(path).write_text("# a step of 0.1\ndefaults: [/optimizer/adam@_here_, _self_]\nlr: 0.1\n")
    Path("named").mkdir()
    Path("named/other.yaml").write_text("defaults: [config, _self_]\nhydra: {searchpath: [mine]}\n")


def complete(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str) -> list[str]:
    """Return the words that a shell offers at the end of a line."""
    monkeypatch.setenv("COMP_LINE", line)
    assert run_regexp(monkeypatch, "-sc", "query=bash") == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out.split()


@pytest.mark.parametrize("words", ADDED.values(), ids=ADDED)
def test_help_and_completion_list_the_users_options(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_regexp(monkeypatch, "--help", *words) == 0
    text = capsys.readouterr().out
    assert re.search(r"^  optimizer\n( {4}.*\n)*    quick +a step of 0\.1$", text, re.MULTILINE)
    assert re.search(r"^  teams\n    blue ", text, re.MULTILINE)
    line = " ".join(["regexp", *words])
    assert {"optimizer=adam", "optimizer=quick"} <= set(complete(monkeypatch, capsys, f"{line} optimizer="))
    assert complete(monkeypatch, capsys, f"{line} -m seed=1 optimizer=q") == ["optimizer=quick"]


def test_help_without_such_a_directory_has_none_of_these(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_regexp(monkeypatch, "--help") == 0
    assert "quick" not in capsys.readouterr().out
    assert run_regexp(monkeypatch, "--help", "--config-dir") == 0  # help also for a flag without its value
    assert capsys.readouterr().out.startswith("regexp: ")
    assert run_regexp(monkeypatch, "--help", "--config-dir", "nowhere") == 2
    assert capsys.readouterr().err == "regexp: --config-dir nowhere: there is no such directory\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("regexp optimizer=s", ["optimizer=sgd"]),
        ("regexp data.root=./m", ["data.root=./mine"]),
        ("regexp 'tags=[a b]' optimizer=sgd optimizer.nes", ["optimizer.nesterov="]),
        ("regexp --config-dir mi", []),  # the shell completes names of files
        ("regexp --config-dir nowhere optimizer=", []),
        ("regexp --config-dir", []),
        ("regexp --conf", []),
        ("regexp 'optimizer=", []),
        ("regexp optimizer=nothing optimizer.", []),
    ],
)
def test_a_line_is_completed_or_left_alone(
    line: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complete(monkeypatch, capsys, line) == words
