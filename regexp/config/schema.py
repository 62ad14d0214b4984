"""The typed schema of a configuration: every key with its default, help, constraints and mark (see config.fields)."""

from dataclasses import dataclass, field
from typing import Any

from regexp.config.data_schema import DATA_SCHEMAS, DATA_SOURCES, DataConfig, TableConfig
from regexp.config.fields import iterate_fields, per_run, shared
from regexp.config.metric_registry import MONITORS
from regexp.config.model_schema import MODEL_SCHEMAS, MLPConfig, ModelConfig
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
from regexp.user_code.targets import normalize_target


@dataclass
class NormalizationConfig:
    """Normalization of hidden layers."""

    name: str = shared(
        "none",
        "normalization between the linear map and the activation function of each hidden layer",
        choices=("none", "batch", "layer", "group", "rms"),
    )


@dataclass
class BatchNormConfig(NormalizationConfig):
    """Batch normalization (Ioffe and Szegedy 2015), as torch.nn.BatchNorm1d."""

    name: str = shared("batch", "batch normalization, as torch.nn.BatchNorm1d")
    eps: float = shared(1e-5, "constant added to the variance", above=0)
    momentum: float = shared(0.1, "weight of the newest batch in the running mean and variance", above=0, at_most=1)


@dataclass
class LayerNormConfig(NormalizationConfig):
    """Layer normalization (Ba, Kiros and Hinton 2016), as torch.nn.LayerNorm."""

    name: str = shared("layer", "layer normalization, as torch.nn.LayerNorm")
    eps: float = shared(1e-5, "constant added to the variance", above=0)


@dataclass
class GroupNormConfig(NormalizationConfig):
    """Group normalization (Wu and He 2018), as torch.nn.GroupNorm."""

    name: str = shared("group", "group normalization, as torch.nn.GroupNorm")
    groups: int = shared(8, "number of groups, which must divide the sizes of all layers", at_least=1)
    eps: float = shared(1e-5, "constant added to the variance", above=0)


@dataclass
class RMSNormConfig(NormalizationConfig):
    """Root-mean-square normalization (Zhang and Sennrich 2019), as torch.nn.RMSNorm."""

    name: str = shared("rms", "root-mean-square normalization, as torch.nn.RMSNorm")
    eps: float = shared(1e-5, "constant added to the mean square", above=0)


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


@dataclass
class UserMetricConfig:
    """A metric of the user's own."""

    target: str | None = shared(
        None, "function or class that computes it: FILE.py:NAME, or MODULE:NAME", is_target=True
    )
    options: dict[str, Any] = shared({}, "keyword arguments of the target, one a key", is_open=True)
    better: str = shared("higher", "which values are better", choices=("higher", "lower"))
    percent: bool = shared(False, "whether it is a fraction, to be shown in percent")

    def __post_init__(self) -> None:
        """Make equal targets equal values."""
        if isinstance(self.target, str):
            self.target = normalize_target(self.target)


@dataclass
class DeviceConfig:
    """The device and precision to compute with."""

    kind: str = shared(
        "auto", "kind of device; auto: cuda, else mps, else cpu", choices=("auto", "cpu", "cuda", "mps"), identity=False
    )
    index: int | None = shared(
        None, "index of the GPU, if there are several; null: the current one", at_least=0, identity=False
    )
    precision: str = shared(
        "float32",
        "precision of parameters and arithmetic; bfloat16: float32 parameters, matrix products in bfloat16",
        choices=("float32", "float64", "bfloat16"),
    )
    threads: int | None = shared(
        None,
        "number of CPU threads; null: one, or torch's default where the layers are large",
        at_least=1,
        at_most=1024,
        identity=False,
    )
    graphs: bool = shared(
        False,
        "launch all steps of an epoch at once as a CUDA graph, in cohorts of at most 64 runs; for small networks",
        identity=False,
    )


@dataclass
class Config:
    """The configuration of one run."""

    name: str = per_run(
        "default",
        "name of the experiment and of its directory in outputs/",
        pattern=r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}",
        identity=False,
    )
    tags: list[str] = per_run([], "words to find the run by", identity=False)
    seed: int = per_run(0, "seed of the initial weights, the order of images, augmentation and dropout")
    epochs: int = per_run(100, "maximum number of passes over the training set", at_least=1)
    batch_size: int = shared(64, "number of images in each optimizer step", at_least=1)
    force: bool = per_run(False, "train a finished run again; its old results are set aside", identity=False)
    keep: bool = per_run(
        False, "count runs as finished that an earlier version of the training code has finished", identity=False
    )
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=MLPConfig)
    normalization: NormalizationConfig = field(default_factory=NormalizationConfig)
    augmentation: dict[str, Any] = per_run({}, "named augmentation steps, applied in order (see conf/augmentation)")
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    metrics: dict[str, Any] = shared(
        {}, "metrics of your own by name: metrics.NAME.target, .options, .better, .percent", is_open=True
    )
    device: DeviceConfig = field(default_factory=DeviceConfig)


OPTIONS: dict[str, dict[str, type[Any]]] = {
    "data": {name: DATA_SCHEMAS.get(name, DataConfig) for name in DATA_SOURCES},
    "model": dict(MODEL_SCHEMAS),
    "normalization": {
        "none": NormalizationConfig,
        "batch": BatchNormConfig,
        "layer": LayerNormConfig,
        "group": GroupNormConfig,
        "rms": RMSNormConfig,
    },
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


def make_hydra_schema() -> Config:
    """Return the schema from which Hydra composes: groups have their base class, which options replace.

    Hydra lets an option replace a class by one of its subclasses only.
    """
    return Config(model=ModelConfig())


def flatten(config: Config) -> dict[str, Any]:
    """Return the value of every key; the name of a group's option is under the name of the group."""
    return {key.removesuffix(".name"): value for key, value, _ in iterate_fields(config)}


def identity_items(config: Config) -> dict[str, Any]:
    """Return the keys and values of a configuration that can change the run's result.

    The order of augmentation steps can, so `augmentation` lists their names in order.
    """
    items = {key: value for key, value, metadata in iterate_fields(config) if metadata.get("identity", True)}
    return {**items, "augmentation": list(config.augmentation)}


def list_targets(config: Config) -> list[str]:
    """Return the values of all keys of a configuration that name code of the user's own."""
    return [
        value
        for _, value, metadata in iterate_fields(config)
        if metadata.get("is_target", False) and isinstance(value, str)
    ]


def source_arguments(config: Config) -> tuple[Any, ...]:
    """Return the arguments of data.sources.locate for a configuration."""
    keys = ("name", "root", "path", "image_size", "grayscale", "scale")
    table = config.data.table_options() if isinstance(config.data, TableConfig) else None
    return (*(getattr(config.data, key, None) for key in keys), table)


def stream_key(config: Config) -> str:
    """Return the key of a run's image stream: equal for runs of a cohort that see the same images in the same order.

    Sorted by their keys, streams that differ in their seed only stand together.
    """
    return repr((list(config.augmentation.values()), config.data.label_noise, config.seed))


def cohort_key(config: Config) -> tuple[Any, ...]:
    """Return the values of all `shared` fields as a key, which is equal for runs that may train together."""
    return tuple((key, repr(value)) for key, value, metadata in iterate_fields(config) if metadata["mark"] == "shared")
