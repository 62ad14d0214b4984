"""A comparison as one page that can be mailed: it holds its tables, plots and commands. Imports no torch."""

from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Sequence

from regexp.comparison.best import describe_best_run
from regexp.comparison.by_image.tables import tabulate_images
from regexp.comparison.compare import Comparison
from regexp.comparison.explaining.notes import explain_exclusions, make_notes
from regexp.comparison.formats.captions import caption_results
from regexp.comparison.formats.html import list_to_html, make_page, table_to_html
from regexp.comparison.formats.run_table import tabulate_runs
from regexp.comparison.formats.tables import tabulate_differences, tabulate_effects, tabulate_results
from regexp.comparison.formats.text_table import drop_constants
from regexp.comparison.verdicts import format_headline
from regexp.errors import RunError
from regexp.runs.run import Run
from regexp.utils.html.elements import escape_text
from regexp.utils.processes import typed_command

# So many commands are listed one by one.
_MAX_COMMANDS = 20


def to_html(comparison: Comparison, pictures: Sequence[tuple[str, bytes]] = ()) -> str:
    """Return a comparison as a page.

    Args:
        comparison: the comparison.
        pictures: the caption and the content of each plot, a PNG file.
    """
    results = drop_constants(tabulate_results(comparison))
    parts = [f"<p>{escape_text(format_headline(comparison))}</p>", "<h2>Results</h2>", table_to_html(results)]
    parts.append(f"<p>{escape_text(caption_results(comparison, results))}</p>")
    tables = [tabulate_differences(comparison), *tabulate_images(comparison), *tabulate_effects(comparison)]
    for table in tables:
        if table is not None:
            parts += [f"<h2>{escape_text(table.title)}</h2>", table_to_html(table)]
    parts += ["<h2>Notes</h2>", list_to_html(make_notes(comparison))]
    if (best_run := describe_best_run(comparison.records)) is not None:
        description, python_line = best_run
        parts += ["<h2>Best run by validation</h2>", f"<p>{escape_text(description)}</p>", _code([python_line])]
    if pictures:
        parts.append("<h2>Plots</h2>")
    for caption, content in pictures:
        source = f"data:image/png;base64,{b64encode(content).decode()}"
        image = f'<img src="{source}" alt="{escape_text(caption)}">'
        parts.append(f"<figure>{image}<figcaption>{escape_text(caption)}</figcaption></figure>")
    parts += ["<h2>Commands</h2>", _code(_list_commands(comparison)), *_describe_versions(comparison)]
    return make_page(comparison.collection.title, parts)


def runs_to_html(comparison: Comparison) -> str:
    """Return the single runs of a comparison as a page."""
    parts = [f"<p>{escape_text(format_headline(comparison))}</p>", table_to_html(tabulate_runs(comparison))]
    return make_page(comparison.collection.title, [*parts, list_to_html(explain_exclusions(comparison))])


def _code(lines: Sequence[str]) -> str:
    return f"<pre>{escape_text(chr(10).join(lines))}</pre>"


def _list_commands(comparison: Comparison) -> list[str]:
    """Return the commands that trained the runs, most of them first, and the one that compared them."""
    counts = Counter(record.command for record in comparison.records if record.command)
    commands = [command for command, _ in counts.most_common(_MAX_COMMANDS)]
    if len(counts) > len(commands):
        commands.append(f"# and {len(counts) - len(commands):,} more commands")
    if python_runs := sum(not record.command for record in comparison.records):
        commands.append(f"# {python_runs:,} of the runs were trained from Python")
    return [*commands, *filter(None, [typed_command()])]


def _describe_versions(comparison: Comparison) -> Iterator[str]:
    """Yield the versions of the libraries that trained the runs, if the first run has recorded them."""
    try:
        record = Run(comparison.records[0].directory).record
        versions = {**dict(record["versions"]), "Python": record["python"]}
    except (RunError, LookupError, TypeError, ValueError):
        return
    yield f"<p>{escape_text(', '.join(f'{name} {version}' for name, version in versions.items()))}</p>"
