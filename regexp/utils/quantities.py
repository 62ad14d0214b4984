"""Sizes of files and ages as people read them."""


def format_bytes(size: float) -> str:
    """Return a size in bytes as megabytes or gigabytes: "47 MB", "1.2 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"


def format_age(seconds: float) -> str:
    """Return an age in whole days, hours, minutes or seconds: "2 hours"."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{max(1, int(seconds))} second{'s' if seconds >= 2 else ''}"
