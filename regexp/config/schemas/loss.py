"""The schema of the loss: its keys for each option.

A field that is the number of a change of the cross entropy names the function in `change`, one that is the weight of a
penalty names it in `penalty`, for utils.lazy (see training.losses.training_loss).
"""

from dataclasses import dataclass
from typing import Any

from regexp.config.fields import per_run, shared
from regexp.user_code.targets import normalize_target


@dataclass
class LossConfig:
    """The keys that all losses share."""

    name: str = shared(
        "cross_entropy",
        "what is minimized",
        choices=("cross_entropy", "focal", "bootstrap", "hard_bootstrap"),
        omitted="cross_entropy",
    )
    label_smoothing: float = per_run(
        0.0,
        "share of the target probability that is spread evenly over all classes",
        at_least=0,
        below=1,
        example=0.1,
    )
    class_weights: str = per_run(
        "none",
        "weights of the classes; balanced: every class of the training set counts the same, however few images it has",
        choices=("none", "balanced"),
        omitted="none",
    )
    confidence_penalty: float = per_run(
        0.0,
        "weight of the entropy of the predicted classes, which is subtracted from the loss",
        penalty="training.losses.confidence_penalty.penalize_confidence",
        at_least=0,
        example=0.1,
        omitted=0.0,
    )


@dataclass
class CrossEntropyConfig(LossConfig):
    """The cross entropy, or a loss of the user's own in its place."""

    target: str | None = shared(
        None,
        "function or class that computes what is minimized: FILE.py:NAME, or MODULE:NAME; null: the cross entropy",
        is_target=True,
    )
    options: dict[str, Any] = shared({}, "keyword arguments of loss.target, one a key", is_open=True)

    def __post_init__(self) -> None:
        """Make equal targets equal values."""
        if isinstance(self.target, str):
            self.target = normalize_target(self.target)


@dataclass
class FocalConfig(LossConfig):
    """The focal loss (Lin et al. 2017)."""

    name: str = shared("focal", "the focal loss (Lin et al. 2017)")
    gamma: float = per_run(
        2.0,
        "power of 1 - p(label) that the cross entropy is multiplied by; 0: the cross entropy",
        change="training.losses.focal.focus",
        at_least=0,
        example=0.5,
    )


@dataclass
class BootstrapConfig(LossConfig):
    """The soft bootstrapping loss (Reed et al. 2015)."""

    name: str = shared("bootstrap", "the soft bootstrapping loss (Reed et al. 2015)")
    beta: float = per_run(
        0.95,
        "weight of the label in the target; the rest is the network's own prediction; 1: the cross entropy",
        change="training.losses.bootstrap.bootstrap_softly",
        above=0,
        at_most=1,
        example=0.5,
    )


@dataclass
class HardBootstrapConfig(LossConfig):
    """The hard bootstrapping loss (Reed et al. 2015)."""

    name: str = shared("hard_bootstrap", "the hard bootstrapping loss (Reed et al. 2015)")
    beta: float = per_run(
        0.8,
        "weight of the label in the target; the rest is the class that the network predicts; 1: the cross entropy",
        change="training.losses.bootstrap.bootstrap_hard",
        above=0,
        at_most=1,
        example=0.5,
    )


LOSS_SCHEMAS: dict[str, type[LossConfig]] = {
    "cross_entropy": CrossEntropyConfig,
    "focal": FocalConfig,
    "bootstrap": BootstrapConfig,
    "hard_bootstrap": HardBootstrapConfig,
}
