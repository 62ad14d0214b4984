"""Which files of a folder are pictures, against Pillow; and what is left out of it."""

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from helpers.data_files import CLASSES, make_pixels, write_image_folder
from PIL import Image

from regexp import run
from regexp.data.readers import read_splits
from regexp.data.sources import locate
from regexp.data.splits import Splits
from regexp.errors import DataError

# Pillow's name of each format that is read, and the suffixes that its files have.
SUFFIXES = {
    "PNG": (".png", ".PNG", ".apng"),
    "JPEG": (".jpg", ".JPG", ".jpeg", ".jpe", ".JPE", ".jfif", ".jif"),
    "WEBP": (".webp", ".WebP"),
    "BMP": (".bmp", ".BMP", ".dib"),
    "GIF": (".gif", ".GIF"),
    "TIFF": (".tif", ".TIF", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pnm"),
}
# Names that say nothing about the content, or something else.
NAMELESS = ("", ".001", ".download", ".jpg_large", ".bak")
LEAVINGS = (
    "@eaDir/000.png",
    "__MACOSX/000.png",
    "__MACOSX/._000.png",
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
    "._000.png",
    ".hidden/000.png",
    "#recycle/000.png",
    "$RECYCLE.BIN/000.png",
    "System Volume Information/000.png",
)


def read_folder(root: Path, **options: float | None) -> Splits:
    return read_splits(locate("image_folder", str(root), **options))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_image_folder(tmp_path / "data", count=3)


def add_picture(path: Path, format: str, mode: str = "L") -> np.ndarray:
    """Write a picture of a format under any name, and return its pixels as Pillow reads them."""
    pixels = make_pixels(2, 5, 7, 9)
    with path.open("wb") as file:
        Image.fromarray(pixels).convert(mode).save(file, format, **({"lossless": True} if format == "WEBP" else {}))
    with Image.open(path) as opened:
        return np.asarray(opened.convert("L"))


@pytest.mark.parametrize(
    ("format", "suffix"),
    [
        *((format, suffix) for format, suffixes in SUFFIXES.items() for suffix in suffixes),
        *((format, suffix) for format in SUFFIXES if format != "PPM" for suffix in NAMELESS),
        ("PNG", ".jpg"),
        ("JPEG", ".png"),
        ("GIF", ".jpg"),
    ],
)
def test_a_picture_of_every_format_is_read_by_name_or_content(root: Path, format: str, suffix: str) -> None:
    expected = add_picture(root / CLASSES[0] / f"zz{suffix}", format)
    splits = read_folder(root, grayscale=True)
    assert len(splits.train) == 10
    assert np.array_equal(splits.train.images[3, 0], expected)
    assert splits.notes == {}


def test_files_that_are_no_pictures_are_counted(root: Path) -> None:
    contents = {"a.txt": b"BM is a long note", "b.TXT": b"", "c": b"RIFF of another kind", "d.csv": b"x"}
    for name, content in contents.items():
        (root / CLASSES[1] / name).write_bytes(content)
    splits = read_folder(root)
    assert len(splits.train) == 9
    assert splits.notes == {"left out": "2 .txt, 1 without suffix, 1 .csv"}


def test_pictures_in_formats_that_are_not_read_are_listed_by_kind(root: Path) -> None:
    for number in range(12):
        (root / CLASSES[number % 2] / f"{number:02}.{('HEIC', 'avif', 'heic', 'svg')[number % 4]}").write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        read_folder(root)
    first_line, *lines = str(caught.value).splitlines()
    assert first_line.startswith("data=image_folder: 6 .heic, 3 .avif, 3 .svg cannot be read, only PNG, JPEG, WebP, ")
    assert len(lines) == 11
    assert lines[0] == f"  {root / CLASSES[0] / '00.HEIC'}"
    assert lines[-1] == "  and 2 more"


@pytest.mark.parametrize("leaving", LEAVINGS)
@pytest.mark.parametrize("place", ["beside classes", "in a class", "beside train"])
def test_leavings_of_other_programs_are_left_out(tmp_path: Path, leaving: str, place: str) -> None:
    splits = ("train", "test") if place == "beside train" else ("",)
    root = write_image_folder(tmp_path / "data", splits, 3)
    path = (root / CLASSES[1] if place == "in a class" else root) / leaving
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"no picture")
    data = read_folder(root)
    assert data.classes == CLASSES
    assert len(data.train) == 9
    assert data.notes == {"left out": f"{leaving.partition('/')[0]} (hidden, or of other programs)"}


def test_many_leavings_are_one_line(root: Path) -> None:
    for name in CLASSES:
        for leaving in (".DS_Store", "Thumbs.db", "@eaDir", "._000.png", ".thumbnails", "desktop.ini"):
            (root / name / leaving).write_bytes(b"x")
    [note] = read_folder(root).notes.values()
    assert note == "18: .DS_Store, ._000.png, .thumbnails, @eaDir, ... (hidden, or of other programs)"


def test_several_frames_are_noticed(root: Path) -> None:
    frames = [Image.fromarray(make_pixels(0, i, 7, 9)) for i in range(3)]
    frames[0].save(root / CLASSES[0] / "a.gif", save_all=True, append_images=frames[1:])
    larger = Image.fromarray(make_pixels(0, 9, 20, 30, 3))
    frames[0].save(root / CLASSES[0] / "b.tif", save_all=True, append_images=[larger, *frames[1:]])
    for name, options in (("c.png", {}), ("d.webp", {"lossless": True})):
        frames[0].save(root / CLASSES[0] / name, save_all=True, append_images=frames[1:], **options)
    splits = read_folder(root, grayscale=True)
    path = root / CLASSES[0] / "a.gif"
    assert splits.notes["warning"] == f"4 files hold several frames, of which the first is read, such as {path}"
    assert len(splits.train) == 13
    for image in splits.train.images[3:7, 0]:
        assert np.array_equal(image, np.asarray(frames[0]))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("scale", [None, 4095])
def test_gray_pictures_of_16_bits_are_read(root: Path, suffix: str, scale: int | None) -> None:
    pixels = (make_pixels(2, 5, 7, 9).astype(np.uint16) * 16) if scale else (make_pixels(2, 5, 7, 9) * np.uint16(257))
    for name in CLASSES:
        shutil.rmtree(root / name)
        (root / name).mkdir()
        Image.fromarray(pixels).save(root / name / f"a{suffix}")
    splits = read_folder(root, scale=scale)
    assert np.abs(splits.train.images[0, 0] - pixels * (255 / (scale or 65535))).max() <= 0.5
    assert "warning" not in splits.notes
    if scale:
        assert "data.scale=4095" in read_folder(root).notes["warning"]


def test_dark_pictures_get_a_warning_and_a_scale_sets_them_right(root: Path) -> None:
    for file in root.rglob("*.png"):
        Image.fromarray(make_pixels(0, 0, 7, 9) % 17).save(file)
    splits = read_folder(root)
    assert splits.notes["warning"].startswith("pictures: the highest number is 16, and 255 is taken for white")
    scaled = read_folder(root, scale=16)
    assert np.array_equal(scaled.train.images, np.rint(splits.train.images * (255 / 16)).astype(np.uint8))
    assert scaled.notes == {}
    Image.fromarray(make_pixels(2, 0, 7, 9)).save(root / CLASSES[0] / "000.png")
    with pytest.raises(DataError, match=r"000\.png holds uint8 from .* but data\.scale=16; if 255 is white"):
        read_folder(root, scale=16)


NFC, NFD = "grüne Äpfel", unicodedata.normalize("NFD", "grüne Äpfel")


def test_a_class_in_nfc_and_nfd_is_one_class(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "data", ("train", "val"), 3)
    (root / "val" / NFC).rename(root / "val" / NFD)
    more = root / "train" / NFD  # unpacked from another system's archive
    more.mkdir()
    add_picture(more / "003.png", "PNG")
    splits = read_folder(root)
    assert splits.classes == CLASSES
    assert splits.train.labels.tolist() == [0] * 3 + [1] * 4 + [2] * 3
    assert splits.validation is not None
    assert splits.validation.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3


def test_names_in_nfc_and_nfd_are_the_same_data(tmp_path: Path) -> None:
    composed = write_image_folder(tmp_path / "composed", count=3)
    decomposed = write_image_folder(tmp_path / "decomposed", count=3)
    (decomposed / NFC).rename(decomposed / NFD)
    first, second = (locate("image_folder", str(folder)) for folder in (composed, decomposed))
    assert first.fingerprint == second.fingerprint
    assert np.array_equal(read_splits(first).train.images, read_splits(second).train.images)


def test_names_that_are_not_utf_8_are_shown_and_used(root: Path) -> None:
    names = [os.fsdecode(name) for name in (b"caf\xe9", b"caf\xe8")]
    for name in names:
        (root / name).mkdir()
        add_picture(root / name / os.fsdecode(b"\xe9.png"), "PNG")
    frames = [Image.fromarray(make_pixels(0, i, 7, 9)) for i in range(2)]
    frames[0].save(root / names[0] / os.fsdecode(b"\xe8.gif"), save_all=True, append_images=frames[1:])
    (root / names[0] / os.fsdecode(b".\xe9")).write_bytes(b"hidden")
    splits = read_folder(root, grayscale=True)
    assert splits.classes == ("caf\\xe8", "caf\\xe9", *CLASSES)
    assert len(splits.train) == 12
    assert "caf\\xe9/\\xe8.gif" in splits.notes["warning"]
    assert splits.notes["left out"].startswith(".\\xe9 (hidden")


def test_errors_about_names_that_are_not_utf_8_are_recorded_and_shown(root: Path) -> None:
    (root / os.fsdecode(b"caf\xe9")).mkdir()
    (root / os.fsdecode(b"caf\xe9") / "a.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        run(["data=image_folder", f"data.root={root}", "epochs=1"], quiet=True)
    assert f"{root}/caf\\xe9/a.png is empty" in str(caught.value)
    [failure] = Path("outputs/default").glob("*/failure.json")
    assert "caf" in failure.read_text()
    assert "is empty" in (failure.parent / "run.log").read_text()


@pytest.mark.parametrize("place", ["PIL.ImageFile.ImageFile.load", "PIL.ImageOps.exif_transpose"])
def test_a_shortage_of_memory_is_not_blamed_on_a_picture(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image_folder(Path("pictures"))

    def fail(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(place, fail)
    with pytest.raises(DataError, match=r"pictures do not fit into memory; use data\.image_size=64"):
        read_splits(locate("image_folder", "pictures"))
