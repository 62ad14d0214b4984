"""What the README promises."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from regexp.composition import CONF, compose_job
from regexp.config import OPTIONS
from regexp.metrics import COLUMNS

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
OVERRIDES = [
    [word for word in shlex.split(command)[len(head) :] if not word.startswith("-") and word != "job"]
    for command in COMMANDS
    for head in (["uv", "run", "regexp"], ["uv", "run", "python", "-m", "regexp.preview"])
    if shlex.split(command)[: len(head)] == head
]


@pytest.mark.parametrize("overrides", OVERRIDES, ids=" ".join)
def test_every_command_composes(overrides: list[str]) -> None:
    compose_job([override.split(",")[0] if "[" not in override else override for override in overrides])


def test_no_placeholder_is_left() -> None:
    assert re.findall(r"^[A-Z_]{6,}$", README, re.MULTILINE) == []


def test_commands_were_found() -> None:
    assert len(OVERRIDES) > 8
    assert "pip install uv && uv run regexp" in COMMANDS
    assert "uv run pytest" in COMMANDS


def test_the_table_of_groups_is_whole() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", README, re.MULTILINE))
    conf = {folder.name: {file.stem for file in folder.glob("*.yaml")} for folder in CONF.iterdir() if folder.is_dir()}
    assert {group: set(options.split(", ")) for group, options in table.items() if group in conf} == conf


@pytest.mark.parametrize("group", list(OPTIONS))
def test_the_table_of_keys_is_whole(group: str) -> None:
    [row] = re.findall(rf"^\| `{group}` \| .*$", README, re.MULTILINE)
    keys = {item.name for node in OPTIONS[group].values() for item in fields(node)} - {"name", "kind"}
    assert set(re.findall(r"`(\w+)`", row)) - {group} == keys


def test_the_columns_of_metrics_are_named() -> None:
    assert ", ".join(COLUMNS) in README
