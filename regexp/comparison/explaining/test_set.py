"""Notes on the test set as a sample: what its size leaves open, by image where runs have kept predictions.

This module imports no torch.
"""

import math
from collections.abc import Iterator

from regexp.comparison.best import find_best_row
from regexp.comparison.by_image.advice import advise_on_predictions
from regexp.comparison.by_image.ensembles import EnsembleComparison
from regexp.comparison.by_image.pairing import ImagePairing
from regexp.comparison.compare import Comparison
from regexp.comparison.explaining.measured_images import (
    count_noun,
    explain_different_images,
    explain_mixed_data,
    reported_split,
)
from regexp.comparison.loading import format_count
from regexp.comparison.statistics import wilson_interval

# So many problems with files are told.
_MAX_PROBLEMS = 3


def explain_test_set(comparison: Comparison) -> Iterator[str]:
    """Yield the sampling error of the reported accuracies, which are measured on a sample of images."""
    different_images = list(explain_different_images(comparison))
    if different_images or list(explain_mixed_data(comparison)):
        yield from different_images
        return
    split = reported_split(comparison)
    metric = "test_accuracy" if split == "test" else "val_accuracy"
    sizes = {record.image_counts.get(split) for record in comparison.records if record.finished}
    best = find_best_row(comparison.rows)
    estimate = None if best is None else best.estimate(metric)
    if best is None or estimate is None or len(sizes) != 1:
        return
    size, units = sizes.pop(), count_noun(comparison)
    if not size:
        return
    low, high = (100 * bound for bound in wilson_interval(estimate.mean, size))
    text = (
        f"The {split} set is a sample of {size:,} {units}. An accuracy of {100 * estimate.mean:.2f} % on them puts the "
        f"accuracy on the population that they are drawn from between {low:.1f} and {high:.1f} % (95 %, Wilson)"
    )
    baseline = comparison.baseline.estimate(metric)
    place = next(i for i, row in enumerate(comparison.rows) if row is best)
    by_image = comparison.image_pairing.differences.get(place)
    if by_image is not None and comparison.metric.name == metric:
        text += f", and its difference to the baseline may be off by {100 * by_image.images_half_width:.1f} points"
    elif baseline is not None and best is not comparison.baseline:
        # An upper bound for two models on the same images: it assumes that they never get the same one wrong.
        error_sum, difference = 2 - estimate.mean - baseline.mean, estimate.mean - baseline.mean
        max_error = 1.96 * math.sqrt(max(0.0, error_sum - difference**2) / size)
        text += f", and its difference to the baseline may be off by up to {100 * max_error:.1f} points"
        text += " (kept predictions measure it)"
    yield f"{text}. Intervals and verdicts apply to these {units} only."


def explain_images(comparison: Comparison) -> Iterator[str]:
    """Yield what tables by image and of ensembles mean, and which runs they lack."""
    units = count_noun(comparison)
    if comparison.image_pairing.differences:
        yield (
            f"By image: each seed and each of the test {units} has a difference, and both are samples (crossed random "
            f"effects). ± seeds: 95 %, over seeds, for these {units}, as in the verdicts. ± {units}: 95 %, what the "
            f"choice of the {units} adds; more seeds do not reduce it. ± both: for other seeds and other {units}. "
            "Holm: p of that, corrected."
        )
        yield (
            f"p images: McNemar's exact test over {units} for these networks, all pairs of them together (of losses, a "
            "z test). pairs: how many pairs of one seed it tells apart at 5 %, each on its own."
        )
    if comparison.ensembles is not None:
        yield (
            "Ensembles: the mean of the probabilities of a configuration's runs. single: the mean of these runs. gain: "
            f"over that mean. ±: 95 %, and p images: McNemar's exact test, both over {units}, for these networks; "
            "not corrected."
        )
    yield from _explain_missing_predictions(comparison)


def _explain_missing_predictions(comparison: Comparison) -> Iterator[str]:
    """Yield which runs are not in the tables by image, and why; nothing where no run has predictions."""
    parts: list[ImagePairing | EnsembleComparison] = [comparison.image_pairing]
    parts += [] if comparison.ensembles is None else [comparison.ensembles]
    lacking = {record.directory: record for part in parts for record in part.lacking}
    num_finished = sum(record.finished for record in comparison.records)
    if 0 < len(lacking) < num_finished:
        yield (
            f"{format_count(len(lacking), 'finished run')} without predictions: tables by image leave these rows out; "
            f"{advise_on_predictions(list(lacking.values()))}"
        )
    problems = list(dict.fromkeys(problem for part in parts for problem in part.problems))
    yield from problems[:_MAX_PROBLEMS]
    if len(problems) > _MAX_PROBLEMS:
        yield f"and {len(problems) - _MAX_PROBLEMS} more files of predictions that cannot be used."
