"""A small convolutional network, as anyone would write it: it knows nothing of regexp."""

from torch import Tensor, nn


class Net(nn.Module):
    """Two convolutions with batch normalization, then dropout and a linear layer."""

    def __init__(self, in_shape: tuple[int, int, int], classes: int, width: int = 8, p: float = 0.1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(in_shape[0], width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.dropout = nn.Dropout(p)
        self.output = nn.Linear(2 * width * (in_shape[1] // 2) * (in_shape[2] // 2), classes)

    def forward(self, images: Tensor) -> Tensor:
        """Turn images [B, C, H, W] into logits [B, classes]."""
        return self.output(self.dropout(self.features(images).flatten(1)))
