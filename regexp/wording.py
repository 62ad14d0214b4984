"""A comparison in words: figures, verdicts, and what they rest on. Imports no torch."""

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from regexp.comparison import Comparison
from regexp.inference import ALPHA, FEW, MOST_SEEDS, Estimate, wilson
from regexp.records import OTHERS
from regexp.rows import METRICS, Difference, Metric, Row

MOST_FAILURES = 5


@dataclass(frozen=True)
class Kind:
    """What a difference is called: (above zero, below zero), the other way round where less is better.

    Attributes:
        neutral: where neither is better; None: as always.
    """

    signs: tuple[str, str]
    neutral: tuple[str, str] | None = None

    def words(self, metric: Metric, above: bool) -> str:
        """What a difference that was found is called."""
        if metric.better == 0 and self.neutral is not None:
            return self.neutral[not above]
        return self.signs[above != (metric.better > 0) if self.neutral is not None else not above]


GAIN = Kind(("better", "worse"), neutral=("higher", "lower"))
INTERACTION = Kind(("above the sum", "below the sum"))


def figure(metric: Metric, value: float, signed: bool = False) -> str:
    """A figure in its metric's unit, accuracies in percent."""
    digits = 2 if metric.percent else 4 if metric.name.endswith("loss") or metric.name == "gap" else 1
    return f"{100 * value if metric.percent else value:{'+' if signed else ''}.{digits}f}"


def with_interval(metric: Metric, estimate: Estimate | None, signed: bool = False) -> str:
    """A mean and half of its 95 % interval, where there is one: "97.42 ± 0.49"."""
    if estimate is None:
        return "-"
    mean = figure(metric, estimate.mean, signed)
    if estimate.half is None:
        return mean
    wide = metric.percent and estimate.half >= 0.1  # decimals would say nothing
    return f"{mean} ± {f'{100 * estimate.half:.0f}' if wide else figure(metric, estimate.half)}"


def p_value(p: float | None) -> str:
    """Three decimals are more than enough."""
    return "-" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def seeds(row: Row) -> str:
    """How many have finished, and what became of the others."""
    counts = Counter(record.status for record in row.records)
    others = [f"{counts[status]} {status}" for status in OTHERS if counts[status]]
    return f"{row.seeds} ({', '.join(others)})" if others else str(row.seeds)


def verdict(difference: Difference, metric: Metric, kind: Kind = GAIN, brief: bool = False) -> str:
    """What a difference allows to be said; `brief` to fit a terminal."""
    if difference.paired is None:
        return "no seed in common"
    seen = difference.paired.estimate
    if seen.n == 1:
        return "one seed in common: no verdict"
    if seen.mean == 0 and not seen.sd:
        return f"the same with all {seen.n} seeds"
    if difference.found:
        return kind.words(metric, seen.mean > 0)
    text = f"not distinguishable with {seen.n} seeds"
    if difference.needed is None:
        return text
    amount = f"{figure(metric, abs(seen.mean))}{' %' if metric.percent else ''}"
    return f"{text} ({amount if brief else f'a difference of {amount}'} would need {_range(*difference.needed)})"


def _range(low: int, high: int) -> str:
    if low > MOST_SEEDS:
        return f"more than {MOST_SEEDS:,}"
    if high > MOST_SEEDS:
        return f"{low} or more"
    return f"some {low} to {high}" if low < high else f"some {low}"


def headline(comparison: Comparison) -> str:
    """How many runs in how many configurations."""
    counts = Counter(record.status if not record.finished else "finished" for record in comparison.records)
    states = ", ".join(f"{counts[status]} {status}" for status in ("finished", *OTHERS) if counts[status])
    different = len({record.seed for record in comparison.records})
    missing = f", {len(comparison.collection.missing)} missing" if comparison.collection.missing else ""
    return (
        f"{count(len(comparison.records), 'run')} ({states}{missing}), "
        f"{count(len(comparison.cells), 'configuration')}, {count(different, 'seed')}"
    )


def notes(comparison: Comparison) -> list[str]:
    """What the figures mean, what they rest on, and what was left out."""
    return [*_meaning(comparison), *_tests(comparison), *_choice(comparison), *left_out(comparison)]


def brief_notes(comparison: Comparison) -> list[str]:
    """For the short table."""
    said = []
    if any(row.difference is not None and row.difference.p_holm is not None for row in comparison.rows):
        against = ", ".join(f"{key}={value}" for key, value in comparison.baseline.values.items())
        said.append(
            f"±: 95 % interval over seeds; difference: {comparison.metric.title} less that of {against}, verdict at "
            "5 % after Holm's correction."
        )
    return [*said, *_one_seed(comparison), *left_out(comparison)]


def _meaning(comparison: Comparison) -> Iterator[str]:
    if comparison.averaged:
        yield f"Averaged over {', '.join(comparison.averaged)}, where all rows have the same values of it."
    if any(row.seeds > 1 for row in comparison.rows):
        yield (
            "±: 95 % interval of the mean over seeds (initial weights, order, augmentation, dropout), on this split "
            "and this test set. Not over splits or other images."
        )
    yield from _one_seed(comparison)
    yield from _test_set(comparison)


def _one_seed(comparison: Comparison) -> Iterator[str]:
    if max((row.seeds for row in comparison.rows), default=0) == 1:
        yield f"One seed: no spread, so no interval and no verdict. For both: {_more_seeds(comparison)}"


def _tests(comparison: Comparison) -> Iterator[str]:
    tested = [row.difference for row in comparison.rows if row.difference is not None]
    pairs = [difference.paired for difference in tested if difference.paired is not None]
    if any(pair.p is not None for pair in pairs):
        made = max(difference.comparisons for difference in tested)
        yield (
            "Differences are paired by seed. p: paired t test, two-sided; flips: exact sign-flip permutation test, up "
            f"to {FEW} pairs; Holm: p corrected for {count(made, 'comparison')}. A verdict needs Holm's at most "
            f"{ALPHA:g}, and flips too where they can reach that. Seeds needed: for a power of 80 % after that "
            "correction, from the 80 % interval of the spread."
        )
    few = [pair for pair in pairs if pair.p is not None and pair.least is not None and pair.least > ALPHA]
    if few:
        fewest = min(pair.estimate.n for pair in few)
        yield (
            f"With {fewest} pairs no permutation test could reach {100 * ALPHA:g} % (at best "
            f"{100 * 2.0 ** (1 - fewest):.3g} %; 6 pairs can): verdicts rest on the t test, and so on differences "
            "that are about normal."
        )
    if any(effect.difference.found for effect in comparison.interactions):
        yield "Keys interact: an effect averaged over the other keys is a mean of unlike ones; the rows say which."
    if any(pair.estimate.n > 1 and not pair.estimate.sd and pair.estimate.mean for pair in pairs):
        yield "Where all differences are the same there is no spread for a t test: p is that of the sign flips."


def _test_set(comparison: Comparison) -> Iterator[str]:
    """The sampling error of the images that accuracies are measured on."""
    tested = any(row.scores.get("test_accuracy") for row in comparison.rows)
    part, name = ("test", "test_accuracy") if tested else ("validation", "val_accuracy")
    sizes = {(r.config["data.fingerprint"], r.images.get(part)) for r in comparison.records if r.finished}
    size = next(iter(sizes))[1] if len(sizes) == 1 else None
    found = next((seen for row in comparison.rows if (seen := row.estimate(name)) is not None), None)
    if found is None or not size:
        return
    low, high = (100 * end for end in wilson(found.mean, size))
    yield (
        f"The {part} set has {size:,} images: {100 * found.mean:.2f} % of them stands for {low:.1f} to {high:.1f} % of "
        "other images of the kind (95 %, Wilson). All configurations share these images, so their differences are "
        "surer than that, but not free of it."
    )


def _choice(comparison: Comparison) -> Iterator[str]:
    """Which is best on validation, and what that is worth."""
    with_figures = [row for row in comparison.rows if row.scores.get("val_accuracy")]
    if len(with_figures) < 2:
        return
    means = {id(row): row.estimate("val_accuracy") for row in with_figures}
    best = max(with_figures, key=lambda row: means[id(row)].mean)  # type: ignore[union-attr]
    val, test = best.estimate("val_accuracy"), best.estimate("test_accuracy")
    assert val is not None
    picked = (
        f"Chosen on validation, the best of {len(with_figures)}: {best.label}, with {100 * val.mean:.2f} %. As the "
        "best of many this figure flatters"
    )
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
            yield f"{count(some, 'run')} {what}."
    wrong = [record for record in records if record.status in ("failed", "broken")]
    for record in wrong[:MOST_FAILURES]:
        where, why = str(record.directory), record.problem or ""
        yield f"{record.status}: {why if where in why else f'{where} ({why})'}"
    if len(wrong) > MOST_FAILURES:
        yield f"and {len(wrong) - MOST_FAILURES} more (regexp-compare --status)"
    if comparison.collection.missing:
        yield f"{count(len(comparison.collection.missing), 'run')} of the sweep left nothing (regexp-compare --status)."
    finished = [record for record in records if record.finished]
    name = comparison.metric.name
    if lacking := sum(name not in record.figures for record in finished):
        yield f"{count(lacking, 'finished run')} without {comparison.metric.title}: not in the differences."
    unequal = {row.seeds for row in comparison.rows if row.seeds}
    if len(unequal) > 1:
        yield f"Rows have {min(unequal)} to {max(unequal)} seeds: differences are over the seeds that both have."
    if (versions := len({record.code for record in finished})) > 1:
        yield f"The runs were trained by {versions} versions of the code that shapes results."
    yield from (f"{remark}." if not remark.endswith(".") else remark for remark in comparison.remarks)
    yield from comparison.collection.remarks


def _more_seeds(comparison: Comparison) -> str:
    """The command that was typed, with five seeds."""
    command = next((record.again for record in comparison.records if record.again), "") or "regexp"
    words = [word for word in shlex.split(command) if not word.startswith("seed=")]
    if "-m" not in words and "--multirun" not in words:
        words.insert(1, "-m")
    return f"{shlex.join(words)} 'seed=range(5)'"


def count(n: int, what: str) -> str:
    """Such as "1 run" or "1,000 runs"."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"
