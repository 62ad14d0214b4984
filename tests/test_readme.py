"""The promises of the README and of the pages in docs/: commands, links, tables."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from configuration_reference import make_reference

from regexp.cli.arguments import read_arguments
from regexp.config.composing.composer import Composer
from regexp.config.hydra_config.search_path import CONF
from regexp.config.metric_registry import COLUMNS
from regexp.config.schema import OPTIONS
from regexp.config.schemas.augmentation import STEPS

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
}
README = PAGES["README.md"]
COMMANDS = [
    line
    for name, page in PAGES.items()
    if name != "docs/extending.md"  # its commands use what the reader adds
    for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    for line in block.splitlines()
]
ARGUMENTS = [
    shlex.split(command)[len(head) :]
    for command in COMMANDS
    for head in (["uv", "run", "regexp"], ["uv", "run", "python", "-m", "regexp.preview"])
    if shlex.split(command)[: len(head)] == head and "--help" not in command
]


# tests/test_published_experiments.py composes the experiments that hold a sweep.
SWEEPS = {
    f"experiment={path.stem}" for path in (ROOT / "conf/experiment").glob("*.yaml") if "params:" in path.read_text()
}


@pytest.mark.parametrize("words", [words for words in ARGUMENTS if words[0] not in SWEEPS], ids=" ".join)
def test_every_command_composes(composer: Composer, words: list[str]) -> None:
    Path("examples").symlink_to(ROOT / "examples")
    arguments = read_arguments(words)
    assert composer.compose_command_line(arguments.overrides, arguments.multirun)


@pytest.mark.parametrize("page", PAGES)
def test_no_placeholder_is_left(page: str) -> None:
    assert re.findall(r"^@?[A-Z_]{5,}@?$|@[A-Z]+@", PAGES[page], re.MULTILINE) == []


def test_commands_were_found() -> None:
    assert len(ARGUMENTS) > 20
    assert "pip install uv && uv run regexp" in COMMANDS
    assert "uv run pytest" in COMMANDS


@pytest.mark.parametrize("script", sorted({word for line in COMMANDS for word in line.split() if "scripts/" in word}))
def test_every_script_exists(script: str) -> None:
    assert (ROOT / script).is_file()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)]+)\)|<img src=\"([^\"]+)\"", prose)
    for link in ("".join(groups) for groups in links):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent.joinpath(file).resolve() if file else ROOT / page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target.read_text()), link


def anchors(page: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_guide_has_a_picture_of_every_technique() -> None:
    sections = re.split(r"^## ", PAGES["docs/guide.md"], flags=re.MULTILINE)[1:]
    assert len(sections) >= 7
    for section in sections:
        assert len(re.findall(r"\]\(pictures/\w+\.png\)", section)) >= 1, section[:30]
        assert "$$" in section
        assert "uv run regexp" in section


def test_the_reference_is_current() -> None:
    assert PAGES["docs/configuration.md"] == make_reference(), (
        "uv run scripts/configuration_reference.py > docs/configuration.md"
    )


def test_the_reference_names_every_option() -> None:
    for file in CONF.glob("*/*.yaml"):
        assert f"| `{file.stem}` |" in PAGES["docs/configuration.md"].split(f"\n## {file.parent.name}\n")[1]


def test_the_table_of_groups_is_whole() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", README, re.MULTILINE))
    conf = {folder.name: {file.stem for file in folder.glob("*.yaml")} for folder in CONF.iterdir() if folder.is_dir()}
    assert {group: set(options.split(", ")) for group, options in table.items() if group in conf} == conf


@pytest.mark.parametrize("group", list(OPTIONS))
def test_the_table_of_keys_is_whole(group: str) -> None:
    [row] = re.findall(rf"^\| `{group}` \| .*$", README, re.MULTILINE)
    keys = {item.name for node in OPTIONS[group].values() for item in fields(node)} - {"name", "kind"}
    assert set(re.findall(r"`(\w+)`", row)) - {group} == keys


def test_the_table_names_every_step() -> None:
    [row] = re.findall(r"^\| `augmentation` \| .*$", README, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) - {"augmentation"} == set(STEPS)


def test_the_columns_of_metrics_are_named() -> None:
    assert ", ".join(COLUMNS) in PAGES["docs/runs.md"]
