r"""A comparison in LaTeX: tables for \input, with the lines of the package booktabs. Imports no torch."""

import re
from collections.abc import Iterator, Sequence

from regexp.comparison.by_image.tables import tabulate_images
from regexp.comparison.compare import Comparison
from regexp.comparison.explaining.training_time import describe_training_time
from regexp.comparison.formats.captions import caption_results, caption_tests
from regexp.comparison.formats.run_table import tabulate_runs
from regexp.comparison.formats.tables import tabulate_differences, tabulate_effects, tabulate_results
from regexp.comparison.formats.text_table import TextTable, abbreviate_columns, drop_constants, join_lines
from regexp.utils.messages import show_bytes

# A longer table goes on over pages.
_MAX_ROWS = 40
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    # After the end of a row, brackets and stars would be its options.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    # Two hyphens in a row would become a dash.
    "-": "{-}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_FOLDER_SHARE = 0.3
_FOLDER_COLUMN, _PATH_BREAK = rf"p{{{_FOLDER_SHARE}\linewidth}}", r"\allowbreak{}"
_FOLDER_BELOW = r"@{\hspace{1.5em}}p{.9\linewidth}@{}"
# In points: a line of LaTeX's class `article`; and for each font the width of a digit, and the gap on each side of a
# column that goes with it. A minus sign is wider by so many digits.
_SIGN = 0.8
_LINE = 345
_FONTS = ((r"\footnotesize", 4.25, 4), (r"\scriptsize", 4.0, 2), (r"\tiny", 3.4, 1.5))
_SHORT_NAMES = {"validation %": "val %"}
_FIGURE = re.compile(r"([<+-]?)([\d.,]+)(?: ± ([\d.]+))?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def to_latex(comparison: Comparison) -> str:
    """Return the tables of a comparison in LaTeX.

    Args:
        comparison: the comparison.
    """
    return _join(comparison.collection.title, list(_list_tables(comparison)))


def runs_to_latex(comparison: Comparison) -> str:
    """Return the single runs of a comparison in LaTeX.

    Args:
        comparison: the comparison.
    """
    table = drop_constants(tabulate_runs(comparison))
    sentences = [table.remark, *describe_training_time(comparison)]
    caption = " ".join(f"{_capitalize(text)}." for text in ["single runs", *(s.rstrip(".") for s in sentences if s)])
    return _join(comparison.collection.title, [table_to_latex(table, caption, "runs")])


def table_to_latex(table: TextTable, caption: str, label: str) -> str:
    r"""Return a table in LaTeX: one that floats, or a longtable if it does not fit a page.

    The best of a column is bold, and a dagger is at those that no test tells from the best.

    Args:
        table: the table.
        caption: its caption, as plain text.
        label: the name for \ref.
    """
    is_left = [table.is_left_aligned(j) for j in range(len(table.columns))]
    names = [_SHORT_NAMES.get(name, name) for name in abbreviate_columns(table).columns]
    style, is_folder_below = _choose_style(table, names)
    columns = [j for j, name in enumerate(table.columns) if not (is_folder_below and name == "folder")]
    alignment = "".join(_FOLDER_COLUMN if table.columns[j] == "folder" else "l" if is_left[j] else "r" for j in columns)
    headings = " & ".join(_format_heading(names[j]) for j in columns)
    head = [r"  \toprule", f"  {headings} \\\\", r"  \midrule"]
    rows = []
    for i, row in enumerate(table.rows):
        cells = []
        for j, cell in enumerate(row):
            if table.columns[j] == "folder":
                text = _break_path(cell)
            elif is_left[j]:
                text = escape_latex(join_lines(cell))
            else:
                text = _format_figure(cell, (i, j) in table.best_cells)
            cells.append(text + (r"\rlap{$^\dagger$}" if (i, j) in table.undistinguished_cells else ""))
        line = f"  {' & '.join(cells[j] for j in columns)} \\\\"
        if is_folder_below:
            folder = cells[table.columns.index("folder")]
            line = f"{line}* \\multicolumn{{{len(columns)}}}{{{_FOLDER_BELOW}}}{{{folder}}} \\\\"
        rows.append(line)
    full_caption = f"\\caption{{{escape_latex(caption)}}}\\label{{tab:{label}}}"
    if len(rows) > _MAX_ROWS:
        lines = [rf"\begingroup{style}", f"\\begin{{longtable}}{{{alignment}}}", f"  {full_caption}\\\\[4pt]"]
        lines += [*head, r"  \endfirsthead", *head, r"  \endhead", r"  \bottomrule", r"  \endlastfoot"]
        lines += [*rows, r"\end{longtable}", r"\endgroup"]
    else:
        lines = [r"\begin{table}", rf"  \centering{style}", rf"  {full_caption}\par\smallskip"]
        lines += [f"  \\begin{{tabular}}{{{alignment}}}", *head, *rows]
        lines += [r"  \bottomrule", r"  \end{tabular}", r"\end{table}"]
    return "\n".join(lines)


def escape_latex(text: str) -> str:
    """Return a text as LaTeX that shows its characters only."""
    text = _CONTROL.sub(" ", show_bytes(text))
    return "".join(_ESCAPES.get(character, character) for character in text)


def _choose_style(table: TextTable, names: Sequence[str]) -> tuple[str, bool]:
    """Return the commands for the font of a table and the gap between columns, and whether folders go below their rows.

    The largest font is chosen in which the table fits the lines of LaTeX's class `article`, by an estimate.

    Args:
        table: the table.
        names: the headings of its columns.
    """
    has_folders = "folder" in table.columns
    digits = [
        max(map(_count_digits, [*name.split("\n"), *(line for row in table.rows for line in row[j].split("\n"))]))
        for j, name in enumerate(names)
        if table.columns[j] != "folder"
    ]
    for is_folder_below in (False, True) if has_folders else (False,):
        line = _LINE * (1 - _FOLDER_SHARE) if has_folders and not is_folder_below else _LINE
        for font, digit, gap in _FONTS if is_folder_below or not has_folders else _FONTS[:1]:
            num_gaps = 2 * (len(digits) + (has_folders and not is_folder_below))
            if sum(digits) * digit + num_gaps * gap <= line:
                return rf"{font}\setlength{{\tabcolsep}}{{{gap}pt}}", is_folder_below
    font, _, gap = _FONTS[-1]
    return rf"{font}\setlength{{\tabcolsep}}{{{gap}pt}}", has_folders


def _count_digits(line: str) -> float:
    """Return how wide a line is, in digits."""
    return len(line) + _SIGN * line.startswith("-")


def _capitalize(sentence: str) -> str:
    """Return a sentence that begins with a capital letter, unless it explains the name of a column."""
    return sentence if sentence[1:2] == ":" else f"{sentence[0].upper()}{sentence[1:]}"


def _list_tables(comparison: Comparison) -> Iterator[str]:
    """Yield the tables of a comparison."""
    results = drop_constants(tabulate_results(comparison))
    yield table_to_latex(results, caption_results(comparison, results), "results")
    differences = tabulate_differences(comparison, brief=True)
    if differences is not None:
        caption = caption_tests(differences, [row.difference for row in comparison.rows])
        yield table_to_latex(differences, caption, "differences")
    for number, table in enumerate(tabulate_images(comparison), 1):
        yield table_to_latex(table, f"{table.title}.", f"images{number}")
    effects = (comparison.main_effects, comparison.interactions)
    names = ("effects", "interactions")
    for table, tested, name in zip(tabulate_effects(comparison, brief=True), effects, names, strict=False):
        yield table_to_latex(table, caption_tests(table, [effect.difference for effect in tested]), name)


def _join(title: str, tables: list[str]) -> str:
    r"""Return tables as a file for \input, which begins with what it needs."""
    text = "\n\n".join(tables)
    packages = r"\usepackage{booktabs}" + (r" \usepackage{longtable}" if "longtable" in text else "")
    lines = [f"% {_CONTROL.sub(' ', show_bytes(title))}", f"% {packages}"]
    if unusual := sorted({character for character in text if ord(character) > 0x17F}):
        lines.append(f"% LuaLaTeX or XeLaTeX, and a font that has {' '.join(unusual)}")
    return "\n".join([*lines, text, ""])


def _break_path(path: str) -> str:
    """Return a path that is broken where its parts end, because a page is narrow."""
    parts = re.split("(?<=[/,])", path)
    return rf"{{\raggedright {_PATH_BREAK.join(map(escape_latex, parts))}\par}}"


def _format_heading(name: str) -> str:
    """Return the heading of a column, whose lines stay below each other."""
    lines = r" \\ ".join(map(escape_latex, name.split("\n")))
    return rf"\shortstack[r]{{{lines}}}" if "\n" in name else lines


def _format_figure(cell: str, is_best: bool) -> str:
    """Return the cell of a column of figures."""
    match = _FIGURE.fullmatch(cell)
    if match is None:
        text = escape_latex(cell)
        return rf"\textbf{{{text}}}" if is_best else text
    sign, number, half_width = match.groups()
    figure = f"{sign}{number}" + (rf" \pm {half_width}" if half_width else "")
    return rf"$\mathbf{{{figure}}}$" if is_best else f"${figure}$"
