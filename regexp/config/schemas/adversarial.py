"""The schema of adversarial training: its keys for each option."""

from dataclasses import dataclass

from regexp.config.fields import per_run, shared


@dataclass
class AdversarialConfig:
    """No adversarial training, and the key that all options share."""

    name: str = shared(
        "none",
        "training on images that are changed so that the network errs",
        choices=("none", "fgsm", "pgd"),
        omitted="none",
    )


@dataclass
class FGSMConfig(AdversarialConfig):
    """The fast gradient sign method (Goodfellow, Shlens and Szegedy 2015)."""

    name: str = shared("fgsm", "one step along the sign of the gradient")
    epsilon: float = per_run(0.1, "largest change of a pixel, of which 1 is white", at_least=0)
    share: float = shared(0.5, "share of the images of a batch that are changed", above=0, at_most=1)


@dataclass
class PGDConfig(AdversarialConfig):
    """Projected gradient descent (Madry et al. 2018)."""

    name: str = shared("pgd", "several steps along the sign of the gradient, from a random start")
    epsilon: float = per_run(0.1, "largest change of a pixel, of which 1 is white", at_least=0)
    share: float = shared(1.0, "share of the images of a batch that are changed", above=0, at_most=1)
    steps: int = shared(7, "number of steps, each of which takes a pass", at_least=1)
    step_size: float | None = per_run(
        None, "change of a pixel in a step; null: 2.5 * epsilon / steps, which reaches every pixel's bound", above=0
    )
