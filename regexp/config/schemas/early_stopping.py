"""The schema of early stopping."""

from dataclasses import dataclass

from regexp.config.fields import per_run
from regexp.config.metric_registry import MONITORS


@dataclass
class EarlyStoppingConfig:
    """The rules for ending a run before its last epoch, and for the weights that it keeps."""

    patience: int | None = per_run(
        5, "number of epochs in a row without improvement after which a run ends; null: never", at_least=1
    )
    min_delta: float = per_run(
        0.0, "amount by which a value must be better than the best one to count as an improvement", at_least=0
    )
    monitor: str = per_run(
        "val_loss",
        "metric that decides what an improvement is; also val_NAME of a metric of your own",
        choices=MONITORS,
        further_choices=r"val_\w+",
    )
    restore_best: bool = per_run(
        True,
        "keep the weights of the epoch with the best monitored value, regardless of min_delta; false: the last weights",
    )
