"""Text files are read as UTF-8, with a byte-order mark or without, whatever the locale; what is not UTF-8 is said."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import SHORT, run_main, run_regexp

import regexp
from regexp.cli.compare import main as compare
from regexp.config.compose import make_composer
from regexp.errors import ConfigError
from regexp.runs.listing.finding import find_runs
from regexp.runs.run import Run
from regexp.utils.atomic_io import read_text

PACKAGE = Path(regexp.__file__).parent
MARK = "\ufeff".encode()
FILES = {
    "optimizer": "# Größe\ndefaults: [adam, _self_]\nlr: 0.25\n",
    "experiment": "# @package _global_\n# Größe\noptimizer: {lr: 0.25}\n",
}


def write_option(group: str, content: bytes) -> Path:
    path = Path("mine") / group / "custom.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path.absolute()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", MARK])
@pytest.mark.parametrize("group", FILES)
def test_an_option_file_may_begin_with_a_mark(group: str, mark: bytes, newline: str) -> None:
    write_option(group, mark + FILES[group].replace("\n", newline).encode())
    [job] = make_composer("mine").compose_command_line([f"{group}=custom"], False)
    assert job.config.optimizer.lr == 0.25


@pytest.mark.parametrize("group", FILES)
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_an_option_file_that_is_not_utf_8_is_named_with_its_line(group: str, encoding: str) -> None:
    path = write_option(group, FILES[group].encode(encoding))
    with pytest.raises(ConfigError) as error:
        make_composer("mine").compose_command_line([f"{group}=custom"], False)
    line = 1 if encoding == "utf-16" else FILES[group].partition("Gr")[0].count("\n") + 1
    assert str(error.value).startswith(f"{path}, line {line}: is not UTF-8")


def test_a_recorded_run_may_have_been_edited(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_regexp(monkeypatch, *SHORT, "name=one") == 0
    [run] = find_runs(Path("outputs/one"))
    metrics = run.metrics
    texts = [path for path in run.directory.rglob("*") if path.suffix in (".json", ".csv", ".yaml")]
    assert len(texts) >= 5
    for path in texts:
        path.write_bytes(MARK + path.read_bytes())
    assert Run(run.directory).metrics == metrics
    assert Run(run.directory).record == run.record
    capsys.readouterr()
    assert run_main(monkeypatch, compare, "regexp-compare", "outputs/one") == 0
    assert "1 run (1 finished)" in capsys.readouterr().out
    summary = run.directory / "summary.json"
    summary.write_bytes(summary.read_bytes().replace(b"completed", "größe".encode("latin-1")))
    run_main(monkeypatch, compare, "regexp-compare", "outputs/one")
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    assert "broken" in output.out + output.err


def test_the_text_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(MARK + "ü\r\nb".encode())
    assert read_text(tmp_path / "a") == "ü\nb"
    (tmp_path / "a").write_bytes(b"one\ntwo \xe9")
    with pytest.raises(UnicodeError, match=r"a, line 2: is not UTF-8 \(byte 0xe9\); save it as UTF-8"):
        read_text(tmp_path / "a")


def find_locale_dependent_calls(path: Path) -> list[str]:
    """Return the calls in a file that read or write text in the encoding of the locale."""
    calls = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        is_binary = any(isinstance(argument, ast.Constant) and "b" in str(argument.value) for argument in node.args)
        opens_text = name == "open" and owner not in ("os", "gzip", "Image", "tarfile", "zipfile") and not is_binary
        # atomic_io.read_text always decodes UTF-8.
        if opens_text or name == "write_text" or (name == "read_text" and isinstance(node.func, ast.Attribute)):
            calls.append(f"{path.name}, line {node.lineno}: {ast.unparse(node)}")
    return calls


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_text_depends_on_the_locale(path: Path) -> None:
    assert find_locale_dependent_calls(path) == []


def test_a_command_works_in_another_locale() -> None:
    write_option("experiment", FILES["experiment"].encode() + "tags: [größe]\n".encode())
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "regexp", "--config-dir", "mine", "--cfg", "job", "experiment=custom"]
    process = subprocess.run(command, env={**os.environ, **ascii_only}, capture_output=True, check=False)
    assert process.returncode == 0, process.stderr
    assert b"lr: 0.25" in process.stdout
    assert b"- gr??e" in process.stdout


@pytest.mark.parametrize(
    ("group", "content", "problem"),
    [
        ("optimizer", "defaults: [adam, _self_]\nlr: -1\n", "optimizer.lr=-1: must be above 0"),
        ("augmentation", "flip: {p: 2}\n", "augmentation.flip.p=2: must be at most 1"),
        ("augmentation", "blurr: {p: 2}\n", "augmentation.blurr: there is no such step"),
        ("experiment", "# @package _global_\nmodel: {dropout: 3}\n", "model.dropout=3: must be below 1"),
    ],
)
def test_a_mistake_in_an_option_file_names_the_file(group: str, content: str, problem: str) -> None:
    path = write_option(group, content.encode())
    with pytest.raises(ConfigError) as error:
        make_composer("mine").compose_command_line([f"{group}=custom", "epochs=0"], False)
    problems = str(error.value).splitlines()
    assert any(line.startswith(f"{path}: {problem}") for line in problems)
    assert any(line.startswith("epochs=0: ") for line in problems)


def test_a_typed_value_over_that_of_a_file_names_no_file() -> None:
    write_option("optimizer", b"defaults: [adam, _self_]\nlr: 1\n")
    with pytest.raises(ConfigError, match=r"^optimizer\.lr=-1: must be above 0"):
        make_composer("mine").compose_command_line(["optimizer=custom", "optimizer.lr=-1"], False)
