"""Small and read-only file systems for tests. Root ignores permissions, so that there both are mounted."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def mount(*arguments: str) -> bool:
    """Run `mount`, and return whether it succeeded."""
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


@contextmanager
def small_disk(path: Path, num_bytes: int) -> Iterator[None]:
    """Mount a file system of this size at a new directory, or skip the test where that is not possible."""
    path.mkdir()
    if os.geteuid() != 0 or not mount("-t", "tmpfs", "-o", f"size={num_bytes}", "none", str(path)):
        pytest.skip("needs to mount a file system, which only root may do, and not in every container")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def grow_disk(path: Path) -> None:
    """Give a small disk enough room."""
    assert mount("-o", "remount,size=64m", str(path))


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Make a directory and all below it read-only within the block, or skip the test where that is not possible."""
    if os.geteuid() != 0:
        modes = {entry: entry.stat().st_mode for entry in (path, *path.rglob("*"))}
        for entry, mode in modes.items():
            entry.chmod(mode & ~0o222)
        try:
            yield
        finally:
            for entry, mode in modes.items():
                entry.chmod(mode)
        return
    if not mount("--bind", str(path), str(path)):
        pytest.skip("needs to mount a directory, which is not possible in every container")
    try:
        assert mount("-o", "remount,bind,ro", str(path))
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
