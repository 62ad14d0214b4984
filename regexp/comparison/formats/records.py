"""A comparison as records for Python, and as CSV and JSON. Imports no torch."""

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from regexp.comparison.by_image.fields import describe_images
from regexp.comparison.compare import Comparison
from regexp.comparison.effects import Effect
from regexp.comparison.explaining.notes import explain_exclusions, make_notes
from regexp.comparison.formats.notebook import show_comparison
from regexp.comparison.formats.run_table import list_runs
from regexp.comparison.grouping import ABSENT
from regexp.comparison.rows import Difference, Row
from regexp.comparison.statistics import Estimate
from regexp.comparison.verdicts import (
    BASELINE_DIFFERENCE,
    INTERACTION,
    MAIN_EFFECT,
    Wording,
    format_verdict,
)
from regexp.config.metric_registry import Metric
from regexp.runs.listing.records import make_plain
from regexp.runs.run_record import find_best_run
from regexp.utils.messages import format_value, show_bytes
from regexp.utils.next_commands import relative_path


class RowRecords(list[dict[str, Any]]):
    """The rows of a comparison as dictionaries of plain values, which pandas.DataFrame takes as they are.

    Accuracies are fractions, losses are in nats.

    Attributes:
        notes: what the figures rest on, and which runs they leave out.
    """

    notes: list[str]
    _comparison: Comparison

    def _repr_html_(self) -> str:
        """Return the tables of the comparison, which notebooks show."""
        return show_comparison(self._comparison)


def make_row_records(comparison: Comparison) -> RowRecords:
    """Return the rows of a comparison as dictionaries of plain values."""
    records = RowRecords()
    keys = comparison.rows[0].values
    # `epochs` is both a key and a metric.
    names = {key: f"config.{key}" if key in comparison.run_metrics else key for key in keys}
    columns = {name: _read_column(comparison.rows, key) for key, name in names.items()}
    for place, row in enumerate(comparison.rows):
        record: dict[str, Any] = {name: values[place] for name, values in columns.items()}
        record |= {"seeds": row.seed_count, "runs": len(row.records)}
        for metric in comparison.run_metrics:
            record |= _estimate_fields(metric, row.estimate(metric))
        record |= {"metric": comparison.metric.name, "baseline": row is comparison.baseline}
        record |= _difference_fields(row.difference, comparison.metric)
        record |= describe_images(comparison, place)
        record["directories"] = [str(run_record.directory) for run_record in row.records]
        records.append(record)
    records.notes, records._comparison = make_notes(comparison), comparison
    return records


def _read_column(rows: Sequence[Row], key: str) -> list[Any]:
    """Return the value of a key in each row: numbers and booleans as such, None for null and where a row lacks it."""
    texts = [row.values[key] for row in rows]
    values = []
    for row, text in zip(rows, texts, strict=True):
        value = row.records[0].config.get(key, text)
        # Augmentations and data have names that are not in the configuration; lists stay texts, to be grouped by.
        value = make_plain(value) if format_value(value, mark_fractions=True) == text else text
        values.append(None if text == ABSENT else value)
    # One image, 1, and all of them, 1.0, are equal as numbers.
    return values if len(set(values)) == len(set(texts)) else texts


def to_csv(comparison: Comparison) -> str:
    """Return the rows of a comparison as CSV."""
    return _write_csv(make_row_records(comparison))


def runs_to_csv(comparison: Comparison) -> str:
    """Return the single runs of a comparison as CSV."""
    return _write_csv(_list_run_records(comparison))


def _list_run_records(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the runs of a comparison as dictionaries of plain values."""
    runs, metrics = list_runs(comparison), comparison.run_metrics
    columns = {key: _read_column([row for row, _ in runs], key) for key in runs[0][0].values}
    return [
        {
            # `epochs` is both a key and a metric.
            **{f"config.{key}" if key in metrics else key: values[i] for key, values in columns.items()},
            "seed": record.seed,
            "status": record.status,
            **{name: record.metric_values.get(name) for name in metrics},
            "tags": ",".join(record.tags),
            "commit": record.commit,
            "directory": relative_path(record.directory),
        }
        for i, (_, record) in enumerate(runs)
    ]


def _write_csv(records: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    columns = [name for name, value in records[0].items() if not isinstance(value, list | dict)]  # a cell holds no list
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return show_bytes(text.getvalue())


def to_json(comparison: Comparison) -> str:
    """Return the rows, effects and notes of a comparison as JSON."""
    metric = comparison.metric
    content = {
        "runs": comparison.collection.title,
        "metric": metric.name,
        "baseline": {key: _read_column([comparison.baseline], key)[0] for key in comparison.baseline.values},
        "averaged_over": comparison.averaged_keys,
        "configurations": make_row_records(comparison),
        "main_effects": _effect_records(comparison.main_effects, metric, MAIN_EFFECT),
        "interactions": _effect_records(comparison.interactions, metric, INTERACTION),
        "best_run": _describe_best_run(comparison),
        "notes": make_notes(comparison),
    }
    return _write_json(content)


def runs_to_json(comparison: Comparison) -> str:
    """Return the single runs of a comparison as JSON."""
    content = {
        "title": comparison.collection.title,
        "runs": _list_run_records(comparison),
        "best_run": _describe_best_run(comparison),
        "notes": list(explain_exclusions(comparison)),
    }
    return _write_json(content)


def _describe_best_run(comparison: Comparison) -> dict[str, Any] | None:
    best_run = find_best_run(comparison.records)
    runs = zip(list_runs(comparison), _list_run_records(comparison), strict=True)
    return next((description for (_, record), description in runs if record is best_run), None)


def _write_json(content: dict[str, Any]) -> str:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return re.sub(r"[\udc80-\udcff]", lambda byte: "\\" + show_bytes(byte[0]), text)  # JSON wants the backslash twice


def _estimate_fields(metric: str, estimate: Estimate | None) -> dict[str, float | None]:
    """Return the mean, standard deviation and 95 % interval of a metric, None where there is none."""
    if estimate is None:
        return dict.fromkeys((metric, f"{metric}_sd", f"{metric}_low", f"{metric}_high"))
    low, high = estimate.confidence_interval or (None, None)
    return {metric: estimate.mean, f"{metric}_sd": estimate.sd, f"{metric}_low": low, f"{metric}_high": high}


def _difference_fields(
    difference: Difference | None, metric: Metric, wording: Wording = BASELINE_DIFFERENCE
) -> dict[str, Any]:
    """Return a difference, its tests and its verdict; the baseline has no difference."""
    test = None if difference is None else difference.test
    estimate = None if test is None else test.estimate
    low, high = (None if estimate is None else estimate.confidence_interval) or (None, None)
    needed_low, needed_high = (None if difference is None else difference.required_seeds) or (None, None)
    return {
        "difference": None if estimate is None else estimate.mean,
        "difference_low": low,
        "difference_high": high,
        "pairs": 0 if estimate is None else estimate.n,
        "p": None if test is None else test.p_value,
        "p_flips": None if test is None else test.sign_flip_p_value,
        "p_holm": None if difference is None else difference.adjusted_p_value,
        "p_equivalence": None if difference is None else difference.equivalence_p_value,
        "margin": None if difference is None else difference.margin,
        "looks": None if difference is None or not difference.sample.plans else difference.num_looks,
        "seeds_needed_low": needed_low,
        "seeds_needed_high": needed_high,
        "verdict": "baseline" if difference is None else format_verdict(difference, metric, wording),
    }


def _effect_records(effects: Iterable[Effect], metric: Metric, wording: Wording) -> list[dict[str, Any]]:
    return [
        {"values": effect.values, "against": effect.reference, **_difference_fields(effect.difference, metric, wording)}
        for effect in effects
    ]
