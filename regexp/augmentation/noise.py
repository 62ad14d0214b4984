"""Gaussian noise, added to images or to the features of a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Generator, Tensor

from regexp.augmentation.geometry import keep_size
from regexp.utils.keyed_draws import normal_quantiles


@final
@dataclass(frozen=True)
class GaussianNoise:
    """Gaussian noise added to every pixel of every channel, or to every feature of a table.

    Images are clipped to [0, 1]; features have no limits. Bishop 1995, "Training with noise is equivalent to Tikhonov
    regularization", is the case of small noise.

    The noise has 65,536 equally likely values up to 4.3 standard deviations (see utils.keyed_draws). Counterpart:
    torchvision.transforms.v2.GaussianNoise.

    Attributes:
        std: standard deviation of the brightness, of which white is 1, or of the features.
    """

    std: float = 0.1
    kind: ClassVar[str] = "noise"
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw nothing: the draws are for every value. Arguments as in Operation.draw."""
        return {}

    def draws_per_image(self, channels: int, height: int, width: int) -> int:
        """Return one draw for every value."""
        return channels * height * width

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Add noise to images [n, C, H, W] or rows [n, F], made from `draws`, one for each value."""
        noisy_images = add_noise(images, self.std, parameters["draws"])
        return noisy_images.clamp_(0, 1) if images.dim() == 4 else noisy_images

    def describe(self) -> str:
        """Return the transform's name and strength, in words."""
        return f"noise of {self.std:g}"


def add_noise(images: Tensor, std: float, draws: Tensor) -> Tensor:
    """Return images with Gaussian noise.

    Args:
        images: [n, ...].
        std: the standard deviation of the noise.
        draws: the draws of these images, [n, at least the values of an image], as in PixelDraws.
    """
    places = draws.int().add_(2**15)
    noise: Tensor = normal_quantiles(images.dtype, images.device).index_select(0, places.flatten())
    noise = noise.view(len(images), -1)[:, : images[0].numel()].unflatten(1, images.shape[1:])
    return noise.mul_(std).add_(images)
