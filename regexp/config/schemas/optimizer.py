"""The typed schema of optimizers and learning-rate schedules: their keys, defaults and constraints."""

from dataclasses import dataclass
from typing import ClassVar

from regexp.config.fields import per_run, shared

SCHEDULES = ("constant", "cosine", "onecycle", "step", "plateau")


@dataclass
class OptimizerConfig:
    """The keys that all optimizers share."""

    name: str = shared("adam", "name of the optimizer", choices=("adam", "adamw", "sgd", "rmsprop"))
    lr: float = per_run(1e-3, "learning rate", above=0)
    weight_decay: float = per_run(0.0, "weight decay of all parameters, as torch.optim applies it", at_least=0)
    l1: float = per_run(0.0, "L1 penalty: weight of the sum of all parameters' absolute values in the loss", at_least=0)
    clip_norm: float | None = per_run(None, "L2 norm to which a run's gradient is clipped; null: no clipping", above=0)
    max_norm: float | None = per_run(
        None,
        "max-norm: largest L2 norm of the incoming weights of a unit; null: no bound",
        above=0,
        omitted=None,
        example=3.0,
    )
    sam_rho: float = per_run(
        0.0,
        "sharpness-aware minimization: distance at which gradients are taken; 0: off; twice the time",
        at_least=0,
        omitted=0.0,
        apart=0.0,
        example=0.05,
    )
    sam_adaptive: bool = shared(False, "ASAM: sam_rho is relative to the size of the weights", omitted=False)
    lookahead_k: int | None = per_run(
        None,
        "Lookahead: number of steps after which the weights are set back to slow ones; null: off",
        at_least=1,
        omitted=None,
        example=5,
    )
    lookahead_alpha: float = per_run(
        0.5, "Lookahead: step size of the slow weights", above=0, at_most=1, omitted=0.5, example=0.8
    )
    gradient_noise: float = per_run(
        0.0,
        "variance of Gaussian noise on the gradient in the first step, which decays over the steps; 0: off",
        at_least=0,
        omitted=0.0,
        apart=0.0,
        example=0.01,
    )


@dataclass
class AdamConfig(OptimizerConfig):
    """torch.optim.Adam (Kingma and Ba 2015)."""

    betas: list[float] = per_run(
        [0.9, 0.999],
        "decay rates of the running means of the gradient and of its square",
        each_at_least=0,
        each_below=1,
        length=2,
    )
    eps: float = per_run(1e-8, "constant added to the denominator", above=0)


@dataclass
class AdamWConfig(AdamConfig):
    """torch.optim.AdamW (Loshchilov and Hutter 2019)."""

    name: str = shared("adamw", "name of the optimizer")
    weight_decay: float = per_run(0.01, "weight decay of all parameters, decoupled from the gradient", at_least=0)


@dataclass
class SGDConfig(OptimizerConfig):
    """torch.optim.SGD."""

    name: str = shared("sgd", "name of the optimizer")
    lr: float = per_run(0.05, "learning rate", above=0)
    momentum: float = per_run(0.9, "weight of the past gradients in a step", at_least=0, below=1)
    nesterov: bool = per_run(False, "Nesterov momentum: look ahead along the momentum")


@dataclass
class RMSpropConfig(OptimizerConfig):
    """torch.optim.RMSprop (Tieleman and Hinton 2012)."""

    name: str = shared("rmsprop", "name of the optimizer")
    alpha: float = per_run(0.99, "decay rate of the running mean of the squared gradient", at_least=0, below=1)
    eps: float = per_run(1e-8, "constant added to the denominator", above=0)
    momentum: float = per_run(0.0, "weight of the past updates in a step", at_least=0, below=1)
    centered: bool = per_run(
        False, "divide by an estimate of the gradient's standard deviation, not by its root mean square"
    )


@dataclass
class ScheduleConfig:
    """A constant learning rate, and the key that all schedules share.

    Attributes:
        spans_the_run: whether the learning rate of an epoch depends on the number of all epochs.
    """

    spans_the_run: ClassVar[bool] = False

    name: str = per_run("constant", "how the learning rate changes over a run's epochs", choices=SCHEDULES)


@dataclass
class CosineConfig(ScheduleConfig):
    """Cosine annealing (Loshchilov and Hutter 2017) after a linear warm-up."""

    spans_the_run: ClassVar[bool] = True

    name: str = per_run("cosine", "linear warm-up, then a decrease along half a cosine")
    warmup_epochs: float = per_run(0.0, "number of epochs of linear warm-up from a hundredth of lr", at_least=0)
    final_fraction: float = per_run(0.0, "fraction of lr that is reached after the last epoch", at_least=0, at_most=1)


@dataclass
class OneCycleConfig(ScheduleConfig):
    """One rise and fall of the learning rate (Smith and Topin 2018); torch.optim.lr_scheduler.OneCycleLR."""

    spans_the_run: ClassVar[bool] = True

    name: str = per_run("onecycle", "one rise to lr and fall back (Smith and Topin 2018)")
    pct_start: float = per_run(0.3, "fraction of the steps in which the learning rate rises", above=0, below=1)
    div_factor: float = per_run(25.0, "ratio of lr to the first learning rate", above=0)
    final_div_factor: float = per_run(1e4, "ratio of the first learning rate to the last", above=0)


@dataclass
class StepConfig(ScheduleConfig):
    """A drop of the learning rate every few epochs, as torch.optim.lr_scheduler.StepLR."""

    name: str = per_run("step", "a drop of the learning rate every few epochs")
    step_size: int = per_run(10, "number of epochs between drops", at_least=1)
    gamma: float = per_run(0.1, "factor by which the learning rate is multiplied at each drop", above=0, at_most=1)


@dataclass
class PlateauConfig(ScheduleConfig):
    """A drop of the learning rate on a plateau, as torch.optim.lr_scheduler.ReduceLROnPlateau."""

    name: str = per_run("plateau", "a drop of the learning rate when early_stopping.monitor no longer improves")
    factor: float = per_run(0.1, "factor by which the learning rate is multiplied at each drop", above=0, below=1)
    patience: int = per_run(2, "number of epochs in a row without improvement to tolerate before a drop", at_least=0)
    threshold: float = per_run(
        1e-4,
        "fraction by which a value must be better than the best one to count as an improvement",
        at_least=0,
        below=1,
    )
    cooldown: int = per_run(0, "number of epochs after a drop in which improvement is not checked", at_least=0)
    min_lr: float = per_run(0.0, "lowest learning rate", at_least=0)
