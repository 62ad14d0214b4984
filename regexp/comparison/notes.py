"""What the figures of a comparison mean, what they rest on, and what was left out. Imports no torch."""

import math
import shlex
from collections.abc import Iterator

from regexp.comparison.compare import Comparison
from regexp.comparison.loading import format_count
from regexp.comparison.records import Record
from regexp.comparison.rows import METRICS, Row, paired_differences, test_differences
from regexp.comparison.statistics import ALPHA, MAX_SIGN_FLIP_PAIRS, wilson_interval
from regexp.comparison.verdicts import with_interval
from regexp.utils.next_commands import command_prefix

MOST_FAILURES = 5


def notes(comparison: Comparison) -> list[str]:
    """All there is to say."""
    return [
        *_meaning(comparison),
        *_tests(comparison),
        *_effects(comparison),
        *_choice(comparison),
        *left_out(comparison),
    ]


def brief_notes(comparison: Comparison) -> list[str]:
    """For the short table."""
    said = []
    if any(row.difference is not None and row.difference.p_adjusted is not None for row in comparison.rows):
        against = ", ".join(f"{key}={value}" for key, value in comparison.baseline.values.items())
        said.append(
            f"±: 95 % interval over seeds; difference: {comparison.metric.title} less that of {against}, paired by "
            "seed; verdict: t test at 5 % after Holm's correction."
        )
    return [*said, *_one_seed(comparison), *_other_images(comparison), *left_out(comparison)]


def _meaning(comparison: Comparison) -> Iterator[str]:
    if comparison.averaged_keys:
        yield f"Averaged over {', '.join(comparison.averaged_keys)}: over the same values of it in all rows."
    if any(row.seed_count > 1 for row in comparison.rows):
        yield (
            "±: half of a 95 % interval of the mean over seeds (initial weights, order, augmentation, dropout), for "
            f"this split and this test set.{_missing(comparison)}"
        )
    yield from _one_seed(comparison)
    yield from _test_set(comparison)


def _missing(comparison: Comparison) -> str:
    seen = [row.estimate(name) for row in comparison.rows for name in ("val_accuracy", "test_accuracy")]
    lacking = any(found is not None and found.half_width is None for found in seen)
    return " Where there is none, there is one seed, or all gave the same." if lacking else ""


def _one_seed(comparison: Comparison) -> Iterator[str]:
    if max((row.seed_count for row in comparison.rows), default=0) == 1:
        yield f"One seed: no spread, so no interval and no verdict. For both: {_more_seeds(comparison)}"


def _test_set(comparison: Comparison) -> Iterator[str]:
    """The sampling error of the images that accuracies are measured on."""
    part = _part(comparison)
    name = "test_accuracy" if part == "test" else "val_accuracy"
    if different := list(_other_images(comparison)):
        yield from different
        return
    sizes = {record.image_counts.get(part) for record in comparison.records if record.finished}
    best = _best(comparison.rows)
    found = None if best is None else best.estimate(name)
    if best is None or found is None or len(sizes) > 1 or not (size := sizes.pop()):
        return
    low, high = (100 * end for end in wilson_interval(found.mean, size))
    text = (
        f"The {part} set is a sample of {size:,} images. From {100 * found.mean:.2f} % on it the accuracy on the "
        f"population they are drawn from is between {low:.1f} and {high:.1f} % (95 %, Wilson)"
    )
    other = comparison.baseline.estimate(name)
    if other is not None and best is not comparison.baseline:
        # Of two models on the same images; those that both get wrong make it less.
        errors, difference = 2 - found.mean - other.mean, found.mean - other.mean
        most = 1.96 * math.sqrt(max(0.0, errors - difference**2) / size)
        text += f", and its difference to {comparison.baseline.label} may be off by up to {100 * most:.1f} points"
    yield f"{text}. Intervals and verdicts are about these images."


def _other_images(comparison: Comparison) -> Iterator[str]:
    measured = {_measured(record, _part(comparison)) for record in comparison.records if record.finished}
    if len(measured) > 1:
        yield (
            "The configurations are measured on different images (other data, or another split): their differences "
            "are those of the images, too."
        )


def _part(comparison: Comparison) -> str:
    """Of the data, on which the reported accuracies are measured."""
    return "test" if any(row.scores.get("test_accuracy") for row in comparison.rows) else "validation"


def _measured(record: Record, part: str) -> tuple[object, ...]:
    """What decides which images a part of the data holds."""
    split = ("data.val_size", "data.split_seed") if part == "validation" else ()
    own = (record.config["data.fingerprint"], record.validation, record.image_counts.get(part))
    return (*own, *(record.config.get(key) for key in split))


def _tests(comparison: Comparison) -> Iterator[str]:
    made = [row.difference for row in comparison.rows if row.difference is not None]
    tests = [difference.test for difference in made if difference.test is not None]
    several = [pair for pair in tests if pair.p_value is not None]
    if not several:
        return
    most = max(difference.family_size for difference in made)
    yield (
        "Differences are paired by seed. p: paired t test, two-sided; Holm: p corrected for the "
        f"{format_count(most, 'difference')} of the table; other tables are corrected for themselves. Verdicts are Holm's at "
        f"{100 * ALPHA:g} %. Intervals are not corrected: one may exclude 0 without a verdict. Seeds needed: for a "
        f"power of 80 % at {100 * ALPHA:g} %{f'/{most}' if most > 1 else ''}, were the true difference the one seen; "
        "from the 80 % interval of the spread."
    )
    if any(pair.min_sign_flip_p is not None and pair.min_sign_flip_p <= ALPHA for pair in several):
        yield (
            f"flips: exact two-sided sign-flip permutation test, up to {MAX_SIGN_FLIP_PAIRS} pairs: a check that takes nothing to be "
            "normal, not corrected."
        )
    few = [pair for pair in several if pair.min_sign_flip_p is not None and pair.min_sign_flip_p > ALPHA]
    if few:
        most_able = min(few, key=lambda pair: pair.min_sign_flip_p or 0)
        yield (
            f"No two-sided sign-flip permutation test of {most_able.estimate.n} pairs could reach {100 * ALPHA:g} % "
            f"(at best {100 * (most_able.min_sign_flip_p or 0):.3g} %): those verdicts rest on the t test alone, which takes "
            "differences to be about normal."
        )
    if any(not pair.estimate.sd and pair.estimate.mean for pair in several):
        yield "Where all differences are the same there is no spread for a t test: p is that of the sign flips."


def _effects(comparison: Comparison) -> Iterator[str]:
    if len(comparison.levels) < 2 or comparison.averaged_keys:
        return
    if not comparison.main_effects:
        whole = len(comparison.cells) == math.prod(map(len, comparison.levels.values()))
        why = "the configurations have no seed in common" if whole else "not all combinations of values are there"
        yield f"No effects of single keys: {why}."
        return
    test, most = comparison.main_effects[0].difference.test, max(row.seed_count for row in comparison.rows)
    if test is not None and test.estimate.n < most:
        yield f"Effects are over the {format_count(test.estimate.n, 'seed')} that all configurations have."
    if any(effect.difference.significant for effect in comparison.interactions):
        yield "Keys interact: what one does on average over the others need not hold for any of them."


def _choice(comparison: Comparison) -> Iterator[str]:
    """Which configuration is best on validation, and what that is worth."""
    rows = [row for row in comparison.cells if row.scores.get("val_accuracy")]
    best = _best(rows)
    val = None if best is None else best.estimate("val_accuracy")
    if best is None or val is None or len(rows) < 2:
        return
    others = [
        paired_differences(best.scores["val_accuracy"], row.scores["val_accuracy"]) for row in rows if row is not best
    ]
    close = sum(not difference.significant for difference in test_differences(others))
    picked = (
        f"Chosen on validation, the best of {len(rows)}: {best.label}, with {100 * val.mean:.2f} % "
        f"({format_count(val.n, 'seed')}{_diverged(best)})"
    )
    picked += f"; {close} of the others cannot be told from it there" if close and val.n > 1 else ""
    picked += ". As the best of many that figure flatters"
    test = best.estimate("test_accuracy")
    if test is not None:
        shown = with_interval(METRICS["test_accuracy"], test)
        yield f"{picked}; its test accuracy, {shown} %, had no part in the choice."
    else:
        yield f"{picked}, and there is no test figure: the test set has validated, as in the lesson."


def left_out(comparison: Comparison) -> Iterator[str]:
    """What is not in the means, and why."""
    records = comparison.records
    for status, what in (
        ("diverged", "diverged: not in the means, which are over the seeds that did not"),
        ("running", "still training (regexp-compare --status says how far)"),
        ("interrupted", "interrupted: the same command goes on from the last checkpoint"),
    ):
        if some := sum(record.status == status for record in records):
            yield f"{format_count(some, 'run')} {what}."
    wrong = [record for record in records if record.status in ("failed", "broken")]
    for record in wrong[:MOST_FAILURES]:
        where, why = str(record.directory), record.problem or ""
        yield f"{record.status}: {why if where in why else f'{where} ({why})'}"
    if len(wrong) > MOST_FAILURES:
        yield f"and {len(wrong) - MOST_FAILURES} more (regexp-compare --status)"
    if comparison.collection.missing_runs:
        yield f"{format_count(len(comparison.collection.missing_runs), 'run')} of the sweep left nothing (regexp-compare --status)."
    finished = [record for record in records if record.finished]
    name = comparison.metric.name
    if lacking := sum(name not in record.metric_values for record in finished):
        yield f"{format_count(lacking, 'finished run')} without {comparison.metric.title}: not in the differences."
    if len({frozenset(row.scores[name]) for row in comparison.rows if row.scores.get(name)}) > 1:
        yield "Rows have different seeds: means are over all of a row's, differences over those that both have."
    if (versions := len({record.code for record in finished})) > 1:
        yield f"The runs were trained by {versions} versions of the code that shapes results."
    yield from (f"{remark}." if not remark.endswith(".") else remark for remark in comparison.remarks)
    yield from comparison.collection.remarks


def _best(rows: list[Row]) -> Row | None:
    """The row with the highest mean validation accuracy."""
    means = [(found.mean, row) for row in rows if (found := row.estimate("val_accuracy")) is not None]
    return max(means, key=lambda entry: entry[0])[1] if means else None


def _diverged(row: Row) -> str:
    some = sum(record.status == "diverged" for record in row.records)
    return f"; {some} diverged" if some else ""


def _more_seeds(comparison: Comparison) -> str:
    """The command that was typed, with five seeds."""
    commands = {record.command for record in comparison.records}
    command = commands.pop() if len(commands) == 1 else ""
    if shlex.split(command)[:1] != ["regexp"]:  # several, or Python
        return "train the same with more seeds, such as 'seed=range(5)'"
    words = [word for word in shlex.split(command) if not word.startswith("seed=")]
    if "-m" not in words and "--multirun" not in words:
        words.insert(1, "-m")
    return f"{command_prefix()}{shlex.join(words)} 'seed=range(5)'"
