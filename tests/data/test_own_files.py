"""What the program writes itself never stands in its own way, wherever a folder of pictures is typed."""

from pathlib import Path

import pytest
from helpers.commands import run_main, run_regexp
from helpers.data_files import CLASSES, small_dataset_overrides, write_image_folder
from helpers.run_directories import write_run

from regexp import run, sweep
from regexp.cli.compare import main
from regexp.config.schemas.data import DATA_SOURCES
from regexp.data.image_folder import scan_image_folder
from regexp.data.readers import read_splits
from regexp.data.sources import locate
from regexp.errors import DataError
from regexp.preview import preview

SHORT = ["epochs=1", "model.hidden_sizes=[4]", "early_stopping=none"]
# The directory, below the folder of pictures, in which the user types the command.
PLACES = {
    "class folders": "",
    "splits": "",
    "a split": "train",
    "a class": CLASSES[0],
    "below a class": f"{CLASSES[0]}/more",
}


@pytest.fixture(params=PLACES)
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of pictures, in which, or below which, the current directory is."""
    splits = ("train", "test") if "split" in request.param else ("",)
    root = write_image_folder(tmp_path / "pictures", splits, 5)
    (root / PLACES[request.param]).mkdir(exist_ok=True)
    monkeypatch.chdir(root / PLACES[request.param])
    return root


def test_outputs_among_the_pictures_are_no_pictures(root: Path) -> None:
    overrides = ["data=image_folder", f"data.root={root}", *SHORT]
    fingerprint = locate("image_folder", str(root)).fingerprint
    preview(overrides)
    run(overrides, quiet=True)
    assert Path("outputs/preview").is_dir()
    sweep([[*overrides, f"seed={seed}"] for seed in (0, 1)], quiet=True, workers=1)
    assert len(list(Path("outputs/default").glob("*/summary.json"))) == 2
    source = locate("image_folder", str(root))
    assert source.fingerprint == fingerprint
    assert read_splits(source).classes == CLASSES


@pytest.mark.parametrize("root", ["splits", "a class"], indirect=True)
def test_a_command_typed_among_the_pictures_works_twice(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data=image_folder", f"data.root={root}", *SHORT]
    assert run_regexp(monkeypatch, *words) == 0  # Hydra makes the folder for outputs first
    assert run_regexp(monkeypatch, *words) == 0
    output = capsys.readouterr().out
    assert "(written by regexp)" in output
    assert "Finished" in output


@pytest.mark.parametrize("place", ["cache", "caches/regexp"])
def test_a_cache_among_the_pictures_is_no_class(root: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv("REGEXP_CACHE", str(Path(place).absolute()))
    source = locate("image_folder", str(root))
    assert read_splits(source).classes == CLASSES
    assert source.cache.exists()
    assert locate("image_folder", str(root)) == source
    assert len(scan_image_folder(str(root)).classes) == 3


@pytest.mark.parametrize("name", [name for name, source in DATA_SOURCES.items() if ".downloads." in source.find])
def test_a_download_among_the_pictures_is_no_class(root: Path, name: str) -> None:
    fingerprint = locate("image_folder", str(root)).fingerprint
    small_dataset_overrides(name, Path("SVHN") if name == "svhn" else Path())
    assert locate(name, ".").root.resolve().is_relative_to(Path.cwd())
    assert locate("image_folder", str(root)).fingerprint == fingerprint


def test_a_report_among_the_pictures_is_no_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_image_folder(tmp_path / "pictures", count=3)
    monkeypatch.chdir(root)
    write_run(tmp_path / "elsewhere", [], 0)
    assert run_main(monkeypatch, main, "regexp-compare", str(tmp_path / "elsewhere"), "--output", "report") == 0
    assert list(Path("report").glob("*.png"))
    assert scan_image_folder(".").classes == CLASSES


def test_a_class_that_only_looks_like_outputs_is_a_class(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "data", count=3)
    (root / CLASSES[0]).rename(root / "outputs")
    (root / CLASSES[1]).rename(root / "MNIST")
    assert len(scan_image_folder(str(root)).files()) == 9
    (root / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no pictures"):
        scan_image_folder(str(root))
