"""What a comparison image by image adds to the records of its rows. Imports no torch."""

from typing import Any

from regexp.comparison.compare import Comparison


def describe_images(comparison: Comparison, place: int) -> dict[str, Any]:
    """Return the fields of a row that rest on predictions; None in them where its runs have not kept all of them.

    Args:
        comparison: the comparison.
        place: the place of the row among its rows.

    Returns:
        No fields where no row has predictions, so that tables without any stay as they are.
    """
    return {**_describe_difference(comparison, place), **_describe_ensemble(comparison, place)}


def _describe_difference(comparison: Comparison, place: int) -> dict[str, Any]:
    pairing = comparison.image_pairing
    if not pairing.differences:
        return {}
    item = pairing.differences.get(place)
    bounds: tuple[float | None, float | None] = (None, None)
    if item is not None and item.half_width is not None:
        bounds = item.mean - item.half_width, item.mean + item.half_width
    return {
        "images": None if item is None else item.num_images,
        "seeds_half_width": None if item is None else item.seeds_half_width,
        "images_half_width": None if item is None else item.images_half_width,
        "both_low": bounds[0],
        "both_high": bounds[1],
        "p_both": None if item is None else item.p_value,
        "p_both_holm": pairing.adjusted_p_values.get(place),
        "p_images": None if item is None else item.images_p_value,
        "pairs_told_apart": None if item is None else item.num_significant_pairs,
        "p_images_of_pairs": {} if item is None else item.pair_p_values,
    }


def _describe_ensemble(comparison: Comparison, place: int) -> dict[str, Any]:
    ensembles = comparison.ensembles
    if ensembles is None:
        return {}
    names = dict.fromkeys(name for ensemble in ensembles.ensembles.values() for name in ensemble.metrics)
    item, difference = ensembles.ensembles.get(place), ensembles.differences.get(place)
    return {
        "ensemble_runs": None if item is None else item.num_runs,
        **{f"ensemble_{name}": None if item is None else item.metrics.get(name) for name in names},
        **{f"single_{name}": None if item is None else item.single_metrics.get(name) for name in names},
        "ensemble_gain": None if item is None else item.gain.mean,
        "ensemble_gain_half_width": None if item is None else item.gain.half_width,
        "ensemble_difference": None if difference is None else difference.mean,
        "ensemble_difference_half_width": None if difference is None else difference.half_width,
        "ensemble_p_images": ensembles.p_values.get(place),
    }
