"""Directories of runs as bytes, for machines that share no folder. Imports no torch."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from regexp.utils.atomic_io import write_atomically

# Checkpoints come first: what is appended to other files meanwhile is more than a checkpoint knows of, and is cut off
# when the run goes on. Whether a run has ended is told last.
_FIRST, _LAST = "checkpoint", "summary.json"


def pack(directories: Sequence[Path]) -> bytes:
    """Return the files of directories as an archive, in which the directories have numbers as names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number, directory in enumerate(directories):
            files = [path for path in directory.rglob("*") if path.is_file() and path.suffix != ".part"]
            for path in sorted(files, key=lambda path: (path.name == _LAST, not path.name.startswith(_FIRST))):
                try:
                    content = path.read_bytes()
                except OSError:  # a file that the training has just replaced
                    continue
                entry = tarfile.TarInfo(f"{number}/{path.relative_to(directory).as_posix()}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def unpack(archive: bytes, directories: Sequence[Path]) -> None:
    """Write the files of an archive to directories, in its order, each file whole or not at all.

    Files that these have and the archive lacks are removed, such as the record of an earlier failure.

    Raises:
        OSError: a file cannot be written.
    """
    kept: set[Path] = set()
    with tarfile.open(fileobj=io.BytesIO(archive)) as entries:
        for entry in entries:
            number, _, name = entry.name.partition("/")
            content = entries.extractfile(entry)
            path = directories[int(number)] / name
            if content is None or ".." in Path(name).parts:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content.read())
            kept.add(path)
    for directory in directories:
        for path in list(directory.rglob("*")):
            if path.is_file() and path not in kept:
                path.unlink()
