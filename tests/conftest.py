"""Fixtures that all tests share: directories of their own, and the data sets."""

import os
import sys

# One thread here and in the processes that tests start: more gain nothing on small matrices, and wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"
# Let the first process keep torch's compiled Python files and those of the tests, which saves the others seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

import gc
import logging
from collections.abc import Generator, Iterator
from functools import wraps
from itertools import count
from pathlib import Path

import pytest
import torch
from helpers.compositions import kept_compositions

from regexp.config.compose import make_composer
from regexp.config.composing.composer import Composer
from regexp.utils.device import available_kinds

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Hide the GPUs of this machine from all tests and from the programs that they start, but for `pytest -m gpu`."""
    if config.option.markexpr == "gpu":
        return
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # read when CUDA is first used
    if (find_mps := torch.backends.mps.is_available)():
        torch.backends.mps.is_available = wraps(find_mps)(lambda: False)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the thousands of tests out of the garbage collector's way, which takes a tenth of the time to visit them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    """Let Python free everything at its end: bindings in C++ print what is left over."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def gpu() -> str:
    """Return the GPU of this machine, "cuda:0" or "mps", or skip the test where there is none."""
    kind = available_kinds()[0]
    if kind == "cpu":
        pytest.skip("needs a GPU (cuda or mps), and this machine has none")
    return "cuda:0" if kind == "cuda" else kind


@pytest.fixture(scope="session")
def _directory_numbers() -> Iterator[int]:
    return count()


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory, _directory_numbers: Iterator[int]) -> Path:
    """Return an empty directory. Pytest's fixture takes longer: it lists the directories of all earlier tests."""
    directory = tmp_path_factory.getbasetemp() / str(next(_directory_numbers))
    directory.mkdir()
    return directory


@pytest.fixture(autouse=True)
def _separate_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test its own current directory and its own cache."""
    monkeypatch.setenv("REGEXP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture(autouse=True)
def _no_wait_for_the_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system write to the disk when it likes: waiting takes a fifth of a run. Not so in tests/faults."""
    if request.path.parent.name != "faults":
        monkeypatch.setattr(os, "fsync", os.fstat)  # which knows a closed file too


@pytest.fixture(scope="session", autouse=True)
def _kept_compositions() -> Iterator[None]:
    """Have Hydra compose each configuration once."""
    with kept_compositions():
        yield


@pytest.fixture(autouse=True)
def _separate_log_handlers() -> Iterator[None]:
    """Remove the log handlers that Hydra adds: they keep the standard output of their test, which is closed later."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    """Seed torch's global generator, so that a test does not depend on those before it."""
    torch.default_generator.manual_seed(0)  # torch.manual_seed, which seeds GPUs as well, takes a millisecond


@pytest.fixture(scope="session")
def composer() -> Composer:
    """Return the composer of a command line without options of the user's own."""
    return make_composer()


@pytest.fixture(scope="session")
def mnist_root() -> str:
    """Return the directory that holds MNIST/raw, or skip the test where there is none."""
    root = Path(os.environ.get("REGEXP_DATA_ROOT", ROOT.parent / "shared" / "data"))
    if not (root / "MNIST" / "raw").is_dir():
        pytest.skip(f"needs MNIST in {root}, or in the directory that REGEXP_DATA_ROOT names")
    return str(root)
