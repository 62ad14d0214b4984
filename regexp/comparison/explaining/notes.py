"""Notes below a comparison, on the meaning and the basis of its figures and on the runs that they leave out.

This module imports no torch.
"""

import math
import re
from collections.abc import Iterator, Sequence

from regexp.comparison.best import find_best_row
from regexp.comparison.by_image.advice import advise_on_corruptions
from regexp.comparison.compare import Comparison
from regexp.comparison.explaining.looks import explain_looks, explain_margin
from regexp.comparison.explaining.measured_images import (
    explain_different_images,
    explain_mixed_data,
)
from regexp.comparison.explaining.test_set import explain_images, explain_test_set
from regexp.comparison.explaining.training_time import describe_training_time
from regexp.comparison.loading import format_count
from regexp.comparison.rows import pair_by_seed, test_differences
from regexp.comparison.statistics import ALPHA, MAX_SIGN_FLIP_PAIRS
from regexp.comparison.verdicts import format_estimate
from regexp.config.metric_registry import CORRUPTION_METRICS, RUN_METRICS
from regexp.runs.identity import split_code_hash
from regexp.runs.run_record import RunRecord
from regexp.utils.messages import join_words, say, split_command
from regexp.utils.next_commands import command_prefix

MAX_FAILURES = 5


def make_notes(comparison: Comparison) -> list[str]:
    """Return all notes on a comparison, for its long form."""
    return [
        *explain_mixed_data(comparison),
        *_explain_means(comparison),
        *_explain_tests(comparison),
        *explain_looks(comparison),
        *explain_margin(comparison),
        *explain_images(comparison),
        *_explain_effects(comparison),
        *_explain_choice(comparison),
        *explain_exclusions(comparison),
    ]


def make_brief_notes(comparison: Comparison) -> list[str]:
    """Return the notes on the short table at the end of a sweep."""
    lines = []
    if any(row.difference is not None and row.difference.adjusted_p_value is not None for row in comparison.rows):
        baseline = ", ".join(f"{key}={value}" for key, value in comparison.baseline.values.items())
        lines.append(
            f"±: 95 % interval over seeds; difference: {comparison.metric.title} minus that of {baseline}, paired by "
            f"seed; verdict: t test at 5 % after Holm's correction{_explain_unclear(comparison)}."
        )
        lines += [*explain_looks(comparison), *explain_margin(comparison)]
    keeps_last = any(record.config.get("early_stopping.restore_best") is False for record in comparison.records)
    return [
        *lines,
        *(_explain_weights(comparison) if keeps_last else []),
        *_explain_single_seed(comparison),
        *explain_mixed_data(comparison),
        *explain_different_images(comparison),
        *explain_exclusions(comparison),
    ]


def _explain_means(comparison: Comparison) -> Iterator[str]:
    if comparison.averaged_keys:
        yield f"Averaged over {', '.join(comparison.averaged_keys)}: every row is averaged over the same values."
    if any(row.seed_count > 1 for row in comparison.rows):
        yield (
            "±: half the width of the 95 % interval of the mean over seeds (which decide initial weights, order, "
            f"augmentation and dropout), for this split and this test set.{_explain_missing_intervals(comparison)}"
        )
    yield from _explain_weights(comparison)
    yield from _explain_single_seed(comparison)
    yield from describe_training_time(comparison)
    yield from explain_test_set(comparison)


def _explain_weights(comparison: Comparison) -> Iterator[str]:
    """Yield which weights the figures belong to: those of a run's best epoch, or of its last."""
    choices = {
        bool(record.config.get("early_stopping.restore_best", True)) for record in comparison.records if record.finished
    }
    epochs = {frozenset({True}): "its best epoch", frozenset({False}): "its last epoch"}
    epoch = epochs.get(frozenset(choices), "its best or its last epoch, as early_stopping.restore_best says")
    if choices:
        yield f"Figures are those of the weights that a run keeps, of {epoch}."


def _explain_missing_intervals(comparison: Comparison) -> str:
    estimates = [row.estimate(name) for row in comparison.rows for name in ("val_accuracy", "test_accuracy")]
    is_missing = any(estimate is not None and estimate.half_width is None for estimate in estimates)
    return " It is missing where there is only one seed, or where all seeds gave the same value." if is_missing else ""


def _explain_single_seed(comparison: Comparison) -> Iterator[str]:
    if max((row.seed_count for row in comparison.rows), default=0) == 1:
        yield (
            "One seed has no spread, so there is no interval and no verdict. "
            f"To get both: {_command_for_more_seeds(comparison)}"
        )


def _explain_tests(comparison: Comparison) -> Iterator[str]:
    differences = [row.difference for row in comparison.rows if row.difference is not None]
    tests = [difference.test for difference in differences if difference.test is not None]
    tests = [test for test in tests if test.p_value is not None]
    if not tests:
        return
    comparisons = max(difference.family_size for difference in differences)
    level = f"{100 * ALPHA:g} %"
    corrected_level = f"{level}/{comparisons}" if comparisons > 1 else level
    yield (
        "Differences are paired by seed. p: two-sided paired t test. Holm: p corrected for the "
        f"{format_count(comparisons, 'difference')} of this table; each table is corrected on its own. Verdicts use "
        f"Holm's p at {level}{_explain_unclear(comparison)}. Intervals are not corrected, so "
        "one may exclude 0 without a verdict. Seeds needed: for "
        f"a power of 80 % at {corrected_level}, if the true difference is the one seen; the range comes from the 80 % "
        "interval of the spread."
    )
    if any(test.min_sign_flip_p_value is not None and test.min_sign_flip_p_value <= ALPHA for test in tests):
        yield (
            f"flips: exact two-sided sign-flip permutation test for up to {MAX_SIGN_FLIP_PAIRS} pairs, not corrected: "
            "a check that does not assume normal differences."
        )
    too_few_pairs = [
        test for test in tests if test.min_sign_flip_p_value is not None and test.min_sign_flip_p_value > ALPHA
    ]
    if too_few_pairs:
        closest = min(too_few_pairs, key=lambda test: test.min_sign_flip_p_value or 0)
        min_p_value = closest.min_sign_flip_p_value or 0
        yield (
            f"A two-sided sign-flip permutation test of {closest.estimate.n} pairs cannot reach {level} (at best "
            f"{100 * min_p_value:.3g} %), so those verdicts rest on the t test alone, which assumes "
            "that differences are roughly normal."
        )
    if any(not test.estimate.sd and test.estimate.mean for test in tests):
        yield "Where all differences are equal, the t test has no spread to use, and p is that of the sign-flip test."


def _explain_unclear(comparison: Comparison) -> str:
    """Return what "unclear" means, where verdicts without a margin may say so."""
    return "; unclear: not distinguishable from 0" if comparison.margin is None else ""


def _explain_effects(comparison: Comparison) -> Iterator[str]:
    if len(comparison.levels) < 2 or comparison.averaged_keys:
        return
    if not comparison.main_effects:
        is_full_grid = len(comparison.cells) == math.prod(map(len, comparison.levels.values()))
        reason = (
            "the configurations have no seed in common" if is_full_grid else "some combinations of values are missing"
        )
        yield f"No effects of single keys: {reason}."
        return
    test = comparison.main_effects[0].difference.test
    max_seeds = max(row.seed_count for row in comparison.rows)
    if test is not None and test.estimate.n < max_seeds:
        yield f"Effects are computed over the {format_count(test.estimate.n, 'seed')} that all configurations have."
    if any(effect.difference.significant for effect in comparison.interactions):
        yield "Keys interact: the average effect of one key need not hold for any single value of the others."


def _explain_choice(comparison: Comparison) -> Iterator[str]:
    """Yield a note on the best configuration on validation, and how far its figure can be trusted."""
    rows = [row for row in comparison.cells if row.scores.get("val_accuracy")]
    best_row = find_best_row(rows)
    validation = None if best_row is None else best_row.estimate("val_accuracy")
    if best_row is None or validation is None or len(rows) < 2:
        return
    differences = test_differences(
        [pair_by_seed(best_row, row, "val_accuracy") for row in rows if row is not best_row], None
    )
    undistinguished = sum(not difference.significant for difference in differences)
    diverged = sum(record.status == "diverged" for record in best_row.records)
    text = (
        f"Chosen on validation, the best of {len(rows)}: {best_row.title}, with {100 * validation.mean:.2f} % "
        f"({format_count(validation.n, 'seed')}{f'; {diverged} diverged' if diverged else ''})"
    )
    if undistinguished and validation.n > 1:
        text += f"; {undistinguished} of the others cannot be distinguished from it there"
    text += ". As the best of many, this figure is optimistic"
    test = best_row.estimate("test_accuracy")
    if test is not None:
        accuracy = format_estimate(RUN_METRICS["test_accuracy"], test)
        yield f"{text}; the test accuracy, {accuracy} %, had no part in the choice."
    else:
        yield f"{text}, and there is no separate test figure: the test set was used for validation, as in the lesson."


def explain_exclusions(comparison: Comparison) -> Iterator[str]:
    """Yield notes on the runs that are not in the means, and why."""
    records = comparison.records
    for status, explanation in (
        ("diverged", "diverged: not in the means, which are over the seeds that did not diverge"),
        ("pruned", "pruned by a search: not in the means; a command that asks for such a run trains it to its end"),
        ("running", say("still training (regexp-compare --status shows how far)", "still training")),
        (
            "interrupted",
            say(
                "interrupted: run the same command again to resume from the last checkpoint",
                "interrupted: make the same call again to resume from the last checkpoint",
            ),
        ),
    ):
        if number := sum(record.status == status for record in records):
            yield f"{format_count(number, 'run')} {explanation}."
    failures = [record for record in records if record.status in ("failed", "broken")]
    for record in failures[:MAX_FAILURES]:
        directory, problem = str(record.directory), record.problem or ""
        yield f"{record.status}: {problem if directory in problem else f'{directory} ({problem})'}"
    if len(failures) > MAX_FAILURES:
        yield f"and {len(failures) - MAX_FAILURES} more{say(' (see regexp-compare --status)', '')}"
    if comparison.collection.missing_runs:
        missing = format_count(len(comparison.collection.missing_runs), "run")
        yield f"{missing} of the sweep left nothing behind{say(' (see regexp-compare --status)', '')}."
    finished_records = [record for record in records if record.finished]
    metric = comparison.metric.name
    if lacking := [record for record in finished_records if metric not in record.metric_values]:
        advice = advise_on_corruptions(lacking) if metric.removeprefix("test_") in CORRUPTION_METRICS else ""
        yield (
            f"{format_count(len(lacking), 'finished run')} without {comparison.metric.title}: not in the "
            f"differences{f'; {advice}' if advice else '.'}"
        )
    if len({frozenset(row.scores[metric]) for row in comparison.rows if row.scores.get(metric)}) > 1:
        yield (
            "Rows have different seeds: a mean is over all seeds of its row, a difference over the seeds that both "
            "rows have."
        )
    if (versions := len({split_code_hash(record.code)[0] for record in finished_records})) > 1:
        yield f"The runs were trained by {versions} versions of the code that shapes results."
    yield from _find_changed_targets(finished_records)
    yield from (remark if remark.endswith(".") else f"{remark}." for remark in comparison.remarks)
    yield from comparison.collection.remarks


def _find_changed_targets(records: Sequence[RunRecord]) -> Iterator[str]:
    """Yield a note for each target of the user's own that has changed between runs."""
    versions: dict[str, set[str]] = {}
    for record in records:
        targets = ", ".join(str(value) for key, value in record.config.items() if key.endswith(".target"))
        versions.setdefault(targets, set()).add(split_code_hash(record.code)[1])
    for targets, hashes in versions.items():
        if len(hashes) > 1:
            yield f"The runs of {targets} were trained by {len(hashes)} versions of its code."


def _command_for_more_seeds(comparison: Comparison) -> str:
    """Return the command that was typed, with five seeds instead of its own."""
    commands = {record.command for record in comparison.records}
    command = commands.pop() if len(commands) == 1 else ""
    words, seeds = split_command(command), say("'seed=range(5)'", '"seed": range(5)')
    if words[:1] != ["regexp"]:  # several commands, or runs trained from Python
        return f"train the same configurations with more seeds, {say('such as', 'in a grid with')} {seeds}"
    words = [word for word in words if not word.startswith("seed=")]
    if "-m" not in words and "--multirun" not in words:
        words = ["regexp", "-m", *(re.sub("^hydra.run.dir=", "hydra.sweep.dir=", word) for word in words[1:])]
    return f"{command_prefix()}{join_words(words)} 'seed=range(5)'"
