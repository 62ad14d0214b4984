"""Servers of files on this machine, one that works and several that fail in different ways."""

import contextlib
import gc
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What a server does with a request for a file with this content.
Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


def send_file(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)


def break_off(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content[: len(content) // 2])


def send_web_page(request: BaseHTTPRequestHandler, content: bytes) -> None:
    send_file(request, b"<!DOCTYPE html><p>Please log in")


def send_non_http(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.wfile.write(b"what?\r\n\r\n")


def send_not_found(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_error(404)


def stay_silent(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.server.stopped.wait(10)


def fall_silent(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content[:10])
    request.wfile.flush()
    request.server.stopped.wait(10)


class Server(ThreadingHTTPServer):
    """A server of compressed files, which answers requests as `answer` does and counts them."""

    def __init__(self, files: dict[str, bytes], answer: Answer) -> None:
        self.files, self.answer, self.num_requests, self.stopped = files, answer, 0, threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    """A request for a file."""

    server: Server

    def do_GET(self) -> None:
        self.server.num_requests += 1
        with contextlib.suppress(OSError):  # torchvision breaks off its first request, which only resolves redirects
            self.server.answer(self, self.server.files[self.path.lstrip("/")])

    def log_message(self, *arguments: object) -> None:
        pass


FAULTS = [break_off, send_web_page, send_non_http, send_not_found, stay_silent, fall_silent]


def start_server(files: dict[str, bytes], answer: Answer) -> Server:
    """Start a server of these files, by their names, in a thread of its own."""
    server = Server(files, answer)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def stop_servers(servers: list[Server]) -> None:
    """Stop servers, and close the connections that urllib has left open."""
    for server in servers:
        server.stopped.set()
        server.shutdown()
        server.server_close()
    if any(server.answer is not send_file for server in servers):
        gc.collect()
