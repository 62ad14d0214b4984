"""The source files that a target consists of: its own, and those of the same project that it imports."""

import ast
import importlib.metadata
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from regexp.user_code.targets import Target, parse_file

# This package is not the user's code: identities have a hash of its own code.
_OUR_PACKAGE = "regexp"


def list_source_files(target: Target) -> list[Path]:
    """Return the source file of a target, those of the packages it is in, and those that they import, sorted.

    What is installed is left out. Only import statements are followed, and only to the target's root, the working
    directory and Python's own search path: a file that is found or read in another way is missing.
    """
    if target.file is None or target.root is None or find_installed_version(target) is not None:
        return []
    root, packages = target.root.resolve(), []
    if not target.is_file:
        parts = target.module.split(".")
        packages = [root.joinpath(*parts[:i], "__init__.py") for i in range(1, len(parts) + 1)]
    return follow_imports([target.file.resolve(), *(path for path in packages if path.is_file())], [root])


def follow_imports(files: Sequence[Path], roots: Sequence[Path]) -> list[Path]:
    """Return files, and those of the user's own that they import, sorted.

    Args:
        files: source files.
        roots: directories in which imports look first.
    """
    directories = [*roots, Path.cwd(), *_list_search_path()]
    found_files: set[Path] = set()
    queue = list(files)
    while queue:
        file = queue.pop()
        if file not in found_files:
            found_files.add(file)
            try:
                tree = parse_file(file)
            except (SyntaxError, OSError, ValueError):  # it is reported when it is imported
                continue
            queue += [path.resolve() for path in _find_imported_files(tree, file, directories)]
    return sorted(found_files)


def find_imports(source: str, file: Path) -> list[Path]:
    """Return the files of the user's own that source code imports, such as that of a function in a file."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    directories = [Path.cwd(), *_list_search_path()]
    return follow_imports([path.resolve() for path in _find_imported_files(tree, file, directories)], [])


def is_library(file: Path) -> bool:
    """Return whether a file belongs to Python or to an installed package."""
    directories = {Path(path).resolve() for path in sysconfig.get_paths().values() if path}
    libraries = {path for path in directories if path.name in ("site-packages", "dist-packages")}
    libraries.add(Path(sysconfig.get_path("stdlib")).resolve())
    return not libraries.isdisjoint(file.resolve().parents)


def _list_search_path() -> list[Path]:
    """Return the directories in which Python looks for modules, without those of libraries and of programs."""
    paths = [Path(path).resolve() for path in sys.path if path and Path(path).is_dir()]
    programs = {Path(sysconfig.get_path("scripts")).resolve(), Path(sys.executable).parent.resolve()}
    return [path for path in paths if path not in programs and not is_library(path / "module.py")]


def find_installed_version(target: Target) -> str | None:
    """Return the name and version of the distribution that installed a target; None for code of the user's own."""
    if target.is_file:
        return None
    if target.file is not None and not is_library(target.file):
        return None
    first_name = target.module.partition(".")[0]
    distributions = importlib.metadata.packages_distributions().get(first_name, [])
    return " ".join(f"{name} {importlib.metadata.version(name)}" for name in sorted(set(distributions))) or first_name


def _find_imported_files(tree: ast.Module, file: Path, roots: list[Path]) -> Iterator[Path]:
    """Yield the files below the roots that a module in a file imports anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _find_module_files(alias.name, roots)
        elif isinstance(node, ast.ImportFrom):
            directories = [file.parents[node.level - 1]] if node.level else roots
            module = node.module or ""
            if node.level and (package := directories[0] / "__init__.py").is_file():
                yield package
            for alias in node.names:
                yield from _find_module_files(f"{module}.{alias.name}".strip("."), directories, bool(node.level))


def _find_module_files(module: str, directories: list[Path], is_relative: bool = False) -> Iterator[Path]:
    """Yield the files of a module and of the packages that hold it, from the first directory that has it.

    The last part may be the name of an object.
    """
    parts = module.split(".")
    if parts[0] == _OUR_PACKAGE and not is_relative:
        return
    for directory in directories:
        paths = []
        for i in range(1, len(parts) + 1):
            path = directory.joinpath(*parts[:i])
            paths += [candidate for candidate in (path / "__init__.py", path.with_suffix(".py")) if candidate.is_file()]
        if paths:
            yield from paths
            return


def normalize_source(source: bytes) -> str:
    """Return Python source without its comments and its layout, or as it is if it is not Python.

    Unlike in the hash of regexp's own code, imports and annotations stay: which module a name comes from can decide
    what the code computes.
    """
    try:
        return ast.unparse(ast.parse(source))
    except (SyntaxError, ValueError):
        return source.decode(errors="replace")
