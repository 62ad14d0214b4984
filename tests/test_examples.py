"""The examples: their commands train, their notebook runs, and they print what their pages show."""

import ast
import json
import linecache
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import read_summaries, run_regexp

EXAMPLE = Path(__file__).parent.parent / "examples" / "own_model"
PAGE = (EXAMPLE / "README.md").read_text()
COMMANDS = [shlex.split(line.removeprefix("uv run ")) for line in PAGE.splitlines() if line.startswith("uv run ")]


@pytest.fixture(autouse=True)
def _example() -> None:
    shutil.copytree(EXAMPLE, Path.cwd(), dirs_exist_ok=True)


def run_page(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command of the page and return what it prints; both the words and the output are without times."""
    assert run_regexp(monkeypatch, *words) == 0
    return capsys.readouterr().out


def test_the_command_prints_what_the_page_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = run_page(monkeypatch, capsys, *COMMANDS[0][1:])
    shown = PAGE.split("```text\n")[1].split("```")[0]
    for line in shown.splitlines():
        if line not in ("", "...") and not re.match(r"epoch|train|valid|gap|test", line):  # rounding differs by machine
            assert line in output
    [summary] = read_summaries().values()
    shown_accuracy = re.search(r"^test +[\d.]+ +([\d.]+)%", shown, re.MULTILINE)
    assert shown_accuracy is not None
    assert summary["test"]["accuracy"] == pytest.approx(float(shown_accuracy[1]) / 100, abs=0.01)


@pytest.mark.slow
def test_the_sweep_prints_the_table_of_the_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = run_page(monkeypatch, capsys, *COMMANDS[1][1:])
    rows = re.findall(r"^(0|0\.3) +3 +8 +([\d.]+) ± [\d.]+ +([\d.]+)", output, re.MULTILINE)
    shown_rows = re.findall(r"^(0|0\.3) +3 +8 +([\d.]+) ± [\d.]+ +([\d.]+)", PAGE, re.MULTILINE)
    assert len(rows) == len(shown_rows) == 2
    for row, shown_row in zip(sorted(rows), sorted(shown_rows), strict=True):
        assert [float(value) for value in row] == pytest.approx([float(value) for value in shown_row], abs=1)


def run_notebook(notebook: Path) -> list[Any]:
    """Run the cells of a notebook in this process, as Jupyter does, and return the values that they end with."""
    variables: dict[str, Any] = {"__name__": "__main__"}
    values = []
    for number, cell in enumerate(json.loads(notebook.read_text())["cells"]):
        if cell["cell_type"] != "code":
            continue
        source, name = "".join(cell["source"]), f"<cell {number}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        *statements, last = ast.parse(source).body
        if not isinstance(last, ast.Expr):
            statements.append(last)
        exec(compile(ast.Module(statements, []), name, "exec"), variables)
        if isinstance(last, ast.Expr):
            values.append(eval(compile(ast.Expression(last.value), name, "eval"), variables))
    return values


@pytest.mark.slow
def test_the_notebook_runs_and_trains_nothing_when_it_runs_again(capsys: pytest.CaptureFixture[str]) -> None:
    statuses, num_parameters = run_notebook(Path("sweep.ipynb"))
    assert statuses == ["completed"] * 6
    assert num_parameters == (64 + 1) * 32 + 2 * 32 + (32 + 1) * 10
    assert re.search(r"^32 9\d\.\d% better\n4 \d\d\.\d% baseline$", capsys.readouterr().out, re.MULTILINE)
    files = {path: path.stat().st_mtime_ns for path in Path("outputs").rglob("summary.json")}
    run_notebook(Path("sweep.ipynb"))
    assert {path: path.stat().st_mtime_ns for path in Path("outputs").rglob("summary.json")} == files


def test_the_network_is_twenty_lines_that_do_not_know_regexp() -> None:
    source = (EXAMPLE / "net.py").read_text()
    assert len([line for line in source.splitlines() if line.strip()]) <= 20
    assert "import regexp" not in source
    assert "from regexp" not in source
