"""The typed schema of optimizers and learning-rate schedules: their keys, defaults and rules."""

from dataclasses import dataclass

from regexp.config.fields import per_run, shared

SCHEDULES = ("constant", "cosine", "onecycle", "step", "plateau")


@dataclass
class OptimizerConfig:
    """What every optimizer has."""

    name: str = shared("adam", "the rule", choices=("adam", "adamw", "sgd", "rmsprop"))
    lr: float = per_run(1e-3, "learning rate", above=0)
    weight_decay: float = per_run(0.0, "decay of all parameters, as torch.optim applies it", at_least=0)
    l1: float = per_run(0.0, "weight in the loss of the sum of all parameters' absolute values", at_least=0)
    clip_norm: float | None = per_run(None, "largest L2 norm of a run's gradient; null: not clipped", above=0)


@dataclass
class AdamConfig(OptimizerConfig):
    """torch.optim.Adam (Kingma and Ba 2015)."""

    betas: list[float] = per_run(
        [0.9, 0.999], "decay of the running means of gradient and square", each_at_least=0, each_below=1, length=2
    )
    eps: float = per_run(1e-8, "added to the denominator", above=0)


@dataclass
class AdamWConfig(AdamConfig):
    """torch.optim.AdamW (Loshchilov and Hutter 2019)."""

    name: str = shared("adamw", "the rule")
    weight_decay: float = per_run(0.01, "decay of all parameters, decoupled from the gradient", at_least=0)


@dataclass
class SGDConfig(OptimizerConfig):
    """torch.optim.SGD."""

    name: str = shared("sgd", "the rule")
    lr: float = per_run(0.05, "learning rate", above=0)
    momentum: float = per_run(0.9, "weight of the past gradients", at_least=0, below=1)
    nesterov: bool = per_run(False, "look ahead along the momentum")


@dataclass
class RMSpropConfig(OptimizerConfig):
    """torch.optim.RMSprop (Tieleman and Hinton 2012)."""

    name: str = shared("rmsprop", "the rule")
    alpha: float = per_run(0.99, "decay of the running mean of the square", at_least=0, below=1)
    eps: float = per_run(1e-8, "added to the denominator", above=0)
    momentum: float = per_run(0.0, "weight of the past updates", at_least=0, below=1)
    centered: bool = per_run(False, "divide by an estimate of the gradient's standard deviation")


@dataclass
class ScheduleConfig:
    """The learning rate over a run; here, the same throughout."""

    name: str = per_run("constant", "learning rate over a run's epochs", choices=SCHEDULES)


@dataclass
class CosineConfig(ScheduleConfig):
    """Cosine annealing (Loshchilov and Hutter 2017) after a linear warm-up."""

    name: str = per_run("cosine", "linear warm-up, then half a cosine")
    warmup_epochs: float = per_run(0.0, "epochs of linear warm-up from a hundredth of lr", at_least=0)
    final_fraction: float = per_run(0.0, "of lr, reached after the last epoch", at_least=0, at_most=1)


@dataclass
class OneCycleConfig(ScheduleConfig):
    """One cycle up and down (Smith and Topin 2018)."""

    name: str = per_run("onecycle", "up to lr and down again (Smith and Topin 2018)")
    pct_start: float = per_run(0.3, "share of the steps that climb", above=0, below=1)
    div_factor: float = per_run(25.0, "the first learning rate is lr / div_factor", above=0)
    final_div_factor: float = per_run(1e4, "the last one is the first / final_div_factor", above=0)


@dataclass
class StepConfig(ScheduleConfig):
    """A drop every few epochs; torch.optim.lr_scheduler.StepLR."""

    name: str = per_run("step", "a drop every few epochs")
    step_size: int = per_run(10, "epochs from drop to drop", at_least=1)
    gamma: float = per_run(0.1, "factor of each drop", above=0, at_most=1)


@dataclass
class PlateauConfig(ScheduleConfig):
    """A drop when the monitored value no longer improves; torch.optim.lr_scheduler.ReduceLROnPlateau."""

    name: str = per_run("plateau", "a drop when early_stopping.monitor no longer improves")
    factor: float = per_run(0.1, "of each drop", above=0, below=1)
    patience: int = per_run(2, "epochs in a row without improvement that are let pass", at_least=0)
    threshold: float = per_run(1e-4, "an improvement is better by more than this fraction", at_least=0, below=1)
    cooldown: int = per_run(0, "epochs after a drop that are not counted", at_least=0)
    min_lr: float = per_run(0.0, "the learning rate goes no lower", at_least=0)
