"""Data sets against scikit-learn's and torchvision's own readers; splits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.data_files import write_idx
from sklearn.datasets import load_digits
from torch import Tensor

from regexp.data import dataset, readers
from regexp.data.dataset import Dataset, Images, load_splits
from regexp.data.sources import cache_directory, locate
from regexp.errors import ConfigError, DataError

DIGITS, TEST = 1797, 360


def digits(
    val_size: float = 0.2, train_size: float | None = None, split_seed: int = 0, validation: str = "holdout"
) -> Dataset:
    return load_splits(locate("digits", None), val_size, train_size, split_seed, validation)


def mnist(root: Path | str, val_size: float = 0.2, validation: str = "holdout") -> Dataset:
    return load_splits(locate("mnist", str(root)), val_size, None, 0, validation)


def table(*parts: Images) -> list[bytes]:
    """Every image with its label, in an order of its own: equal for equal collections."""
    return sorted(
        bytes([int(label)]) + image.numpy().tobytes()
        for part in parts
        for image, label in zip(part.images, part.labels, strict=True)
    )


def stratified(part: Images, whole: Tensor) -> bool:
    """Whether each class has its share of the part, to within one."""
    share = torch.bincount(whole, minlength=10).double() * len(part) / len(whole)
    return bool(((torch.bincount(part.labels, minlength=10) - share).abs() < 1).all())


def same(one: Images, other: Images) -> bool:
    return torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


def test_digits_are_scikit_learns() -> None:
    read, original = digits(validation="test"), load_digits()
    assert (len(read.train), len(read.validation)) == (DIGITS - TEST, TEST)
    assert read.shape == (1, 8, 8)
    assert read.train.images.dtype == torch.uint8
    assert read.train.labels.dtype == torch.int64
    expected = torch.from_numpy(original.images).unsqueeze(1) / 16 * 255
    labels = torch.from_numpy(original.target)
    # 17 levels have 17 values of their own in 0..255, so that each image is found again by its pixels
    assert table(read.train, read.validation) == table(Images(expected.round().to(torch.uint8), labels))
    assert (dataset.scale(expected.round().to(torch.uint8), torch.float64) - expected / 255).abs().max() <= 0.5 / 255


@pytest.mark.parametrize("val_size", [0.2, 0.013, 100, 10, 1, 1436])
def test_parts_are_stratified_disjoint_and_together_whole(val_size: float) -> None:
    read = digits(val_size)
    assert read.test is not None
    expected = round(val_size * (DIGITS - TEST)) if val_size < 1 else val_size
    assert (len(read.validation), len(read.test)) == (expected, TEST)
    whole = torch.from_numpy(load_digits().target)
    assert stratified(read.test, whole)
    kept = torch.cat([read.train.labels, read.validation.labels])
    assert stratified(read.validation, kept)
    assert stratified(read.train, kept)
    original = digits(validation="test")
    assert table(read.train, read.validation, read.test) == table(original.train, original.validation)


@pytest.mark.parametrize("train_size", [1.0, 10, 101, 0.3, 0.999])
def test_train_size_keeps_a_stratified_part_of_the_rest(train_size: float) -> None:
    whole, read = digits(), digits(train_size=train_size)
    assert len(read.train) == (round(train_size * len(whole.train)) if train_size < 1 else train_size)
    assert stratified(read.train, whole.train.labels)
    assert set(table(read.train)) <= set(table(whole.train))
    assert same(read.validation, whole.validation)


def test_a_small_class_has_its_share_before_others_have_more() -> None:
    labels = torch.tensor([0] * 19 + [1] * 19 + [2] * 2)
    chosen = labels[dataset._stratified_indices(labels, 10, 0, "some")]
    assert torch.bincount(chosen).tolist() == [5, 4, 1]


def test_split_seed_changes_validation_and_never_the_test_set() -> None:
    zero, one = digits(split_seed=0), digits(split_seed=1)
    assert zero.test is not None
    assert one.test is not None
    assert same(zero.test, one.test)
    assert not same(zero.validation, one.validation)
    assert table(zero.train, zero.validation) == table(one.train, one.validation)
    assert same(zero.validation, digits(split_seed=0).validation)


def test_a_split_does_not_depend_on_the_global_generator() -> None:
    before = digits().validation
    torch.manual_seed(1)
    assert same(before, digits().validation)


def test_the_lessons_protocol_validates_on_the_test_set() -> None:
    lesson, holdout = digits(validation="test"), digits()
    assert lesson.test is None
    assert holdout.test is not None
    assert same(lesson.validation, holdout.test)
    assert table(lesson.train) == table(holdout.train, holdout.validation)
    assert "validation = the test set" in lesson.describe()


def test_train_size_holds_in_the_lessons_protocol() -> None:
    assert len(digits(train_size=50, validation="test").train) == 50


def test_a_large_training_set_is_measured_on_a_stratified_part(monkeypatch: pytest.MonkeyPatch) -> None:
    assert same(digits().measured, digits().train)
    monkeypatch.setattr(dataset, "MAX_MEASURED_IMAGES", 123)
    read = digits()
    assert len(read.measured) == 123
    assert stratified(read.measured, read.train.labels)
    assert set(table(read.measured)) <= set(table(read.train))


@pytest.mark.parametrize(
    ("key", "sizes"),
    [
        ("data.val_size", {"val_size": DIGITS}),
        ("data.val_size", {"val_size": 0.0001}),
        ("data.val_size", {"val_size": DIGITS - TEST}),
        ("data.val_size", {"val_size": DIGITS - TEST, "train_size": 10}),
        ("data.train_size", {"train_size": 1151}),
        ("data.train_size", {"train_size": 0.0001}),
    ],
    ids=str,
)
def test_impossible_sizes_are_named(key: str, sizes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"^{key}={sizes[key.removeprefix('data.')]:g}: "):
        digits(**sizes)


def test_a_data_set_moves_and_describes_itself() -> None:
    read = digits().to(torch.device("cpu"))
    assert read.describe() == "digits: 1,150 training, 287 validation, 360 test; 8x8"
    assert read.classes == tuple("0123456789")


@pytest.fixture
def small_mnist(tmp_path: Path) -> Path:
    return write_idx(tmp_path / "data")


def test_mnist_is_torchvisions(mnist_root: str) -> None:
    from torchvision.datasets import MNIST

    read = mnist(mnist_root, validation="test")
    for part, train in ((read.train, True), (read.validation, False)):
        original = MNIST(mnist_root, train=train)
        assert torch.equal(part.images.squeeze(1), original.data)
        assert torch.equal(part.labels, original.targets)
    assert read.shape == (1, 28, 28)
    assert len(read.measured) == dataset.MAX_MEASURED_IMAGES


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, decoding is an error."""

    def refuse(source: object) -> None:
        raise AssertionError("decoded again")

    return lambda: monkeypatch.setitem(readers.READERS, "mnist", refuse)


def test_mnist_is_decoded_once(small_mnist: Path, unread: Callable[[], None]) -> None:
    first = mnist(small_mnist, validation="test")
    unread()
    second = mnist(small_mnist, validation="test")
    assert same(first.train, second.train)
    assert same(first.validation, second.validation)
    assert list(cache_directory().iterdir()) == [locate("mnist", str(small_mnist)).cache]


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_a_broken_cache_is_made_anew(small_mnist: Path, length: int, unread: Callable[[], None]) -> None:
    first = mnist(small_mnist)
    cache = locate("mnist", str(small_mnist)).cache
    whole = cache.read_bytes()
    cache.write_bytes(whole[:length])
    assert same(mnist(small_mnist).train, first.train)
    assert len(cache.read_bytes()) == len(whole)
    unread()
    assert same(mnist(small_mnist).train, first.train)


def test_changed_files_are_decoded_again(small_mnist: Path) -> None:
    first = mnist(small_mnist, validation="test")
    images = small_mnist / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1] + b"\x07")
    second = mnist(small_mnist, validation="test")
    assert int(second.train.images[-1, 0, -1, -1]) == 7
    assert same(first.validation, second.validation)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("REGEXP_CACHE", str(tmp_path / "file"))
    assert len(mnist(small_mnist, validation="test").train) == 60


def truncated(length: int) -> Callable[[bytes], bytes]:
    return lambda whole: whole[:length]


@pytest.mark.parametrize("file", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize(
    "damage",
    [
        *(pytest.param(truncated(length), id=f"cut at {length}") for length in (0, 3, 6, 8, 16, 18, -1)),
        pytest.param(lambda whole: b"<!DOCTYPE html>" + whole, id="a web page"),
        pytest.param(lambda whole: b"\x1f\x8b\x08\x08" + whole, id="still packed"),
        pytest.param(lambda whole: whole[:2] + b"\x09" + whole[3:], id="of signed bytes"),
        pytest.param(lambda whole: whole[:2] + b"\x0a" + whole[3:], id="of no known type"),
        pytest.param(lambda whole: whole[:3] + b"\x02" + whole[4:], id="of two dimensions"),
        pytest.param(lambda whole: whole[:4] + b"\xff\xff\xff\xff" + whole[8:], id="of absurd length"),
    ],
)
def test_broken_files_are_named(small_mnist: Path, file: str, damage: Callable[[bytes], bytes]) -> None:
    path = small_mnist / "MNIST" / "raw" / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        mnist(small_mnist)
    message = str(caught.value)
    assert message.startswith("data=mnist: ")
    assert str(path.parent) in message
    assert "Error" not in message


def test_a_label_that_is_no_digit_is_refused(small_mnist: Path) -> None:
    path = small_mnist / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x0a")
    with pytest.raises(DataError, match=r"^data=mnist: "):
        mnist(small_mnist)


def test_images_and_labels_must_be_as_many(small_mnist: Path) -> None:
    other = write_idx(small_mnist / "other", train=50)
    name = Path("MNIST", "raw", "train-labels-idx1-ubyte")
    (small_mnist / name).write_bytes((other / name).read_bytes())
    with pytest.raises(DataError, match="60 images and 50 labels"):
        mnist(small_mnist)


def test_what_older_torchvisions_left_is_not_unpickled(small_mnist: Path) -> None:
    legacy = small_mnist / "MNIST" / "processed"
    legacy.mkdir()
    for name in ("training.pt", "test.pt"):
        torch.save((torch.zeros(1, 28, 28, dtype=torch.uint8), torch.zeros(1, dtype=torch.long)), legacy / name)
    assert len(mnist(small_mnist, validation="test").train) == 60
