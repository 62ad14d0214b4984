"""MNIST and its family where users have them: one level off, compressed, and under the names of other tools."""

import gzip
import shutil
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from helpers.data_files import write_idx

from regexp.data.downloads import idx_download
from regexp.data.downloads.idx import IDX_DATASETS, IDX_FILES
from regexp.data.readers import read_splits
from regexp.data.sources import locate
from regexp.errors import DataError

NAMES = tuple(IDX_DATASETS)


@pytest.fixture(autouse=True)
def _no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, root: Path) -> None:
        raise AssertionError(f"{name} is downloaded into {root}")

    monkeypatch.setattr(idx_download, "download", refuse)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def compress(directory: Path) -> None:
    for file in IDX_FILES:
        (directory / f"{file}.gz").write_bytes(gzip.compress((directory / file).read_bytes()))
        (directory / file).unlink()


def use_dots(directory: Path) -> None:
    for file in IDX_FILES:
        (directory / file).rename(directory / file.replace("-idx", ".idx"))


def use_folders(directory: Path) -> None:
    """Put each file into a folder of its name, as some archives do."""
    for file in IDX_FILES:
        (directory / file).rename(directory / "file")
        (directory / file).mkdir()
        (directory / "file").rename(directory / file / file)


# What users type, from the directory that holds LOADER/raw, and the form of the files in it.
ROOTS: dict[str, Callable[[Path, str], Path]] = {
    "root": lambda root, loader: root,
    "loader": lambda root, loader: root / loader,
    "raw": lambda root, loader: root / loader / "raw",
    "above": lambda root, loader: root.parent,
}
FORMS: dict[str, Callable[[Path], None]] = {
    "plain": lambda directory: None,
    "compressed": compress,
    "dots": use_dots,
    "folders": use_folders,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("typed", ROOTS)
def test_files_one_level_off_are_used(tmp_path: Path, name: str, typed: str, form: str) -> None:
    root = write_idx(tmp_path / "above" / "data", name)
    original = read_splits(locate(name, str(root)))
    fingerprint = locate(name, str(root)).fingerprint
    FORMS[form](IDX_DATASETS[name].directory(root))
    files = sorted(root.rglob("*"))
    source = locate(name, str(ROOTS[typed](root, IDX_DATASETS[name].loader)))
    splits = read_splits(source)
    assert source.fingerprint == fingerprint
    assert np.array_equal(splits.train.images, original.train.images)
    assert np.array_equal(splits.train.labels, original.train.labels)
    assert splits.test is not None
    assert len(splits.test) == 20
    assert sorted(root.rglob("*")) == files


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("folder", ["files", "raw", "a/b"])
def test_a_directory_of_any_name_that_holds_the_files_is_used(
    tmp_path: Path, name: str, folder: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "x" / folder
    directory.parent.mkdir(parents=True)
    shutil.move(IDX_DATASETS[name].directory(write_idx(tmp_path / "written", name)), directory)
    FORMS[form](directory)
    assert len(read_splits(locate(name, str(directory))).train) == 60
    monkeypatch.chdir(directory)
    assert len(read_splits(locate(name, ".")).train) == 60
    monkeypatch.setenv("REGEXP_DATA_ROOT", str(directory))
    assert len(read_splits(locate(name)).train) == 60


@pytest.mark.parametrize(("name", "other"), list(permutations(NAMES, 2)))
@pytest.mark.parametrize("below", ["", "raw"])
def test_the_directory_of_another_data_set_is_not_taken_for_this_one(
    tmp_path: Path, name: str, other: str, below: str
) -> None:
    root = write_idx(tmp_path / "data", other)
    typed = root / IDX_DATASETS[other].loader / below
    with pytest.raises(DataError, match=f"data={name}: {typed} holds {other}, by its name; type data={other}"):
        locate(name, str(typed))
    write_idx(root, name)  # beside it
    source = locate(name, str(typed))
    assert read_splits(source).classes == IDX_DATASETS[name].classes


def test_the_usual_place_wins(tmp_path: Path) -> None:
    write_idx(tmp_path / "data", train=30)
    write_idx(tmp_path / "data" / "other", train=40)
    assert len(read_splits(locate("mnist", str(tmp_path / "data"))).train) == 30


@pytest.mark.parametrize("length", [0, 5, 10, 30, 1000, -1])
def test_compressed_files_that_are_cut_off_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    root = write_idx(tmp_path / "data")
    directory = IDX_DATASETS["mnist"].directory(root)
    compress(directory)
    file = directory / f"{IDX_FILES[0]}.gz"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(AssertionError, match="mnist is downloaded into"):
        locate("mnist", str(root))


def test_the_error_about_a_broken_compressed_file_names_its_directory(tmp_path: Path) -> None:
    root = write_idx(tmp_path / "data")
    directory = IDX_DATASETS["mnist"].directory(root)
    compress(directory)
    file = directory / f"{IDX_FILES[0]}.gz"
    content = bytearray(file.read_bytes())
    content[5000] ^= 255
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"a compressed file in {root} is broken; remove it"):
        locate("mnist", str(root))


def test_files_directly_in_the_directory_of_the_data_set_are_used(tmp_path: Path, name: str) -> None:
    directory = IDX_DATASETS[name].directory(write_idx(tmp_path / "data", name))
    for file in IDX_FILES:
        (directory / file).rename(directory.parent / file)
    directory.rmdir()
    for typed in (tmp_path / "data", directory.parent):
        assert len(read_splits(locate(name, str(typed))).train) == 60
