"""The typed schema of a configuration: every key, its default, its rule, and what it may differ in.

A field is `shared` (it shapes the computation: all runs of a cohort agree on it) or `per_run` (it is only a number: the
runs of a cohort may differ in it). Nothing else decides what may train together. `identity=False` marks what cannot
change a run's result, such as where it is stored.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

ACTIVATIONS = ("relu", "gelu", "tanh", "sigmoid", "silu", "leaky_relu")
INITS = ("torch", "kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "orthogonal")
MONITORS = ("val_loss", "val_accuracy")
INTERPOLATIONS = ("nearest", "bilinear")


def _field(default: Any, help: str, mark: str, rule: dict[str, Any]) -> Any:
    metadata = {"default": default, "mark": mark, "help": help, **rule}
    if isinstance(default, list | dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def shared(default: Any, help: str, **rule: Any) -> Any:
    """A field on which all runs of a cohort agree."""
    return _field(default, help, "shared", rule)


def per_run(default: Any, help: str, **rule: Any) -> Any:
    """A field in which the runs of a cohort may differ."""
    return _field(default, help, "per_run", rule)


@dataclass
class Data:
    """What is learned from."""

    name: str = shared("digits", "the data set", choices=("digits", "mnist"))
    root: str | None = shared(
        None, "folder that holds the data set; null: $REGEXP_DATA_ROOT, else the user's cache folder", identity=False
    )
    val_size: float = shared(0.2, "validation images: a number, or below 1 a fraction of the training set", above=0)
    train_size: float | None = shared(
        None, "training images to use: a number, or below 1 a fraction of what validation leaves; null: all", above=0
    )
    split_seed: int = shared(0, "decides which images validate; the same for every run seed")
    validation: str = shared(
        "holdout",
        "holdout: held out of the training set; test: the test set validates, as in the lesson",
        choices=("holdout", "test"),
    )


@dataclass
class Model:
    """What learns."""

    name: str = shared("mlp", "the architecture", choices=("mlp",))
    hidden_sizes: list[int] = shared(
        [128], "units of each hidden layer; []: logistic regression", each_at_least=1, each_at_most=1_000_000
    )
    activation: str = shared("relu", "after each hidden layer", choices=ACTIVATIONS)
    dropout: float = per_run(0.0, "probability of dropping a hidden unit, after the activation", at_least=0, below=1)
    init: str = shared("torch", "initial weights; torch: those of nn.Linear", choices=INITS)


@dataclass
class Normalization:
    """Normalization of hidden layers."""

    name: str = shared("none", "after each hidden layer's linear map", choices=("none", "batch", "layer"))


@dataclass
class BatchNorm(Normalization):
    """torch.nn.BatchNorm1d (Ioffe and Szegedy 2015)."""

    name: str = shared("batch", "torch.nn.BatchNorm1d")
    eps: float = shared(1e-5, "added to the variance", above=0)
    momentum: float = shared(0.1, "weight of the newest batch in the running statistics", above=0, at_most=1)


@dataclass
class LayerNorm(Normalization):
    """torch.nn.LayerNorm (Ba, Kiros and Hinton 2016)."""

    name: str = shared("layer", "torch.nn.LayerNorm")
    eps: float = shared(1e-5, "added to the variance", above=0)


@dataclass
class EarlyStopping:
    """When a run ends before its last epoch, and which weights it keeps."""

    patience: int | None = per_run(5, "epochs in a row without improvement that end a run; null: never", at_least=1)
    min_delta: float = per_run(0.0, "an improvement is better than the best by more than this", at_least=0)
    monitor: str = per_run("val_loss", "what is watched", choices=MONITORS)
    restore_best: bool = per_run(
        True, "keep the weights of the epoch with the best monitored value, whatever min_delta; false: the last"
    )


@dataclass
class Optimizer:
    """What every optimizer has."""

    name: str = shared("adam", "the rule", choices=("adam", "adamw", "sgd"))
    lr: float = per_run(1e-3, "learning rate", above=0)
    weight_decay: float = per_run(0.0, "decay of all parameters, as torch.optim applies it", at_least=0)
    clip_norm: float | None = per_run(None, "largest L2 norm of a run's gradient; null: not clipped", above=0)


@dataclass
class Adam(Optimizer):
    """torch.optim.Adam (Kingma and Ba 2015)."""

    betas: list[float] = per_run(
        [0.9, 0.999], "decay of the running means of gradient and square", each_at_least=0, each_below=1, length=2
    )
    eps: float = per_run(1e-8, "added to the denominator", above=0)


@dataclass
class AdamW(Adam):
    """torch.optim.AdamW (Loshchilov and Hutter 2019)."""

    name: str = shared("adamw", "the rule")
    weight_decay: float = per_run(0.01, "decay of all parameters, decoupled from the gradient", at_least=0)


@dataclass
class SGD(Optimizer):
    """torch.optim.SGD."""

    name: str = shared("sgd", "the rule")
    lr: float = per_run(0.05, "learning rate", above=0)
    momentum: float = per_run(0.9, "weight of the past gradients", at_least=0, below=1)
    nesterov: bool = per_run(False, "look ahead along the momentum")


@dataclass
class Schedule:
    """The learning rate over a run; here, the same throughout."""

    name: str = per_run("constant", "learning rate over a run's epochs", choices=("constant", "cosine", "onecycle"))


@dataclass
class Cosine(Schedule):
    """Cosine annealing (Loshchilov and Hutter 2017) after a linear warm-up."""

    name: str = per_run("cosine", "linear warm-up, then half a cosine")
    warmup_epochs: float = per_run(0.0, "epochs of linear warm-up from a hundredth of lr", at_least=0)
    final_fraction: float = per_run(0.0, "of lr, reached after the last epoch", at_least=0, at_most=1)


@dataclass
class OneCycle(Schedule):
    """One cycle up and down (Smith and Topin 2018)."""

    name: str = per_run("onecycle", "up to lr and down again (Smith and Topin 2018)")
    pct_start: float = per_run(0.3, "share of the steps that climb", above=0, below=1)
    div_factor: float = per_run(25.0, "the first learning rate is lr / div_factor", above=0)
    final_div_factor: float = per_run(1e4, "the last one is the first / final_div_factor", above=0)


@dataclass
class Loss:
    """What is minimized: cross entropy."""

    label_smoothing: float = per_run(0.0, "probability spread evenly over all classes", at_least=0, below=1)


@dataclass
class Device:
    """Where and how to compute."""

    kind: str = shared("auto", "auto: cuda, then mps, then cpu", choices=("auto", "cpu", "cuda", "mps"), identity=False)
    index: int | None = shared(None, "which of several GPUs; null: the current one", at_least=0, identity=False)
    precision: str = shared(
        "float32",
        "of parameters and arithmetic; bfloat16: float32 parameters, bfloat16 matrix products",
        choices=("float32", "float64", "bfloat16"),
    )
    threads: int | None = shared(None, "CPU threads; null: torch's choice", at_least=1, at_most=1024, identity=False)


@dataclass
class Config:
    """One run."""

    name: str = per_run(
        "default",
        "folder of this experiment below outputs/",
        pattern=r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}",
        identity=False,
    )
    tags: list[str] = per_run([], "words to find the run by", identity=False)
    seed: int = per_run(0, "of initial weights, order of images, augmentation and dropout")
    epochs: int = per_run(100, "passes over the training set, at most", at_least=1)
    batch_size: int = shared(64, "images a step", at_least=1)
    force: bool = per_run(False, "train anew what is finished; the old results are set aside", identity=False)
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    normalization: Normalization = field(default_factory=Normalization)
    augmentation: dict[str, Any] = per_run({}, "named steps, applied in order (see conf/augmentation)")
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    loss: Loss = field(default_factory=Loss)
    device: Device = field(default_factory=Device)


@dataclass
class Rotate:
    """torchvision.transforms.RandomRotation, about the centre."""

    degrees: float = per_run(10.0, "largest angle, either way", at_least=0, at_most=180)
    interpolation: str = per_run("nearest", "of the resampling", choices=INTERPOLATIONS)
    fill: float = per_run(0.0, "brightness of what comes from outside, in [0, 1]", at_least=0, at_most=1)


@dataclass
class Flip:
    """torchvision.transforms.RandomHorizontalFlip."""

    p: float = per_run(0.5, "probability", at_least=0, at_most=1)


@dataclass
class Shift:
    """torchvision.transforms.RandomCrop back to the image's own size, with padding."""

    padding: float = per_run(0.125, "on every side: pixels, or below 1 a fraction of the side", at_least=0)
    fill: float = per_run(0.0, "brightness of the padding, in [0, 1]", at_least=0, at_most=1)


@dataclass
class Affine:
    """torchvision.transforms.RandomAffine, about the centre."""

    degrees: float = per_run(10.0, "largest angle, either way", at_least=0, at_most=180)
    translate: list[float] = per_run(
        [0.1, 0.1], "largest shift, as fractions of width and height", each_at_least=0, each_at_most=1, length=2
    )
    scale: list[float] = per_run([0.9, 1.1], "smallest and largest factor", each_above=0, length=2)
    shear: float = per_run(0.0, "largest shear along x, in degrees", at_least=0, below=90)
    interpolation: str = per_run("nearest", "of the resampling", choices=INTERPOLATIONS)
    fill: float = per_run(0.0, "brightness of what comes from outside, in [0, 1]", at_least=0, at_most=1)


STEPS: dict[str, type[Any]] = {"rotate": Rotate, "flip": Flip, "shift": Shift, "affine": Affine}

OPTIONS: dict[str, dict[str, type[Any]]] = {
    "data": {"digits": Data, "mnist": Data},
    "model": {"mlp": Model},
    "normalization": {"none": Normalization, "batch": BatchNorm, "layer": LayerNorm},
    "early_stopping": {"default": EarlyStopping, "none": EarlyStopping, "patient": EarlyStopping},
    "optimizer": {"adam": Adam, "adamw": AdamW, "sgd": SGD},
    "schedule": {"constant": Schedule, "cosine": Cosine, "onecycle": OneCycle},
    "device": {"auto": Device, "cpu": Device, "cuda": Device, "mps": Device},
}


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """(dotted key, value, metadata) of every field of a configuration that is not itself a group."""
    for item in fields(node):
        key, value = prefix + item.name, getattr(node, item.name)
        if is_dataclass(value):
            yield from leaves(value, f"{key}.")
        elif isinstance(value, dict) and value and all(is_dataclass(step) for step in value.values()):
            for name, step in value.items():
                yield from leaves(step, f"{key}.{name}.")
        else:
            yield key, value, dict(item.metadata)


def flatten(config: Config) -> dict[str, Any]:
    """Every key with its value; a group's option name stands under the group's own name."""
    return {key.removesuffix(".name"): value for key, value, _ in leaves(config)}


def identity_items(config: Config) -> dict[str, Any]:
    """What of a configuration can change its result.

    The order of augmentation steps does, and is kept by the names' order in `augmentation`.
    """
    items = {key: value for key, value, meta in leaves(config) if meta.get("identity", True)}
    return {**items, "augmentation": list(config.augmentation)}


def cohort_key(config: Config) -> tuple[Any, ...]:
    """Equal for runs that may train together: the `shared` fields."""
    return tuple((key, repr(value)) for key, value, meta in leaves(config) if meta["mark"] == "shared")
