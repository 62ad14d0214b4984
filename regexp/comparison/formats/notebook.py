"""A comparison as HTML within a notebook. Imports no torch."""

from regexp.comparison.by_image.tables import tabulate_images
from regexp.comparison.compare import Comparison
from regexp.comparison.explaining.notes import make_brief_notes, make_notes
from regexp.comparison.formats.html import list_to_html, table_to_html
from regexp.comparison.formats.tables import tabulate_differences, tabulate_effects, tabulate_overview, tabulate_results
from regexp.comparison.formats.text_table import drop_constants
from regexp.comparison.verdicts import format_headline
from regexp.utils.html.elements import escape_text, make_details


def show_comparison(comparison: Comparison) -> str:
    """Return the tables of a comparison, and below them, folded, its effects and notes."""
    results = drop_constants(tabulate_results(comparison))
    parts = [f"<div>{escape_text(format_headline(comparison))}</div>", table_to_html(results)]
    if (differences := tabulate_differences(comparison)) is not None:
        parts += [f"<div>{escape_text(differences.title)}</div>", table_to_html(differences)]
    for table in [*tabulate_images(comparison), *tabulate_effects(comparison)]:
        parts.append(make_details(table.title, table_to_html(table)))
    notes = make_notes(comparison)
    parts.append(make_details("What these figures rest on, and what they leave out", list_to_html(notes)))
    return f"<div>{''.join(parts)}</div>"


def show_overview(comparison: Comparison) -> str:
    """Return the short table at the end of a sweep, and its notes."""
    return table_to_html(tabulate_overview(comparison)) + list_to_html(make_brief_notes(comparison))
