"""Downloads from a server on this machine that behaves, and from servers that do not."""

import contextlib
import gc
import gzip
import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from errno import ENOSPC, EROFS
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import torchvision
from helpers.data_files import write_idx

from regexp.data import download as download_module
from regexp.data.download import download
from regexp.data.idx import IDX_FILES, IDX_DATASETS, read_idx
from regexp.data.sources import locate
from regexp.errors import DataError, StorageError

# urllib does not close the connection when a server's answer is none.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


def whole(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)


def breaks_off(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content[: len(content) // 2])


def garbage(request: BaseHTTPRequestHandler, content: bytes) -> None:
    whole(request, b"<!DOCTYPE html><p>Please log in")


def no_http(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.wfile.write(b"what?\r\n\r\n")


def not_found(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_error(404)


def silent(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.server.over.wait(10)


def falls_silent(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content[:10])
    request.wfile.flush()
    request.server.over.wait(10)


class Server(ThreadingHTTPServer):
    """Serves packed files from `files`; answers each request as `answer` does, and counts them."""

    def __init__(self, files: dict[str, bytes], answer: Answer) -> None:
        self.files, self.answer, self.requests, self.over = files, answer, 0, threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        with contextlib.suppress(OSError):  # torchvision hangs up after a look at the address
            self.server.answer(self, self.server.files[self.path.lstrip("/")])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def packed(tmp_path: Path) -> dict[str, bytes]:
    raw = IDX_DATASETS["mnist"].directory(write_idx(tmp_path / "original"))
    return {f"{file}.gz": gzip.compress((raw / file).read_bytes()) for file in IDX_FILES}


@pytest.fixture
def serve(packed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Server]]]:
    """Starts a server for each answer, and tells torchvision's MNIST that they are its mirrors."""
    servers: list[Server] = []

    def start(*answers: Answer) -> list[Server]:
        started = [Server(packed, answer) for answer in answers]
        for server in started:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.extend(started)
        checksums = [(name, hashlib.md5(content).hexdigest()) for name, content in packed.items()]
        for name in IDX_DATASETS.values():
            loader = getattr(torchvision.datasets, name.loader)
            monkeypatch.setattr(loader, "mirrors", [server.address for server in started])
            monkeypatch.setattr(loader, "resources", checksums)
        return started

    yield start
    for server in servers:
        server.over.set()
        server.shutdown()
        server.server_close()
    if any(server.answer is not whole for server in servers):
        gc.collect()  # of what urllib has left open


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def assert_original(root: Path, tmp_path: Path, name: str = "mnist") -> None:
    assert everything(root) == sorted(str(IDX_DATASETS[name].directory(Path()) / file) for file in IDX_FILES)
    for file in IDX_FILES:
        original = IDX_DATASETS["mnist"].directory(tmp_path / "original") / file
        assert (IDX_DATASETS[name].directory(root) / file).read_bytes() == original.read_bytes()


@pytest.mark.parametrize("name", IDX_DATASETS)
def test_a_download_leaves_its_files_and_nothing_else(
    name: str, serve: Callable[..., list[Server]], root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    [server] = serve(whole)
    first = locate(name, str(root))
    assert_original(root, tmp_path, name)
    assert capfd.readouterr().out == ""
    asked = server.requests
    assert asked > 0
    assert locate(name, str(root)) == first
    assert server.requests == asked


FAULTS = [breaks_off, garbage, no_http, not_found, silent, falls_silent]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_download_that_fails_leaves_nothing_and_says_what_to_do(
    fault: Answer, serve: Callable[..., list[Server]], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "TIMEOUT", 0.2)
    [server] = serve(fault)
    with pytest.raises(DataError) as caught:
        locate("mnist", str(root))
    message = str(caught.value)
    assert message.startswith(f"data=mnist: not in {root}, and the download failed:\n  {server.address}: ")
    assert all(file in message for file in IDX_FILES)
    assert f"into {root / 'MNIST' / 'raw'}" in message
    assert "data.root=" in message
    assert "data=digits" in message
    assert everything(root) == []
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize("fault", [silent, falls_silent])
def test_a_silent_server_is_not_waited_for(
    fault: Answer, serve: Callable[..., list[Server]], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "TIMEOUT", 0.2)
    serve(fault)
    with pytest.raises(DataError, match="timed out"):  # and not that the server has gone, which it does later
        locate("mnist", str(root))


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_mirror_helps(
    fault: Answer, serve: Callable[..., list[Server]], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "TIMEOUT", 0.2)
    serve(fault, whole)
    locate("mnist", str(root))
    assert_original(root, tmp_path)


def test_a_server_that_is_not_there_is_told_in_its_own_words(
    serve: Callable[..., list[Server]], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(whole)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, and listening to nobody
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{free.getsockname()[1]}/"])
        with pytest.raises(DataError, match="Connection refused"):
            locate("mnist", str(root))


@pytest.mark.parametrize("missing", range(4))
def test_what_lies_around_half_finished_is_not_taken_for_data(
    missing: int, serve: Callable[..., list[Server]], root: Path, tmp_path: Path
) -> None:
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for i, file in enumerate(IDX_FILES):
        if i != missing:
            (raw / file).write_bytes(b"half")
        (raw / f"{file}.gz").write_bytes(b"\x1f\x8b half")
    serve(whole)
    locate("mnist", str(root))
    for file in IDX_FILES:
        (raw / f"{file}.gz").unlink()
    assert_original(root, tmp_path)


def test_an_interrupted_download_leaves_nothing(
    serve: Callable[..., list[Server]], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(whole)

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(download_module, "read_idx", interrupt)  # all is there, and nothing is in its place yet
        with pytest.raises(KeyboardInterrupt):
            locate("mnist", str(root))
    assert everything(root) == []
    locate("mnist", str(root))
    assert_original(root, tmp_path)


def test_a_download_cut_off_between_its_files_begins_anew(
    serve: Callable[..., list[Server]], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(whole)
    replace, moved = os.replace, []

    def twice(source: Path, target: Path) -> None:
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(target)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", twice)
        with pytest.raises(KeyboardInterrupt):
            locate("mnist", str(root))
    assert len(everything(root)) == 2
    locate("mnist", str(root))
    assert_original(root, tmp_path)


def test_two_downloads_at_once_do_not_meet(
    serve: Callable[..., list[Server]], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(whole)
    replace, steps = os.replace, []

    def other_first(source: Path, target: Path) -> None:
        """Another process begins and ends a download of its own when the first is about to move its second file."""
        steps.append(target)
        if len(steps) == 2:
            download("mnist", root)
        replace(source, target)

    monkeypatch.setattr(os, "replace", other_first)
    download("mnist", root)
    assert len(steps) == 8
    assert_original(root, tmp_path)


@pytest.mark.parametrize("number", [ENOSPC, EROFS])
def test_a_full_disk_is_no_fault_of_the_servers(
    number: int, serve: Callable[..., list[Server]], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [_, second] = serve(whole, whole)

    def full(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", full)
    with pytest.raises(StorageError, match=os.strerror(number)) as caught:
        locate("mnist", str(root))
    assert "data.root=DIR" in str(caught.value)
    assert second.requests == 0
    assert everything(root) == []


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match=r"data\.root=DIR"):
        locate("mnist", str(tmp_path / "file"))


def test_what_is_downloaded_can_be_decoded(serve: Callable[..., list[Server]], root: Path) -> None:
    serve(whole)
    download("kmnist", root)
    parts = read_idx("kmnist", IDX_DATASETS["kmnist"].directory(root))
    assert parts.train.images.shape == (60, 1, 28, 28)
    assert parts.test is not None
    assert torch.equal(torch.from_numpy(parts.test.labels), torch.arange(20) % 10)
