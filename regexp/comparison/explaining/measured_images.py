"""Notes on the images, or rows of a table, that runs are measured on: the same ones, or others. Imports no torch."""

from collections.abc import Iterator

from regexp.comparison.compare import Comparison
from regexp.config.schemas.data import DATA_SOURCES
from regexp.runs.identity import DATA_PATH_KEYS
from regexp.runs.run_record import RunRecord
from regexp.utils.messages import quote_word, say

# So many data sets are named.
_MAX_NAMES = 5


def explain_mixed_data(comparison: Comparison) -> Iterator[str]:
    """Yield a note if the runs are of several data sets, and how to compare those of one."""
    examples: dict[object, RunRecord] = {}  # by the fingerprint of their data
    for record in comparison.records:
        if record.finished:
            examples.setdefault(record.config["data.fingerprint"], record)
    if len(examples) < 2:
        return
    for key in ("data", *DATA_PATH_KEYS, "data.fingerprint"):
        values = [{**example.config, **example.data_paths}.get(key) for example in examples.values()]
        if None not in values and len(set(values)) == len(values):
            names = [*map(str, values[:_MAX_NAMES]), *(["..."] if len(values) > _MAX_NAMES else [])]
            condition = say(f"--where {quote_word(f'{key}={values[0]}')}", f"where={{{key!r}: {values[0]!r}}}")
            yield (
                f"The runs are of {len(values)} data sets ({', '.join(names)}): figures on one cannot be compared with "
                f"figures on another. Compare the runs of one: {condition}"
            )
            return


def explain_different_images(comparison: Comparison) -> Iterator[str]:
    """Yield a note if the runs are measured on different images of the same data set."""
    if list(explain_mixed_data(comparison)):
        return
    split = reported_split(comparison)
    image_sets = {_image_set(record, split) for record in comparison.records if record.finished}
    if len(image_sets) > 1:
        units = count_noun(comparison)
        yield (
            f"The configurations are measured on different {units} (another split), so a part of their "
            f"differences may come from the {units}."
        )


def count_noun(comparison: Comparison) -> str:
    """Return the word for what the runs are measured on: "images", or "rows" if all of their data are tables."""
    names = {record.config.get("data") for record in comparison.records}
    are_tables = all(name in DATA_SOURCES and DATA_SOURCES[name].is_table for name in names)
    return "rows" if are_tables else "images"


def reported_split(comparison: Comparison) -> str:
    """Return the split that the reported accuracies are measured on."""
    return "test" if any(row.scores.get("test_accuracy") for row in comparison.rows) else "validation"


def _image_set(record: RunRecord, split: str) -> tuple[object, ...]:
    """Return a key of the images in a split: equal for runs that are measured on the same images."""
    split_keys = ("data.val_size", "data.split_seed") if split == "validation" else ()
    data = (record.config["data.fingerprint"], record.validation, record.image_counts.get(split))
    return (*data, *(record.config.get(key) for key in split_keys))
