"""Loading of targets: what runs, when it is loaded again, and how its failures are told."""

import sys
from pathlib import Path

import pytest

from regexp.errors import ConfigError, OutOfMemory
from regexp.user_code.loading import call_target, explain_user_failures, load_target

OPTIONS = """
def collect(width, depth=2, *, classes=None):
    return {"width": width, "depth": depth, "classes": classes}

def accept(**options):
    return options

def fail(value):
    return 1 / value

NUMBER = 3
"""


def test_a_file_that_has_changed_is_loaded_again_and_one_that_has_not_is_kept() -> None:
    Path("net.py").write_text("import blocks\ndef make(): return blocks.SIZE\n")
    Path("blocks.py").write_text("SIZE = 1\n")
    first = load_target("net.py:make")
    assert first() == 1
    assert load_target("net.py:make") is first
    Path("blocks.py").write_text("SIZE = 22\n")
    assert load_target("net.py:make")() == 22
    Path("net.py").write_text("import blocks\ndef make(): return -blocks.SIZE\n")
    assert load_target("net.py:make")() == -22


def test_a_module_that_was_imported_before_it_changed_is_imported_again(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("some_models.py").write_text("def make(): return 1\n")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    import some_models  # type: ignore[import-not-found]

    assert some_models.make() == 1
    Path("some_models.py").write_text("def make(): return 222\n")
    assert load_target("some_models:make")() == 222


def test_the_names_of_the_users_files_shadow_no_module_that_is_imported_later() -> None:
    Path("colorsys.py").write_text("MINE = True\n")
    Path("helper_beside.py").write_text("def answer(): return 42\n")
    Path("net.py").write_text("from helper_beside import answer\n")
    sys.modules.pop("colorsys", None)
    assert load_target("net.py:answer")() == 42
    import colorsys

    assert not hasattr(colorsys, "MINE")
    del sys.modules["helper_beside"]


def test_targets_with_files_of_the_same_name_beside_them_get_their_own() -> None:
    for folder, answer in (("first", 1), ("second", 2)):
        Path(folder).mkdir()
        Path(folder, "net.py").write_text("import blocks\ndef make(): return blocks.ANSWER\n")
        Path(folder, "blocks.py").write_text(f"ANSWER = {answer}\n")
    functions = [load_target(f"{folder}/net.py:make") for folder in ("first", "second", "first")]
    assert [function() for function in functions] == [1, 2, 1]


def test_options_are_passed_by_name_and_what_is_offered_where_there_is_such_a_parameter() -> None:
    Path("net.py").write_text(OPTIONS)
    offered = {"classes": 10, "in_shape": (1, 8, 8)}
    assert call_target("net.py:collect", {"width": 3}, offered, "model.options") == {
        "width": 3, "depth": 2, "classes": 10
    }  # fmt: skip
    assert call_target("net.py:collect", {"width": 3, "classes": 5}, offered, "model.options")["classes"] == 5
    assert call_target("net.py:accept", {"any": 1}, offered, "model.options") == {"any": 1}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "collect",
            {"widht": 3, "width": 1},
            "model.options.widht: net.py:collect has no such parameter; did you mean",
        ),
        ("collect", {"zzz": 3, "width": 1}, "; its parameters are width, depth, classes"),
        ("collect", {}, "net.py:collect: needs a value for width; type model.options.width=VALUE"),
        ("NUMBER", {}, "net.py:NUMBER: is int; must be a class or a function"),
    ],
)
def test_wrong_arguments_are_told_by_their_keys(name: str, options: dict[str, int], message: str) -> None:
    Path("net.py").write_text(OPTIONS)
    with pytest.raises(ConfigError) as error:
        call_target(f"net.py:{name}", options, {}, "model.options")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1/0\ndef make(): pass", "ZeroDivisionError: division by zero (net.py, line 1, in <module>: 1/0)"),
        ("import no_such_module_at_all\ndef make(): pass", "No module named 'no_such_module_at_all' (net.py, line 1"),
        ("import broken_beside\ndef make(): pass", "SyntaxError: "),
        ("raise SystemExit(3)\ndef make(): pass", "SystemExit: 3 (net.py, line 1"),
        ("def __getattr__(name): raise AttributeError(name)", "net.py has no make"),
    ],
)
def test_code_that_cannot_be_loaded_is_told_with_the_users_line(source: str, message: str) -> None:
    Path("net.py").write_text(source)
    Path("broken_beside.py").write_text("x = (\n")
    with pytest.raises(ConfigError) as error:
        load_target("net.py:make")
    assert str(error.value).startswith("net.py:make: ")
    assert message in str(error.value)


def test_an_exception_is_told_with_the_innermost_line_of_the_user() -> None:
    Path("net.py").write_text(OPTIONS)
    with pytest.raises(ConfigError) as error, explain_user_failures(["net.py:fail"]):
        call_target("net.py:fail", {"value": 0}, {}, "model.options")
    assert str(error.value) == (
        "net.py:fail: ZeroDivisionError: division by zero (net.py, line 9, in fail: return 1 / value)"
    )


def test_exceptions_that_are_not_of_the_users_code_stay_as_they_are() -> None:
    Path("net.py").write_text(OPTIONS)
    load_target("net.py:fail")
    with pytest.raises(ZeroDivisionError), explain_user_failures(["net.py:fail"]):
        1 / 0  # noqa: B018
    with pytest.raises(OutOfMemory), explain_user_failures(["net.py:fail"]):
        raise OutOfMemory("not enough memory")
