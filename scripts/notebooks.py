"""Build the notebooks of examples/ from the scripts beside them: uv run scripts/notebooks.py.

A script is divided into cells by lines "# %%" and "# %% [markdown]", which editors can run one by one. A notebook holds
its cells without outputs, so that it can be compared line by line.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
MARKER = re.compile(r"^# %%( \[markdown\])?$", re.MULTILINE)


def main() -> None:
    """Write the notebook of each script."""
    for script in find_scripts():
        notebook = script.with_suffix(".ipynb")
        notebook.write_text(build_notebook(script.read_text()))
        print(notebook.relative_to(EXAMPLES.parent))


def find_scripts() -> list[Path]:
    """Return the scripts that begin with a cell."""
    return sorted(path for path in EXAMPLES.glob("*/*.py") if MARKER.match(path.read_text()))


def build_notebook(script: str) -> str:
    """Return the text of a notebook with the cells of a script."""
    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown", "id": f"cell-{number}", "metadata": {}, "source": _split(_uncomment(text))}
        if is_markdown
        else {
            **{"cell_type": "code", "execution_count": None, "id": f"cell-{number}", "metadata": {}, "outputs": []},
            "source": _split(text),
        }
        for number, (is_markdown, text) in enumerate(_find_cells(script))
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _find_cells(script: str) -> Iterator[tuple[bool, str]]:
    """Yield whether a cell is Markdown, and its text."""
    markers = list(MARKER.finditer(script))
    ends = [*(marker.start() for marker in markers[1:]), len(script)]
    for marker, end in zip(markers, ends, strict=True):
        yield marker[1] is not None, script[marker.end() : end].strip()


def _uncomment(text: str) -> str:
    """Return the lines of a comment without the signs in front."""
    return re.sub(r"^# ?", "", text, flags=re.MULTILINE)


def _split(text: str) -> list[str]:
    """Return a text in lines, as notebooks hold it."""
    return text.splitlines(keepends=True)


if __name__ == "__main__":
    main()
