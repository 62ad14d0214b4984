"""The typed schema of a configuration: every key, its default, its rule, and what it may differ in (see fields)."""

from dataclasses import dataclass, field
from typing import Any

from regexp.config.fields import leaves, per_run, shared
from regexp.config.optimizer_schema import (
    AdamConfig,
    AdamWConfig,
    CosineConfig,
    OneCycleConfig,
    OptimizerConfig,
    PlateauConfig,
    RMSpropConfig,
    ScheduleConfig,
    SGDConfig,
    StepConfig,
)

ACTIVATIONS = ("relu", "gelu", "tanh", "sigmoid", "silu", "leaky_relu")
INITS = ("torch", "kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "orthogonal")
DATA = ("digits", "mnist", "fashion_mnist", "kmnist", "image_folder", "arrays")
MONITORS = ("val_loss", "val_accuracy")


@dataclass
class DataConfig:
    """What is learned from."""

    name: str = shared("digits", "the data set", choices=DATA)
    root: str | None = shared(
        None, "folder that holds the data set; null: $REGEXP_DATA_ROOT, else the user's cache folder", identity=False
    )
    val_size: float = shared(
        0.2,
        "validation images, where the data has none of its own: a number, or below 1 a fraction of the training set",
        above=0,
        whole_from=1,
    )
    train_size: float | None = shared(
        None,
        "training images to use: a number, or below 1 a fraction of what validation leaves; null: all",
        above=0,
        whole_from=1,
        example=1000,
    )
    split_seed: int = shared(0, "decides which images validate; the same for every run seed")
    validation: str = shared(
        "holdout",
        "holdout: held out of the training set; test: the test set validates, as in the lesson",
        choices=("holdout", "test"),
    )
    label_noise: float = per_run(
        0.0, "fraction of the training labels replaced at random by another class", at_least=0, at_most=1, example=0.2
    )


@dataclass
class ImageFolderConfig(DataConfig):
    """The user's own pictures: a folder a class, below the root or below its train/, val/ and test/."""

    name: str = shared("image_folder", "the data set")
    image_size: int | None = shared(
        None, "side to which pictures are cut and resized; null: as they are, all alike", at_least=1, at_most=4096
    )
    grayscale: bool | None = shared(None, "true: one channel, false: three; null: as the pictures are, all alike")


@dataclass
class ArraysConfig(DataConfig):
    """The user's own arrays."""

    name: str = shared("arrays", "the data set")
    path: str | None = shared(None, ".npz file that holds images and labels", identity=False)


@dataclass
class ModelConfig:
    """What learns."""

    name: str = shared("mlp", "the architecture", choices=("mlp",))
    hidden_sizes: list[int] = shared(
        [128], "units of each hidden layer; []: logistic regression", each_at_least=1, each_at_most=1_000_000
    )
    activation: str = shared("relu", "after each hidden layer", choices=ACTIVATIONS)
    dropout: float = per_run(
        0.0, "probability of dropping a hidden unit, after the activation", at_least=0, below=1, example=0.2
    )
    init: str = shared("torch", "initial weights; torch: those of nn.Linear", choices=INITS)


@dataclass
class NormalizationConfig:
    """Normalization of hidden layers."""

    name: str = shared("none", "after each hidden layer's linear map", choices=("none", "batch", "layer"))


@dataclass
class BatchNormConfig(NormalizationConfig):
    """torch.nn.BatchNorm1d (Ioffe and Szegedy 2015)."""

    name: str = shared("batch", "torch.nn.BatchNorm1d")
    eps: float = shared(1e-5, "added to the variance", above=0)
    momentum: float = shared(0.1, "weight of the newest batch in the running statistics", above=0, at_most=1)


@dataclass
class LayerNormConfig(NormalizationConfig):
    """torch.nn.LayerNorm (Ba, Kiros and Hinton 2016)."""

    name: str = shared("layer", "torch.nn.LayerNorm")
    eps: float = shared(1e-5, "added to the variance", above=0)


@dataclass
class EarlyStoppingConfig:
    """When a run ends before its last epoch, and which weights it keeps."""

    patience: int | None = per_run(5, "epochs in a row without improvement that end a run; null: never", at_least=1)
    min_delta: float = per_run(0.0, "an improvement is better than the best by more than this", at_least=0)
    monitor: str = per_run("val_loss", "what is watched", choices=MONITORS)
    restore_best: bool = per_run(
        True, "keep the weights of the epoch with the best monitored value, whatever min_delta; false: the last"
    )


@dataclass
class LossConfig:
    """What is minimized: cross entropy."""

    label_smoothing: float = per_run(
        0.0, "probability spread evenly over all classes", at_least=0, below=1, example=0.1
    )


@dataclass
class DeviceConfig:
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
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    normalization: NormalizationConfig = field(default_factory=NormalizationConfig)
    augmentation: dict[str, Any] = per_run({}, "named steps, applied in order (see conf/augmentation)")
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)


OPTIONS: dict[str, dict[str, type[Any]]] = {
    "data": {
        "digits": DataConfig,
        "mnist": DataConfig,
        "fashion_mnist": DataConfig,
        "kmnist": DataConfig,
        "image_folder": ImageFolderConfig,
        "arrays": ArraysConfig,
    },
    "model": {"mlp": ModelConfig},
    "normalization": {"none": NormalizationConfig, "batch": BatchNormConfig, "layer": LayerNormConfig},
    "early_stopping": {"default": EarlyStoppingConfig, "none": EarlyStoppingConfig, "patient": EarlyStoppingConfig},
    "optimizer": {"adam": AdamConfig, "adamw": AdamWConfig, "sgd": SGDConfig, "rmsprop": RMSpropConfig},
    "schedule": {
        "constant": ScheduleConfig,
        "cosine": CosineConfig,
        "onecycle": OneCycleConfig,
        "step": StepConfig,
        "plateau": PlateauConfig,
    },
    "device": {"auto": DeviceConfig, "cpu": DeviceConfig, "cuda": DeviceConfig, "mps": DeviceConfig},
}


def flatten(config: Config) -> dict[str, Any]:
    """Every key with its value; a group's option name stands under the group's own name."""
    return {key.removesuffix(".name"): value for key, value, _ in leaves(config)}


def identity_items(config: Config) -> dict[str, Any]:
    """What of a configuration can change its result.

    The order of augmentation steps does, and is kept by the names' order in `augmentation`.
    """
    items = {key: value for key, value, meta in leaves(config) if meta.get("identity", True)}
    return {**items, "augmentation": list(config.augmentation)}


def data_source(config: Config) -> tuple[Any, ...]:
    """Where data comes from and how it is read: the arguments of sources.locate."""
    keys = ("name", "root", "path", "image_size", "grayscale")
    return tuple(getattr(config.data, key, None) for key in keys)


def stream_key(config: Config) -> str:
    """Equal for runs that see the same images in the same order: one image stream serves them all."""
    return repr((config.seed, list(config.augmentation.values()), config.data.label_noise))


def cohort_key(config: Config) -> tuple[Any, ...]:
    """Equal for runs that may train together: the `shared` fields."""
    return tuple((key, repr(value)) for key, value, meta in leaves(config) if meta["mark"] == "shared")
