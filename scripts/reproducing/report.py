"""The report of all experiments: docs/results.md."""

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from regexp.comparison.explaining.training_time import format_duration
from reproducing.conclusions import draw_conclusions
from reproducing.experiment import Experiment
from reproducing.measurement import Measurement
from reproducing.plots import DESCRIPTIONS
from reproducing.tables import Row, Table, name_table

_INTRODUCTION = """# Results

What is known of regularizers, measured again. `scripts/reproduce.py` trains the experiments below, each of which is a
file in `conf/experiment/`, and writes this page from their runs; nothing here is written by hand. What came out
differently from the literature stands here as it came out.

```sh
uv run scripts/reproduce.py
uv run scripts/reproduce.py simard2003 zhang2018
```

The first command runs all of them, and the second one those that it names. Both go on after an interruption. Test
errors are means over seeds, with 95 % intervals; the test set was read once. Differences are in percentage points of
test error to the row whose verdict is "baseline", paired by seed; negative ones are better. A verdict is that of a *t*
test at 5 % after Holm's correction over its table. What an original leaves open is said below, and whether validation
chose it. Where test errors were seen before a setting was fixed, that is said too: such a figure is a little too good.
"""
_WIDTH = 120


def write_report(
    path: Path, experiments: Mapping[str, Experiment], measurements: Mapping[str, Measurement], pictures: str
) -> None:
    """Write the report of all experiments that were measured.

    Args:
        path: the Markdown file.
        experiments: all experiments by name, in the order of the report.
        measurements: what was measured, by the name of the experiment.
        pictures: the directory of the plots, relative to the file.
    """
    sections = [_INTRODUCTION]
    for name, experiment in experiments.items():
        if name in measurements:
            lines = _write_section(experiment, measurements[name], f"{pictures}/results_{name}.png")
            sections.append("\n\n".join(lines) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(sections), encoding="utf-8")


def _write_section(experiment: Experiment, measurement: Measurement, picture: str) -> Iterator[str]:
    """Yield the paragraphs of an experiment."""
    yield f"## {experiment.title}"
    yield _fill(f"{experiment.source} {experiment.setup}")
    commands = "\n".join(f"uv run {command}" for command in measurement.commands)
    yield f"```sh\n{commands}\n```"
    for table in measurement.tables:
        yield _write_table(experiment, table)
    if conclusions := list(draw_conclusions(experiment, measurement)):
        yield "\n".join(_fill(f"- {conclusion}", "  ") for conclusion in conclusions)
    yield f'<img src="{picture}" width="600" alt="{DESCRIPTIONS[experiment.plot]}">'
    yield _fill(_describe_origin(measurement))


def _write_table(experiment: Experiment, table: Table) -> str:
    """Return the rows of a table as Markdown."""
    has_published = any(row.published is not None for row in table.rows)
    has_differences = len(table.rows) > 1
    heading = name_table(experiment, table) or "configuration"
    columns = [heading, "seeds", *(["published %"] if has_published else []), "test error %"]
    columns += ["difference", "Holm's p", "verdict"] if has_differences else []
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)]]
    lines += [_write_row(row, has_published, has_differences) for row in table.rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _write_row(row: Row, has_published: bool, has_differences: bool) -> list[str]:
    """Return the cells of a row."""
    cells = [row.label, str(row.seeds) if row.seeds == row.runs else f"{row.seeds} of {row.runs}"]
    if has_published:
        cells.append("" if row.published is None else f"{row.published:g}")
    cells.append(_write_estimate(row.error, row.half_width))
    if has_differences:
        p_value = "" if row.p_value is None else "<0.001" if row.p_value < 0.001 else f"{row.p_value:.3f}"
        cells += [_write_estimate(row.difference, row.difference_half_width, "+"), p_value, row.verdict]
    return cells


def _write_estimate(mean: float | None, half_width: float | None, sign: str = "") -> str:
    """Return a mean with half the width of its interval, or nothing where there is none."""
    if mean is None:
        return ""
    rounded_mean = round(mean, 2) + 0.0  # no -0.00
    return f"{rounded_mean:{sign}.2f}" + ("" if half_width is None else f" ± {half_width:.2f}")


def _describe_origin(measurement: Measurement) -> str:
    """Return where, when and how long the runs trained."""
    first_day, last_day = measurement.dates
    days = first_day if first_day == last_day else f"{first_day} to {last_day}"
    commits = f", commit {', '.join(measurement.commits)}" if measurement.commits else ""
    wall = "" if measurement.wall_seconds is None else f", and {format_duration(measurement.wall_seconds)} passed"
    return (
        f"{measurement.run_count:,} runs, {days}{commits}. {measurement.machine}. Their shares of the time in which "
        f"they trained together add up to {format_duration(measurement.training_seconds)}{wall} while any of them was "
        "in training."
    )


def _fill(text: str, indent: str = "") -> str:
    """Return a paragraph in lines, all but the first indented."""
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
