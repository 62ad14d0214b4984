"""Data sets as uint8 tensors: training, validation and test."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from regexp.data.readers import read_splits
from regexp.data.sources import Source
from regexp.data.splits import Split
from regexp.errors import ConfigError, DataError
from regexp.utils.rng import random_stream

# The clean measurement of the training set reads at most this many of its images: the standard error of an accuracy
# of 98 % is then 0.14 %, and an epoch of MNIST is 15 % faster than with all 55,000.
MAX_MEASURED_IMAGES = 10_000


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

    def center_crop(self, height: int, width: int) -> "Images":
        """Cut to this size, as torchvision's CenterCrop does."""
        top, left = round((self.images.shape[2] - height) / 2), round((self.images.shape[3] - width) / 2)
        return Images(self.images[..., top : top + height, left : left + width].contiguous(), self.labels)

    def select(self, indices: Tensor) -> "Images":
        """The images at `indices` [n]."""
        return Images(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class Dataset:
    """The parts of a data set.

    Attributes:
        train: what is trained on.
        measured_at: indices [n] of the fixed part of `train` on which train_loss and train_accuracy are measured.
        measured: that part.
        validation: decides when to stop and which epoch is best.
        test: read once, at the end of a run; None where it serves as validation.
        classes: their names, by label.
        fingerprint: of the files that it was read from.
    """

    name: str
    train: Images
    measured_indices: Tensor
    measured: Images
    validation: Images
    test: Images | None
    classes: tuple[str, ...]
    fingerprint: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of what the network sees: less than `shape` where augmentation crops."""
        channels, height, width = self.measured.images.shape[1:]
        return channels, height, width

    def center_crop(self, height: int, width: int) -> "Dataset":
        """The same with all that is evaluated cut to this size, and the training images whole."""
        if (height, width) == self.shape[1:]:
            return self
        measured, validation = self.measured.center_crop(height, width), self.validation.center_crop(height, width)
        test = None if self.test is None else self.test.center_crop(height, width)
        return replace(self, measured=measured, validation=validation, test=test)

    def to(self, device: torch.device) -> "Dataset":
        """The same on a device."""
        return replace(
            self,
            train=self.train.to(device),
            measured_indices=self.measured_indices.to(device),
            measured=self.measured.to(device),
            validation=self.validation.to(device),
            test=None if self.test is None else self.test.to(device),
        )

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


def load_splits(source: Source, val_size: float, train_size: float | None, split_seed: int, validation: str) -> Dataset:
    """Read and split a data set.

    One without a test set sets aside a stratified fifth, fixed for good.

    Args:
        source: from `sources.locate`.
        val_size: images held out of the training set, by class; below 1 a fraction of it. Not used where the files
            have a validation set of their own.
        train_size: images kept of the rest, by class; below 1 a fraction of it; None: all.
        split_seed: decides which; the run's seed does not.
        validation: "holdout", or "test": nothing is held out, the test set validates, and a validation set of the
            files' own is not used.

    Raises:
        DataError: the files are not what they should be.
        ConfigError: there are too few images for the sizes asked for.
    """
    parts = read_splits(source)
    train, test = _images(parts.train), None if parts.test is None else _images(parts.test)
    if test is None:
        train, test = _set_test_aside(source.name, train, parts.classes)
    if validation == "test":
        held_out, kept_test = test, None
    elif parts.validation is not None:
        held_out, kept_test = _images(parts.validation), test
    else:
        count = _count("data.val_size", val_size, len(train))
        chosen = _stratified(train.labels, count, split_seed, "validation", spare=True)
        held_out, train, kept_test = train.select(chosen), train.select(_complement(chosen, len(train))), test
    if len(train) == 0:
        raise ConfigError(f"data.val_size={val_size:g}: leaves nothing to train on; use a smaller data.val_size")
    if train_size is not None:
        count = _count("data.train_size", train_size, len(train))
        train = train.select(_stratified(train.labels, count, split_seed, "training"))
    measured, measured_at = train, torch.arange(len(train))
    if len(train) > MAX_MEASURED_IMAGES:
        measured_at = _stratified(train.labels, MAX_MEASURED_IMAGES, split_seed, "measured")
        measured = train.select(measured_at)
    return Dataset(source.name, train, measured_at, measured, held_out, kept_test, parts.classes, source.fingerprint)


def add_label_noise(labels: Tensor, fraction: float, classes: int, seed: int) -> Tensor:
    """Labels [N] of which round(fraction * N), chosen at random, are another class, uniformly.

    With one seed, those that are wrong at a smaller fraction are as wrong at a larger one.
    """
    generator, count = random_stream(seed, "label_noise"), len(labels)
    chosen = torch.randperm(count, generator=generator)[: round(fraction * count)].to(labels.device)
    # Drawn for all images: what is drawn for one does not depend on the fraction.
    steps = torch.randint(1, classes, (count,), generator=generator).to(labels.device)
    wrong = labels.clone()
    wrong[chosen] = (labels + steps)[chosen] % classes
    return wrong


def _images(part: Split) -> Images:
    return Images(torch.from_numpy(part.images), torch.from_numpy(part.labels))


def _set_test_aside(name: str, whole: Images, classes: tuple[str, ...]) -> tuple[Images, Images]:
    """Training and test images."""
    test = _stratified(whole.labels, -(-len(whole) // 5), seed=0, name="test", spare=True)
    train = whole.select(_complement(test, len(whole)))
    if 0 in (present := torch.bincount(train.labels, minlength=len(classes)).tolist()):
        raise DataError(
            f"data={name}: class {classes[present.index(0)]} has a single image, and a fifth of all images is set "
            "aside for the test; add images, or a test set of your own"
        )
    return train, whole.select(test)


def _count(key: str, size: float, available: int) -> int:
    count = round(size * available) if size < 1 else round(size)
    if not 1 <= count <= available:
        raise ConfigError(f"{key}={size:g}: is {count:,} images, and there are {available:,}; use between 1 and that")
    return count


def _stratified(labels: Tensor, count: int, seed: int, name: str, spare: bool = False) -> Tensor:
    """Sorted indices [count] of a random choice whose classes are in the proportions of `labels`, to within one.

    Within that, classes that would have none go first; with `spare`, those of which none would be left go last.
    """
    generator = random_stream(seed, f"split/{name}")
    members = [torch.nonzero(labels == label).flatten() for label in labels.unique()]
    shares = torch.tensor([len(own) * count / len(labels) for own in members], dtype=torch.float64)
    quota = shares.floor().long()
    claims = shares - quota + (quota == 0).double()
    if spare:
        claims -= 2 * (quota + 1 == torch.tensor([len(own) for own in members])).double()
    quota[claims.argsort(descending=True, stable=True)[: count - int(quota.sum())]] += 1
    picked = [
        own[torch.randperm(len(own), generator=generator)[: int(n)]] for own, n in zip(members, quota, strict=True)
    ]
    return torch.cat(picked).sort().values


def _complement(indices: Tensor, length: int) -> Tensor:
    rest = torch.ones(length, dtype=torch.bool)
    rest[indices] = False
    return torch.nonzero(rest).flatten()
