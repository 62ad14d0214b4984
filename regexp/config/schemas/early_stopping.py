"""The schema of early stopping: its keys for each option."""

from dataclasses import dataclass

from regexp.config.fields import per_run
from regexp.config.metric_registry import MONITORS


@dataclass
class EarlyStoppingConfig:
    """The rules for ending a run before its last epoch, and for the weights that it keeps."""

    name: str = per_run(
        "patience",
        "what ends a run early",
        choices=("patience", "generalization_loss", "progress"),
        omitted="patience",
    )
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

    @property
    def can_end_a_run(self) -> bool:
        """Whether any rule can end a run before its last epoch."""
        return self.patience is not None


@dataclass
class GeneralizationLossConfig(EarlyStoppingConfig):
    """The generalization loss GL (Prechelt 1998)."""

    name: str = per_run("generalization_loss", "a validation loss that far above the lowest one (Prechelt 1998)")
    patience: int | None = per_run(
        None, "number of epochs in a row without improvement after which a run ends, too; null: never", at_least=1
    )
    alpha: float = per_run(
        5.0, "percentage by which the monitored loss must exceed the lowest one so far for a run to end", at_least=0
    )

    @property
    def can_end_a_run(self) -> bool:
        """Whether any rule can end a run before its last epoch."""
        return True


@dataclass
class ProgressConfig(GeneralizationLossConfig):
    """The quotient PQ of generalization loss and progress (Prechelt 1998)."""

    name: str = per_run("progress", "a generalization loss that is large against the progress on the training set")
    alpha: float = per_run(
        0.1,
        "quotient of generalization loss (in percent) and progress (in thousandths) beyond which a run ends",
        at_least=0,
    )
    strip: int = per_run(
        5,
        "number of epochs over which progress is measured; a run ends at the end of such a strip",
        at_least=2,
    )
