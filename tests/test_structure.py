"""The order of the packages, the libraries that each may import, and the modules that must not import torch."""

import ast
import subprocess
import sys
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import regexp

PACKAGE = Path(regexp.__file__).parent

# The packages in order, each with the libraries that it may import. A package imports only from those above it.
LIBRARIES: dict[str, set[str]] = {
    "errors": set(),
    "utils": {"torch", "rich"},
    "user_code": set(),
    "config": {"hydra", "omegaconf", "yaml"},
    "data": {"torch", "torchvision", "numpy", "scipy", "PIL", "safetensors", "pyarrow"},
    "augmentation": {"torch", "torchvision", "numpy", "scipy", "PIL"},
    "models": {"torch", "torchvision"},
    "training": {"torch"},
    "runs": {"tensorboard", "torch", "safetensors", "numpy", "PIL", "onnxscript", "onnxruntime"},
    "comparison": {"numpy", "scipy", "matplotlib", "rich"},
    "search": {"optuna", "hydra", "matplotlib"},
    "execution": {
        *("torch", "hydra", "omegaconf", "rich", "PIL", "safetensors", "loky", "IPython", "optuna", "ray", "submitit")
    },
    "cli": {"hydra", "omegaconf"},
    "api": {"torch", "PIL"},
    "preview": set(),
    "verify": {"rich"},
    "predict": {"rich", "torch"},
    "clear": {"rich"},
    "__init__": set(),
    "__main__": set(),
    "plugins": {"hydra", "omegaconf"},
}
# Packages whose files import torch only inside the functions that need it.
LIGHT = {
    "errors",
    "user_code",
    "config",
    "runs",
    "comparison",
    "search",
    "cli",
    "api",
    "preview",
    "verify",
    "predict",
    "clear",
    "__init__",
    "__main__",
    "plugins",
}
ORDER = list(LIBRARIES)
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def package_of(path: Path) -> str:
    """Return the package of a file, or its own name at the top: "config", "errors"."""
    return path.parts[0].removesuffix(".py")


def module_name(path: Path) -> str:
    """Return the dotted name of a file: "regexp.config.schema"."""
    return ".".join(["regexp", *path.with_suffix("").parts]).removesuffix(".__init__")


MODULES = {module_name(path) for path in FILES}


@cache
def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse((PACKAGE / path).read_text())


@cache
def imported_modules(path: Path, nested: bool = True) -> frozenset[str]:
    """Return the dotted names of the modules that a file imports, at its top or anywhere in it."""
    tree = parse(path)
    names: set[str] = set()
    for node in ast.walk(tree) if nested else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path}: a relative import"
            names |= {
                submodule if (submodule := f"{node.module}.{alias.name}") in MODULES else node.module
                for alias in node.names
            }
    return frozenset(names)


def test_the_order_lists_every_package() -> None:
    assert set(ORDER) == {package_of(path) for path in FILES}
    assert len(ORDER) <= 21  # more would not fit the picture of the packages in docs/architecture.md


def test_a_file_imports_only_from_packages_above_its_own() -> None:
    for path in FILES:
        allowed = ORDER[: ORDER.index(package_of(path)) + 1]
        if path == Path("__init__.py"):
            allowed = ORDER
        own_modules = {name for name in imported_modules(path) if name.split(".")[0] == "regexp"}
        assert {name.split(".")[1] for name in own_modules - {"regexp"}} <= set(allowed), path


@pytest.mark.parametrize("package", [name for name in ORDER if (PACKAGE / name).is_dir()])
def test_the_files_of_a_package_have_no_circular_imports(package: str) -> None:
    files = [path for path in FILES if package_of(path) == package]
    names = {module_name(path) for path in files}
    imports = {module_name(path): imported_modules(path) & names for path in files}
    TopologicalSorter(imports).prepare()  # raises CycleError


def test_a_package_imports_only_its_listed_libraries() -> None:
    for path in FILES:
        libraries = {name.split(".")[0] for name in imported_modules(path)} - set(sys.stdlib_module_names) - {"regexp"}
        assert libraries <= LIBRARIES[package_of(path)], path
        if package_of(path) in LIGHT:
            top = {name.split(".")[0] for name in imported_modules(path, nested=False)}
            assert not top & {"torch", "torchvision", "safetensors"}, path


def test_no_file_has_more_than_300_lines() -> None:
    sizes = {path: len((PACKAGE / path).read_text().splitlines()) for path in FILES}
    assert {str(path): size for path, size in sizes.items() if size > 300} == {}


def test_no_package_has_more_than_15_files() -> None:
    sizes = Counter(path.parent for path in FILES if path.name != "__init__.py")
    assert {str(package): size for package, size in sizes.items() if size > 15} == {}


@pytest.mark.parametrize(
    "path", [path for path in FILES if len(path.parts) == 2 and path.name == "__init__.py"], ids=str
)
def test_a_package_has_a_docstring_and_imports_nothing(path: Path) -> None:
    docstring, *other_statements = parse(path).body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(docstring.value, ast.Constant)
    assert imported_modules(path, nested=False) <= {"typing"}
    if path.parent.name != "augmentation":  # its transforms are imported under documented names
        assert other_statements == []


def test_no_two_classes_have_the_same_name() -> None:
    classes = Counter(node.name for path in FILES for node in ast.walk(parse(path)) if isinstance(node, ast.ClassDef))
    assert {name: count for name, count in classes.items() if count > 1} == {}


def test_no_package_has_the_name_of_a_public_function() -> None:
    assert not {path.parts[0].removesuffix(".py") for path in FILES} & set(regexp.__all__)


def test_the_entry_point_is_short() -> None:
    assert len((PACKAGE / "execution" / "train.py").read_text().splitlines()) < 60


# A module that imports torch is the first after which torch is there: one process is enough for all.
LIGHT_MODULES = [
    "config.schema",
    "config.compose",
    "data.sources",
    "runs.identity",
    "runs.run",
    "runs.directories",
    "execution.terminal",
    "cli.help",
    "execution.train",
    "execution.executors.local_workers",
    "api.training",
    "api.comparing",
    "api.augmenting",
    "runs.listing.run_list",
]


def test_modules_that_show_finished_runs_import_no_torch() -> None:
    code = (
        "import importlib, sys\n"
        f"for name in {LIGHT_MODULES}:\n"
        "    importlib.import_module(f'regexp.{name}')\n"
        "    heavy = [library for library in ('torch', 'sklearn') if library in sys.modules]\n"
        "    assert not heavy, f'{name} imports {heavy}'"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_importing_the_package_imports_no_heavy_library() -> None:
    code = "import sys, regexp; print([name for name in ('hydra', 'torch', 'numpy', 'rich') if name in sys.modules])"
    process = subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True)
    assert process.stdout.strip() == "[]"


def test_training_digits_needs_neither_torchvision_nor_the_compiler() -> None:
    code = (
        "import sys, regexp, regexp.config.schema\n"
        "for optimizer in regexp.config.schema.OPTIONS['optimizer']:\n"
        "    regexp.run(['epochs=1', 'device.threads=1', 'optimizer.l1=1e-4', f'optimizer={optimizer}'], quiet=True)\n"
        "print([name for name in ('torchvision', 'torch._dynamo', 'sklearn', 'matplotlib') if name in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert process.stdout.strip() == "[]"
