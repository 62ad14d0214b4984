"""Files of tensors in safetensors' format, with a checksum of every byte. Imports no torch until one is used."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from regexp.errors import RunError
from regexp.utils.messages import first_line

if TYPE_CHECKING:
    from torch import Tensor

# The checksum is an entry of the file's metadata. It is taken while these digits stand in its place.
_BLANK = "0" * 32


def encode_tensors(tensors: "Mapping[str, Tensor]", metadata: Mapping[str, str]) -> bytes:
    """Return the content of a file of tensors, which any reader of safetensors understands.

    Args:
        tensors: the tensors by name, on any device.
        metadata: texts that are stored with them.
    """
    from safetensors.torch import save

    # safetensors refuses tensors that share storage.
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    content: bytes = save(copies, {**metadata, "checksum": _BLANK})
    return content.replace(_entry(_BLANK), _entry(_checksum(content, _BLANK)), 1)


def read_tensors(path: Path) -> "tuple[dict[str, Tensor], dict[str, str]]":
    """Return the tensors of a file by name, and its metadata. Files of earlier versions have no checksum.

    The file is read rather than mapped: a disk that fails while a mapped file is used ends the process.

    Args:
        path: the file.

    Raises:
        RunError: the file cannot be read, or a byte of it has changed.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = path.read_bytes()
        header_size = int.from_bytes(content[:8], "little")
        metadata: dict[str, str] = json.loads(content[8 : 8 + header_size]).get("__metadata__", {})
        checksum = metadata.pop("checksum", None)
        if checksum is not None and checksum != _checksum(content, checksum):
            raise ValueError("its checksum does not match its content")
        return load(content), metadata
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RunError(f"{path} is broken: {first_line(error)[:200]}") from error


def _entry(checksum: str) -> bytes:
    """Return the checksum's entry as it stands in the file. Quotes in other entries have backslashes before them."""
    return f'"checksum":"{checksum}"'.encode()


def _checksum(content: bytes, recorded_checksum: str) -> str:
    """Return the checksum of a file's content, in which some checksum is recorded."""
    before, _, after = content.partition(_entry(recorded_checksum))
    checksum = hashlib.blake2b(before, digest_size=len(_BLANK) // 2)
    checksum.update(_entry(_BLANK))
    checksum.update(after)
    return checksum.hexdigest()
