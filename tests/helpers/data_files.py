"""Small data sets on disk, one for each name that the configuration knows."""

import struct
from pathlib import Path

import numpy as np
from PIL import Image

from regexp.data.idx import IDX_DATASETS

CLASSES = ("cats & dogs", "grüne Äpfel", "猫")


def write_idx(root: Path, name: str = "mnist", train: int = 60, test: int = 20) -> Path:
    """A small data set of MNIST's family in the official files' format."""
    raw = IDX_DATASETS[name].folder(root)
    raw.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for part, count in (("train", train), ("t10k", test)):
        pixels = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 0x803, count, 28, 28) + pixels.tobytes())
        labels = np.arange(count, dtype=np.uint8) % 10
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, count) + labels.tobytes())
    return root


def make_pixels(label: int, i: int, *shape: int) -> np.ndarray:
    """Noise, brighter for higher labels, so that there is something to learn."""
    generator = np.random.default_rng(1000 * label + i)
    return (generator.integers(0, 100, shape) + 70 * label).astype(np.uint8)


def write_image_folder(
    root: Path, parts: tuple[str, ...] = ("",), count: int = 10, shape: tuple[int, ...] = (7, 9), suffix: str = ".png"
) -> Path:
    """An image folder of CLASSES; `parts` as ("train", "test"), or ("",) for class folders alone."""
    for number, part in enumerate(parts):
        for label, name in enumerate(CLASSES):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                image = Image.fromarray(make_pixels(label, 100 * number + i, *shape))
                image.save(folder / f"{i:03}{suffix}")
    return root


def write_arrays(path: Path, count: int = 30, shape: tuple[int, ...] = (6, 5), **arrays: object) -> Path:
    """An .npz of images and labels of three classes, and what else is given; None leaves an array out."""
    labels = np.arange(count) % 3
    images = np.stack([make_pixels(label, i, *shape) for i, label in enumerate(labels)])
    stored = {"images": images, "labels": labels, **arrays}
    np.savez(path, **{name: np.asarray(array) for name, array in stored.items() if array is not None})
    return path


def small_dataset_overrides(name: str, folder: Path) -> list[str]:
    """Overrides that choose a small data set of this name, written into a folder."""
    if name in IDX_DATASETS:
        return [f"data={name}", f"data.root={write_idx(folder, name)}", "data.val_size=10"]
    if name == "image_folder":
        return [f"data={name}", f"data.root={write_image_folder(folder)}"]
    if name == "arrays":
        folder.mkdir()
        return [f"data={name}", f"data.path={write_arrays(folder / 'own.npz')}"]
    return [f"data={name}"]
