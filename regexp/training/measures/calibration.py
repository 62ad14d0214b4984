"""Whether a run is as sure as it is right: the expected calibration error and the Brier score."""

from torch import Tensor

from regexp.training.measures.tally import Tally


def expected_calibration_error(tally: Tally) -> Tensor:
    """Return the mean distance between confidence and accuracy in bins of the confidence, for each run, [K].

    sum over bins of n_m / N * |accuracy_m - confidence_m| (Guo et al. 2017, equation 3), with 15 bins of equal width.
    """
    return (tally.correct_by_bin - tally.confidence_by_bin).abs().sum(1) / tally.num_images


def brier_score(tally: Tally) -> Tensor:
    """Return the mean over images of |p - y|^2 for each run, [K]: between 0 and 2 (Brier 1950, for several classes)."""
    return tally.brier_sum / tally.num_images
