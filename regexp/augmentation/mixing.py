"""Mixtures of two images of a batch, and the weights with which their labels count: mixup and CutMix.

Image i of a batch is mixed with image i - 1, and the first with the last, as torchvision's MixUp and CutMix do: the
order is random already. All images of a batch have the same weight, and the same rectangle. Both are drawn on the CPU
for all batches of an epoch, the same number of draws whatever the parameters: so the weights of streams that differ in
alpha are paired.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Generator, Tensor


class Mixing(Protocol):
    """A way to mix two images."""

    @property
    def alpha(self) -> float:
        """The parameter of the distribution Beta(alpha, alpha) of the weights; 0 mixes nothing."""

    @property
    def probability(self) -> float:
        """The probability that a batch is mixed."""

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw the parameters of batches.

        Args:
            count: number of batches.
            height: height of the images, in pixels.
            width: width of the images, in pixels.
            generator: random generator on the CPU.

        Returns:
            Each parameter by name, [count, ...]; `weight` [count] among them, that of the labels of the images against
            those of their partners.
        """
        ...

    def mix(self, images: Tensor, partners: Tensor, parameters: Mapping[str, Tensor]) -> None:
        """Replace images by their mixtures, in place.

        Args:
            images: [S, B, C, H, W], or rows of features [S, B, F].
            partners: the images that they are mixed with, of the same shape.
            parameters: the draws of this batch of each stream, [S, ...].
        """
        ...

    def describe(self) -> str:
        """Return the name and the parameters, in words."""
        ...


@final
@dataclass(frozen=True)
class Mixup:
    """The weighted mean of two images, weight * image + (1 - weight) * partner.

    From Zhang, Cisse, Dauphin and Lopez-Paz 2018, "mixup: Beyond empirical risk minimization". Counterpart:
    torchvision.transforms.v2.MixUp.

    Attributes:
        alpha: the weights have the distribution Beta(alpha, alpha); 0 mixes nothing.
        probability: the probability that a batch is mixed.
    """

    alpha: float = 1.0
    probability: float = 1.0

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw `weight` [count], 1 for batches that are not mixed. Arguments as in Mixing.draw."""
        return {"weight": draw_weights(count, self.alpha, self.probability, generator).float()}

    def mix(self, images: Tensor, partners: Tensor, parameters: Mapping[str, Tensor]) -> None:
        """Replace images by weighted means. Arguments as in Mixing.mix."""
        partner_weight = (1 - parameters["weight"].to(images.dtype)).view(-1, *[1] * (images.dim() - 1))
        images.lerp_(partners, partner_weight)

    def describe(self) -> str:
        """Return the name and the parameters, in words."""
        return _describe("mixup", self.alpha, self.probability)


@final
@dataclass(frozen=True)
class Cutmix:
    """A rectangle of the image replaced by the same rectangle of its partner.

    It has the proportions of the image, 1 - w of its area, and a centre that is uniform over all pixels, so that it may
    leave the image. What remains of it decides the weight of the labels. From Yun et al. 2019, "CutMix: Regularization
    strategy to train strong classifiers with localizable features". Counterpart: torchvision.transforms.v2.CutMix.

    Attributes:
        alpha: w has the distribution Beta(alpha, alpha); 0 mixes nothing.
        probability: the probability that a batch is mixed.
    """

    alpha: float = 1.0
    probability: float = 0.5

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw the rectangles. Arguments as in Mixing.draw.

        Returns:
            `box` [count, 4]: first column and row, and those behind the last, in whole pixels; `weight` [count]: the
            share of the image outside of it.
        """
        half_size = 0.5 * (1 - draw_weights(count, self.alpha, self.probability, generator)).sqrt()
        ends = []
        for side in (width, height):
            centre = torch.randint(side, (count,), generator=generator)
            reach = (half_size * side).floor()
            ends.append(((centre - reach).clamp(min=0), (centre + reach).clamp(max=side)))
        (left, right), (top, bottom) = ends
        weight = 1 - (right - left) * (bottom - top) / (width * height)
        return {"box": torch.stack([left, top, right, bottom], 1).float(), "weight": weight.float()}

    def mix(self, images: Tensor, partners: Tensor, parameters: Mapping[str, Tensor]) -> None:
        """Paste the rectangles of the partners into images. Arguments as in Mixing.mix."""
        height, width = images.shape[-2:]
        left, top, right, bottom = parameters["box"].T.unsqueeze(-1)  # [S, 1] each
        y, x = (torch.arange(side, device=images.device) for side in (height, width))
        rows, columns = (y >= top) & (y < bottom), (x >= left) & (x < right)  # [S, H], [S, W]
        is_inside = (rows.unsqueeze(2) & columns.unsqueeze(1))[:, None, None]  # [S, 1, 1, H, W]
        images.copy_(torch.where(is_inside, partners, images))

    def describe(self) -> str:
        """Return the name and the parameters, in words."""
        return _describe("CutMix", self.alpha, self.probability)


def draw_weights(count: int, alpha: float, probability: float, generator: Generator) -> Tensor:
    """Draw weights from Beta(alpha, alpha), and 1 for what is not mixed.

    Args:
        count: the number of weights.
        alpha: the parameter of the distribution; with 0 all weights are 1.
        probability: the probability of a draw, rather than 1.
        generator: random generator on the CPU.

    Returns:
        [count], float64.
    """
    from scipy.special import betaincinv  # takes half a second, which runs without mixing need not wait for

    is_mixed = torch.rand(count, generator=generator, dtype=torch.float64) < probability
    quantiles = torch.rand(count, generator=generator, dtype=torch.float64)
    if alpha == 0:
        return torch.ones_like(quantiles)
    # The inverse of the distribution function, rather than a sampler, which would use a varying number of draws.
    weights = torch.from_numpy(betaincinv(alpha, alpha, quantiles.numpy()))
    return weights.where(is_mixed, 1.0)


def _describe(name: str, alpha: float, probability: float) -> str:
    share = "" if probability == 1 else f" of {100 * probability:g} % of the batches"
    return f"{name}{share} (alpha {alpha:g})"
