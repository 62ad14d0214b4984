"""The files of data sets: how they are found, fingerprinted, and reported when missing."""

import os
from pathlib import Path

import pytest
import sklearn.datasets

from regexp.data.sources import cache_directory, locate, read_cached_fingerprint
from regexp.errors import DataError

FILES = [f"{prefix}-{kind}-ubyte" for prefix in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


def write_undecodable_mnist(root: Path) -> Path:
    """Write files with the names of MNIST's, for tests that do not decode them."""
    directory = root / "MNIST" / "raw"
    directory.mkdir(parents=True)
    for file in FILES:
        (directory / file).write_text(file)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_undecodable_mnist(tmp_path / "data")


def test_digits_come_with_scikit_learn() -> None:
    source = locate("digits", None)
    assert source.root == Path(sklearn.datasets.__file__).parent / "data"
    assert source.fingerprint == locate("digits", None).fingerprint


def test_a_fingerprint_depends_on_the_bytes_and_not_on_the_directory(root: Path, tmp_path: Path) -> None:
    source, copy = locate("mnist", str(root)), locate("mnist", str(write_undecodable_mnist(tmp_path / "elsewhere")))
    assert source.fingerprint == copy.fingerprint
    assert source.cache != copy.cache


@pytest.mark.parametrize("file", FILES)
def test_a_changed_file_has_another_fingerprint_and_another_cache(root: Path, file: str) -> None:
    original, path = locate("mnist", str(root)), root / "MNIST" / "raw" / file
    path.write_text(path.read_text()[::-1])  # as long as before
    os.utime(path, (1, 1))
    changed = locate("mnist", str(root))
    assert changed.fingerprint != original.fingerprint
    assert changed.cache != original.cache


def test_the_directory_is_the_argument_else_the_environments_else_the_caches(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert locate("mnist", str(root)).root == root
    monkeypatch.setenv("REGEXP_DATA_ROOT", str(write_undecodable_mnist(tmp_path / "environment")))
    assert locate("mnist", None).root == tmp_path / "environment"
    assert locate("mnist", str(root)).root == root
    monkeypatch.delenv("REGEXP_DATA_ROOT")
    write_undecodable_mnist(cache_directory() / "data")
    assert locate("mnist", None).root == cache_directory() / "data"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate("mnist", "~/data").root == root


def test_the_cache_directory_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("REGEXP_CACHE", str(tmp_path / "own"))
    assert cache_directory() == tmp_path / "own"
    monkeypatch.delenv("REGEXP_CACHE")
    assert cache_directory() == tmp_path / "xdg" / "regexp"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory() == tmp_path / "home" / ".cache" / "regexp"


@pytest.mark.parametrize("content", [None, b"", b"not a safetensors file", b"\x02\0\0\0\0\0\0\0{}"])
def test_a_cache_that_is_missing_or_broken_has_no_fingerprint(tmp_path: Path, content: bytes | None) -> None:
    cache = tmp_path / "cache.safetensors"
    if content is not None:
        cache.write_bytes(content)
    assert read_cached_fingerprint(cache) is None


def test_the_error_about_an_unreadable_file_names_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, original_open = root / "MNIST" / "raw" / FILES[2], Path.open

    def refuse(
        self: Path, mode: str
    ) -> object:  # file modes would not do: root, who may run the tests, can read everything
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return original_open(self, mode)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=f"^data=mnist: cannot read {path}: Permission denied$"):
        locate("mnist", str(root))


def test_a_changed_file_with_its_old_modification_time_is_noticed(root: Path) -> None:
    original_fingerprint = locate("mnist", str(root)).fingerprint
    file = root / "MNIST" / "raw" / FILES[0]
    original_stat = file.stat()
    file.write_text(FILES[0][::-1])  # as long as before
    os.utime(file, ns=(original_stat.st_atime_ns, original_stat.st_mtime_ns))
    assert locate("mnist", str(root)).fingerprint != original_fingerprint
