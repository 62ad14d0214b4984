"""A file that grows while its run trains, and that is cut back to a checkpoint when the run resumes."""

import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from regexp.errors import StorageError
from regexp.utils.atomic_io import write_atomically
from regexp.utils.messages import say


class AppendedFile:
    """A file to which only its run appends. It is opened for each append, so that no file stays open between epochs.

    Attributes:
        path: the path of the file.
        size: the number of bytes that have been appended.
        checksum: the CRC-32 of these bytes.
    """

    def __init__(self, path: Path, size: int = 0, checksum: int = 0) -> None:
        self.path, self.size, self.checksum = path, size, checksum

    @classmethod
    def read(cls, path: Path) -> "AppendedFile":
        """Return the file as it is on the disk."""
        content = path.read_bytes()
        return cls(path, len(content), zlib.crc32(content))

    @classmethod
    def create(cls, path: Path, content: bytes) -> "AppendedFile":
        """Write a file that holds `content`, whatever there was before."""
        path.write_bytes(b"")
        file = cls(path)
        file.append(content)
        return file

    @classmethod
    def at_checkpoint(cls, directory: Path, state: Mapping[str, Any]) -> "AppendedFile":
        """Return a file as it was at a checkpoint, without cutting off what was appended since.

        Args:
            directory: the directory of the file.
            state: the state that the checkpoint recorded.

        Raises:
            OSError: the file cannot be read.
            ValueError: it lacks bytes that it had at the checkpoint, or holds others.
        """
        file = cls(directory / Path(state["name"]).name, state["size"], state["checksum"])
        with file.path.open("rb") as stream:
            content = stream.read(file.size)
        if len(content) < file.size or zlib.crc32(content) != file.checksum:
            raise ValueError(f"{file.path.name} is not as it was at the checkpoint")
        return file

    def state(self) -> dict[str, Any]:
        """Return the state that a checkpoint records."""
        return {"name": self.path.name, "size": self.size, "checksum": self.checksum}

    def cut_back(self) -> None:
        """Cut off what was appended after the checkpoint from which this file was made."""
        os.truncate(self.path, self.size)

    def replace_end(self, content: bytes) -> None:
        """Put bytes in the place of what was appended after the checkpoint from which this file was made, all or none.

        Raises:
            OSError: the file cannot be written, and is as it was.
        """
        write_atomically(self.path, self.path.read_bytes()[: self.size] + content, sync=False)
        self.size += len(content)
        self.checksum = zlib.crc32(content, self.checksum)

    def append(self, content: bytes) -> None:
        """Append bytes, all or none.

        Raises:
            OSError: the file cannot be written.
            StorageError: another program has changed the file since the last append.
        """
        with self.path.open("r+b", buffering=0) as file:
            if file.seek(0, os.SEEK_END) != self.size:
                again = say(
                    "while its run trained. Run the same command again.",
                    "while its run trained. Make the same call again.",
                )
                raise StorageError(f"{self.path} was changed by another program {again}")
            try:
                written = file.write(content)
                while written < len(content):  # a disk that is almost full takes a part
                    written += file.write(content[written:])
            except OSError as error:
                with suppress(OSError):
                    file.truncate(self.size)
                error.filename = str(self.path)  # write() names none
                raise
        self.size += len(content)
        self.checksum = zlib.crc32(content, self.checksum)
