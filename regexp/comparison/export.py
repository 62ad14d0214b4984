"""A comparison as Markdown, CSV, JSON and records for Python. Imports no torch."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from regexp.comparison.compare import Comparison
from regexp.comparison.effects import Effect
from regexp.comparison.notes import notes
from regexp.comparison.rows import METRICS, Difference, Metric
from regexp.comparison.statistics import Estimate
from regexp.comparison.tables import Grid, differences, influences, results
from regexp.comparison.verdicts import AVERAGE, GAIN, INTERACTION, Kind, headline, verdict


class Records(list[dict[str, Any]]):
    """A record for each row, of plain values: what pandas.DataFrame takes. Accuracies are fractions, losses in nats.

    Attributes:
        notes: what the figures rest on, and what was left out.
    """

    notes: list[str]


def records(comparison: Comparison) -> Records:
    """The rows as records."""
    found = Records(
        {
            # `epochs` is a key and a metric.
            **{f"config.{key}" if key in METRICS else key: value for key, value in row.values.items()},
            "seeds": row.seed_count,
            "runs": len(row.records),
            **{key: value for name in METRICS for key, value in _plain(name, row.estimate(name)).items()},
            "metric": comparison.metric.name,
            "baseline": row is comparison.baseline,
            **_plain_difference(row.difference, comparison.metric),
        }
        for row in comparison.rows
    )
    found.notes = notes(comparison)
    return found


def markdown(grid: Grid) -> str:
    """A table in Markdown, below its title."""
    bars = [":--" if i < grid.words or name == "verdict" else "--:" for i, name in enumerate(grid.columns)]
    lines = [
        " | ".join(cell.replace("|", "\\|").replace("\nx ", " x ").replace("\n", ", ") for cell in row)
        for row in (grid.columns, bars, *grid.rows)
    ]
    return "\n".join([f"**{grid.title}**", "", *(f"| {line} |" for line in lines)])


def as_markdown(comparison: Comparison, pictures: Sequence[tuple[str, str]] = ()) -> str:
    """The whole comparison, with pictures given by their captions and files."""
    grids = [results(comparison), differences(comparison), *influences(comparison)]
    parts = [f"# {comparison.collection.title}", f"{headline(comparison)}."]
    parts += [markdown(grid) for grid in grids if grid is not None]
    parts += ["\n".join(f"- {note}" for note in notes(comparison))]
    parts += [f"![{caption}]({file})" for caption, file in pictures]
    return "\n\n".join(parts) + "\n"


def as_csv(comparison: Comparison) -> str:
    """The records."""
    text, rows = io.StringIO(), records(comparison)
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(comparison: Comparison) -> str:
    """The records, effects and notes."""
    metric = comparison.metric
    content = {
        "runs": comparison.collection.title,
        "metric": metric.name,
        "baseline": comparison.baseline.values,
        "averaged_over": comparison.averaged_keys,
        "configurations": records(comparison),
        "main_effects": _plain_effects(comparison.main_effects, metric, AVERAGE),
        "interactions": _plain_effects(comparison.interactions, metric, INTERACTION),
        "notes": notes(comparison),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _plain(name: str, found: Estimate | None) -> dict[str, float | None]:
    low, high = (found.confidence_interval if found is not None else None) or (None, None)
    mean, sd = (None, None) if found is None else (found.mean, found.sd)
    return {name: mean, f"{name}_sd": sd, f"{name}_low": low, f"{name}_high": high}


def _plain_difference(difference: Difference | None, metric: Metric, kind: Kind = GAIN) -> dict[str, Any]:
    pair = None if difference is None else difference.test
    seen = None if pair is None else pair.estimate
    low, high = (None if seen is None else seen.confidence_interval) or (None, None)
    needed = (None if difference is None else difference.required_seeds) or (None, None)
    return {
        "difference": None if seen is None else seen.mean,
        "difference_low": low,
        "difference_high": high,
        "pairs": 0 if seen is None else seen.n,
        "p": None if pair is None else pair.p_value,
        "p_flips": None if pair is None else pair.sign_flip_p,
        "p_holm": None if difference is None else difference.p_adjusted,
        "seeds_needed_low": needed[0],
        "seeds_needed_high": needed[1],
        "verdict": "baseline" if difference is None else verdict(difference, metric, kind),
    }


def _plain_effects(effects: Iterable[Effect], metric: Metric, kind: Kind) -> list[dict[str, Any]]:
    return [
        {"values": effect.values, "against": effect.reference, **_plain_difference(effect.difference, metric, kind)}
        for effect in effects
    ]
