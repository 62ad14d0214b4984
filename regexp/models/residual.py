"""Residual connections (He et al. 2015) and stochastic depth (Huang et al. 2016)."""

from torch import Tensor, nn


class Residual(nn.Module):
    """y = shortcut(x) + drop_path(layers(x))."""

    def __init__(self, layers: nn.Module, drop_path: nn.Module, shortcut: nn.Module | None = None) -> None:
        """Make the connection around layers; without a shortcut, x is added as it is."""
        super().__init__()
        self.layers, self.drop_path = layers, drop_path
        self.shortcut = nn.Identity() if shortcut is None else shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum."""
        y: Tensor = self.shortcut(x) + self.drop_path(self.layers(x))
        return y


def depth_fractions(num_blocks: int) -> list[float]:
    """Return, for each block, its probability of being dropped as a fraction of the last block's: 1 / n, 2 / n, ..., 1.

    Huang et al. 2016, "Deep networks with stochastic depth", equation 4: later blocks build on what early ones compute,
    so the probability of keeping a block falls linearly with its depth.
    """
    return [block / num_blocks for block in range(1, num_blocks + 1)]


def make_drop_path(rate: float) -> nn.Module:
    """Return the layer that drops a block for some images of a batch, and divides what it keeps by 1 - rate."""
    if rate == 0:
        return nn.Identity()
    from torchvision.ops import StochasticDepth  # takes seconds to import

    layer: nn.Module = StochasticDepth(rate, mode="row")
    return layer
