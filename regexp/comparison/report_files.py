"""The files of a comparison: its tables, its plots, and a page that holds both. Imports no torch."""

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from regexp.comparison.compare import Comparison
from regexp.comparison.curves import Curves
from regexp.comparison.formats.latex import to_latex
from regexp.comparison.formats.markdown import to_markdown
from regexp.comparison.formats.page import to_html
from regexp.comparison.plotting.differences import plot_differences
from regexp.comparison.plotting.interactions import plot_interactions
from regexp.comparison.plotting.loss_curves import plot_curves
from regexp.comparison.plotting.overfitting import plot_gap
from regexp.comparison.plotting.robustness import METRIC as CORRUPTED_ACCURACY
from regexp.comparison.plotting.robustness import plot_robustness
from regexp.comparison.plotting.style import STYLE
from regexp.utils.storage_errors import explain_storage_errors

_MARGIN = 0.1  # inches around a plot
# The same comparison gives the same files, so that they can be committed.
_METADATA: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


def write_report(comparison: Comparison, curves: Curves, directory: Path) -> Path:
    """Write comparison.html, .md and .tex, and the plots, each as PNG, SVG and PDF, to a directory.

    Args:
        comparison: the comparison.
        curves: the curves of its rows.
        directory: the directory, which is created if it does not exist.

    Returns:
        The path of the page.

    Raises:
        StorageError: a file cannot be written.
    """
    import matplotlib

    names, pictures = [], []
    other_way = "choose another directory: --output DIR"
    with explain_storage_errors(directory, other_way), matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # The font draws a box for a Chinese character of a path; the tables have the character itself.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        directory.mkdir(parents=True, exist_ok=True)
        for name, caption, figure in _plot_all(comparison, curves):
            contents = _draw(figure)
            for extension, content in contents.items():
                (directory / f"{name}.{extension}").write_bytes(content)
            pictures.append((caption, contents["png"]))
            names.append((caption, f"{name}.png"))
        texts = {
            "comparison.html": to_html(comparison, pictures),
            "comparison.md": to_markdown(comparison, names),
            "comparison.tex": to_latex(comparison),
        }
        for name, text in texts.items():
            (directory / name).write_text(text, encoding="utf-8")
    return directory / "comparison.html"


def _draw(figure: Figure) -> dict[str, bytes]:
    """Return a figure in each format. Its layout, which takes most of the time, is computed once."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    box = figure.get_tightbbox().padded(_MARGIN)
    contents = {}
    for extension, metadata in _METADATA.items():
        content = io.BytesIO()
        figure.savefig(content, format=extension, dpi=150, bbox_inches=box, metadata=metadata)
        contents[extension] = content.getvalue()
    return contents


def _plot_all(comparison: Comparison, curves: Curves) -> Iterator[tuple[str, str, Figure]]:
    """Yield the name, caption and figure of each plot that has something to show."""
    title = comparison.metric.title
    if any(row.difference is not None and row.difference.test is not None for row in comparison.rows):
        yield "differences", f"Differences in {title}", plot_differences(comparison)
    if comparison.interactions:
        yield "interactions", f"{title.capitalize()} by pairs of keys", plot_interactions(comparison)
    if any("gap" in row.scores for row in comparison.rows):
        yield "gap", "Overfitting against accuracy", plot_gap(comparison)
    if any(CORRUPTED_ACCURACY in row.scores for row in comparison.rows):
        yield "corruptions", "Test accuracy by the strength of each corruption", plot_robustness(comparison)
    if any(curves.run_count(row) for row in comparison.rows):
        mean = "geometric mean over seeds"
        yield "curves", f"Validation loss by epoch, {mean}", plot_curves(comparison, curves, "val_loss")
        yield "training_curves", f"Training loss by epoch, {mean}", plot_curves(comparison, curves, "train_loss")
