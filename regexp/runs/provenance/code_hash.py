"""The hash of the code that shapes a run's result, which depends on the computations, not on the form of the code."""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

# Whole packages, and a few files beside them: the builders put the parts together, and random streams, keyed draws and
# precision decide every number.
SHAPING_PATHS = (
    "data",
    "augmentation",
    "models",
    "training",
    "execution/builders.py",
    "execution/building",
    "utils/rng.py",
    "utils/keyed_draws.py",
    "utils/device.py",
)
# Fields of a syntax tree that say nothing of what is computed, or that only some versions of Python have.
_IGNORED = {"annotation", "returns", "type_comment", "type_ignores", "type_params", "kind", "ctx"}


@cache
def code_hash() -> str:
    """Return the hash of the code in this installation that shapes results: 16 hexadecimal digits."""
    package = Path(__file__).parents[2]
    paths = [package / name for name in SHAPING_PATHS]
    files = [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])]
    return hash_sources(file.read_text(encoding="utf-8") for file in files)


def hash_sources(sources: Iterable[str]) -> str:
    """Return the hash of Python sources, in any order.

    It is taken over the statements of their syntax trees, without imports, docstrings, comments, annotations and the
    names of files. So moving a file, a function or an import does not change it; changing a constant, an operator or a
    name does.

    Args:
        sources: the text of each file.

    Returns:
        16 hexadecimal digits.
    """
    statements = sorted(_describe(node) for source in sources for node in _computing(ast.parse(source).body))
    return hashlib.sha256("\n".join(statements).encode()).hexdigest()[:16]


def _describe(node: ast.AST) -> str:
    """Return a syntax tree as text, the same under every version of Python."""
    if isinstance(node, ast.AnnAssign):  # x: int = 1 computes what x = 1 does
        assigned = "" if node.value is None else f",value={_describe(node.value)}"
        return f"Assign(targets=[{_describe(node.target)}]{assigned})"
    fields = []
    for name in node._fields:
        if name in _IGNORED:
            continue
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            fields.append(f"{name}={_describe(value)}")
        elif isinstance(value, list):
            if entries := [_describe(entry) for entry in _computing(value)]:
                fields.append(f"{name}=[{','.join(entries)}]")
        elif value is not None or isinstance(node, ast.Constant):
            fields.append(f"{name}={value!r}")
    return f"{type(node).__name__}({','.join(fields)})"


def _computing(nodes: Sequence[ast.AST | str | None]) -> Iterator[ast.AST]:
    """Yield the nodes of a list except imports and strings that stand alone, such as docstrings."""
    for node in nodes:
        is_text = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        is_import = isinstance(node, ast.Import | ast.ImportFrom)
        # such as if TYPE_CHECKING: ...
        only_imports = isinstance(node, ast.If) and not node.orelse and not any(_computing(node.body))
        if isinstance(node, ast.AST) and not (is_text or is_import or only_imports):
            yield node
