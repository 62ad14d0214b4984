"""Targets: found without running code, and what is said where there is none."""

from pathlib import Path

import pytest

from regexp.errors import ConfigError
from regexp.user_code.targets import find_target, normalize_target

NET = "class Net:\n    def make(self): pass\n\ndef make_net(): pass\n\nif True:\n    Late = Net\n"


@pytest.fixture(autouse=True)
def _files() -> None:
    Path("net.py").write_text(NET)
    Path("package").mkdir()
    Path("package/__init__.py").write_text("from package.models import *\n")
    Path("package/models.py").write_text(NET)
    Path("broken.py").write_text("def f(:\n")


@pytest.mark.parametrize(
    ("text", "file", "name"),
    [
        ("net.py:Net", "net.py", "Net"),
        ("net.py:Net.make", "net.py", "Net.make"),
        ("net.py:make_net", "net.py", "make_net"),
        ("net.py:Late", "net.py", "Late"),
        ("net:Net", "net.py", "Net"),
        ("net.Net", "net.py", "Net"),
        ("package/models.py:Net", "package/models.py", "Net"),
        ("package.models:Net", "package/models.py", "Net"),
        ("package.models.make_net", "package/models.py", "make_net"),
        ("package:Anything", "package/__init__.py", "Anything"),  # which names * imports is not known
    ],
)
def test_files_and_modules_are_found_below_the_working_directory(text: str, file: str, name: str) -> None:
    target = find_target(text)
    assert target.file is not None
    assert target.file.resolve() == Path(file).resolve()
    assert target.name == name


def test_installed_modules_are_found_and_the_working_directory_comes_first() -> None:
    installed_file = find_target("torch.nn:Linear").file
    assert installed_file is not None
    assert "site-packages" in str(installed_file)
    Path("torch.py").write_text("class Net: pass\n")
    assert find_target("torch:Net").file == Path("torch.py").resolve()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nett.py:Net", "nett.py:Net: there is no such file; did you mean net.py:Net?"),
        ("other/net.py:Net", "other/net.py:Net: there is no such file; did you mean net.py:Net?"),
        ("quite_different.py:Net", "quite_different.py:Net: there is no such file in "),
        ("net.py", "net.py: must be FILE.py:NAME or MODULE:NAME, the name of a class or function; did you mean net.py"),
        ("net.py:", "did you mean net.py:Net?"),
        ("Net", "Net: must be FILE.py:NAME or MODULE:NAME"),
        ("", ": must be FILE.py:NAME or MODULE:NAME"),
        ("net.py:1x", "net.py:1x: must be FILE.py:NAME"),
        ("net.py:Nett", "net.py:Nett: net.py has no Nett; did you mean net.py:Net?"),
        ("net.py:Other", "net.py:Other: net.py has no Other; did you mean net.py:Net?"),
        ("broken.py:Net", "broken.py:Net: broken.py, line 1: "),
        ("no_such_package.models:Net", "there is no module no_such_package, neither in "),
        ("package.modles:Net", "there is no module package.modles, neither in "),
        ("1.10", "1.10: must be FILE.py:NAME"),
    ],
)
def test_a_target_that_is_not_there_is_told_with_what_is(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        find_target(text)
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["net.py:Net", "./net.py:Net", "package/../net.py:Net", "{here}/net.py:Net"])
def test_the_spellings_of_a_path_are_one_target(text: str) -> None:
    assert normalize_target(text.format(here=Path.cwd())) == "net.py:Net"


def test_a_home_is_expanded_and_a_module_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/elsewhere")
    assert normalize_target("~/net.py:Net") == "/elsewhere/net.py:Net"
    assert normalize_target("package.models:Net") == "package.models:Net"
