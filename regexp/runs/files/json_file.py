"""The JSON files of a run, which hold one object each."""

import json
from pathlib import Path
from typing import Any

from regexp.errors import RunError
from regexp.utils.atomic_io import read_text


def read_json_object(path: Path, missing_message: str) -> dict[str, Any]:
    """Return the object in a JSON file; raise RunError if the file is missing or broken."""
    try:
        content = json.loads(read_text(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(f"{path.parent} {missing_message}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is broken: {str(error)[:200]}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is broken: it holds no JSON object")
    return content
