"""The schema of metrics of the user's own."""

from dataclasses import dataclass
from typing import Any

from regexp.config.fields import shared
from regexp.user_code.targets import normalize_target


@dataclass
class UserMetricConfig:
    """A metric of the user's own."""

    target: str | None = shared(
        None, "function or class that computes it: FILE.py:NAME, or MODULE:NAME", is_target=True
    )
    options: dict[str, Any] = shared({}, "keyword arguments of the target, one a key", is_open=True)
    better: str = shared("higher", "which values are better", choices=("higher", "lower"))
    percent: bool = shared(False, "whether it is a fraction, to be shown in percent")

    def __post_init__(self) -> None:
        """Make equal targets equal values."""
        if isinstance(self.target, str):
            self.target = normalize_target(self.target)
