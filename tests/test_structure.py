"""The order of the modules, and what stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import regexp
from regexp.identity import _SHAPING

PACKAGE = Path(regexp.__file__).parent
# Each module imports only from those above it.
ORDER = (
    "errors progress fields steps descent config vocabulary foreign checking advice overrides objections files "
    "jobs composition arguments randomness device storage parts idx downloads folders decoding arrays sources "
    "readers data geometry perspective elastic resampling pixels image_by_image augmentation schedules "
    "optimization streams metrics early_stopping products layers model evaluation members memory cohort training "
    "identity runs processes events claims sweeps records configurations inference rows effects comparison "
    "wording hints notes unfinished paper tables formats curves printing plots logdirs bands pictures recording "
    "building planning exits interruption terminal usage reference together train launching interface verify "
    "preview comparing __init__ __main__"
).split()


def imported(path: Path) -> set[str]:
    """Modules of ours that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "regexp":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("regexp."):
            found.add((node.module or "").split(".")[1])
    return found


def test_the_order_names_every_module() -> None:
    assert sorted(ORDER) == sorted(path.stem for path in PACKAGE.glob("*.py"))


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_from_those_above_it(module: str) -> None:
    above = ORDER[: ORDER.index(module)]
    assert imported(PACKAGE / f"{module}.py") <= set(above)


# What a run's folder, its pictures and the terminal look like, and where data lies, changes no result.
NOT_SHAPING = set(
    (
        "errors progress fields steps descent config vocabulary checking advice overrides objections files jobs "
        "composition sources downloads identity storage runs processes claims events pictures recording memory"
    ).split()
)


def test_the_identity_knows_all_that_shapes_a_result() -> None:
    reached, new = set(), {"building", "training"}
    while new:
        reached |= new
        new = set().union(*(imported(PACKAGE / f"{module}.py") for module in new)) - reached
    assert reached - NOT_SHAPING == set(_SHAPING)


def test_the_entry_point_is_short() -> None:
    assert len((PACKAGE / "train.py").read_text().splitlines()) < 60


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_no_module_outgrows_its_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize(
    "module",
    ["config", "composition", "sources", "identity", "runs", "claims", "terminal", "usage", "train", "interface"],
)
def test_what_shows_a_finished_run_needs_no_torch(module: str) -> None:
    code = f"import sys, regexp.{module}; assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_training_digits_needs_neither_torchvision_nor_the_compiler() -> None:
    code = (
        "import sys, regexp, regexp.config\n"
        "for family in regexp.config.OPTIONS['optimizer']:\n"
        "    regexp.run(['epochs=1', 'device.threads=1', 'optimizer.l1=1e-4', f'optimizer={family}'], quiet=True)\n"
        "print([name for name in ('torchvision', 'torch._dynamo', 'sklearn', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
