"""The convolutional network: its layers, its sizes, and images that are too small for it."""

from typing import Any

import pytest
import torch
from torch import nn

from regexp.config.compose import compose_job
from regexp.config.schema import flatten
from regexp.errors import ConfigError
from regexp.models.cnn import CNNArchitecture
from regexp.models.mlp import MLPArchitecture
from regexp.models.normalization import ChannelRMSNorm


def make_architecture(*overrides: str, shape: tuple[int, int, int] = (1, 28, 28)) -> CNNArchitecture:
    return CNNArchitecture.from_options(shape, 10, flatten(compose_job(["model=cnn", *overrides]).config))


@pytest.mark.parametrize(
    ("normalization", "channel_layer", "unit_layer"),
    [
        ("none", None, None),
        ("batch", nn.BatchNorm2d, nn.BatchNorm1d),
        ("layer", nn.GroupNorm, nn.LayerNorm),
        ("group", nn.GroupNorm, nn.GroupNorm),
        ("rms", ChannelRMSNorm, nn.RMSNorm),
    ],
)
def test_the_layers_are_in_their_order(normalization: str, channel_layer: Any, unit_layer: Any) -> None:
    overrides = ["model.channels=[4,6]", "model.hidden_sizes=[8]", "model.kernel_size=5", "model.pooling=avg"]
    overrides += ["normalization.groups=2"] if normalization == "group" else []
    architecture = make_architecture(*overrides, f"normalization={normalization}", "model.activation=gelu")
    module = architecture.make_module({"dropout": 0.3})
    block = [nn.Conv2d, channel_layer, nn.GELU, nn.AvgPool2d, nn.Dropout2d]
    expected = [*block, *block, nn.Flatten, nn.Linear, unit_layer, nn.GELU, nn.Dropout, nn.Linear]
    assert [type(layer) for layer in module] == [layer for layer in expected if layer is not None]
    assert all(layer.p == 0.3 for layer in module if isinstance(layer, nn.Dropout | nn.Dropout2d))
    assert {layer.bias is None for layer in module if isinstance(layer, nn.Conv2d)} == {
        normalization not in ("none", "rms")
    }
    num_groups = 2 if normalization == "group" else 1
    assert all(layer.num_groups == num_groups for layer in module if isinstance(layer, nn.GroupNorm))
    assert module(torch.rand(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 9), (2, 4, 100)])
def test_images_of_any_shape(shape: tuple[int, int, int]) -> None:
    architecture = make_architecture(shape=shape)
    assert architecture.make_module()(torch.rand(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 6])
def test_kernels_of_any_size_keep_the_size_of_images(kernel_size: int) -> None:
    module = make_architecture(f"model.kernel_size={kernel_size}").make_module()
    images = torch.rand(2, 1, 28, 28)
    [first] = [layer for layer in module if isinstance(layer, nn.Conv2d)][:1]
    position = list(module).index(first)
    padded = torch.nn.functional.pad(images, [(kernel_size - 1) // 2, kernel_size // 2] * 2)
    expected = torch.nn.functional.conv2d(padded, first.weight, first.bias)
    assert expected.shape[2:] == images.shape[2:]
    torch.testing.assert_close(module[: position + 1](images), expected)


def test_too_many_halvings_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"^model\.channels=\[4, 4, 4\]: .* one of 7x9 can be halved 2 times; use at"):
        make_architecture("model.channels=[4,4,4]", shape=(1, 7, 9))


def test_the_description_gives_all_sizes() -> None:
    text = make_architecture("normalization=layer").describe()
    assert text == "conv 1-32-64 (3x3, max pooling), dense 3136-128-10, LayerNorm, relu"


@pytest.mark.parametrize("key", ["model.channels", "model.hidden_sizes"])
def test_groups_must_divide_all_sizes(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^normalization\.groups=8: must divide .* all layers, and {key} has 12$"):
        make_architecture(f"{key}=[16,12]", "normalization=group")


def test_a_group_of_a_single_unit_is_refused_and_of_a_single_channel_is_not() -> None:
    message = r"a group needs two units or more, and model\.hidden_sizes has 8"
    options = ["normalization=group", "model.hidden_sizes=[16,8]"]
    with pytest.raises(ConfigError, match=message):
        make_architecture(*options)
    with pytest.raises(ConfigError, match=message):
        MLPArchitecture.from_options((1, 8, 8), 10, flatten(compose_job(options).config))
    one_channel_a_group = make_architecture("normalization=group", "model.channels=[8]").make_module().eval()
    assert one_channel_a_group(torch.rand(1, 1, 28, 28)).shape == (1, 10)


def test_rms_norm_of_channels_is_that_of_an_images_values() -> None:
    layer, x = ChannelRMSNorm(3, 1e-3), torch.randn(2, 3, 4, 5)
    torch.nn.init.uniform_(layer.weight)
    plain = nn.RMSNorm(3 * 4 * 5, 1e-3)
    with torch.no_grad():
        plain.weight.copy_(layer.weight.repeat_interleave(4 * 5))
    torch.testing.assert_close(layer(x).flatten(1), plain(x.flatten(1)))
