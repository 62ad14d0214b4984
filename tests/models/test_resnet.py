"""The residual network: its blocks against torchvision's, its sizes, and its random layers."""

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock
from torchvision.ops import StochasticDepth

from regexp.config.compose import compose_job
from regexp.config.schema import OPTIONS, flatten
from regexp.errors import ConfigError
from regexp.models.residual import Residual
from regexp.models.resnet import ResNetArchitecture


def make_architecture(*overrides: str, shape: tuple[int, int, int] = (1, 28, 28)) -> ResNetArchitecture:
    return ResNetArchitecture.from_options(shape, 10, flatten(compose_job(["model=resnet", *overrides]).config))


@pytest.mark.parametrize("training", [True, False])
def test_blocks_compute_what_torchvisions_do(training: bool) -> None:
    module = make_architecture("model.depth=2", "model.width=4", "normalization=batch").make_module()
    x = torch.randn(3, 4, 9, 8)
    blocks = [layer for layer in module if isinstance(layer, Residual)]
    assert len(blocks) == 6
    for block in blocks:
        first, norm, activation, _, second, second_norm = block.layers
        assert isinstance(activation, nn.ReLU)
        downsample = None if isinstance(block.shortcut, nn.Identity) else block.shortcut
        plain = BasicBlock(first.in_channels, first.out_channels, first.stride[0], downsample)
        plain.conv1, plain.bn1, plain.conv2, plain.bn2 = first, norm, second, second_norm
        expected = plain.train(training)(x)
        position = list(module).index(block)
        result = module[position : position + 2].train(training)(x)
        torch.testing.assert_close(result, expected)
        x = expected
    assert x.shape == (3, 16, 3, 2)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 8, 8), (2, 3, 50), (1, 1, 1)])
def test_images_of_any_shape(shape: tuple[int, int, int]) -> None:
    assert make_architecture(shape=shape).make_module()(torch.rand(2, *shape)).shape == (2, 10)


def test_depth_and_width_are_those_of_the_paper() -> None:
    """ResNet-20 of He et al. 2015, table 6: 0.27 million parameters, and two more projections."""
    architecture = make_architecture("model.depth=3", "normalization=batch", shape=(3, 32, 32))
    assert architecture.describe() == "ResNet-20, conv 3-16-32-64, dense 64-10, BatchNorm, relu"
    module = architecture.make_module()
    weights = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    projections = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert len(weights) == 20 + 2
    assert sum(parameter.numel() for parameter in module.parameters()) == 269_722 + projections


@pytest.mark.parametrize("normalization", OPTIONS["normalization"])
def test_convolutions_have_biases_where_nothing_else_shifts(normalization: str) -> None:
    module = make_architecture(f"normalization={normalization}").make_module()
    convolutions = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    assert {layer.bias is not None for layer in convolutions} == {normalization in ("none", "rms")}


def test_rates_are_those_of_the_run() -> None:
    architecture = make_architecture("model.depth=2")
    module = architecture.make_module({"dropout": 0.2, "drop_path": 0.6})
    layers = [layer for layer in module.modules() if isinstance(layer, StochasticDepth)]
    assert [layer.p for layer in layers] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert {layer.mode for layer in layers} == {"row"}
    assert [layer.p for layer in module.modules() if isinstance(layer, nn.Dropout2d)] == [0.2] * 6
    assert not any(isinstance(layer, StochasticDepth) for layer in architecture.make_module().modules())


def test_groups_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match=r"^normalization\.groups=8: must divide .* and model\.width has 12$"):
        make_architecture("model.width=12", "normalization=group")
