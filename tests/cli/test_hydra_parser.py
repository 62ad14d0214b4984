"""Hydra's parser under the rules of Python 3.14's argparse, on any Python."""

import argparse
from collections.abc import Callable
from typing import Any

import pytest
from helpers.commands import SHORT, read_summaries, run_regexp
from hydra._internal import utils

from regexp.cli.arguments import read_arguments


@pytest.fixture(autouse=True)
def _checks_of_python_3_14(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look into every help text as soon as its option is added, as ArgumentParser._check_help of 3.14 does."""
    add_argument: Callable[..., argparse.Action] = argparse._ActionsContainer.add_argument

    def checked(self: argparse._ActionsContainer, *flags: Any, **options: Any) -> argparse.Action:
        action = add_argument(self, *flags, **options)
        if action.help:
            try:
                _ = "%" in action.help
            except TypeError as error:
                raise ValueError("badly formed help string") from error
        return action

    monkeypatch.setattr(argparse._ActionsContainer, "add_argument", checked)
    monkeypatch.setattr(utils, "argparse", argparse)  # as it is before the command starts


def test_hydras_own_parser_is_refused() -> None:
    with pytest.raises(ValueError, match="badly formed help string"):
        utils.get_args_parser()


def test_arguments_are_read() -> None:
    assert read_arguments(["-m", "seed=0,1"]).overrides == ("seed=0,1",)


def test_the_command_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_regexp(monkeypatch, *SHORT) == 0
    assert len(read_summaries()) == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # Hydra takes seconds to list its groups.
        pytest.param(["--hydra-help"], 'eval "$(regexp -sc install=bash)"', marks=pytest.mark.slow),
        (["--info", "plugins"], "CohortLauncher"),
        (["--cfg", "job"], "normalization:"),
        (["--shell-completion", "install=bash"], "hydra_bash_completion"),
    ],
)
def test_flags_of_hydra_work(
    words: list[str], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_regexp(monkeypatch, *words) == 0
    assert expected in capsys.readouterr().out
