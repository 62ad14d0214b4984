"""The order of the packages, what each may import, and what stays light."""

import ast
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import regexp

PACKAGE = Path(regexp.__file__).parent

# The packages in order, each with the libraries that it may import. A package imports only from those above it.
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "utils": {"torch", "rich"},
    "config": {"hydra", "omegaconf", "yaml"},
    "data": {"torch", "torchvision", "numpy", "PIL", "safetensors"},
    "augmentation": {"torch", "torchvision"},
    "models": {"torch"},
    "training": {"torch"},
    "runs": {"tensorboard", "torch", "safetensors"},
    "comparison": {"numpy", "scipy", "matplotlib", "rich"},
    "execution": {"torch", "hydra", "omegaconf", "rich", "PIL", "safetensors"},
    "cli": {"hydra"},
    "api": set(),
    "preview": set(),
    "verify": {"rich"},
    "__init__": set(),
    "__main__": {"hydra", "omegaconf"},
    "plugins": {"hydra", "omegaconf"},
}
# Packages whose files import torch only inside the functions that need it.
LIGHT = {"errors", "config", "runs", "comparison", "cli", "api", "preview", "verify", "__init__", "__main__", "plugins"}
ORDER = list(ROOMS)
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    """Return the package of a file, or its own name at the top: "config", "errors"."""
    return path.parts[0].removesuffix(".py")


def module(path: Path) -> str:
    """Return the dotted name of a file: "regexp.config.schema"."""
    return ".".join(["regexp", *path.with_suffix("").parts]).removesuffix(".__init__")


def imports(path: Path, anywhere: bool = True) -> set[str]:
    """Return the dotted names of the modules that a file imports, at its top or anywhere in it."""
    tree = ast.parse((PACKAGE / path).read_text())
    names = set()
    for node in ast.walk(tree) if anywhere else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path}: a relative import"
            known = {module(file) for file in FILES}
            names |= {
                dotted if (dotted := f"{node.module}.{alias.name}") in known else node.module for alias in node.names
            }
    return names


def test_every_package_has_its_place() -> None:
    assert set(ORDER) == {room(path) for path in FILES}
    assert len(ORDER) <= 18


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_imports_only_from_packages_above_its_own(path: Path) -> None:
    allowed = ORDER[: ORDER.index(room(path)) + 1]
    if path == Path("__init__.py"):
        allowed = ORDER
    ours = {name for name in imports(path) if name.split(".")[0] == "regexp"}
    assert {name.split(".")[1] for name in ours - {"regexp"}} <= set(allowed)


@pytest.mark.parametrize("package", [name for name in ORDER if (PACKAGE / name).is_dir()])
def test_the_files_of_a_package_import_each_other_in_no_circle(package: str) -> None:
    files = [path for path in FILES if room(path) == package]
    names = {module(path) for path in files}
    TopologicalSorter({module(path): imports(path) & names for path in files}).prepare()  # raises CycleError


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_package_imports_no_other_libraries_than_its_own(path: Path) -> None:
    libraries = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names) - {"regexp"}
    assert libraries <= ROOMS[room(path)]
    if room(path) in LIGHT:
        top = {name.split(".")[0] for name in imports(path, anywhere=False)}
        assert not top & {"torch", "torchvision", "safetensors"}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_file_outgrows_its_idea(path: Path) -> None:
    assert len((PACKAGE / path).read_text().splitlines()) <= 300


def test_no_package_outgrows_its_idea() -> None:
    sizes = Counter(path.parent for path in FILES if path.name != "__init__.py")
    assert {str(package): size for package, size in sizes.items() if size > 15} == {}


@pytest.mark.parametrize(
    "path", [path for path in FILES if len(path.parts) == 2 and path.name == "__init__.py"], ids=str
)
def test_a_package_says_what_it_holds_and_imports_nothing(path: Path) -> None:
    first, *others = ast.parse((PACKAGE / path).read_text()).body
    assert isinstance(first, ast.Expr)
    assert isinstance(first.value, ast.Constant)
    assert imports(path, anywhere=False) <= {"typing"}
    if path.parent.name != "augmentation":  # whose transforms have documented names
        assert others == []


def test_a_class_name_stands_for_one_class() -> None:
    classes = Counter(
        node.name
        for path in FILES
        for node in ast.walk(ast.parse((PACKAGE / path).read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert {name: count for name, count in classes.items() if count > 1} == {}


def test_no_package_hides_a_public_function() -> None:
    assert not {path.parts[0].removesuffix(".py") for path in FILES} & set(regexp.__all__)


def test_the_entry_point_is_short() -> None:
    assert len((PACKAGE / "execution" / "train.py").read_text().splitlines()) < 60


@pytest.mark.parametrize(
    "name",
    [
        "config.schema",
        "config.compose",
        "data.sources",
        "runs.identity",
        "runs.run",
        "runs.directories",
        "execution.terminal",
        "cli.help",
        "execution.train",
        "api",
    ],
)
def test_what_shows_a_finished_run_needs_no_torch(name: str) -> None:
    code = f"import sys, regexp.{name}; assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_the_package_alone_imports_nothing_heavy() -> None:
    code = "import sys, regexp; print([name for name in ('hydra', 'torch', 'numpy', 'rich') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_training_digits_needs_neither_torchvision_nor_the_compiler() -> None:
    code = (
        "import sys, regexp, regexp.config.schema\n"
        "for optimizer in regexp.config.schema.OPTIONS['optimizer']:\n"
        "    regexp.run(['epochs=1', 'device.threads=1', 'optimizer.l1=1e-4', f'optimizer={optimizer}'], quiet=True)\n"
        "print([name for name in ('torchvision', 'torch._dynamo', 'sklearn', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
