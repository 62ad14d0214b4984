"""The schema of the loss."""

from dataclasses import dataclass
from typing import Any

from regexp.config.fields import per_run, shared
from regexp.user_code.targets import normalize_target


@dataclass
class LossConfig:
    """The loss: cross entropy, or one of the user's own, changed by terms.

    A field that is the weight of a term names the function of its term in `function`, for utils.lazy (see
    training.loss).
    """

    target: str | None = shared(
        None,
        "function or class that computes what is minimized: FILE.py:NAME, or MODULE:NAME; null: the cross entropy",
        is_target=True,
    )
    options: dict[str, Any] = shared({}, "keyword arguments of loss.target, one a key", is_open=True)

    label_smoothing: float = per_run(
        0.0,
        "share of the target probability that is spread evenly over all classes",
        function="training.loss.smooth_labels",
        at_least=0,
        below=1,
        example=0.1,
    )

    def __post_init__(self) -> None:
        """Make equal targets equal values."""
        if isinstance(self.target, str):
            self.target = normalize_target(self.target)
