"""Tables and labels of a comparison in every format: nothing wraps needlessly, and every text is escaped."""

import ast
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers.commands import SHORT
from helpers.run_directories import simulate_grid
from torch import nn

from regexp import run
from regexp.comparison.best import describe_best_run, mark_best_rows
from regexp.comparison.compare import Comparison, compare_collection
from regexp.comparison.conditions import resolve_key
from regexp.comparison.formats.latex import escape_latex, to_latex
from regexp.comparison.formats.rich_tables import to_rich_table
from regexp.comparison.formats.tables import (
    tabulate_differences,
    tabulate_overview,
    tabulate_results,
)
from regexp.comparison.formats.text_table import fit_table
from regexp.comparison.formats.writing import format_comparison
from regexp.comparison.key_names import _ABBREVIATIONS, abbreviate_keys, format_label
from regexp.comparison.loading import collect_runs
from regexp.config.keys import list_keys
from regexp.config.metric_registry import RUN_METRICS
from regexp.config.schema import OPTIONS
from regexp.utils.console import Console

KEYS = ("normalization", "model.dropout", "optimizer.weight_decay")
# What would be markup, an option or a dash in LaTeX or HTML.
NASTY_VALUES = ("[128]", "*", r"a&b%c$d#e_f{g}h~i^j\k", "<script>alert('x')</script>", 'l|m"n`o--p?', "<!--")


def simulate_sweep(values: tuple[tuple[str, ...], ...], keys: tuple[str, ...] = KEYS, seeds: int = 5) -> Comparison:
    """Return the comparison of a grid of runs; the first row is the worst, and the last two are hard to tell apart."""
    cells = [[]]
    for levels in values:
        cells = [[*cell, value] for cell in cells for value in levels]
    last = len(cells) - 1
    scores = {
        tuple(cell): {seed: 0.8 + 0.01 * min(i, last - 0.1) + 0.002 * ((seed * (i + 2)) % 3) for seed in range(seeds)}
        for i, cell in enumerate(cells)
    }
    collection = simulate_grid(scores, keys)
    for record in collection.records:
        record.metric_values.update({"gap": 0.3, "best_epoch": 7, "epochs": 8, "seconds": 0.2})
    return compare_collection(collection)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return simulate_sweep((("none", "batch", "layer"), ("0", "0.2", "0.5"), ("0", "0.001", "0.01", "0.1")))


@pytest.mark.parametrize(
    ("width", "heading"),
    [
        (200, "normalization dropout weight_decay seeds"),
        (80, "normalization dropout weight_decay validation"),
        (66, "norm dropout wd validation"),
        (60, "configuration validation"),
    ],
)
def test_a_table_takes_the_fullest_form_that_fits(comparison: Comparison, width: int, heading: str) -> None:
    table = fit_table(tabulate_results(comparison), width)
    assert " ".join(table.columns).startswith(heading)
    assert table.remark == ("" if "seeds" in table.columns else "every row: 5 seeds, best epoch 7, 8 epochs")
    if heading.startswith("configuration"):
        assert "norm=batch dropout=0.2 wd=0.001" in {row[0] for row in table.rows}
        return
    console = Console(file=io.StringIO(), width=width)
    console.print(to_rich_table(table, width))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 37, "a line is wrapped"
    assert max(len(line.rstrip()) for line in lines) <= width


@pytest.mark.parametrize(
    "tabulate", [tabulate_results, tabulate_overview, lambda c: tabulate_differences(c, brief=True)]
)
def test_three_keys_need_no_wrapping_at_80_columns(comparison: Comparison, tabulate: object) -> None:
    table = fit_table(tabulate(comparison), 80)  # type: ignore[operator]
    assert table.full_width <= 80
    assert len(table.keys) == 3


def test_labels_name_their_keys_where_several_varied() -> None:
    assert format_label({}) == "all"
    assert format_label({"normalization": "batch"}) == "batch"
    assert format_label({"normalization": "batch", "optimizer.weight_decay": "0.1"}) == "norm=batch wd=0.1"
    for keys in (["normalization", "net.norm"], ["optimizer.lr", "schedule.lr", "normalization"]):
        assert len(set(abbreviate_keys(keys).values())) == len(keys)
    assert abbreviate_keys(["normalization", "net.norm"])["normalization"] == "normalization"


@pytest.mark.parametrize("name", _ABBREVIATIONS)
def test_an_abbreviation_is_accepted_where_a_key_is_typed(name: str) -> None:
    keys = [
        key for key in (*OPTIONS, "augmentation", *(key.name for key in list_keys())) if key.rpartition(".")[2] == name
    ]
    assert keys
    assert resolve_key(_ABBREVIATIONS[name], [keys[0], "model.dropout"]) == keys[0]


def test_the_best_of_a_column_and_what_cannot_be_told_from_it_are_marked(comparison: Comparison) -> None:
    text = to_latex(comparison)
    table = text.partition(r"\end{tabular}")[0]
    for metric in ("val_accuracy", "test_accuracy"):
        best, others = mark_best_rows(comparison.rows, RUN_METRICS[metric])
        assert len(best) == 1
        assert others
        assert len(others) < 35
    assert table.count(r"\mathbf") == 2
    assert table.count(r"\dagger") == 1 + 2 * len(others)  # the caption has one
    for words in ("half the width of the 95", "Bold: the best mean", "not distinguishable from the best", "36 config"):
        assert words in table
    rows = [line for line in table.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 1 + 36
    assert len({line.count(" & ") for line in rows}) == 1
    for rule in (r"\toprule", r"\midrule", r"\begin{table}"):
        assert table.count(rule) == 1


def test_nothing_is_marked_without_a_test() -> None:
    text = to_latex(simulate_sweep((("none", "batch"),), ("normalization",), seeds=1))
    assert r"\dagger" not in text
    assert r"\pm" not in text
    assert text.count(r"\mathbf") == 2


@pytest.mark.parametrize("character", '\\&%$#_{}~^<>|"`[]*-±†')
def test_special_characters_are_escaped(character: str) -> None:
    assert escape_latex(f"a{character}b") != f"a{character}b"


def test_a_wide_table_of_runs_has_a_small_font_and_folders_below_their_rows() -> None:
    narrow = simulate_sweep((("none", "batch"),), ("normalization",))
    keys = ("normalization", "mixing", "averaging", "optimizer", "schedule", "augmentation")
    wide = simulate_sweep(tuple((f"{key}1", f"{key}2") for key in keys), keys, seeds=1)
    for comparison, is_wide in ((narrow, False), (wide, True)):
        text = format_comparison("latex", comparison, single_runs=True)
        rows = [line for line in text.splitlines() if "runs/" in line]
        assert len(rows) == len(comparison.records)
        assert (r"\footnotesize" in text) is not is_wide
        assert all((r"\* \multicolumn" in row) is is_wide for row in rows)
        counts = {line.partition(r"\multicolumn")[0].count(" & ") for line in text.splitlines() if " & " in line}
        assert len(counts) == 1
        assert not is_wide or f"multicolumn{{{counts.pop() + 1}}}" in rows[0]
        assert "own time, in seconds" not in text
        assert "Single runs. " in text


def nasty_comparison() -> Comparison:
    comparison = simulate_sweep((NASTY_VALUES, ("_", "\udce9")), ("normalization", "model.options.a_b"))
    comparison.collection.title = "regexp -m \n <b>100 %</b>"
    return comparison


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
@pytest.mark.parametrize("single_runs", [False, True], ids=["rows", "runs"])
def test_the_latex_compiles(tmp_path: Path, single_runs: bool) -> None:
    (tmp_path / "table.tex").write_text(format_comparison("latex", nasty_comparison(), single_runs))
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs}\usepackage{longtable}"
        r"\begin{document}\input{table}\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert process.returncode == 0, process.stdout[-2000:]
    assert (tmp_path / "paper.pdf").exists()


class PageReader(HTMLParser):
    """A reader of a page, which collects its texts, its tags, and the addresses that it refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("single_runs", [False, True], ids=["rows", "runs"])
def test_a_page_shows_every_value_as_it_is_and_refers_to_nothing(single_runs: bool) -> None:
    reader = PageReader()
    page = format_comparison("html", nasty_comparison(), single_runs)
    reader.feed(page)
    assert set(NASTY_VALUES) <= set(reader.texts)
    assert {"_", r"\xe9"} <= set(reader.texts)
    assert "script" not in reader.tags
    assert reader.addresses == []
    assert "://" not in page
    assert "url(" not in page


@pytest.mark.parametrize("file_format", ["md", "csv", "json", "latex", "html"])
def test_single_runs_have_their_folder_seed_and_figures_in_every_format(
    comparison: Comparison, file_format: str
) -> None:
    text = format_comparison(file_format, comparison, single_runs=True)
    plain_text = re.sub(r"\\allowbreak\{\}|[{}\\]", "", text) if file_format == "latex" else text
    for record in comparison.records:
        assert plain_text.count(f"{record.directory}") >= 1
    best = max(comparison.records, key=lambda record: record.metric_values["val_accuracy"])
    accuracy = best.metric_values["test_accuracy"]
    assert (f"{accuracy}" if file_format in ("csv", "json") else f"{100 * accuracy:.2f}") in plain_text
    if file_format == "json":
        content = json.loads(text)
        assert [entry["seed"] for entry in content["runs"][:5]] == [0, 1, 2, 3, 4]
        assert content["best_run"]["directory"] == str(best.directory)
        assert content["best_run"]["model.dropout"] == "0.5"


def test_the_line_that_loads_the_best_run_loads_it() -> None:
    trained_run = run([*SHORT, "seed=1"], quiet=True)
    comparison = compare_collection(collect_runs([trained_run], "runs"))
    description = describe_best_run(comparison.records)
    assert description is not None
    folder, line = description
    assert folder.startswith(f"{trained_run.directory} (seed 1, validation ")
    names: dict[str, object] = {}
    exec(line, names)
    assert isinstance(names["model"], nn.Module)
    assert not names["model"].training
    for file_format in ("md", "html", "json"):
        text = format_comparison(file_format, comparison)
        assert str(trained_run.directory) in text
        assert file_format == "json" or "load_run" in text


@pytest.mark.parametrize(
    ("target", "argument"), [("net.py:Net", "target='net.py:Net'"), ("python:nets.Net", "target=Net"), (None, "")]
)
def test_the_line_names_code_of_the_users_own(comparison: Comparison, target: str | None, argument: str) -> None:
    record = comparison.records[0]
    record = replace(record, config={**record.config, **({} if target is None else {"model.target": target})})
    description = describe_best_run([record])
    assert description is not None
    ast.parse(description[1])
    assert description[1].endswith(f".model({argument})")
