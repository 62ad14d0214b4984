"""What a loaded model takes, and what it says of anything else."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from regexp.errors import DoubtfulResult
from regexp.runs.predicting.input_check import InputCheck

IMAGES = torch.arange(2 * 12, dtype=torch.uint8).view(2, 3, 2, 2) * 10


@pytest.fixture
def model() -> nn.Module:
    """Return a model of images [n, 3, 2, 2] that returns their pixels."""
    layer = nn.Linear(12, 12, bias=False)
    nn.init.eye_(layer.weight)
    network = nn.Sequential(nn.Flatten(), layer)
    network.register_forward_pre_hook(InputCheck((3, 2, 2)))
    return network.eval()


@pytest.mark.parametrize(
    "images", [IMAGES, IMAGES / 255, IMAGES.double() / 255, (IMAGES / 255).bfloat16()], ids=lambda x: str(x.dtype)
)
def test_bytes_and_floats_give_the_same(model: nn.Module, images: torch.Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(model(images), IMAGES.flatten(1) / 255, rtol=0, atol=2**-8)


def test_the_type_is_that_of_the_weights(model: nn.Module) -> None:
    assert model.double()(IMAGES).dtype == torch.float64
    assert model(images := IMAGES.double() / 255).dtype == torch.float64
    assert images.dtype == torch.float64


@pytest.mark.parametrize("images", [IMAGES.float(), IMAGES / 255 - 1], ids=["to 255", "below 0"])
def test_another_range_is_warned_of(model: nn.Module, images: torch.Tensor) -> None:
    with pytest.warns(
        DoubtfulResult, match="the model takes floating point from 0 to 1: give uint8, or divide by"
    ) as records:
        model(images)
    assert records[0].filename == __file__


def test_transforms_of_torch_take_the_model(model: nn.Module) -> None:
    mapped = torch.func.vmap(lambda image: model(image[None])[0])(IMAGES / 255)
    torch.testing.assert_close(mapped, model(IMAGES))
    assert model(IMAGES[:0]).shape == model(IMAGES[:0] / 255).shape == (0, 12)


@pytest.mark.parametrize("images", [IMAGES.long(), IMAGES > 3, IMAGES.numpy(), [0, 1]], ids=lambda x: type(x).__name__)
def test_other_types_are_refused(model: nn.Module, images: object) -> None:
    rule = r"the model takes images \[n, 3, 2, 2\], uint8 from 0 to 255 or floating point from 0 to 1; th"
    with pytest.raises(TypeError, match=rule) as error:
        model(images)
    assert isinstance(images, np.ndarray) == ("torch.from_numpy" in str(error.value))


@pytest.mark.parametrize("images", [IMAGES[0], IMAGES.permute(0, 2, 3, 1), IMAGES[:, 0]], ids=lambda x: str(x.shape))
def test_other_shapes_are_refused(model: nn.Module, images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=rf"\[n, 3, 2, 2\].*; these are \[{', '.join(map(str, images.shape))}\]"):
        model(images)


def test_rows_are_floating_point_of_any_range() -> None:
    model = nn.Sequential(nn.Linear(4, 2))
    model.register_forward_pre_hook(InputCheck((4,)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model(torch.full((3, 4), 1e4, dtype=torch.float64)).dtype == torch.float32
    with pytest.raises(TypeError, match=r"takes rows \[n, 4\] of features in floating point; these are uint8"):
        model(torch.zeros(3, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"\[n, 4\].*these are \[3, 5\]"):
        model(torch.zeros(3, 5))
