"""The schema of normalization: its keys for each option."""

from dataclasses import dataclass

from regexp.config.fields import shared


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
    virtual_batch: int | None = shared(
        None,
        "number of images of a batch that are normalized together: ghost batch normalization; null: all",
        at_least=2,
        example=16,
        omitted=None,
    )


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
