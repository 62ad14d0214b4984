"""Paths that begin with ~: every key and every function that takes a path."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.types import RunMode

from regexp import compare, load_run, run, sweep
from regexp.cli.arguments import read_arguments
from regexp.cli.compare import main as compare_main
from regexp.config.compose import compose_job, make_composer
from regexp.config.words.homes import expand_home
from regexp.config.words.value_kinds import list_path_keys
from regexp.config.words.yaml_files import read_yaml
from regexp.data.sources import cache_directory, data_directory, locate
from regexp.errors import ConfigError, RegexpError, StorageError
from regexp.preview import preview
from regexp.verify import verify
from tests.helpers.commands import SHORT, run_main, run_regexp


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a home of its own, beside the current directory."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def forget_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing tell where the user's home is, as in a container with an unknown user."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)


def test_a_home_is_expanded(home: Path) -> None:
    assert expand_home("~") == home
    assert expand_home("~/a b") == home / "a b"
    assert expand_home(Path("~/x")) == home / "x"
    for path in ("x", "/x", "./~/x", "a~", ""):
        assert expand_home(path) == Path(path)
    Path("~backup").touch()
    assert expand_home("~backup") == Path("~backup")
    assert expand_home("~root") == Path(os.path.expanduser("~root"))


def test_an_unknown_home_is_an_error_that_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"~nobody-here/x: there is no user nobody-here; .* type '\./~nobody-here/x'"):
        expand_home("~nobody-here/x")
    with pytest.MonkeyPatch.context() as patch:
        forget_home(patch)
        with pytest.raises(ConfigError, match="~/x: the home directory is unknown; set HOME"):
            expand_home("~/x")
    monkeypatch.setenv("HOME", "")
    with pytest.raises(ConfigError, match="the home directory is unknown"):
        expand_home("~/x")


def test_the_keys_that_hold_paths_are_found() -> None:
    paths = {"data.root", "data.path", "hydra.run.dir", "hydra.sweep.dir", "hydra.searchpath"}
    assert set(list_path_keys()) == paths


@pytest.mark.parametrize("key", list_path_keys())
@pytest.mark.parametrize("place", ["words", "file"])
def test_every_key_that_holds_a_path_takes_a_home(tmp_path: Path, home: Path, key: str, place: str) -> None:
    (home / "x y").mkdir()
    is_list = key == "hydra.searchpath"  # only the primary configuration can set it in a file
    for text, is_there in (("~/x y", True), ("~nobody-here/x", False)):
        composer = make_composer()
        line = f"{key}=[{text}]" if is_list else f"{key}={text}"
        if place == "file" and not is_list:
            (tmp_path / "options/experiment").mkdir(parents=True, exist_ok=True)
            keys = key.split(".")
            lines = [f"{'  ' * i}{name}:" for i, name in enumerate(keys)]
            content = "\n".join(["# @package _global_", *lines]) + f" {text}\n"
            (tmp_path / "options/experiment/mine.yaml").write_text(content)
            composer, line = make_composer(str(tmp_path / "options")), "experiment=mine"
        needed_words = ["data=arrays", *([] if key == "data.path" else [f"data.path={home}"])]
        flags = ["-m"] if key == "hydra.sweep.dir" else []
        typed = [*flags, *needed_words, line]
        if not is_there:
            with pytest.raises(ConfigError, match=r"~nobody-here/x: there is no user nobody-here"):
                composer.compose_command_line(typed[len(flags) :], bool(flags))
            continue
        composer.compose_command_line(typed[len(flags) :], bool(flags))
        hydra_words = read_arguments(typed).hydra_words()[len(flags) :]
        cfg = composer.loader.load_configuration("config", hydra_words, RunMode.RUN)
        for part in key.split("."):
            cfg = cfg[part]
        assert expand_home(cfg[0] if is_list else cfg) == home / "x y"


@pytest.mark.parametrize("directory", ["~/x", "x"])
def test_a_file_that_was_parsed_before_is_as_if_parsed_anew(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for home in ("/a", "/b"):
        monkeypatch.setenv("HOME", home)
        config = read_yaml(Path("mine.yaml"), f"dir: {directory}", "hydra.run")
        assert config == {"dir": directory.replace("~", home)}
        config["dir"] = "changed"


@pytest.mark.parametrize("place", ["REGEXP_CACHE", "XDG_CACHE_HOME", "REGEXP_DATA_ROOT"])
def test_variables_that_hold_paths_take_a_home(home: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.delenv("REGEXP_CACHE", raising=False)
    monkeypatch.setenv(place, "~/x")
    path = data_directory(None) if place == "REGEXP_DATA_ROOT" else cache_directory()
    assert path in (home / "x", home / "x/regexp")
    monkeypatch.setenv(place, "~nobody-here/x")
    with pytest.raises(RegexpError, match="there is no user nobody-here"):
        data_directory(None)


def test_without_a_home_the_cache_is_an_error_that_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGEXP_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    forget_home(monkeypatch)
    with pytest.raises(StorageError, match="set REGEXP_CACHE=DIR"):
        locate("digits")


@pytest.mark.parametrize(
    "use",
    [
        lambda path: run(SHORT, path, quiet=True),
        lambda path: sweep([SHORT], path, quiet=True),
        load_run,
        compare,
        lambda path: preview([], path),
        lambda path: verify(Path(path), 1, [], 0, False),
        lambda path: locate("arrays", path=path),
        lambda path: locate("image_folder", root=path),
        lambda path: locate("mnist", root=path),
        make_composer,
        lambda path: compose_job([f"data.root={path}"]),
    ],
)
def test_every_function_that_takes_a_path_answers_for_an_unknown_home(use: Callable[[str], object]) -> None:
    with pytest.raises(RegexpError, match="~nobody-here/x: there is no user nobody-here"):
        use("~nobody-here/x")
    assert not Path("~nobody-here").exists()


@pytest.mark.slow
def test_runs_are_written_to_a_home_and_read_from_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "mine/augmentation").mkdir(parents=True)
    (home / "mine/augmentation/own.yaml").write_text("flip: {p: 0.25}")
    words = ["--config-dir=~/mine", "augmentation=own", *SHORT, "hydra.run.dir=~/my runs"]
    assert run_regexp(monkeypatch, *words) == 0
    assert "my runs" in capsys.readouterr().out
    [directory] = (home / "my runs/default").glob("*/summary.json")
    assert not Path("~").exists()
    assert load_run("~/my runs/default/" + directory.parent.name).status == "completed"
    assert run([*SHORT, "seed=1"], "~/my runs", quiet=True).directory.is_relative_to(home)
    assert len(compare("~/my runs/default")) == 2
    assert run_main(monkeypatch, compare_main, "regexp-compare", "~/my runs/default", "--output=~/report") == 0
    assert (home / "report/comparison.md").is_file()
    assert preview([], "~/pictures").is_relative_to(home)
    assert not Path("outputs").exists()
