"""Street View House Numbers: its files, the places where users have them, and its download."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torchvision
from helpers.data_files import write_svhn
from helpers.file_server import Answer, send_file, send_not_found, start_server, stop_servers

from regexp.data.downloads.svhn import SVHN_FILES
from regexp.data.readers import read_splits
from regexp.data.sources import locate
from regexp.errors import DataError


def test_it_reads_what_torchvision_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_svhn(tmp_path)
    splits = read_splits(locate("svhn", str(root)))
    monkeypatch.setattr(torchvision.datasets.SVHN, "_check_integrity", lambda self: True)
    for split, reference in ((splits.train, "train"), (splits.test, "test")):
        oracle = torchvision.datasets.SVHN(str(root), reference)
        assert split is not None
        assert np.array_equal(split.images, oracle.data)
        assert np.array_equal(split.labels, oracle.labels)
    assert splits.classes == tuple("0123456789")


@pytest.mark.parametrize("folder", ["SVHN", "svhn", "."])
def test_files_in_a_folder_or_directly_in_the_root_are_used(folder: str, tmp_path: Path) -> None:
    write_svhn(tmp_path / folder)
    assert len(read_splits(locate("svhn", str(tmp_path))).train) == 60


@pytest.mark.parametrize("answer", [send_file, send_not_found])
def test_a_download_is_complete_or_leaves_nothing(
    answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, root = write_svhn(tmp_path / "original"), tmp_path / "data"
    contents = {file: (original / file).read_bytes() for file in SVHN_FILES}
    server = start_server(contents, answer)
    split_list = {
        split: [server.address + file, file, hashlib.md5(contents[file]).hexdigest()]
        for split, file in zip(("train", "test"), SVHN_FILES, strict=True)
    }
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", split_list)
    try:
        if answer is send_file:
            assert locate("svhn", str(root)).fingerprint == locate("svhn", str(original)).fingerprint
            assert sorted(file.name for file in (root / "SVHN").iterdir()) == sorted(SVHN_FILES)
        else:
            with pytest.raises(DataError, match=f"the download failed:\n  {server.address}train_32x32.mat: "):
                locate("svhn", str(root))
            assert not root.exists()
    finally:
        stop_servers([server])


PIXELS, LABELS = np.zeros((32, 32, 3, 4), np.uint8), np.array([[1], [2], [3], [10]], np.uint8)
BROKEN: dict[str, Callable[[Path], object]] = {
    "no file of Matlab": lambda file: file.write_bytes(b"garbage" * 100),
    "empty": lambda file: file.write_bytes(b""),
    "no labels": lambda file: scipy.io.savemat(file, {"X": PIXELS}),
    "too few labels": lambda file: scipy.io.savemat(file, {"X": PIXELS, "y": LABELS[:3]}),
    "labels too high": lambda file: scipy.io.savemat(file, {"X": PIXELS, "y": LABELS + 1}),
    "another type": lambda file: scipy.io.savemat(file, {"X": PIXELS.astype(float), "y": LABELS}),
    "a list of objects": lambda file: scipy.io.savemat(file, {"X": PIXELS, "y": np.array([[{}]], object)}),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_named(fault: str, tmp_path: Path) -> None:
    file = write_svhn(tmp_path) / SVHN_FILES[0]
    BROKEN[fault](file)
    with pytest.raises(DataError, match=f"^data=svhn: {file} is broken .*remove it to download it again$"):
        read_splits(locate("svhn", str(tmp_path)))
