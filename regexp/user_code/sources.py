"""The source files that a target consists of: its own, and those of the same project that it imports."""

import ast
import importlib.metadata
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from regexp.user_code.targets import Target, parse_file

# This package is not the user's code: identities have a hash of its own code.
_OUR_PACKAGE = "regexp"


def list_source_files(target: Target) -> list[Path]:
    """Return the source file of a target, and those that it imports from its root or the working directory, sorted.

    What is installed is left out. Only import statements are followed, so a file that is imported in another way is
    missing.
    """
    if target.file is None or target.root is None or find_installed_version(target) is not None:
        return []
    roots = [target.root.resolve(), Path.cwd()]
    files: set[Path] = set()
    queue = [target.file.resolve()]
    while queue:
        file = queue.pop()
        if file not in files:
            files.add(file)
            queue += [path.resolve() for path in _find_imported_files(file, roots)]
    return sorted(files)


def find_installed_version(target: Target) -> str | None:
    """Return the name and version of the distribution that installed a target; None for code of the user's own."""
    if target.is_file:
        return None
    if target.file is not None:
        directories = {Path(path).resolve() for path in sysconfig.get_paths().values() if path}
        site_packages = {path for path in directories if path.name in ("site-packages", "dist-packages")}
        is_library = Path(sysconfig.get_path("stdlib")).resolve() in target.file.resolve().parents
        if not is_library and site_packages.isdisjoint(target.file.resolve().parents):
            return None
    first_name = target.module.partition(".")[0]
    distributions = importlib.metadata.packages_distributions().get(first_name, [])
    return " ".join(f"{name} {importlib.metadata.version(name)}" for name in sorted(set(distributions))) or first_name


def _find_imported_files(file: Path, roots: list[Path]) -> Iterator[Path]:
    """Yield the files below the roots that a file imports anywhere in it."""
    try:
        tree = parse_file(file)
    except (SyntaxError, OSError, ValueError):  # it is reported when it is imported
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _find_module_files(alias.name, roots)
        elif isinstance(node, ast.ImportFrom):
            directories = [file.parents[node.level - 1]] if node.level else roots
            module = node.module or ""
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
