"""Data sets in memory: tensors, split into training, validation and test images.

What is said of images holds for the rows of a table too, whose features are standardized here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

import torch
from torch import Tensor

from regexp.config.schemas.data import DATA_SOURCES, DataConfig
from regexp.data.readers import read_splits
from regexp.data.sources import Source
from regexp.data.splits import Split
from regexp.data.stratification import complement, stratified_indices
from regexp.data.tables.encoding import Feature, encode_splits
from regexp.errors import ConfigError, DataError
from regexp.utils.counts import format_size, resolve_count
from regexp.utils.rng import random_stream

# Training loss and accuracy are measured on at most this many training images: the standard error of an accuracy of
# 98 % is then 0.14 %, and an epoch of MNIST is 15 % faster than with all 55,000.
MAX_MEASURED_IMAGES = 10_000


@dataclass(frozen=True)
class Images:
    """Images and their labels as tensors.

    Attributes:
        images: [N, C, H, W], uint8; of a table its features, [N, F], float32.
        labels: [N], int64.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Images":
        """Return the images and labels on a device."""
        return Images(self.images.to(device), self.labels.to(device))

    def center_crop(self, height: int, width: int) -> "Images":
        """Return the images cropped to this size, as torchvision's CenterCrop does."""
        top, left = round((self.images.shape[2] - height) / 2), round((self.images.shape[3] - width) / 2)
        return Images(self.images[..., top : top + height, left : left + width].contiguous(), self.labels)

    def select(self, indices: Tensor) -> "Images":
        """Return the images and labels at `indices` [n]."""
        return Images(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class Dataset:
    """A data set, split into training, validation and test images.

    Attributes:
        name: the name by which the configuration chooses it.
        train: the images to train on.
        measured_indices: [n], the indices in `train` of the images in `measured`.
        measured: the fixed subset of `train` on which train_loss and train_accuracy are measured.
        validation: the images that decide when to stop and which epoch is best.
        test: the images that are evaluated once, at the end of a run; None if the test set serves as validation.
        classes: the name of each class, in the order of the labels.
        fingerprint: the hash of the files that the data set was read from.
        notes: what a user should know about the files, by a heading such as "warning".
        features: the features of a table; None for images.
    """

    name: str
    train: Images
    measured_indices: Tensor
    measured: Images
    validation: Images
    test: Images | None
    classes: tuple[str, ...]
    fingerprint: str
    notes: Mapping[str, str]
    features: tuple[Feature, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The channels, height and width of a training image; (F,) for the F features of a row."""
        return tuple(self.train.images.shape[1:])

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of the network's input, as `shape`: smaller than that if augmentation crops."""
        return tuple(self.measured.images.shape[1:])

    @property
    def cropped_train(self) -> Images:
        """The training images as networks see them in evaluation: cropped as `measured` is. A copy where that crops."""
        return self.train if self.features is not None else self.train.center_crop(*self.input_shape[1:])

    def center_crop(self, height: int, width: int) -> "Dataset":
        """Return the data set with all evaluated images cropped to this size; the training images stay whole."""
        if self.features is not None or (height, width) == self.shape[1:]:
            return self
        return replace(
            self,
            measured=self.measured.center_crop(height, width),
            validation=self.validation.center_crop(height, width),
            test=None if self.test is None else self.test.center_crop(height, width),
        )

    def to(self, device: torch.device) -> "Dataset":
        """Return the data set on a device."""
        return replace(
            self,
            train=self.train.to(device),
            measured_indices=self.measured_indices.to(device),
            measured=self.measured.to(device),
            validation=self.validation.to(device),
            test=None if self.test is None else self.test.to(device),
        )

    def describe(self) -> str:
        """Return the name, the sizes of the splits and the size of an image, or the number of features, in words."""
        if self.features is not None:
            image_size = f"{len(self.features)} feature" + ("s" if len(self.features) > 1 else "")
        else:
            channels, height, width = self.shape
            image_size = f"{height}x{width}" + (f"x{channels}" if channels > 1 else "")
        if self.test is None:
            split_sizes = f"{len(self.train):,} training, {len(self.validation):,} validation = the test set"
        else:
            split_sizes = f"{len(self.train):,} training, {len(self.validation):,} validation, {len(self.test):,} test"
        return f"{self.name}: {split_sizes}; {image_size}"


def scale(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert uint8 images in 0..255 to floating point in [0, 1], as torchvision's ToTensor does.

    Features, which are floating point, are standardized and keep their values.
    """
    return images.to(dtype) if images.is_floating_point() else images.to(dtype).div_(255)


def read_dataset(
    source: Source, val_size: float, train_size: float | None, split_seed: int, validation: str
) -> Dataset:
    """Read a data set and split it.

    If the files have no test set, a fifth of all images becomes the test set, stratified by class. It is always the
    same fifth: no seed changes it.

    Args:
        source: the files of the data set, from `sources.locate`.
        val_size: the number of images to hold out of the training set for validation, stratified by class; a float
            up to 1.0 is a fraction of it. Not used if the files have a validation set or `validation` is "test".
        train_size: the number of remaining images to keep, stratified by class; a float up to 1.0 is a fraction of
            them; None keeps all.
        split_seed: decides which images are held out and kept, independently of a run's seed.
        validation: "holdout", or "test": nothing is held out, the test set serves as the validation set, and a
            validation set in the files is not used.

    Returns:
        The data set, on the CPU.

    Raises:
        DataError: the files are missing, broken or inconsistent.
        ConfigError: the data set has too few images for these sizes.
    """
    splits, unit = read_splits(source), DATA_SOURCES[source.name].unit
    train = _to_images(splits.train)
    test = None if splits.test is None else _to_images(splits.test)
    if test is None:
        train, test = _split_off_test(source.name, train, splits.classes)
    unused = []
    if validation == "test":
        validation_images, test = test, None
    elif splits.validation is not None:
        validation_images = _to_images(splits.validation)
        if val_size != DataConfig().val_size:
            unused.append(f"data.val_size={format_size(val_size)}, as the files have a validation set of their own")
    else:
        count = _count_images("data.val_size", val_size, len(train), unit)
        held_out = stratified_indices(train.labels, count, split_seed, "validation", spare_last=True)
        validation_images = train.select(held_out)
        train = train.select(complement(held_out, len(train)))
    if len(train) == 0:
        raise ConfigError(
            f"data.val_size={format_size(val_size)}: leaves no {unit}s to train on; use a smaller data.val_size"
        )
    if train_size is not None:
        count = _count_images("data.train_size", train_size, len(train), unit)
        train = train.select(stratified_indices(train.labels, count, split_seed, "training"))
    holds_out = validation != "test" and splits.validation is None
    if split_seed != 0 and not holds_out and train_size is None and len(train) <= MAX_MEASURED_IMAGES:
        unused.append(f"data.split_seed={split_seed}, as no {unit}s are held out")
    features, notes = None, dict(splits.notes)
    if splits.columns is not None:
        parts = [train, validation_images, *([] if test is None else [test])]
        rows, features, table_notes = encode_splits(
            source.name, splits.columns, [part.images.numpy() for part in parts]
        )
        train, validation_images, *tests = (
            Images(torch.from_numpy(encoded), part.labels) for encoded, part in zip(rows, parts, strict=True)
        )
        test = tests[0] if tests else None
        notes |= {heading: "; ".join(filter(None, (notes.get(heading), text))) for heading, text in table_notes.items()}
    measured_images, measured_indices = train, torch.arange(len(train))
    if len(train) > MAX_MEASURED_IMAGES:
        measured_indices = stratified_indices(train.labels, MAX_MEASURED_IMAGES, split_seed, "measured")
        measured_images = train.select(measured_indices)
    return Dataset(
        name=source.name,
        train=train,
        measured_indices=measured_indices,
        measured=measured_images,
        validation=validation_images,
        test=test,
        classes=splits.classes,
        fingerprint=source.fingerprint,
        notes={**notes, **({"unused": "; ".join(unused)} if unused else {})},
        features=features,
    )


def add_label_noise(labels: Tensor, fraction: float, num_classes: int, seed: int) -> Tensor:
    """Return labels of which a fraction is wrong.

    The wrong labels are chosen at random, and each is replaced by another class, uniformly. With the same seed, the
    labels that are wrong at a smaller fraction are wrong at a larger one too, and in the same way.

    Args:
        labels: [N], the true labels.
        fraction: in [0, 1]; exactly round(fraction * N) labels are wrong.
        num_classes: the number of classes.
        seed: the seed that decides which labels are wrong, and how.

    Returns:
        The labels, [N], on the device of `labels`.
    """
    generator = random_stream(seed, "label_noise")
    count = len(labels)
    wrong_indices = torch.randperm(count, generator=generator)[: round(fraction * count)].to(labels.device)
    # Drawn for all images, so that the draw of one image does not depend on the fraction.
    offsets = torch.randint(1, num_classes, (count,), generator=generator).to(labels.device)
    noisy_labels = labels.clone()
    noisy_labels[wrong_indices] = (labels + offsets)[wrong_indices] % num_classes
    return noisy_labels


def _to_images(split: Split) -> Images:
    return Images(torch.from_numpy(split.images), torch.from_numpy(split.labels))


def _split_off_test(name: str, images: Images, classes: tuple[str, ...]) -> tuple[Images, Images]:
    """Split the images of the data set `name` into training images and a fifth for the test."""
    test_indices = stratified_indices(images.labels, ceil(len(images) / 5), seed=0, name="test", spare_last=True)
    train = images.select(complement(test_indices, len(images)))
    class_counts = torch.bincount(train.labels, minlength=len(classes)).tolist()
    if 0 in class_counts:
        unit = DATA_SOURCES[name].unit
        remedy = "add rows of it" if DATA_SOURCES[name].is_table else "add images, or a test set of your own"
        raise DataError(
            f"data={name}: class {classes[class_counts.index(0)]} has a single {unit}, and a fifth of all {unit}s is "
            f"set aside for the test; {remedy}"
        )
    return train, images.select(test_indices)


def _count_images(key: str, size: float, available: int, unit: str) -> int:
    """Return the number of images, or of what `unit` names, that a size in the configuration asks for.

    Raises:
        ConfigError: the number is zero, or larger than the number of images.
    """
    count = resolve_count(size, available)
    if not 1 <= count <= available:
        raise ConfigError(
            f"{key}={format_size(size)}: asks for {count:,} {unit}s, but there are {available:,}; use 1 to {available}"
        )
    return count
