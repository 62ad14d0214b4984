"""Targets: names of classes and functions of the user's own, such as "net.py:Net" and "package.module:Net"."""

import ast
import difflib
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from regexp.errors import ConfigError
from regexp.utils.messages import did_you_mean

# A target begins with this where it is an object that Python code has passed.
PYTHON_PREFIX = "python:"


@dataclass(frozen=True)
class Target:
    """A class or function of the user's own, found without running any of its code.

    Attributes:
        text: the target as it was typed.
        module: the path of a file, or the dotted name of a module.
        name: the name in the module; dotted for an attribute of a class.
        file: the source file of the module; None where it has none, because it is compiled or a built-in.
        root: the directory that holds the file, or for a dotted name that of its first part.
    """

    text: str
    module: str
    name: str
    file: Path | None
    root: Path | None

    @property
    def is_file(self) -> bool:
        """Whether the target names a file."""
        return _names_file(self.module)


def find_target(text: str) -> Target:
    """Find a target, and check as far as that can be done without running code that it exists.

    Files and modules are found relative to the working directory; modules are also found where Python finds them.

    Args:
        text: FILE.py:NAME, MODULE:NAME or MODULE.NAME.

    Raises:
        ConfigError: there is no such file, module or name, or the file is not Python; the message begins with `text`.
    """
    module, colon, name = text.rpartition(":")
    if not colon and _names_file(text):
        module, name = text, ""
    elif not colon:
        module, _, name = text.rpartition(".")
    if not module or not name.replace(".", "_").isidentifier():
        names = _list_names(Path(module)) if _names_file(module) and Path(module).is_file() else []
        candidates = [f"{module}:{name}" for name in names if name[0].isupper()][:3]
        raise ConfigError(
            f"{text}: must be FILE.py:NAME or MODULE:NAME, the name of a class or function"
            f"{did_you_mean(candidates) or '; for example net.py:Net'}"
        )
    if _names_file(module):
        path = Path(module).expanduser()
        if not path.is_file():
            raise ConfigError(f"{text}: there is no such file{_suggest_file(path, name)}")
        _check_name(text, path, name, module)
        return Target(text, module, name, path, path.parent)
    file, root = _find_module(text, module)
    if file is not None:
        _check_name(text, file, name, module)
    return Target(text, module, name, file, root)


def normalize_target(text: str) -> str:
    """Return a target with the shortest path of its file: "./net.py:Net" and its absolute path are "net.py:Net"."""
    module, colon, name = text.rpartition(":")
    if not colon or not _names_file(module):
        return text
    path = os.path.normpath(os.path.expanduser(module))
    if os.path.isabs(path) and Path(path).is_relative_to(Path.cwd()):
        path = os.path.relpath(path)
    return f"{Path(path).as_posix()}:{name}"


def _names_file(module: str) -> bool:
    return module.endswith(".py") or "/" in module or os.sep in module


def _find_module(text: str, module: str) -> tuple[Path | None, Path | None]:
    """Return the source file of a module and the directory that holds its first part, importing nothing."""
    first, *rest = module.split(".")
    spec = PathFinder.find_spec(first, [os.getcwd(), *sys.path])
    if spec is None and first not in sys.modules:
        spec = importlib.util.find_spec(first)  # what is built in, or found in another way
    if spec is None:
        raise ConfigError(_describe_missing_module(text, first))
    file = Path(spec.origin) if spec.has_location and spec.origin is not None else None
    directories = [Path(path) for path in spec.submodule_search_locations or ()]
    root = directories[0].parent if directories else None if file is None else file.parent
    name = first
    for part in rest:  # Python's own finders would need the package to be imported
        name = f"{name}.{part}"
        paths = [directory / part for directory in directories]
        candidates = [
            file
            for path in paths
            for file in (path / "__init__.py", path.with_suffix(".py"), *path.parent.glob(f"{part}.*.so"))
            if file.is_file()
        ]
        directories = [path for path in paths if path.is_dir()]
        if not candidates and not directories:
            raise ConfigError(_describe_missing_module(text, name))
        file = candidates[0] if candidates else None
    return file if file is not None and file.suffix == ".py" else None, root


def _describe_missing_module(text: str, name: str) -> str:
    """Return the message for a target in a module that does not exist, of which `name` was not found."""
    file = Path(*text.rpartition(":")[0].split(".")).with_suffix(".py") if ":" in text else None
    suggestion = ""
    if file is not None and file.is_file():
        suggestion = did_you_mean([f"{file.as_posix()}:{text.rpartition(':')[2]}"])
    return (
        f"{text}: there is no module {name}, neither in {Path.cwd()} nor installed; type the name of a module, or of a "
        f"file, FILE.py:NAME{suggestion}"
    )


def _suggest_file(file: Path, name: str) -> str:
    """Return the end of the message about a missing file: one that is much like it, or where it was looked for."""
    with_suffix = file.with_name(f"{file.name}.py") if file.suffix != ".py" else file
    directory = file.parent if file.parent.is_dir() else Path()
    names = [path.name for path in directory.glob("*.py") if name.partition(".")[0] in _list_names(path)]
    if matches := difflib.get_close_matches(with_suffix.name, names, n=1, cutoff=0.6):
        return did_you_mean([f"{(directory / matches[0]).as_posix()}:{name}"])
    return "" if file.is_absolute() else f" in {Path.cwd()}"


def _check_name(text: str, file: Path, name: str, module: str) -> None:
    """Raise ConfigError if a source file is not Python, or surely has no such name."""
    try:
        tree = parse_file(file)
    except SyntaxError as error:
        raise ConfigError(f"{text}: {file.name}, line {error.lineno}: {error.msg}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{text}: cannot be read: {error}") from error
    names = list(_find_bindings(tree))
    first_part = name.partition(".")[0]
    if first_part in names or "*" in names or "__getattr__" in names:
        return
    matches = difflib.get_close_matches(first_part, names, n=1, cutoff=0.6)
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    candidates = [f"{module}:{candidate}" for candidate in matches or classes[:3]]
    raise ConfigError(f"{text}: {file.name} has no {name}{did_you_mean(candidates)}")


def parse_file(file: Path) -> ast.Module:
    """Return the syntax tree of a Python file; raise SyntaxError, OSError or ValueError if it cannot be read."""
    return ast.parse(file.read_bytes())


def _list_names(file: Path) -> list[str]:
    """Return the names of the classes and functions of a file; none if it cannot be read."""
    try:
        tree = parse_file(file)
    except (SyntaxError, OSError, ValueError):
        return []
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]


def _find_bindings(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module binds; "*" where it imports all names of another."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
