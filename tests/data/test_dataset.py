"""Data sets against scikit-learn's and torchvision's readers, and how they are split."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.data_files import write_idx
from sklearn.datasets import load_digits
from torch import Tensor

from regexp.data import dataset as dataset_module
from regexp.data.dataset import Dataset, Images, read_dataset
from regexp.data.sources import cache_directory, locate
from regexp.data.stratification import stratified_indices
from regexp.errors import ConfigError, DataError

NUM_DIGITS, NUM_TEST = 1797, 360


def split_digits(
    val_size: float = 0.2, train_size: float | None = None, split_seed: int = 0, validation: str = "holdout"
) -> Dataset:
    return read_dataset(locate("digits", None), val_size, train_size, split_seed, validation)


def split_mnist(root: Path | str, val_size: float = 0.2, validation: str = "holdout") -> Dataset:
    return read_dataset(locate("mnist", str(root)), val_size, None, 0, validation)


def sorted_samples(*splits: Images) -> list[bytes]:
    """Return the bytes of every image with its label, sorted: equal for splits of the same images in any order."""
    return sorted(
        bytes([int(label)]) + image.numpy().tobytes()
        for split in splits
        for image, label in zip(split.images, split.labels, strict=True)
    )


def is_stratified(subset: Images, labels: Tensor) -> bool:
    """Return whether each class is in a subset in its proportion in `labels`, to within one image."""
    expected_counts = torch.bincount(labels, minlength=10).double() * len(subset) / len(labels)
    return bool(((torch.bincount(subset.labels, minlength=10) - expected_counts).abs() < 1).all())


def are_equal(first: Images, second: Images) -> bool:
    return torch.equal(first.images, second.images) and torch.equal(first.labels, second.labels)


def test_digits_are_scikit_learns() -> None:
    dataset, original = split_digits(validation="test"), load_digits()
    assert (len(dataset.train), len(dataset.validation)) == (NUM_DIGITS - NUM_TEST, NUM_TEST)
    assert dataset.shape == (1, 8, 8)
    assert dataset.train.images.dtype == torch.uint8
    assert dataset.train.labels.dtype == torch.int64
    unrounded = torch.from_numpy(original.images).unsqueeze(1) / 16 * 255
    expected = Images(unrounded.round().to(torch.uint8), torch.from_numpy(original.target))
    # 17 levels become 17 different values in 0..255, so that images are identified by their pixels.
    assert sorted_samples(dataset.train, dataset.validation) == sorted_samples(expected)
    scaled = dataset_module.scale(expected.images, torch.float64)
    assert (scaled - unrounded / 255).abs().max() <= 0.5 / 255


@pytest.mark.parametrize("val_size", [0.2, 0.013, 100, 10, 1, 1436])
def test_splits_are_stratified_disjoint_and_complete(val_size: float) -> None:
    dataset = split_digits(val_size)
    assert dataset.test is not None
    num_validation = round(val_size * (NUM_DIGITS - NUM_TEST)) if val_size < 1 else val_size
    assert (len(dataset.validation), len(dataset.test)) == (num_validation, NUM_TEST)
    assert is_stratified(dataset.test, torch.from_numpy(load_digits().target))
    labels_without_test = torch.cat([dataset.train.labels, dataset.validation.labels])
    assert is_stratified(dataset.validation, labels_without_test)
    assert is_stratified(dataset.train, labels_without_test)
    all_images = split_digits(validation="test")
    expected = sorted_samples(all_images.train, all_images.validation)
    assert sorted_samples(dataset.train, dataset.validation, dataset.test) == expected


@pytest.mark.parametrize("train_size", [1, 1.0, 10, 101, 1e2, 0.3, 0.999])
def test_train_size_keeps_a_stratified_subset_of_the_training_set(train_size: float) -> None:
    full_dataset, dataset = split_digits(), split_digits(train_size=train_size)
    is_fraction = isinstance(train_size, float) and train_size <= 1
    assert len(dataset.train) == (round(train_size * len(full_dataset.train)) if is_fraction else train_size)
    assert is_stratified(dataset.train, full_dataset.train.labels)
    assert set(sorted_samples(dataset.train)) <= set(sorted_samples(full_dataset.train))
    assert are_equal(dataset.validation, full_dataset.validation)


def test_a_class_without_images_gets_one_before_others_get_more() -> None:
    labels = torch.tensor([0] * 19 + [1] * 19 + [2] * 2)
    chosen_labels = labels[stratified_indices(labels, 10, 0, "some")]
    assert torch.bincount(chosen_labels).tolist() == [5, 4, 1]


def test_split_seed_changes_the_validation_set_and_not_the_test_set() -> None:
    first, second = split_digits(split_seed=0), split_digits(split_seed=1)
    assert first.test is not None
    assert second.test is not None
    assert are_equal(first.test, second.test)
    assert not are_equal(first.validation, second.validation)
    assert sorted_samples(first.train, first.validation) == sorted_samples(second.train, second.validation)
    assert are_equal(first.validation, split_digits(split_seed=0).validation)


def test_a_split_does_not_depend_on_the_global_generator() -> None:
    validation = split_digits().validation
    torch.manual_seed(1)
    assert are_equal(validation, split_digits().validation)


def test_validation_test_validates_on_the_test_set() -> None:
    validated_on_test, holdout = split_digits(validation="test"), split_digits()
    assert validated_on_test.test is None
    assert holdout.test is not None
    assert are_equal(validated_on_test.validation, holdout.test)
    assert sorted_samples(validated_on_test.train) == sorted_samples(holdout.train, holdout.validation)
    assert "validation = the test set" in validated_on_test.describe()


def test_train_size_works_with_validation_on_the_test_set() -> None:
    assert len(split_digits(train_size=50, validation="test").train) == 50


def test_a_large_training_set_is_measured_on_a_stratified_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    assert are_equal(split_digits().measured, split_digits().train)
    monkeypatch.setattr(dataset_module, "MAX_MEASURED_IMAGES", 123)
    dataset = split_digits()
    assert len(dataset.measured) == 123
    assert is_stratified(dataset.measured, dataset.train.labels)
    assert set(sorted_samples(dataset.measured)) <= set(sorted_samples(dataset.train))


@pytest.mark.parametrize(
    ("key", "sizes"),
    [
        ("data.val_size", {"val_size": NUM_DIGITS}),
        ("data.val_size", {"val_size": 0.0001}),
        ("data.val_size", {"val_size": NUM_DIGITS - NUM_TEST}),
        ("data.val_size", {"val_size": NUM_DIGITS - NUM_TEST, "train_size": 10}),
        ("data.val_size", {"val_size": 1.0}),
        ("data.train_size", {"train_size": 1151}),
        ("data.train_size", {"train_size": 0.0001}),
    ],
    ids=str,
)
def test_the_error_about_an_impossible_size_names_its_key(key: str, sizes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"^{key}={sizes[key.removeprefix('data.')]}: "):
        split_digits(**sizes)


def test_a_data_set_can_be_moved_to_a_device_and_described() -> None:
    dataset = split_digits().to(torch.device("cpu"))
    assert dataset.describe() == "digits: 1,150 training, 287 validation, 360 test; 8x8"
    assert dataset.classes == tuple("0123456789")


@pytest.fixture
def small_mnist(tmp_path: Path) -> Path:
    return write_idx(tmp_path / "data")


def test_mnist_equals_torchvisions(mnist_root: str) -> None:
    from torchvision.datasets import MNIST

    dataset = split_mnist(mnist_root, validation="test")
    for split, is_train in ((dataset.train, True), (dataset.validation, False)):
        original = MNIST(mnist_root, train=is_train)
        assert torch.equal(split.images.squeeze(1), original.data)
        assert torch.equal(split.labels, original.targets)
    assert dataset.shape == (1, 28, 28)
    assert len(dataset.measured) == dataset_module.MAX_MEASURED_IMAGES


@pytest.fixture
def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function after whose call decoding is an error."""

    def refuse(source: object) -> None:
        raise AssertionError("decoded again")

    return lambda: monkeypatch.setattr("regexp.data.downloads.idx.read_idx", refuse)


def test_mnist_is_decoded_once(small_mnist: Path, forbid_decoding: Callable[[], None]) -> None:
    first = split_mnist(small_mnist, validation="test")
    forbid_decoding()
    second = split_mnist(small_mnist, validation="test")
    assert are_equal(first.train, second.train)
    assert are_equal(first.validation, second.validation)
    assert list(cache_directory().iterdir()) == [locate("mnist", str(small_mnist)).cache]


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_a_broken_cache_is_written_again(small_mnist: Path, length: int, forbid_decoding: Callable[[], None]) -> None:
    first = split_mnist(small_mnist)
    cache = locate("mnist", str(small_mnist)).cache
    content = cache.read_bytes()
    cache.write_bytes(content[:length])
    assert are_equal(split_mnist(small_mnist).train, first.train)
    assert len(cache.read_bytes()) == len(content)
    forbid_decoding()
    assert are_equal(split_mnist(small_mnist).train, first.train)


def test_changed_files_are_decoded_again(small_mnist: Path) -> None:
    first = split_mnist(small_mnist, validation="test")
    images = small_mnist / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1] + b"\x07")
    second = split_mnist(small_mnist, validation="test")
    assert int(second.train.images[-1, 0, -1, -1]) == 7
    assert are_equal(first.validation, second.validation)


def test_a_cache_that_cannot_be_written_is_no_error(
    small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv("REGEXP_CACHE", str(tmp_path / "file"))
    assert len(split_mnist(small_mnist, validation="test").train) == 60


def truncate(length: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:length]


@pytest.mark.parametrize("file", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize(
    "damage",
    [
        *(pytest.param(truncate(length), id=f"cut at {length}") for length in (0, 3, 6, 8, 16, 18, -1)),
        pytest.param(lambda content: b"<!DOCTYPE html>" + content, id="a web page"),
        pytest.param(lambda content: b"\x1f\x8b\x08\x08" + content, id="still compressed"),
        pytest.param(lambda content: content[:2] + b"\x09" + content[3:], id="of signed bytes"),
        pytest.param(lambda content: content[:2] + b"\x0a" + content[3:], id="of an unknown type"),
        pytest.param(lambda content: content[:3] + b"\x02" + content[4:], id="of two dimensions"),
        pytest.param(lambda content: content[:4] + b"\xff\xff\xff\xff" + content[8:], id="of absurd length"),
    ],
)
def test_the_error_about_a_broken_file_names_its_directory(
    small_mnist: Path, file: str, damage: Callable[[bytes], bytes]
) -> None:
    path = small_mnist / "MNIST" / "raw" / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        split_mnist(small_mnist)
    message = str(caught.value)
    assert message.startswith("data=mnist: ")
    assert str(path.parent) in message
    assert "Error" not in message


def test_a_label_above_nine_is_refused(small_mnist: Path) -> None:
    path = small_mnist / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x0a")
    with pytest.raises(DataError, match=r"^data=mnist: "):
        split_mnist(small_mnist)


def test_the_numbers_of_images_and_labels_must_agree(small_mnist: Path) -> None:
    shorter_root = write_idx(small_mnist / "other", train=50)
    path = Path("MNIST", "raw", "train-labels-idx1-ubyte")
    (small_mnist / path).write_bytes((shorter_root / path).read_bytes())
    with pytest.raises(DataError, match="60 images and 50 labels"):
        split_mnist(small_mnist)


def test_files_of_older_versions_of_torchvision_are_not_unpickled(small_mnist: Path) -> None:
    processed = small_mnist / "MNIST" / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        torch.save((torch.zeros(1, 28, 28, dtype=torch.uint8), torch.zeros(1, dtype=torch.long)), processed / name)
    assert len(split_mnist(small_mnist, validation="test").train) == 60
