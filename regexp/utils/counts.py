"""Sizes of batches; and sizes that are counts or fractions, of images or of the pixels along a side.

A whole number is a count, so 1 is one; a float up to 1.0 is a fraction, so 1.0 is all.
"""

from regexp.utils.messages import format_value


def normalize_size(size: float) -> float:
    """Return a size as a float, so that 1000 and 1e3 are equal; but 1 stays an int, because 1.0 is all."""
    return size if isinstance(size, int) and size == 1 else float(size)


def resolve_count(size: float, total: int) -> int:
    """Return the count that a size stands for.

    Args:
        size: a whole number (int, or a float above 1) is the count itself; a float up to 1.0 is a fraction of `total`,
            and 1.0 is all.
        total: the count that a fraction is taken of.
    """
    return round(size) if isinstance(size, int) or size > 1 else round(size * total)


def format_size(size: float) -> str:
    """Return a size as a user would type it: "1.0" for all, "1" for one, "1000", "0.2"."""
    return format_value(size, mark_fractions=True)


def describe_length(size: float) -> str:
    """Return the size of a length in an image in words: "3 pixels", "0.5 of the side"."""
    if isinstance(size, float) and 0 < size <= 1:
        return "the whole side" if size == 1 else f"{size:.3g} of the side"
    return f"{size:g} pixel{'' if size == 1 else 's'}"


def batch_sizes(count: int, batch_size: int) -> list[int]:
    """Return the sizes of the batches that hold `count` images once.

    A last batch of a single image joins the one before, because BatchNorm refuses it.
    """
    full_batches, rest = divmod(count, batch_size)
    sizes = [batch_size] * full_batches
    if rest == 1 and sizes:
        sizes[-1] += 1
    elif rest > 0:
        sizes.append(rest)
    return sizes
