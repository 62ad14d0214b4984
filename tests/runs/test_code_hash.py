"""The hash of the code that decides a run's result: which edits change it, and which do not."""

import ast
from pathlib import Path

import pytest

import regexp
from regexp.runs.provenance.code_hash import SHAPING_PATHS, code_hash, hash_sources

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


def replace_in_source(old: str, new: str) -> str:
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
def test_imports_docstrings_comments_and_annotations_do_not_change_the_hash(old: str, new: str) -> None:
    assert hash_sources([replace_in_source(old, new)]) == hash_sources([SOURCE])


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
def test_constants_operators_and_names_change_the_hash(old: str, new: str) -> None:
    assert hash_sources([replace_in_source(old, new)]) != hash_sources([SOURCE])


def test_moving_a_file_or_a_function_does_not_change_the_hash() -> None:
    tree = ast.parse(SOURCE)
    sources = [ast.unparse(ast.Module([node], [])) for node in tree.body]
    assert hash_sources(sources[::-1]) == hash_sources([SOURCE]) == hash_sources(["", SOURCE])


def test_the_code_of_this_installation_has_a_hash() -> None:
    files = [PACKAGE / name for name in SHAPING_PATHS]
    assert all(path.exists() for path in files)
    sources = [file.read_text() for path in files for file in (path.rglob("*.py") if path.is_dir() else [path])]
    assert code_hash() == hash_sources(sources)
    assert len(code_hash()) == 16


# These packages and modules decide how a run's files, images and terminal lines look and where its data lies, but not
# its result. The configuration does decide it, but its values are part of a run's identity and need no code hash.
NOT_SHAPING = {"errors", "config", "runs", "execution.images", "execution.forecasting", "execution.planning"}
NOT_SHAPING |= {
    "execution.checkpoint_file",
    "execution.corruption_picture",
    "execution.reliability_picture",
    "execution.result_files",
    "execution.run_recorder",
    "utils",
    "user_code",
}


def test_all_code_that_decides_a_result_is_hashed() -> None:
    """Follow all imports of the builders and the loop: each module must be hashed, or listed in NOT_SHAPING."""
    imported_modules: set[str] = set()
    new_modules = {"regexp.execution.builders", "regexp.training.loop"}
    while new_modules:
        imported_modules |= new_modules
        names = {
            name
            for module in new_modules
            for node in ast.walk(ast.parse(module_file(module).read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("regexp.")
            for name in (node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names))
        }
        new_modules = {name for name in names if module_file(name).is_file()} - imported_modules
    hashed_modules = [name.removesuffix(".py").replace("/", ".") for name in SHAPING_PATHS]
    for module in imported_modules:
        module_name = module.removeprefix("regexp.")
        assert any(f"{module_name}.".startswith(f"{name}.") for name in [*hashed_modules, *NOT_SHAPING]), module


def module_file(module: str) -> Path:
    return PACKAGE.parent / (module.replace(".", "/") + ".py")
