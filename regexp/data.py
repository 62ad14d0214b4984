"""Data sets as uint8 tensors: training, validation and test."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from regexp.errors import ConfigError, DataError
from regexp.randomness import stream
from regexp.sources import Source, cached_fingerprint

# The clean measurement of the training set reads at most this many of its images: the standard error of an accuracy
# of 98 % is then 0.14 %, and an epoch of MNIST is 15 % faster than with all 55,000.
MEASURED = 10_000


@dataclass(frozen=True)
class Images:
    """images [N, C, H, W] uint8, labels [N] int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Images":
        """The same on a device."""
        return Images(self.images.to(device), self.labels.to(device))

    def centre(self, height: int, width: int) -> "Images":
        """Cut to this size, as torchvision's CenterCrop does."""
        top, left = round((self.images.shape[2] - height) / 2), round((self.images.shape[3] - width) / 2)
        return Images(self.images[..., top : top + height, left : left + width].contiguous(), self.labels)

    def at(self, indices: Tensor) -> "Images":
        """The images at `indices` [n]."""
        return Images(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class Dataset:
    """The parts of a data set.

    Attributes:
        train: what is trained on.
        measured: the fixed part of `train` on which train_loss and train_accuracy are measured.
        validation: decides when to stop and which epoch is best.
        test: read once, at the end of a run; None where it serves as validation.
        classes: their names, by label.
    """

    name: str
    train: Images
    measured: Images
    validation: Images
    test: Images | None
    classes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @property
    def seen(self) -> tuple[int, int, int]:
        """Channels, height and width of what the network sees: less than `shape` where augmentation crops."""
        channels, height, width = self.measured.images.shape[1:]
        return channels, height, width

    def centre(self, height: int, width: int) -> "Dataset":
        """The same with all that is evaluated cut to this size, and the training images whole."""
        if (height, width) == self.shape[1:]:
            return self
        measured, validation = self.measured.centre(height, width), self.validation.centre(height, width)
        test = None if self.test is None else self.test.centre(height, width)
        return replace(self, measured=measured, validation=validation, test=test)

    def to(self, device: torch.device) -> "Dataset":
        """The same on a device."""
        test = None if self.test is None else self.test.to(device)
        train, measured, validation = (part.to(device) for part in (self.train, self.measured, self.validation))
        return Dataset(self.name, train, measured, validation, test, self.classes)

    def describe(self) -> str:
        """Name, sizes and protocol, in words."""
        channels, height, width = self.shape
        size = f"{height}x{width}" + (f"x{channels}" if channels > 1 else "")
        if self.test is None:
            parts = f"{len(self.train):,} training, {len(self.validation):,} validation = the test set"
        else:
            parts = f"{len(self.train):,} training, {len(self.validation):,} validation, {len(self.test):,} test"
        return f"{self.name}: {parts}; {size}"


def scale(images: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 in 0..255 -> floating point in [0, 1], as torchvision's ToTensor."""
    return images.to(dtype).div_(255)


def load(source: Source, val_size: float, train_size: float | None, split_seed: int, validation: str) -> Dataset:
    """Read and split a data set.

    Args:
        source: from `sources.locate`.
        val_size: images held out of the training set, by class; below 1 a fraction of it.
        train_size: images kept of the rest, by class; below 1 a fraction of it; None: all.
        split_seed: decides which; the run's seed does not.
        validation: "holdout", or "test": nothing is held out, and the test set validates.

    Raises:
        DataError: the files are not what they should be.
        ConfigError: there are too few images for the sizes asked for.
    """
    train, test = read_digits(source) if source.name == "digits" else _cached(source, read_mnist)
    if validation == "test":
        held_out, kept_test = test, None
    else:
        chosen = _stratified(train.labels, _count("data.val_size", val_size, len(train)), split_seed, "validation")
        held_out, train, kept_test = train.at(chosen), train.at(_complement(chosen, len(train))), test
    if len(train) == 0:
        raise ConfigError(f"data.val_size={val_size:g}: leaves nothing to train on; use a smaller data.val_size")
    if train_size is not None:
        count = _count("data.train_size", train_size, len(train))
        train = train.at(_stratified(train.labels, count, split_seed, "training"))
    measured = train
    if len(train) > MEASURED:
        measured = train.at(_stratified(train.labels, MEASURED, split_seed, "measured"))
    classes = tuple(str(digit) for digit in range(10))
    return Dataset(source.name, train, measured, held_out, kept_test, classes)


def _count(key: str, size: float, available: int) -> int:
    count = round(size * available) if size < 1 else round(size)
    if not 1 <= count <= available:
        raise ConfigError(f"{key}={size:g}: is {count:,} images, and there are {available:,}; use between 1 and that")
    return count


def _stratified(labels: Tensor, count: int, seed: int, name: str) -> Tensor:
    """Sorted indices [count] of a random choice whose classes are in the proportions of `labels`, to within one."""
    generator = stream(seed, f"split/{name}")
    members = [torch.nonzero(labels == label).flatten() for label in labels.unique()]
    shares = torch.tensor([len(own) * count / len(labels) for own in members], dtype=torch.float64)
    quota = shares.floor().long()
    quota[(shares - quota).argsort(descending=True, stable=True)[: count - int(quota.sum())]] += 1
    picked = [
        own[torch.randperm(len(own), generator=generator)[: int(n)]] for own, n in zip(members, quota, strict=True)
    ]
    return torch.cat(picked).sort().values


def _complement(indices: Tensor, length: int) -> Tensor:
    rest = torch.ones(length, dtype=torch.bool)
    rest[indices] = False
    return torch.nonzero(rest).flatten()


def _cached(source: Source, read: Callable[[Source], tuple[Images, Images]]) -> tuple[Images, Images]:
    """Training and test images, from the cache where it is whole, else decoded and cached."""
    if cached_fingerprint(source.cache) == source.fingerprint:
        with contextlib.suppress(OSError, SafetensorError, KeyError):
            tensors = load_file(source.cache)
            return (
                Images(tensors["train_images"], tensors["train_labels"]),
                Images(tensors["test_images"], tensors["test_labels"]),
            )
    train, test = read(source)
    tensors = {
        "train_images": train.images,
        "train_labels": train.labels,
        "test_images": test.images,
        "test_labels": test.labels,
    }
    with contextlib.suppress(OSError, SafetensorError):  # a cache that cannot be written costs time, nothing else
        source.cache.parent.mkdir(parents=True, exist_ok=True)
        part = source.cache.with_suffix(f".{os.getpid()}.part")
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()}, part, {"fingerprint": source.fingerprint}
        )
        os.replace(part, source.cache)
    return train, test


def read_digits(source: Source) -> tuple[Images, Images]:
    """scikit-learn's digits: 1,797 images of 8x8 pixels, whose 17 levels are spread over 0..255.

    They have no official test set: a stratified fifth, fixed for good, is set aside. From the UCI repository's
    "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998).
    """
    table = np.loadtxt(source.root / "digits.csv.gz", delimiter=",", dtype=np.uint8)
    pixels = torch.from_numpy(table[:, :-1].copy())
    images = (pixels.double() * 255 / 16).round().to(torch.uint8).view(-1, 1, 8, 8)
    whole = Images(images, torch.from_numpy(table[:, -1].astype(np.int64)))
    test = _stratified(whole.labels, -(-len(whole) // 5), seed=0, name="test")
    return whole.at(_complement(test, len(whole))), whole.at(test)


def read_mnist(source: Source) -> tuple[Images, Images]:
    """MNIST: 60,000 training and 10,000 test images of 28x28 pixels (LeCun et al. 1998).

    torchvision decodes it, file by file: its MNIST class would unpickle what older versions of it have left there.
    """
    from torchvision.datasets.mnist import read_image_file, read_label_file

    folder = source.root / "MNIST" / "raw"
    parts = []
    for name in ("train", "t10k"):
        try:
            images = read_image_file(str(folder / f"{name}-images-idx3-ubyte"))
            labels = read_label_file(str(folder / f"{name}-labels-idx1-ubyte"))
        except (OSError, RuntimeError, AssertionError, ValueError, TypeError, KeyError, IndexError) as error:
            raise DataError(f"data=mnist: {folder} holds broken files; remove them to download them again") from error
        if len(images) != len(labels) or int(labels.max()) > 9:
            raise DataError(
                f"data=mnist: {len(images):,} images and {len(labels):,} labels up to {int(labels.max())} in {folder}; "
                "remove the files to download them again"
            )
        parts.append(Images(images.unsqueeze(1), labels.long()))
    train, test = parts
    return train, test
