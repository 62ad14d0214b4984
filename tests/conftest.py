"""What tests share: where data is found, and folders that nothing outside a test sees."""

import os

# Before torch is imported: what the tests compare is computed on the CPU, whatever else the machine has.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
# So that the first of the processes that tests start compiles torch's Python for the others: seconds each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a current directory and a cache of its own."""
    monkeypatch.setenv("REGEXP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture(autouse=True)
def _own_randomness() -> None:
    torch.manual_seed(0)


# The tests' matrices are small: threads would only wait for each other, all the more beside another process.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def mnist_root() -> str:
    """The folder that holds MNIST/raw."""
    root = Path(os.environ.get("REGEXP_DATA_ROOT", ROOT.parent / "shared" / "data"))
    if not (root / "MNIST" / "raw").is_dir():
        pytest.skip(f"needs MNIST in {root} (or in the folder that REGEXP_DATA_ROOT names)")
    return str(root)
