"""Files of tensors in safetensors' format, with a checksum of every byte. Imports no torch until one is used.

Such a file is the size of its header, the header in JSON (the type, shape and place of each tensor, and metadata), and
the bytes of the tensors. So files can be checked and joined without torch.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regexp.errors import RunError
from regexp.utils.messages import first_line

if TYPE_CHECKING:
    from torch import Tensor

# The checksum is an entry of the file's metadata. It is taken while these digits stand in its place.
_BLANK = "0" * 32
_METADATA = "__metadata__"
# The bytes of the header's size, and what the header is a multiple of.
_SIZE_BYTES = 8


def encode_tensors(tensors: "Mapping[str, Tensor]", metadata: Mapping[str, str]) -> bytes:
    """Return the content of a file of tensors, which any reader of safetensors understands.

    Args:
        tensors: the tensors by name, on any device.
        metadata: texts that are stored with them.
    """
    from safetensors.torch import save

    # safetensors refuses tensors that share storage.
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    return _enter_checksum(save(copies, {**metadata, "checksum": _BLANK}))


def join_files(
    contents: Sequence[tuple[str, bytes]], metadata: Mapping[str, str], left_out: Sequence[str] = ()
) -> bytes:
    """Return the content of a file that holds the tensors of several files. It needs no torch.

    Args:
        contents: what the names of a file's tensors get before them, and the content of the file.
        metadata: texts that are stored with them.
        left_out: the beginnings of the names, in the new file, of tensors that are left out.
    """
    header: dict[str, Any] = {_METADATA: {**metadata, "checksum": _BLANK}}
    chunks, size = [], 0
    for prefix, content in contents:
        entries = {f"{prefix}{name}": entry for name, entry in _read_header(content).items() if name != _METADATA}
        data = memoryview(content)[_SIZE_BYTES + _header_size(content) :]
        for name, entry in sorted(entries.items(), key=lambda item: list(item[1]["data_offsets"])):
            if not name.startswith(tuple(left_out)):
                begin, end = entry["data_offsets"]
                header[name] = {**entry, "data_offsets": [size, size + end - begin]}
                chunks.append(data[begin:end])
                size += end - begin
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _SIZE_BYTES)
    return _enter_checksum(b"".join([len(text).to_bytes(_SIZE_BYTES, "little"), text, *chunks]))


def read_tensors(path: Path) -> "tuple[dict[str, Tensor], dict[str, str]]":
    """Return the tensors of a file by name, and its metadata. Files of earlier versions have no checksum.

    Args:
        path: the file.

    Raises:
        RunError: the file cannot be read, or a byte of it has changed.
    """
    content, metadata = read_content(path)
    metadata.pop("checksum", None)
    return decode_tensors(content, path), metadata


def decode_tensors(content: bytes, path: Path) -> "dict[str, Tensor]":
    """Return the tensors in the content of a file by name; raise RunError, which names the file, if it is broken."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(content)
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"{path} is broken: {first_line(error)[:200]}") from error


def read_content(path: Path) -> tuple[bytes, dict[str, str]]:
    """Return the content of a file, and its metadata with its checksum, if it has one. It needs no torch.

    The file is read rather than mapped: a disk that fails while a mapped file is used ends the process.

    Args:
        path: the file.

    Raises:
        RunError: the file cannot be read, or a byte of it has changed.
    """
    try:
        content = path.read_bytes()
        metadata: dict[str, str] = _read_header(content).get(_METADATA, {})
        checksum = metadata.get("checksum")
        if checksum is not None and checksum != _compute_checksum(content, checksum):
            raise ValueError("its checksum does not match its content")
        return content, metadata
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{path} is broken: {first_line(error)[:200]}") from error


def measure_tensors(path: Path) -> dict[str, int]:
    """Return how many bytes each tensor of a file takes, by name; only the header is read.

    Args:
        path: the file.

    Raises:
        RunError: the header cannot be read.
    """
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(_header_size(file.read(_SIZE_BYTES))))
        offsets = {name: entry["data_offsets"] for name, entry in header.items() if name != _METADATA}
        return {name: end - begin for name, (begin, end) in offsets.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, MemoryError) as error:
        raise RunError(f"{path} is broken: {first_line(error)[:200]}") from error


def recorded_checksum(content: bytes) -> str:
    """Return the checksum that the content of a file records; "" where it records none."""
    return str(_read_header(content).get(_METADATA, {}).get("checksum", ""))


def _header_size(content: bytes) -> int:
    return int.from_bytes(content[:_SIZE_BYTES], "little")


def _read_header(content: bytes) -> dict[str, Any]:
    """Return the header of a file: the type, shape and place of each tensor, and the metadata."""
    header: dict[str, Any] = json.loads(content[_SIZE_BYTES : _SIZE_BYTES + _header_size(content)])
    return header


def _enter_checksum(content: bytes) -> bytes:
    """Return the content of a file with its checksum in the place of the blank one."""
    return content.replace(_entry(_BLANK), _entry(_compute_checksum(content, _BLANK)), 1)


def _entry(checksum: str) -> bytes:
    """Return the checksum's entry as it stands in the file. Quotes in other entries have backslashes before them."""
    return f'"checksum":"{checksum}"'.encode()


def _compute_checksum(content: bytes, recorded: str) -> str:
    """Return the checksum of a file's content, in which some checksum is recorded."""
    before, _, after = content.partition(_entry(recorded))
    checksum = hashlib.blake2b(before, digest_size=len(_BLANK) // 2)
    checksum.update(_entry(_BLANK))
    checksum.update(after)
    return checksum.hexdigest()
