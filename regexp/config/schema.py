"""The typed schema of a configuration: every key with its default, help, constraints and mark (see config.fields)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from regexp.config.fields import iterate_fields, per_run, shared
from regexp.config.schemas.adversarial import AdversarialConfig, FGSMConfig, PGDConfig
from regexp.config.schemas.averaging import AveragingConfig, EMAConfig, SnapshotsConfig, SWAConfig
from regexp.config.schemas.data import DATA_SCHEMAS, DATA_SOURCES, DataConfig, TableConfig
from regexp.config.schemas.device import DeviceConfig
from regexp.config.schemas.early_stopping import EarlyStoppingConfig, GeneralizationLossConfig, ProgressConfig
from regexp.config.schemas.evaluation import EvaluationConfig
from regexp.config.schemas.loss import LOSS_SCHEMAS, CrossEntropyConfig, LossConfig
from regexp.config.schemas.mixing import MIXING_SCHEMAS, MixingConfig
from regexp.config.schemas.model import MODEL_SCHEMAS, MLPConfig, ModelConfig
from regexp.config.schemas.normalization import (
    BatchNormConfig,
    GroupNormConfig,
    LayerNormConfig,
    NormalizationConfig,
    RMSNormConfig,
)
from regexp.config.schemas.optimizer import (
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
    keep_checkpoints: bool = per_run(
        True,
        "keep the checkpoint of a finished run, from which it can go on to more epochs; false: delete it at the end",
        identity=False,
    )
    predictions: bool = per_run(
        False,
        "keep the logits of the test images (predictions.safetensors), by which comparisons pair runs image by image",
        identity=False,
    )
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=MLPConfig)
    normalization: NormalizationConfig = field(default_factory=NormalizationConfig)
    augmentation: dict[str, Any] = per_run({}, "named augmentation steps, applied in order (see conf/augmentation)")
    mixing: MixingConfig = field(default_factory=MixingConfig)
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    averaging: AveragingConfig = field(default_factory=AveragingConfig)
    loss: LossConfig = field(default_factory=CrossEntropyConfig)
    metrics: dict[str, Any] = shared(
        {}, "metrics of your own by name: metrics.NAME.target, .options, .better, .percent", is_open=True
    )
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
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
    "mixing": dict(MIXING_SCHEMAS),
    "early_stopping": {
        "default": EarlyStoppingConfig,
        "none": EarlyStoppingConfig,
        "patient": EarlyStoppingConfig,
        "generalization_loss": GeneralizationLossConfig,
        "progress": ProgressConfig,
    },
    "optimizer": {"adam": AdamConfig, "adamw": AdamWConfig, "sgd": SGDConfig, "rmsprop": RMSpropConfig},
    "schedule": {
        "constant": ScheduleConfig,
        "cosine": CosineConfig,
        "onecycle": OneCycleConfig,
        "step": StepConfig,
        "plateau": PlateauConfig,
    },
    "adversarial": {"none": AdversarialConfig, "fgsm": FGSMConfig, "pgd": PGDConfig},
    "averaging": {"none": AveragingConfig, "ema": EMAConfig, "swa": SWAConfig, "snapshots": SnapshotsConfig},
    "loss": dict(LOSS_SCHEMAS),
    "device": {"auto": DeviceConfig, "cpu": DeviceConfig, "cuda": DeviceConfig, "mps": DeviceConfig},
}


def make_hydra_schema() -> Config:
    """Return the schema from which Hydra composes: groups have their base class, which options replace.

    Hydra lets an option replace a class by one of its subclasses only.
    """
    return Config(model=ModelConfig(), loss=LossConfig())


def flatten(config: Config) -> dict[str, Any]:
    """Return the value of every key; the name of a group's option is under the name of the group."""
    return {key.removesuffix(".name"): value for key, value, _ in iterate_fields(config)}


def identity_items(config: Config) -> dict[str, Any]:
    """Return the keys and values of a configuration that can change the run's result.

    The order of augmentation steps can, so `augmentation` lists their names in order.
    """
    items = {
        key: value
        for key, value, metadata in iterate_fields(config)
        if metadata.get("identity", True) and value != metadata.get("omitted", ...)
    }
    return {**items, "augmentation": list(config.augmentation)}


def find_spanning_option(config: Config) -> str:
    """Return an option by which an epoch depends on the number of all epochs, as typed; "" if there is none."""
    if config.schedule.spans_the_run:
        return f"schedule={config.schedule.name}"
    return f"averaging={config.averaging.name}" if config.averaging.spans_the_run else ""


def add_omitted_values(flat_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flat configuration with the keys that have been added since it was recorded, at which they did nothing.

    See `omitted` in config.fields.
    """
    defaults = flatten(Config())
    values: dict[str, Any] = {}
    for group in OPTIONS:
        values |= _omitted_values(group, str(flat_config.get(group, defaults.get(group, ""))))
    return {**values, **flat_config}


@cache
def _omitted_values(group: str, option: str) -> dict[str, Any]:
    """Return the keys of a group's option that are left out of the identity where they do nothing, with that value."""
    # The name that a configuration has is that of its rule where several options have one: early_stopping=patient.
    schemas = {getattr(schema(), "name", None): schema for schema in OPTIONS[group].values()} | OPTIONS[group]
    if option not in schemas:
        return {}
    keys = iterate_fields(schemas[option](), f"{group}.")
    return {key.removesuffix(".name"): metadata["omitted"] for key, _, metadata in keys if "omitted" in metadata}


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

    Sorted by their keys, streams that differ in their seed, or in how strongly they mix, stand together.
    """
    return repr((list(config.augmentation.values()), config.data.label_noise, config.mixing, config.seed))


def cohort_key(config: Config) -> tuple[tuple[str, str], ...]:
    """Return the values of all `shared` fields as a key, which is equal for runs that may train together.

    It also says of each field that has such a value whether the run has the value with which runs train apart.
    """
    items = []
    for key, value, metadata in iterate_fields(config):
        if metadata["mark"] == "shared":
            items.append((key, repr(value)))
        elif "apart" in metadata:
            items.append((key, "off" if value == metadata["apart"] else "on"))
    return tuple(items)
