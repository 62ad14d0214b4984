"""The typed schema of evaluation: what is measured once, when a run has ended, beyond what every run is measured by."""

from dataclasses import dataclass

from regexp.config.fields import per_run


@dataclass
class EvaluationConfig:
    """What is measured of a run that has ended. It changes no weight, and so it is no part of a run's identity."""

    corruptions: bool = per_run(
        False,
        "measure the accuracy on test images with noise, blur, rotation, shift and less contrast, when a run has ended",
        identity=False,
    )
