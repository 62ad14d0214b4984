"""The hash of the code that shapes a result: what changes it, and what does not."""

import ast
from pathlib import Path

import pytest

import regexp
from regexp.runs.code_hash import SHAPING, code_hash, hash_of_sources

PACKAGE = Path(regexp.__file__).parent
SOURCE = '''"""A module."""

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

RATE: float = 0.5


class Layer:
    """A layer."""

    size: int
    p: float = 0.1

    def forward(self, x: "Tensor", scale: float = 2.0) -> "Tensor":
        """Scale."""
        import math

        # A comment.
        return x * scale + math.pi


def apply(x, layer):
    try:
        return layer.forward(x) if x > 0 else -x
    finally:
        x = None
'''


def changed(old: str, new: str) -> str:
    assert SOURCE.count(old) >= 1
    return SOURCE.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""\n', ""),
        ('"""A layer."""', '"""Another text."""'),
        ("import torch\n", "import torch.nn\nfrom torch import nn\n"),
        ("from typing import TYPE_CHECKING\n", ""),
        ("if TYPE_CHECKING:\n    from torch import Tensor\n", ""),
        ("    import math\n", "    from math import pi\n"),
        ("# A comment.", "# Another."),
        ("RATE: float = 0.5", "RATE = 0.5"),
        ('x: "Tensor", scale: float = 2.0) -> "Tensor"', "x, scale: int = 2.0)"),
        ("    size: int\n", "    size: float\n"),
        ("return x * scale + math.pi", "return (x * scale) + math.pi"),
        ('"""Scale."""', '"""Scale.\n\n        Args:\n            x: a tensor.\n        """'),
    ],
)
def test_imports_texts_comments_and_annotations_leave_it_as_it_is(old: str, new: str) -> None:
    assert hash_of_sources([changed(old, new)]) == hash_of_sources([SOURCE])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.5", "0.25"),
        ("2.0", "2"),
        ("= 0.1", "= 0.2"),
        ("x * scale", "x / scale"),
        ("x > 0", "x >= 0"),
        ("else -x", "else x"),
        ("x = None", "y = None"),
        ("    size: int\n", ""),
        ("layer.forward", "layer.backward"),
        ("finally:\n        x = None", "finally:\n        pass"),
        ("return x * scale + math.pi", "return x * scale - math.pi"),
    ],
)
def test_constants_operators_and_names_change_it(old: str, new: str) -> None:
    assert hash_of_sources([changed(old, new)]) != hash_of_sources([SOURCE])


def test_moving_a_file_or_a_function_leaves_it_as_it_is() -> None:
    tree = ast.parse(SOURCE)
    parts = [ast.unparse(ast.Module([node], [])) for node in tree.body]
    assert hash_of_sources(parts[::-1]) == hash_of_sources([SOURCE]) == hash_of_sources(["", SOURCE])


def test_the_code_of_this_installation_has_a_hash() -> None:
    files = [PACKAGE / name for name in SHAPING]
    assert all(path.exists() for path in files)
    sources = [file.read_text() for path in files for file in (path.rglob("*.py") if path.is_dir() else [path])]
    assert code_hash() == hash_of_sources(sources)
    assert len(code_hash()) == 16


# What the files, pictures and lines of a run look like, and where its data lies, changes no result. What a
# configuration holds does, and is hashed for itself.
NOT_SHAPING = {"errors", "config", "runs", "execution.images", "execution.memory", "execution.recorder", "utils"}


def test_everything_that_shapes_a_result_is_hashed() -> None:
    """Everything that the builders and the loop import, directly or not, is hashed, or is known to shape no result."""
    reached: set[str] = set()
    new = {"regexp.execution.builders", "regexp.training.loop"}
    while new:
        reached |= new
        imported = {
            name
            for module in new
            for node in ast.walk(ast.parse(_file(module).read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("regexp.")
            for name in (node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names))
        }
        new = {name for name in imported if _file(name).is_file()} - reached
    hashed = [name.removesuffix(".py").replace("/", ".") for name in SHAPING]
    for module in reached:
        short = module.removeprefix("regexp.")
        assert any(f"{short}.".startswith(f"{name}.") for name in [*hashed, *NOT_SHAPING]), module


def _file(module: str) -> Path:
    return PACKAGE.parent / (module.replace(".", "/") + ".py")
