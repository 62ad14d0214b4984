"""Modules as users write them. Tests name this file as model.target."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvNet(nn.Module):
    """A convolution with BatchNorm2d and Dropout, for images of any shape."""

    def __init__(self, in_shape: tuple[int, int, int], classes: int, width: int = 4, p: float = 0.2) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_shape[0], width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveMaxPool2d(2)
        )
        self.dropout = nn.Dropout(p)
        self.head = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.dropout(self.features(x).flatten(1)))
        return y


class Drawing(nn.Module):
    """Functions that draw from the global generator, and lazy layers."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(16), nn.LazyBatchNorm1d(), nn.Tanh())
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = F.dropout(x + 0.1 * torch.rand_like(x), 0.2)
        y: Tensor = self.head(self.layers(x))
        return y


def make_perceptron(classes: int, width: int) -> nn.Sequential:
    """Make a network of one hidden layer for images of digits."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, classes))
