"""Paths as people have them: any path, typed as a shell passes it, is used, and suggested commands run as pasted."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from helpers.command_lines import compose
from hydra.core.override_parser.types import QuotedString
from hydra.types import RunMode
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from regexp.cli.arguments import read_arguments
from regexp.config.compose import compose_job
from regexp.config.composing.composer import Composer
from regexp.config.job import Job
from regexp.config.words.homes import expand_home
from regexp.config.words.hydra_words import make_hydra_word
from regexp.config.words.parsing import parse_override
from regexp.errors import ConfigError

# Names of files that Hydra, OmegaConf or a shell reads as something else.
HOSTILE_NAMES = [
    *("Bob's pics", '"x"', "'x'", '"', "'", "x,y", ",", "a, b", "a b", " a", "a ", "  "),
    *("$HOME", "${name}", "${x", "${", "\\${x}", "a\\", "\\", "a\\ b", "a\\,b", "\\\\"),
    *("#1", "a#b", "~x", "~root", "x~", "1.10", "1e5", "true", "???", "=", "a=b", "-x", "--x", "+x"),
    *("图片", "é", "e\u0301", "caf\udce9", "\udcff\udc80", "🙂"),
    *("[x]", "[", "]", "{a:b}", "{", "}", "(x)", "f(x)", "choice(a,b)", "glob(*)", "range(3)", "str(1)"),
    *("*", "?", "a;b", "a|b", "a&b", "<a>", "`a`", "!a", "%s", "@eaDir", "a:b", ".hidden", "file:x"),
    *("NULL ", "a\nb", "a\tb", "\x01", "\u2028", "sort(1.10,x,reverse=true)", "x" * 80),
]
LINE_ENDS = re.compile(r"[\n\r\x0b-\x1e\x85\u2028\u2029]")
_CHARACTERS = st.one_of(
    st.sampled_from("ab1. ,'\"\\${}[]()=:~#é图\udce9\t\n"),
    st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]),
)
NAMES = st.one_of(
    st.sampled_from(HOSTILE_NAMES),
    st.text(_CHARACTERS, min_size=1, max_size=12),
    st.lists(st.sampled_from([name for name in HOSTILE_NAMES if len(name) < 9]), min_size=2, max_size=3).map("".join),
).filter(lambda name: name not in (".", "..", "~") and name.lower() != "null" and len(os.fsencode(name)) < 200)
RANDOM = settings(
    deadline=None,
    derandomize=True,  # a fault that is found once is found again
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)


def make_files(directory: Path, names: list[str]) -> None:
    """Make an empty directory the current one, and files with these names in it."""
    number = len(list(directory.iterdir()))
    (directory / str(number)).mkdir()
    os.chdir(directory / str(number))
    for name in names:
        Path(name).touch()


def used_file(job: Job) -> Path:
    """Return the file that a job reads."""
    return expand_home(str(job.config.data.path))  # type: ignore[attr-defined]


def split_command(message: str) -> list[str]:
    """Return the words of the command that a message suggests, as a shell reads them."""
    [command] = re.findall(r"(?:; type|arrays type|did you mean) (.*?)\??$", message, re.DOTALL)
    command = command.removeprefix("regexp ")
    process = subprocess.run(
        ["bash", "-c", b"printf '%s\\0' " + os.fsencode(command)], capture_output=True, check=True, env={}
    )
    return [os.fsdecode(word) for word in process.stdout.split(b"\0")[:-1]]


# A path is used -------------------------------------------------------------------------------------------------


def check_use(composer: Composer, directory: Path, name: str, multirun: bool) -> None:
    """Check that a file with this name is used, on a command line, in Python, and when its run is trained again."""
    make_files(directory, [name])
    flags = ["-m"] if multirun else []
    [job] = compose(composer, *flags, "data=arrays", f"data.path={name}")
    assert used_file(job).samefile(name)
    assert used_file(compose_job(["data=arrays", f"data.path={name}"])).samefile(name)
    assert used_file(composer.compose_job(job.overrides)).samefile(name)


@settings(RANDOM, max_examples=25)
@given(name=NAMES, multirun=st.booleans())
@example(name="Bob's pics", multirun=False)
@example(name="x,y", multirun=True)
@example(name="a${b", multirun=True)
@example(name="caf\udce9", multirun=False)
def test_a_path_that_exists_is_used(composer: Composer, tmp_path: Path, name: str, multirun: bool) -> None:
    check_use(composer, tmp_path, name, multirun)


@pytest.mark.slow
@settings(RANDOM, max_examples=3000)
@given(name=NAMES, multirun=st.booleans())
def test_any_of_thousands_of_paths_is_used(composer: Composer, tmp_path: Path, name: str, multirun: bool) -> None:
    check_use(composer, tmp_path, name, multirun)


def test_hydra_reads_hostile_names_as_they_were_typed(tmp_path: Path) -> None:
    make_files(tmp_path, HOSTILE_NAMES)
    names = [name for name in HOSTILE_NAMES if name != "???"]  # is read as ./???
    for name in names:
        hydra_word = make_hydra_word(f"data.path={name}", multirun=True)
        value = parse_override(hydra_word).value()
        text = value.text if isinstance(value, QuotedString) else value
        assert OmegaConf.create({"path": text}).path == name
        assert make_hydra_word(hydra_word) == hydra_word


@pytest.mark.parametrize("names", [["Bob's pics", "a,b"], ["${x", "1.10", "图片"], ["caf\udce9", "true"]])
def test_hydra_itself_composes_paths_and_directories_as_they_were_typed(
    composer: Composer, tmp_path: Path, names: list[str]
) -> None:
    make_files(tmp_path, names)
    words = ["data=arrays", f"data.path={names[0]}", f"data.root={names[-1]}", f"hydra.run.dir={names[1]}"]
    cfg = composer.loader.load_configuration("config", read_arguments(words).hydra_words(), RunMode.RUN)
    assert [cfg.data.path, cfg.data.root, cfg.hydra.run.dir] == [names[0], names[-1], names[1]]


@settings(RANDOM, max_examples=15)
@given(names=st.lists(NAMES, min_size=2, max_size=3, unique=True))
@example(names=["a,b", "c", "Bob's"])
@example(names=["x~", "0"])
def test_several_paths_that_exist_are_swept(composer: Composer, tmp_path: Path, names: list[str]) -> None:
    # Where a comma may belong to another file, or Hydra's quotes or brackets begin, the answer may be another one.
    ambiguous = re.compile(rf"[,\[({{\"'\\]|^\s|\s$|^~|{LINE_ENDS.pattern}")
    assume(names == ["a,b", "c", "Bob's"] or not any(ambiguous.search(name) for name in names))
    make_files(tmp_path, names)
    text = ",".join(names)
    jobs = compose(composer, "-m", "data=arrays", f"data.path={text}")
    assert [os.fspath(used_file(job)) for job in jobs] == names
    with pytest.raises(ConfigError) as error:
        compose(composer, "data=arrays", f"data.path={text}")
    assert str(error.value).startswith(f"data.path={text}: several values make a sweep; type regexp -m ")
    jobs = compose(composer, "data=arrays", *split_command(str(error.value)))
    assert [os.fspath(used_file(job)) for job in jobs] == names


@settings(RANDOM, max_examples=100)
@given(name=NAMES)
@example(name="a,b")
def test_a_new_directory_has_the_name_that_was_typed(name: str) -> None:
    # Hydra's own notation stays: quotes around the whole, interpolations; and a home.
    assume(not re.search(r"^\s*[\"'].*[\"']\s*$|\$\{|^~|^\?\?\?$", name, re.DOTALL))
    for key in ("hydra.run.dir", "hydra.sweep.dir"):
        assert parse_override(make_hydra_word(f"{key}={name}", multirun=True)).value() == name


# A suggestion runs as pasted ------------------------------------------------------------------------------------

_WORDS = st.text(st.sampled_from("abé图1.,'\"$(){}[]#\udce9"), min_size=1, max_size=5)


@settings(RANDOM, max_examples=10)
@given(words=st.lists(_WORDS, min_size=2, max_size=4))
@example(words=["my", "holiday", "pics"])
@example(words=["Bob's", "pics"])
def test_a_path_that_the_shell_splits_is_answered_with_a_command_that_works(
    composer: Composer, tmp_path: Path, words: list[str]
) -> None:
    name = " ".join(words)
    make_files(tmp_path, [name])
    with pytest.raises(ConfigError) as error:
        compose(composer, "data=arrays", *f"data.path={name}".split(" "))
    [problem] = str(error.value).splitlines()
    [job] = compose(composer, "data=arrays", *split_command(problem))
    assert used_file(job).samefile(name)


@settings(RANDOM, max_examples=10)
@given(name=NAMES, mistake=st.sampled_from(["data={}.npz", "data.pth={}.npz"]))
@example(name="my pics", mistake="data={}.npz")
@example(name="Bob's", mistake="data.pth={}.npz")
def test_a_path_at_a_wrong_key_is_answered_with_a_command_that_works(
    composer: Composer, tmp_path: Path, name: str, mistake: str
) -> None:
    assume(not re.search(rf"^[= ]|[,\[\](){{}}\"'$]|{LINE_ENDS.pattern}", name))
    make_files(tmp_path, [f"{name}.npz"])
    with pytest.raises(ConfigError) as error:
        compose(composer, mistake.format(name))
    [job] = compose(composer, "data=arrays", *split_command(str(error.value)))
    assert used_file(job).samefile(f"{name}.npz")
