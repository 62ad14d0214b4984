"""CIFAR-10 and CIFAR-100: the binary format, the places where users have it, and its download."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.data_files import write_cifar
from helpers.file_server import FAULTS, Answer, Server, send_file, start_server, stop_servers

from regexp.data.downloads import cifar, transfer
from regexp.data.downloads.cifar import CIFAR_DATASETS
from regexp.data.readers import read_splits
from regexp.data.sources import locate
from regexp.errors import DataError, StorageError

# urllib does not close the connection after an answer that is not HTTP.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(params=CIFAR_DATASETS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pack(folder: Path, archive: Path, extra: dict[str, bytes] | None = None) -> Path:
    """Pack a folder into an archive, with further members of these names and contents."""
    with tarfile.open(archive, "w:gz") as members:
        members.add(folder, folder.name)
        for member_name, content in (extra or {}).items():
            member = tarfile.TarInfo(member_name)
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
    return archive


def use_archive(
    monkeypatch: pytest.MonkeyPatch, name: str, archive: Path, address: str = "http://127.0.0.1:9/"
) -> None:
    """Make an archive the one that the page of the data set offers."""
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    monkeypatch.setitem(CIFAR_DATASETS, name, replace(CIFAR_DATASETS[name], md5=md5, address=address))


@pytest.fixture
def serve(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], Server]]:
    """Return a function that starts a server of a small archive, in the place of the data set's page."""
    dataset, servers = CIFAR_DATASETS[name], []
    folder = write_cifar(tmp_path / "original", name) / dataset.folder
    extra = {"../outside.txt": b"no", f"{dataset.folder}/readme.html": b"read me"}
    archive = pack(folder, tmp_path / dataset.archive, extra)

    def start(answer: Answer) -> Server:
        servers.append(start_server({dataset.archive: archive.read_bytes()}, answer))
        use_archive(monkeypatch, name, archive, servers[-1].address)
        return servers[-1]

    yield start
    stop_servers(servers)


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_the_checksums_and_addresses_are_those_of_the_data_sets_page() -> None:
    assert CIFAR_DATASETS["cifar10"].md5 == "c32a1d4ab5d03f1284b67883e8d87530"
    assert CIFAR_DATASETS["cifar100"].md5 == "03b5dce01913d631647c71ecec9e9cb8"
    for name, dataset in CIFAR_DATASETS.items():
        assert dataset.address + dataset.archive == f"https://www.cs.toronto.edu/~kriz/cifar-{name[5:]}-binary.tar.gz"


def test_pixels_and_labels_are_where_the_format_has_them(name: str, tmp_path: Path) -> None:
    dataset, root = CIFAR_DATASETS[name], write_cifar(tmp_path, name, 100)
    folder = root / dataset.folder
    splits = read_splits(locate(name, str(root)))
    assert splits.train.images.shape == (100 * len(dataset.train_files), 3, 32, 32)
    assert splits.classes == tuple(f"class {i}" for i in range(dataset.num_classes))
    records = [(folder / file).read_bytes() for file in dataset.train_files]
    size = dataset.label_bytes + 3072
    for i in (0, 1, 99, len(splits.train) - 1):
        record = records[i // 100][i % 100 * size :][:size]
        assert splits.train.labels[i] == record[dataset.label_bytes - 1]
        red, green, blue = (record[dataset.label_bytes + 1024 * c :][:1024] for c in range(3))
        image = splits.train.images[i]
        assert (image[0, 0, 1], image[1, 1, 0], image[2, 31, 31]) == (red[1], green[32], blue[1023])
    assert splits.test is not None
    assert splits.test.images.tobytes()[:3072] == (folder / dataset.test_file).read_bytes()[dataset.label_bytes : size]


# What users type, from the directory that holds the folder of the files.
ROOTS: dict[str, Callable[[Path, str], Path]] = {
    "root": lambda root, folder: root,
    "folder": lambda root, folder: root / folder,
    "above": lambda root, folder: root.parent,
    "beside": lambda root, folder: root / "cifar-10-batches-py",
}


@pytest.mark.parametrize("typed", ROOTS)
def test_files_one_level_off_are_used(name: str, typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("downloads")

    monkeypatch.setattr(cifar, "transfer", refuse)
    root = write_cifar(tmp_path / "above" / "data", name)
    (root / "cifar-10-batches-py").mkdir()
    fingerprint = locate(name, str(root)).fingerprint
    source = locate(name, str(ROOTS[typed](root, CIFAR_DATASETS[name].folder)))
    assert source.fingerprint == fingerprint
    assert len(read_splits(source).classes) == CIFAR_DATASETS[name].num_classes


@pytest.mark.parametrize("typed", ["directory", "archive"])
def test_an_archive_beside_nothing_else_is_unpacked(
    name: str, typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = CIFAR_DATASETS[name]
    original, root = write_cifar(tmp_path / "original", name), tmp_path / "data"
    root.mkdir()
    archive = pack(original / dataset.folder, root / dataset.archive, {"../outside.txt": b"no"})
    use_archive(monkeypatch, name, archive)
    source = locate(name, str(archive if typed == "archive" else root))
    assert source.fingerprint == locate(name, str(original)).fingerprint
    expected_files = [dataset.archive, *(f"{dataset.folder}/{file}" for file in dataset.files)]
    assert files_below(root) == sorted(expected_files)
    assert not (tmp_path / "outside.txt").exists()


def test_an_archive_with_another_checksum_is_refused(name: str, tmp_path: Path) -> None:
    archive = tmp_path / CIFAR_DATASETS[name].archive
    archive.write_bytes(b"\x1f\x8b half of it")
    with pytest.raises(DataError, match=r"is broken or another file \(its MD5 is .*remove it to download it again"):
        locate(name, str(tmp_path))
    assert files_below(tmp_path) == [archive.name]


@pytest.mark.parametrize("link", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_in_an_archive_are_not_followed(
    link: bytes, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = CIFAR_DATASETS[name]
    with tarfile.open(tmp_path / dataset.archive, "w:gz") as members:
        for file in dataset.files:
            member = tarfile.TarInfo(f"{dataset.folder}/{file}")
            member.type, member.linkname = link, "/etc/passwd"
            members.addfile(member)
    use_archive(monkeypatch, name, tmp_path / dataset.archive)
    with pytest.raises(DataError, match=f"holds no {sorted(dataset.files)[0]}"):
        locate(name, str(tmp_path))
    assert files_below(tmp_path) == [dataset.archive]


def test_a_download_leaves_its_files_and_nothing_else(
    name: str, serve: Callable[[Answer], Server], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server, root, dataset = serve(send_file), tmp_path / "data", CIFAR_DATASETS[name]
    source = locate(name, str(root))
    assert files_below(root) == sorted(f"{dataset.folder}/{file}" for file in dataset.files)
    assert source.fingerprint == locate(name, str(tmp_path / "original")).fingerprint
    assert capfd.readouterr().out == ""
    num_requests = server.num_requests
    assert locate(name, str(root)) == source
    assert server.num_requests == num_requests > 0
    assert not list(tmp_path.glob("**/outside.txt"))


@pytest.mark.parametrize("name", ["cifar10"], indirect=True)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_download_leaves_nothing_and_says_what_to_do(
    fault: Answer, name: str, serve: Callable[[Answer], Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", 0.2)
    server, root, dataset = serve(fault), tmp_path / "data", CIFAR_DATASETS[name]
    with pytest.raises(DataError) as caught:
        locate(name, str(root))
    message = str(caught.value)
    assert f"data={name}: not in {root}, and the download failed:\n  {server.address}{dataset.archive}: " in message
    assert all(file in message for file in dataset.files)
    assert f"into {root / dataset.folder}" in message
    assert not root.exists()


def test_a_download_to_a_place_that_cannot_be_written_says_so(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(StorageError, match=r"data\.root=DIR"):
        locate(name, str(tmp_path / "file"))


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut": (lambda content: content[:-1], "bytes are not images of"),
    "empty": (lambda content: b"", "0 bytes are not images of"),
    "labels": (lambda content: b"\xff" * 4 + content[4:], "labels go up to 255"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_file_is_named_with_a_remedy(name: str, damage: str, tmp_path: Path) -> None:
    folder = write_cifar(tmp_path, name) / CIFAR_DATASETS[name].folder
    file, (change, problem) = folder / CIFAR_DATASETS[name].train_files[0], DAMAGES[damage]
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(DataError, match=f"{file.name} is broken .*{problem}.*rm -r {folder}$"):
        read_splits(locate(name, str(tmp_path)))


def test_class_names_that_do_not_fit_are_refused(name: str, tmp_path: Path) -> None:
    file = write_cifar(tmp_path, name) / CIFAR_DATASETS[name].folder / CIFAR_DATASETS[name].class_file
    file.write_text("cat\ndog\n")
    with pytest.raises(DataError, match=f"{file.name} is broken .names 2 classes, not "):
        read_splits(locate(name, str(tmp_path)))


def test_images_are_writable_and_contiguous(name: str, tmp_path: Path) -> None:
    splits = read_splits(locate(name, str(write_cifar(tmp_path, name))))
    assert splits.train.images.flags.writeable
    assert splits.train.images.flags.c_contiguous
    assert splits.train.images.dtype == np.uint8
