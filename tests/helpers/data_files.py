"""Small data sets on disk, one for each data set that the configuration knows."""

import csv
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from PIL import Image

from regexp.config.schemas.data import TableOptions
from regexp.data.downloads.cifar import CIFAR_DATASETS
from regexp.data.downloads.idx import IDX_DATASETS
from regexp.data.readers import read_splits
from regexp.data.sources import locate
from regexp.data.splits import Splits

CLASSES = ("cats & dogs", "grüne Äpfel", "猫")


def write_idx(root: Path, name: str = "mnist", train: int = 60, test: int = 20) -> Path:
    """Write a small data set of MNIST's family in the official file format.

    Args:
        root: the directory to write into.
        name: a key of IDX_DATASETS.
        train: number of training images.
        test: number of test images.
    """
    directory = IDX_DATASETS[name].directory(root)
    directory.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for prefix, count in (("train", train), ("t10k", test)):
        pixels = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        image_header = struct.pack(">4i", 0x803, count, 28, 28)
        (directory / f"{prefix}-images-idx3-ubyte").write_bytes(image_header + pixels.tobytes())
        labels = np.arange(count, dtype=np.uint8) % 10
        label_header = struct.pack(">2i", 0x801, count)
        (directory / f"{prefix}-labels-idx1-ubyte").write_bytes(label_header + labels.tobytes())
    return root


def write_cifar(root: Path, name: str = "cifar10", count: int = 200) -> Path:
    """Write a small data set in the binary format of CIFAR, in its usual folder below a root.

    Args:
        root: the directory to write into.
        name: a key of CIFAR_DATASETS.
        count: number of images in each file; their labels are 0, 1, 2, ... in turn.
    """
    dataset = CIFAR_DATASETS[name]
    folder = root / dataset.folder
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for file in (*dataset.train_files, dataset.test_file):
        records = generator.integers(0, 256, (count, dataset.label_bytes + 3072), dtype=np.uint8)
        records[:, dataset.label_bytes - 1] = np.arange(count) % dataset.num_classes
        (folder / file).write_bytes(records.tobytes())
    (folder / dataset.class_file).write_text("".join(f"class {i}\n" for i in range(dataset.num_classes)) + "\n")
    return root


def write_svhn(root: Path, count: int = 60) -> Path:
    """Write small files of Street View House Numbers directly into a directory; labels go from 1 to 10."""
    root.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        pixels = generator.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        labels = (np.arange(count, dtype=np.uint8) % 10 + 1)[:, None]
        scipy.io.savemat(root / f"{split}_32x32.mat", {"X": pixels, "y": labels})
    return root


def make_pixels(label: int, i: int, *shape: int) -> np.ndarray:
    """Return noise that is brighter for higher labels, so that there is something to learn."""
    generator = np.random.default_rng(1000 * label + i)
    return (generator.integers(0, 100, shape) + 70 * label).astype(np.uint8)


def write_image_folder(
    root: Path, splits: tuple[str, ...] = ("",), count: int = 10, shape: tuple[int, ...] = (7, 9), suffix: str = ".png"
) -> Path:
    """Write a folder of pictures of CLASSES.

    Args:
        root: the folder to write.
        splits: names of the folders of splits, such as ("train", "test"); ("",) for class folders alone.
        count: pictures per class and split.
        shape: height and width of a picture, and 3 for one in color.
        suffix: of the files; decides their format.
    """
    for split_number, split in enumerate(splits):
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                image = Image.fromarray(make_pixels(label, 100 * split_number + i, *shape))
                image.save(folder / f"{i:03}{suffix}")
    return root


def write_arrays(path: Path, count: int = 30, shape: tuple[int, ...] = (6, 5), **arrays: object) -> Path:
    """Write an .npz file of images and labels of three classes.

    Args:
        path: the file to write.
        count: number of images.
        shape: height and width of an image, and 3 for one in color.
        **arrays: arrays to add or to replace; None leaves one out.
    """
    labels = np.arange(count) % 3
    images = np.stack([make_pixels(label, i, *shape) for i, label in enumerate(labels)])
    all_arrays = {"images": images, "labels": labels, **arrays}
    np.savez(path, **{name: np.asarray(array) for name, array in all_arrays.items() if array is not None})
    return path


def write_table(path: Path, rows: Sequence[Sequence[object]] | None = None, header: str = "x,kind,class") -> Path:
    """Write a table as CSV.

    Args:
        path: the file to write.
        rows: the cells of each row; None for 60 rows whose class depends on a number and on a text.
        header: the names of the columns, separated by commas.
    """
    if rows is None:
        generator = np.random.default_rng(0)
        kinds = generator.choice(["a", "b", "c"], 60)
        numbers = generator.normal(50, 10, 60).round(3)
        rows = [(x, kind, CLASSES[int(x > 50) + int(kind == "c")]) for x, kind in zip(numbers, kinds, strict=True)]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    return path


def read_table(path: Path, label: str | None = "class", **options: Any) -> Splits:
    """Read a table with these options."""
    values = {"drop": (), "categorical": (), "missing": "error", **options}
    return read_splits(locate("table", path=str(path), table=TableOptions(label, **values)))


def small_dataset_overrides(name: str, directory: Path) -> list[str]:
    """Write a small data set of this name into a directory, and return the overrides that choose it."""
    if name in IDX_DATASETS:
        return [f"data={name}", f"data.root={write_idx(directory, name)}", "data.val_size=10"]
    if name in CIFAR_DATASETS:
        count = 200 // len(CIFAR_DATASETS[name].train_files)
        return [f"data={name}", f"data.root={write_cifar(directory, name, count)}", "data.val_size=10"]
    if name == "svhn":
        return [f"data={name}", f"data.root={write_svhn(directory)}", "data.val_size=10"]
    if name == "image_folder":
        return [f"data={name}", f"data.root={write_image_folder(directory)}"]
    if name == "table":
        directory.mkdir()
        return [f"data={name}", f"data.path={write_table(directory / 'own.csv')}", "data.label=class"]
    if name == "arrays":
        directory.mkdir()
        return [f"data={name}", f"data.path={write_arrays(directory / 'own.npz')}"]
    return [f"data={name}"]
