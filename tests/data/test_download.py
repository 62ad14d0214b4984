"""Downloads from servers on this machine, one that works and several that fail in different ways."""

import gzip
import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from errno import ENOSPC, EROFS
from pathlib import Path

import pytest
import torch
import torchvision
from helpers.data_files import write_idx
from helpers.file_server import (
    FAULTS,
    Answer,
    Server,
    fall_silent,
    send_file,
    send_not_found,
    start_server,
    stay_silent,
    stop_servers,
)

from regexp.data.downloads import idx_download, transfer
from regexp.data.downloads.idx import IDX_DATASETS, IDX_FILES, read_idx_files
from regexp.data.downloads.idx_download import download
from regexp.data.sources import locate
from regexp.errors import DataError, StorageError

# urllib does not close the connection after an answer that is not HTTP.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture
def compressed_files(tmp_path: Path) -> dict[str, bytes]:
    directory = IDX_DATASETS["mnist"].directory(write_idx(tmp_path / "original"))
    return {f"{file}.gz": gzip.compress((directory / file).read_bytes()) for file in IDX_FILES}


@pytest.fixture
def serve(compressed_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Server]]]:
    """Return a function that starts a server for each answer and makes these torchvision's mirrors."""
    servers: list[Server] = []

    def start(*answers: Answer) -> list[Server]:
        new_servers = [start_server(compressed_files, answer) for answer in answers]
        servers.extend(new_servers)
        checksums = [(name, hashlib.md5(content).hexdigest()) for name, content in compressed_files.items()]
        for idx_dataset in IDX_DATASETS.values():
            loader = getattr(torchvision.datasets, idx_dataset.loader)
            monkeypatch.setattr(loader, "mirrors", [server.address for server in new_servers])
            monkeypatch.setattr(loader, "resources", checksums)
        return new_servers

    yield start
    stop_servers(servers)


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def assert_downloaded(root: Path, tmp_path: Path, name: str = "mnist") -> None:
    assert files_below(root) == sorted(str(IDX_DATASETS[name].directory(Path()) / file) for file in IDX_FILES)
    for file in IDX_FILES:
        original = IDX_DATASETS["mnist"].directory(tmp_path / "original") / file
        assert (IDX_DATASETS[name].directory(root) / file).read_bytes() == original.read_bytes()


@pytest.mark.parametrize("name", IDX_DATASETS)
def test_a_download_leaves_its_files_and_nothing_else(
    name: str, serve: Callable[..., list[Server]], root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    [server] = serve(send_file)
    first = locate(name, str(root))
    assert_downloaded(root, tmp_path, name)
    assert capfd.readouterr().out == ""
    num_requests = server.num_requests
    assert num_requests > 0
    assert locate(name, str(root)) == first
    assert server.num_requests == num_requests


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_download_leaves_nothing_and_says_what_to_do(
    fault: Answer, serve: Callable[..., list[Server]], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", 0.2)
    [server] = serve(fault)
    with pytest.raises(DataError) as caught:
        locate("mnist", str(root))
    message = str(caught.value)
    assert message.startswith(f"data=mnist: not in {root}, and the download failed:\n  {server.address}: ")
    assert all(file in message for file in IDX_FILES)
    assert f"into {root / 'MNIST' / 'raw'}" in message
    assert "data.root=" in message
    assert "data=digits" in message
    assert files_below(root) == []
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize("fault", [stay_silent, fall_silent])
def test_a_silent_server_times_out(
    fault: Answer, serve: Callable[..., list[Server]], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", 0.2)
    serve(fault)
    with pytest.raises(DataError, match="timed out"):  # the server closes the connection only later
        locate("mnist", str(root))


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_mirror_is_tried_after_a_failure(
    fault: Answer, serve: Callable[..., list[Server]], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", 0.2)
    serve(fault, send_file)
    locate("mnist", str(root))
    assert_downloaded(root, tmp_path)


def test_the_error_about_an_unreachable_server_gives_the_reason(
    serve: Callable[..., list[Server]], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(send_file)
    with socket.socket() as unused_socket:
        unused_socket.bind(("127.0.0.1", 0))  # bound, but not listening
        monkeypatch.setattr(
            torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{unused_socket.getsockname()[1]}/"]
        )
        with pytest.raises(DataError, match="Connection refused"):
            locate("mnist", str(root))


@pytest.mark.parametrize("missing", range(4))
def test_incomplete_files_are_not_taken_for_data(
    missing: int, serve: Callable[..., list[Server]], root: Path, tmp_path: Path
) -> None:
    directory = root / "MNIST" / "raw"
    directory.mkdir(parents=True)
    for i, file in enumerate(IDX_FILES):
        if i != missing:
            (directory / file).write_bytes(b"half")
        (directory / f"{file}.gz").write_bytes(b"\x1f\x8b half")
    serve(send_file)
    locate("mnist", str(root))
    for file in IDX_FILES:
        (directory / f"{file}.gz").unlink()
    assert_downloaded(root, tmp_path)


def test_an_interrupted_download_leaves_nothing(
    serve: Callable[..., list[Server]], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(send_file)

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(idx_download, "read_idx_files", interrupt)  # all files are downloaded, but none is moved yet
        with pytest.raises(KeyboardInterrupt):
            locate("mnist", str(root))
    assert files_below(root) == []
    locate("mnist", str(root))
    assert_downloaded(root, tmp_path)


def test_a_download_interrupted_between_two_files_starts_again(
    serve: Callable[..., list[Server]], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(send_file)
    replace, moved_files = os.replace, []

    def replace_twice(source: Path, target: Path) -> None:
        if len(moved_files) == 2:
            raise KeyboardInterrupt
        moved_files.append(target)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_twice)
        with pytest.raises(KeyboardInterrupt):
            locate("mnist", str(root))
    assert len(files_below(root)) == 2
    locate("mnist", str(root))
    assert_downloaded(root, tmp_path)


def test_two_downloads_at_once_do_not_disturb_each_other(
    serve: Callable[..., list[Server]], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(send_file)
    replace, moved_files = os.replace, []

    def replace_after_another_download(source: Path, target: Path) -> None:
        """Let another download start and finish when the first is about to move its second file."""
        moved_files.append(target)
        if len(moved_files) == 2:
            download("mnist", root)
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_after_another_download)
    download("mnist", root)
    assert len(moved_files) == 8
    assert_downloaded(root, tmp_path)


@pytest.mark.parametrize("errno", [ENOSPC, EROFS])
def test_no_other_mirror_is_tried_after_an_error_of_the_disk(
    errno: int, serve: Callable[..., list[Server]], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [_, second] = serve(send_file, send_file)

    def fail_to_write(*arguments: object) -> None:
        raise OSError(errno, os.strerror(errno))

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", fail_to_write)
    with pytest.raises(StorageError, match=os.strerror(errno)) as caught:
        locate("mnist", str(root))
    assert "data.root=DIR" in str(caught.value)
    assert second.num_requests == 0
    assert files_below(root) == []


def test_the_error_about_a_directory_that_cannot_be_made_says_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(StorageError, match=r"data\.root=DIR"):
        locate("mnist", str(tmp_path / "file"))


def test_a_downloaded_data_set_can_be_decoded(serve: Callable[..., list[Server]], root: Path) -> None:
    serve(send_file)
    download("kmnist", root)
    splits = read_idx_files("kmnist", IDX_DATASETS["kmnist"].directory(root))
    assert splits.train.images.shape == (60, 1, 28, 28)
    assert splits.test is not None
    assert torch.equal(torch.from_numpy(splits.test.labels), torch.arange(20) % 10)


def test_directories_that_are_not_utf_8_are_shown_and_used(
    serve: Callable[..., list[Server]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / os.fsdecode(b"caf\xe9")
    monkeypatch.setattr(transfer, "TIMEOUT", 0.2)
    serve(send_not_found)
    with pytest.raises(DataError, match=r"not in .*/caf\\xe9, (.|\n)* into .*/caf\\xe9/MNIST/raw,"):
        locate("mnist", str(root))
    serve(send_file)
    assert locate("mnist", str(root)).root == root
