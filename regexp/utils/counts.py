"""Counts of images that may be given as a fraction of all images."""


def resolve_count(size: float, total: int) -> int:
    """Return the number that a size stands for.

    Args:
        size: a whole number (int, or a float above 1) is the count itself; a float up to 1.0 is a fraction of `total`,
            and 1.0 is all.
        total: the count that a fraction is taken of.
    """
    return round(size) if isinstance(size, int) or size > 1 else round(size * total)


def format_size(size: float) -> str:
    """Return a size as a user would type it: "1.0" for all, "1" for one, "1000", "0.2"."""
    return "1.0" if isinstance(size, float) and size == 1 else f"{size:.10g}"
