"""Training loops that people use instead of regexp. Each function here returns one that trains an epoch."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import MNIST


def make_lesson_epoch(root: Path, augment: bool, train_size: int | None = None) -> Callable[[], None]:
    """Return an epoch of training and validation as a lesson would write it.

    Args:
        root: the directory that holds MNIST/raw.
        augment: whether to augment the training images.
        train_size: the number of training images, with a sixth as many validation images; None for all of MNIST.
    """
    augmentation = [transforms.RandomRotation(10), transforms.RandomHorizontalFlip()] if augment else []
    train_set = MNIST(str(root), train=True, transform=transforms.Compose([*augmentation, transforms.ToTensor()]))
    val_set = MNIST(str(root), train=False, transform=transforms.ToTensor())
    if train_size is not None:
        train_set, val_set = Subset(train_set, range(train_size)), Subset(val_set, range(train_size // 6))
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=256)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10))
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), lr=1e-3)

    def epoch() -> None:
        model.train()
        total = 0.0
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in val_loader:
                logits = model(images)
                total += criterion(logits, labels).item()
                correct += (logits.argmax(1) == labels).sum().item()

    return epoch


def make_bare_epoch(root: Path) -> Callable[[], None]:
    """Return an epoch with tensors in memory, nn.Module, fused Adam, a validation pass, and nothing else.

    Args:
        root: the directory that holds MNIST/raw.
    """
    splits = [MNIST(str(root), train=train) for train in (True, False)]
    (images, labels), (val_images, val_labels) = (
        (split.data.flatten(1).float() / 255, split.targets) for split in splits
    )
    model = nn.Sequential(nn.Linear(784, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def epoch() -> None:
        model.train()
        for rows in torch.randperm(len(labels)).split(64):
            F.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
            optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            for x, y in zip(val_images.split(256), val_labels.split(256), strict=True):
                (model(x).argmax(1) == y).sum()

    return epoch
