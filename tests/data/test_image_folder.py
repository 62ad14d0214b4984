"""Image folders against torchvision's ImageFolder and Pillow, and the errors about those that are refused."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.data_files import CLASSES, make_pixels, write_image_folder
from PIL import Image, ImageOps

from regexp.data import decode
from regexp.data.decode import decode_pictures
from regexp.data.image_folder import scan_image_folder
from regexp.data.readers import read_splits
from regexp.data.sources import locate
from regexp.data.splits import Splits
from regexp.errors import DataError


def read_folder(root: Path, image_size: int | None = None, grayscale: bool | None = None) -> Splits:
    return read_splits(locate("image_folder", str(root), None, image_size, grayscale))


def refusal(root: Path | str | None, image_size: int | None = None, grayscale: bool | None = None) -> str:
    """Return the message of the error that reading the folder raises."""
    with pytest.raises(DataError) as caught:
        read_splits(locate("image_folder", None if root is None else str(root), None, image_size, grayscale))
    message = str(caught.value)
    assert message.startswith("data=image_folder: ")
    assert "Error" not in message
    return message


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_image_folder(tmp_path / "data")


def test_labels_and_pictures_equal_torchvisions(root: Path) -> None:
    from torchvision.datasets import ImageFolder

    nested = root / CLASSES[0] / "b" / "a"
    nested.mkdir(parents=True)
    (root / CLASSES[0] / "003.png").rename(nested / "3.PNG")
    (root / CLASSES[1] / "notes.txt").write_text("no picture")
    (root / CLASSES[1] / "Thumbs.db").write_bytes(b"no picture")
    original, splits = ImageFolder(str(root)), read_folder(root)
    assert list(splits.classes) == original.classes
    assert splits.train.labels.tolist() == original.targets
    expected = sorted(np.asarray(image.convert("L")).tobytes() for image, _ in original)
    assert sorted(image.tobytes() for image in splits.train.images) == expected
    assert splits.train.images.shape == (30, 1, 7, 9)


def test_a_picture_in_no_class_is_not_ignored(root: Path) -> None:
    (root / "a.png").write_bytes(b"in no class")
    with pytest.raises(DataError, match=r"a\.png belongs to no class"):
        read_folder(root)


def test_hidden_files_and_folders_are_not_read(root: Path) -> None:
    (root / ".git").mkdir()
    (root / CLASSES[0] / "._000.png").write_bytes(b"a Macintosh was here")
    (root / CLASSES[0] / ".ipynb_checkpoints").mkdir()
    (root / CLASSES[0] / ".ipynb_checkpoints" / "000.png").write_bytes(b"again")
    assert len(read_folder(root).train) == 30


def test_links_are_followed_but_not_in_circles(root: Path, tmp_path: Path) -> None:
    elsewhere = write_image_folder(tmp_path / "elsewhere", count=2)
    (root / CLASSES[0] / "more").symlink_to(elsewhere / CLASSES[0])
    (root / CLASSES[0] / "circle").symlink_to(root / CLASSES[0])
    assert len(read_folder(root).train) == 32


@pytest.mark.parametrize("names", [("train",), ("train", "test"), ("train", "val"), ("train", "val", "test")])
def test_each_split_holds_the_pictures_of_its_folder(tmp_path: Path, names: tuple[str, ...]) -> None:
    splits = read_folder(write_image_folder(tmp_path / "data", names, 4))
    split_by_name = {"train": splits.train, "val": splits.validation, "test": splits.test}
    assert [name for name, split in split_by_name.items() if split is not None] == list(names)
    for split_number, name in enumerate(names):
        expected = np.stack([make_pixels(label, 100 * split_number + i, 7, 9) for label in range(3) for i in range(4)])
        assert np.array_equal(split_by_name[name].images[:, 0], expected)
        assert split_by_name[name].labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_a_fingerprint_depends_on_names_and_bytes_and_not_on_the_directory(root: Path, tmp_path: Path) -> None:
    def fingerprint(folder: Path) -> str:
        return locate("image_folder", str(folder)).fingerprint

    original_fingerprint = fingerprint(root)
    root = root.rename(tmp_path / "moved")
    assert fingerprint(root) == original_fingerprint
    picture = root / CLASSES[0] / "000.png"
    os.utime(picture, (1, 1))
    assert fingerprint(root) == original_fingerprint
    picture.rename(root / CLASSES[0] / "x.png")
    assert fingerprint(root) != original_fingerprint
    (root / CLASSES[0] / "x.png").rename(picture)
    assert fingerprint(root) == original_fingerprint
    (root / CLASSES[1]).rename(root / "another name")
    assert fingerprint(root) != original_fingerprint


def test_two_spellings_of_one_path_have_one_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    assert locate("image_folder", "data").cache == locate("image_folder", str(root)).cache
    monkeypatch.setenv("HOME", str(root.parent))
    assert locate("image_folder", "~/data").cache == locate("image_folder", str(root)).cache


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8))


def decode_one(path: Path, image_size: int | None = None, grayscale: bool | None = None) -> np.ndarray:
    [image], _ = decode_pictures([path], image_size, grayscale)
    return image


def test_pixels_equal_pillows(picture: Image.Image, tmp_path: Path) -> None:
    gray = picture.convert("L")
    for image, name in ((picture, "a.png"), (picture, "a.jpg"), (gray, "b.png"), (gray, "b.jpeg")):
        path = save(image, tmp_path / name)
        with Image.open(path) as opened:
            expected = np.asarray(opened)
        expected = expected[None] if expected.ndim == 2 else expected.transpose(2, 0, 1)
        assert np.array_equal(decode_one(path), expected)
    black_and_white = decode_one(save(gray.convert("1"), tmp_path / "c.png"))
    assert set(np.unique(black_and_white)) == {0, 255}


def test_a_picture_with_a_palette_is_in_color(picture: Image.Image, tmp_path: Path) -> None:
    palette = picture.quantize(16)
    expected = np.asarray(palette.convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(decode_one(save(palette, tmp_path / "a.png")), expected)


@pytest.mark.parametrize("image_size", [3, 6, 20])
@pytest.mark.parametrize("grayscale", [None, True, False])
def test_pictures_are_cropped_and_resized_as_pillow_does(
    picture: Image.Image, tmp_path: Path, image_size: int, grayscale: bool | None
) -> None:
    original = picture.convert("L") if grayscale else picture
    expected = np.asarray(ImageOps.fit(original, (image_size, image_size), Image.Resampling.BILINEAR))
    expected = expected[None] if grayscale else expected.transpose(2, 0, 1)
    assert np.array_equal(decode_one(save(picture, tmp_path / "a.png"), image_size, grayscale), expected)


@pytest.mark.parametrize("grayscale", [True, False])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_mode_is_converted_to_gray_or_color(
    picture: Image.Image, tmp_path: Path, mode: str, grayscale: bool
) -> None:
    path = save(picture.convert(mode), tmp_path / ("a.jpg" if mode == "CMYK" else "a.png"))
    with Image.open(path) as opened:
        expected = np.asarray(opened.convert("RGB").convert("L" if grayscale else "RGB"))
    assert np.array_equal(
        decode_one(path, None, grayscale), expected[None] if grayscale else expected.transpose(2, 0, 1)
    )


def test_transparent_pixels_become_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (100, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    assert decode_one(save(image, tmp_path / "a.png"), None, False)[:, 0].tolist() == [[100, 255], [0, 255], [0, 255]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.putpixel((1, 0), 1)
    path = save(palette, tmp_path / "b.png", transparency=0)
    assert decode_one(path, None, False)[:, 0].tolist() == [[255, 10], [255, 20], [255, 30]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_pictures_are_rotated_as_exif_says(picture: Image.Image, tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    path = save(picture, tmp_path / f"a.{suffix}", exif=exif)
    with Image.open(path) as opened:
        stored = np.asarray(opened.convert("RGB"))
    # The steps in which rows and columns are read, for each orientation (EXIF 2.3, tag Orientation).
    read_steps = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (-1, 1), 7: (-1, -1), 8: (1, -1)}
    row_step, column_step = read_steps[orientation]
    expected = stored[::row_step, ::column_step]
    expected = expected.transpose(1, 0, 2) if orientation > 4 else expected
    assert np.array_equal(decode_one(path), expected.transpose(2, 0, 1))


def test_a_picture_with_broken_exif_is_read(picture: Image.Image, tmp_path: Path) -> None:
    path = save(picture, tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\xffbroken")
    assert decode_one(path).shape == (3, 6, 8)


def test_decoding_in_threads_keeps_the_order(root: Path) -> None:
    files = scan_image_folder(str(root)).files()
    images, _ = decode_pictures(files, None, None)
    for file, image in zip(files, images, strict=True):
        with Image.open(file) as opened:
            assert np.array_equal(image[0], np.asarray(opened))


# Errors


def test_the_root_must_be_set_and_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "REGEXP_DATA_ROOT", str(write_image_folder(tmp_path / "data"))
    )  # for data sets of torchvision, not for pictures
    assert "data.root=DIR" in refusal(None)
    assert "data.root=DIR" in refusal("")
    missing = tmp_path / "missing"
    assert f"data.root={missing}: there is no such folder" in refusal(missing)
    missing.write_bytes(b"PK")
    assert "is a file, not a folder" in refusal(missing)


def test_pictures_must_lie_in_class_folders(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    assert f"{root} needs a folder of pictures for each class" in refusal(root)
    assert "it holds no folders" in refusal(root)
    (root / "a.PNG").write_bytes(b"")
    assert "its pictures, such as a.PNG, lie directly in it" in refusal(root)
    (root / "train").mkdir()
    assert f"{root / 'train'} needs a folder" in refusal(root)


def test_one_class_is_not_enough(tmp_path: Path) -> None:
    folder = write_image_folder(tmp_path / "data" / "pets")
    assert f"use data.root={folder}" in refusal(tmp_path / "data")
    for name in CLASSES[1:]:
        for file in (folder / name).iterdir():
            file.unlink()
        (folder / name).rmdir()
    assert f"{folder} holds only one class, {CLASSES[0]}" in refusal(folder)


def test_the_error_about_an_empty_class_names_it(root: Path) -> None:
    empty = root / "zebras"
    empty.mkdir()
    (empty / "readme.txt").write_text("soon")
    assert f"{empty} holds no pictures (PNG, JPEG, WebP, BMP, GIF, TIFF, PPM)" in refusal(root)


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_error_about_a_class_missing_from_a_split_names_it(tmp_path: Path, split: str) -> None:
    root = write_image_folder(tmp_path / "data", ("train", split), 2)
    extra_class = root / split / "zebras"
    extra_class.mkdir()
    assert f"{extra_class} has no counterpart in {root / 'train'}" in refusal(root)
    extra_class.rename(root / "train" / "zebras")
    assert f"{root / 'train' / 'zebras'} has no counterpart in {root / split}" in refusal(root)


def test_folders_of_splits_and_of_classes_must_not_be_mixed(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "data", ("train", "test"), 2)
    (root / "zebras").mkdir()
    assert f"{root / 'zebras'} is not one of train/, val/ and test/" in refusal(root)
    (root / "zebras").rename(root / "valid")
    assert "rename it to val/" in refusal(root)
    (root / "valid").rmdir()
    (root / "train").rename(root / "Training")
    assert "rename it to train/" in refusal(root)
    (root / "test").rename(root / "Test")
    assert "rename it to test/" in refusal(root)
    (root / "Test").rename(root / "test")
    (root / "Training").rename(tmp_path / "away")
    assert "no train/" in refusal(root)


@pytest.mark.parametrize("suffix", [".bmp", ".GIF", ".webp", ".tif", ".TIFF", ".jfif", ".png"])
def test_a_file_that_is_no_picture_despite_its_name_is_not_ignored(root: Path, suffix: str) -> None:
    picture = root / CLASSES[1] / f"a{suffix}"
    picture.write_bytes(b"whatever")
    assert f"{picture} is none of PNG, JPEG, WebP, BMP, GIF, TIFF, PPM, despite its name" in refusal(root)


def fifth_picture(root: Path) -> Path:
    return root / CLASSES[0] / "004.png"


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_with_16_bits(color_type: int, samples: int) -> bytes:
    """Return a PNG file of one pixel with 16 bits per sample."""
    header = png_chunk(b"IHDR", struct.pack(">2I5B", 1, 1, 16, color_type, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + png_chunk(b"IDAT", zlib.compress(bytes(1 + 2 * samples)))
        + png_chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda content: b"", "is empty"),
        (lambda content: content[: len(content) // 2], "is broken"),
        (lambda content: content[:40], "is broken"),
        (lambda content: content[:-30], "is broken"),
        (lambda content: content[:60] + b"\xff" * 5 + content[65:], "is broken"),
        (lambda content: content[:10], "is broken"),
        (lambda content: b"<html>" + content, "is none of PNG, JPEG, WebP, BMP, GIF, TIFF, PPM, despite its name"),
        (lambda content: b"\x89PNG\r\n\x1a\n<html>", "is broken"),
        (lambda content: png_with_16_bits(2, 3), "has 16 bits per sample"),
        (lambda content: png_with_16_bits(6, 4), "has 16 bits per sample"),
    ],
)
@pytest.mark.parametrize("grayscale", [None, True])
def test_the_error_about_a_broken_picture_names_it(
    root: Path, damage: Callable[[bytes], bytes], problem: str, grayscale: bool | None
) -> None:
    fifth_picture(root).write_bytes(damage(fifth_picture(root).read_bytes()))
    assert f"{fifth_picture(root)} {problem}" in refusal(root, grayscale=grayscale)


def test_the_error_about_a_truncated_jpeg_names_it(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "data", shape=(40, 40, 3), suffix=".jpg")
    file = root / CLASSES[2] / "009.jpg"
    file.write_bytes(file.read_bytes()[:-200])
    assert f"{file} is broken" in refusal(root)


@pytest.mark.parametrize("limit", [40, 20])  # of 63 pixels: Pillow warns, and Pillow refuses
def test_the_error_about_a_decompression_bomb_names_it(root: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert f"{root / CLASSES[0] / '000.png'} has more than {limit} pixels" in refusal(root)


def test_the_error_about_a_picture_of_another_size_says_what_to_type(root: Path) -> None:
    Image.fromarray(make_pixels(0, 0, 10, 12)).save(fifth_picture(root))
    message = refusal(root)
    assert f"{fifth_picture(root)} is 12 pixels wide and 10 high" in message
    assert f"{root / CLASSES[0] / '000.png'} is 9 pixels wide and 7 high" in message
    assert "data.image_size=7" in message
    assert read_folder(root, image_size=7).train.images.shape == (30, 1, 7, 7)


def test_the_error_about_a_picture_of_another_kind_says_what_to_type(root: Path) -> None:
    Image.fromarray(make_pixels(0, 0, 7, 9, 3)).save(fifth_picture(root))
    message = refusal(root)
    assert f"{fifth_picture(root)} is in color, but {root / CLASSES[0] / '000.png'} is gray" in message
    assert "data.grayscale=true" in message
    assert "data.grayscale=false" in message
    assert read_folder(root, grayscale=True).train.images.shape[1] == 1
    assert read_folder(root, grayscale=False).train.images.shape[1] == 3


@pytest.mark.parametrize(("mode", "kind"), [("LA", "partly transparent"), ("RGBA", "partly transparent")])
def test_transparent_pictures_need_a_choice_of_channels(root: Path, mode: str, kind: str) -> None:
    Image.fromarray(make_pixels(0, 0, 7, 9)).convert(mode).save(fifth_picture(root))
    assert f"{fifth_picture(root)} is {kind}; type data.grayscale=false" in refusal(root)
    assert len(read_folder(root, grayscale=True).train) == 30


def test_cmyk_pictures_need_a_choice_of_channels(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "data", shape=(8, 8, 3), suffix=".jpg")
    file = root / CLASSES[1] / "003.jpg"
    Image.new("CMYK", (8, 8)).save(file)
    assert f"{file} is in CMYK; type data.grayscale=false" in refusal(root)


def test_all_broken_pictures_are_listed_at_once(root: Path) -> None:
    broken = sorted((root / CLASSES[1]).iterdir()) + sorted((root / CLASSES[2]).iterdir())[:3]
    for i, file in enumerate(broken):
        file.write_bytes(b"" if i % 2 else file.read_bytes()[:40])
    first_line, *lines = refusal(root).removeprefix("data=image_folder: ").splitlines()
    remedy = "replace them, or remove them from the folder:"
    assert first_line == f"13 of 30 pictures cannot be read; {remedy}"
    problems = [f"  {file} is {'empty' if i % 2 else 'broken'}" for i, file in enumerate(broken)]
    assert lines == [*problems[:10], "  and 3 more"]


def test_all_kinds_of_problems_are_listed_at_once(root: Path) -> None:
    (root / CLASSES[0] / "000.png").write_bytes(b"")
    Image.fromarray(make_pixels(0, 0, 7, 9)).convert("LA").save(root / CLASSES[0] / "001.png")
    Image.fromarray(make_pixels(0, 0, 10, 12)).save(root / CLASSES[1] / "002.png")
    Image.fromarray(make_pixels(0, 0, 7, 9, 3)).save(root / CLASSES[1] / "003.png")
    lines = refusal(root).splitlines()
    assert len(lines) == 4
    for line, name, problem in zip(
        lines,
        ("000.png", "001.png", "003.png", "002.png"),
        (
            "is empty; replace it",
            "is partly transparent; type",
            "is in color, but",
            "is 12 pixels wide and 10 high, but",
        ),
        strict=True,
    ):
        assert f"{name} {problem}" in line


def test_the_error_about_an_unreadable_picture_names_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:  # file modes would not do: root, who may run the tests, can read everything
        raise PermissionError(13, "Permission denied", str(self))

    source = locate("image_folder", str(root))
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(
        DataError, match=f"(?s)30 of 30 .*{root / CLASSES[0] / '000.png'} cannot be read: Permission denied"
    ):
        read_splits(source)
    monkeypatch.undo()
    (root / CLASSES[0] / "broken link.png").symlink_to(root / "nowhere")
    assert "cannot read " in refusal(root)
    assert "broken link.png: No such file" in refusal(root)


def test_all_files_that_cannot_be_opened_are_listed_at_once(root: Path) -> None:
    for i in range(12):
        (root / CLASSES[i % 2] / f"link {i:02}.png").symlink_to(root / "nowhere")
    first_line, *lines = refusal(root).splitlines()
    assert first_line == "data=image_folder: cannot read 12 of 42 files:"
    assert lines[0] == f"  {root / CLASSES[0] / 'link 00.png'}: No such file or directory"
    assert lines[10:] == ["  and 2 more"]


def test_the_error_about_too_little_memory_says_what_to_type(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out_of_memory(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decode.np, "empty", run_out_of_memory)
    assert "30 pictures do not fit into memory; use data.image_size=" in refusal(root)
