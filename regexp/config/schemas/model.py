"""The typed schema of models: their keys, defaults and constraints, and the registry of the schemas."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from regexp.config.fields import per_run, shared
from regexp.user_code.targets import normalize_target

ACTIVATIONS = ("relu", "gelu", "tanh", "sigmoid", "silu", "leaky_relu")
INITS = ("torch", "kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "orthogonal")


@dataclass
class ModelConfig:
    """The key that all models share."""

    # The class that implements models.protocol.Architecture, as a path for utils.lazy.
    architecture: ClassVar[str]
    # Whether all draws of a step are made beforehand, so that a CUDA graph can hold it.
    can_be_captured: ClassVar[bool] = False
    # Whether it needs images: the features of a table have no neighbours.
    needs_images: ClassVar[bool] = False

    name: str = shared("mlp", "architecture of the network", choices=("mlp", "cnn", "resnet", "module"))


@dataclass
class NetworkConfig(ModelConfig):
    """The keys of the networks whose layers are chosen by keys."""

    activation: str = shared("relu", "activation function after each hidden layer", choices=ACTIVATIONS)
    dropout: float = per_run(
        0.0,
        "probability of dropping a hidden unit, or a channel of a convolution, after the activation function",
        at_least=0,
        below=1,
        example=0.2,
    )
    input_dropout: float = per_run(
        0.0,
        "probability of dropping a value of the input, before the first layer",
        at_least=0,
        below=1,
        example=0.2,
        omitted=0.0,
    )
    noise: float = per_run(
        0.0,
        "standard deviation of Gaussian noise on hidden units, or channels, after the activation function",
        at_least=0,
        example=0.1,
        omitted=0.0,
    )
    init: str = shared("torch", "distribution of the initial weights; torch: that of torch's own layers", choices=INITS)


@dataclass
class ResidualConfig(NetworkConfig):
    """The keys of networks that may have residual connections."""

    drop_path: float = per_run(
        0.0,
        "probability of dropping the last residual block for an image, of block i of n i / n of it: stochastic depth",
        at_least=0,
        below=1,
        example=0.1,
    )


@dataclass
class MLPConfig(ResidualConfig):
    """A multi-layer perceptron: fully connected layers."""

    architecture: ClassVar[str] = "models.mlp.MLPArchitecture"
    can_be_captured: ClassVar[bool] = True

    name: str = shared("mlp", "fully connected layers")
    hidden_sizes: list[int] = shared(
        [128], "number of units in each hidden layer; []: logistic regression", each_at_least=1, each_at_most=1_000_000
    )
    residual: bool = shared(
        False, "add its input to the output of each hidden layer that has as many units as the hidden layer before it"
    )


@dataclass
class CNNConfig(NetworkConfig):
    """A convolutional network: convolutions with pooling, then dense layers."""

    architecture: ClassVar[str] = "models.cnn.CNNArchitecture"
    needs_images: ClassVar[bool] = True

    name: str = shared("cnn", "convolutions, each with pooling, then dense layers")
    channels: list[int] = shared(
        [32, 64],
        "number of channels of each convolution; after each, pooling halves the image",
        each_at_least=1,
        each_at_most=1_000_000,
    )
    kernel_size: int = shared(3, "height and width of the kernels, in pixels", at_least=1, at_most=31)
    pooling: str = shared("max", "how pooling summarizes squares of 2x2 pixels", choices=("max", "avg"))
    hidden_sizes: list[int] = shared(
        [128], "number of units in each hidden dense layer; []: none", each_at_least=1, each_at_most=1_000_000
    )


@dataclass
class ResNetConfig(ResidualConfig):
    """A residual network for small images (He et al. 2015)."""

    architecture: ClassVar[str] = "models.resnet.ResNetArchitecture"
    needs_images: ClassVar[bool] = True

    name: str = shared("resnet", "residual blocks of two convolutions, in three stages")
    depth: int = shared(
        1,
        "number of blocks in each of the three stages; n: the ResNet of 6n + 2 layers, 3: ResNet-20",
        at_least=1,
        at_most=200,
    )
    width: int = shared(16, "number of channels in the first stage; later ones double it", at_least=1, at_most=100_000)


@dataclass
class ModuleConfig(ModelConfig):
    """A torch module of the user's own."""

    architecture: ClassVar[str] = "models.module.ModuleArchitecture"

    name: str = shared("module", "a torch module of your own")
    target: str | None = shared(
        None, "class or function that makes the module: FILE.py:NAME, or MODULE:NAME", is_target=True
    )
    options: dict[str, Any] = shared({}, "keyword arguments of the target, one a key", is_open=True)

    def __post_init__(self) -> None:
        """Make equal targets equal values."""
        if isinstance(self.target, str):
            self.target = normalize_target(self.target)


MODEL_SCHEMAS: dict[str, type[ModelConfig]] = {
    "mlp": MLPConfig,
    "cnn": CNNConfig,
    "resnet": ResNetConfig,
    "module": ModuleConfig,
}


def rate_names(schema: type[ModelConfig]) -> list[str]:
    """Return the names of a model's keys in which the runs of a cohort may differ, such as "dropout"."""
    return [item.name for item in fields(schema) if item.metadata["mark"] == "per_run"]
