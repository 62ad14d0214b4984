"""The formats in which a comparison can be written, by name. Imports no torch."""

from collections.abc import Callable, Mapping

from regexp.comparison.compare import Comparison
from regexp.comparison.formats import latex, markdown, page, records

# Each format's function for a comparison, and for its single runs.
_WRITERS: Mapping[str, tuple[Callable[[Comparison], str], Callable[[Comparison], str]]] = {
    "md": (markdown.to_markdown, markdown.runs_to_markdown),
    "csv": (records.to_csv, records.runs_to_csv),
    "json": (records.to_json, records.runs_to_json),
    "latex": (latex.to_latex, latex.runs_to_latex),
    "html": (page.to_html, page.runs_to_html),
}


def format_comparison(file_format: str, comparison: Comparison, single_runs: bool = False) -> str:
    """Return a comparison as "md", "csv", "json", "latex" or "html".

    Args:
        file_format: the name of the format.
        comparison: the comparison.
        single_runs: whether to list its runs instead of their means.
    """
    write_rows, write_runs = _WRITERS[file_format]
    return write_runs(comparison) if single_runs else write_rows(comparison)
