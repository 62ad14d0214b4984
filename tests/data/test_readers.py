"""What every data set of the configuration keeps to, found by itself; and the way from files to a finished run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cohorts import make_cohort
from helpers.data_files import CLASSES, small_dataset_overrides, write_arrays, write_image_folder
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

from regexp import run, sweep
from regexp.config.compose import compose_job
from regexp.config.schema import DATA, OPTIONS, data_source
from regexp.data import sources
from regexp.data.dataset import Dataset, Images
from regexp.data.idx import IDX_DATASETS
from regexp.data.readers import READERS, _read_cache
from regexp.data.sources import Source, cache_directory, locate
from regexp.errors import ConfigError, DataError
from regexp.execution import builders
from regexp.execution.builders import _load_splits_once, load_dataset
from regexp.runs.run import Run

SHORT = ["epochs=2", "model.hidden_sizes=[8]"]


def parts(dataset: Dataset) -> list[Images]:
    return [part for part in (dataset.train, dataset.measured, dataset.validation, dataset.test) if part is not None]


def same(one: Dataset, other: Dataset) -> bool:
    pairs = zip(parts(one), parts(other), strict=True)
    return all(torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) for a, b in pairs)


def load(overrides: list[str]) -> Dataset:
    _load_splits_once.cache_clear()
    return load_dataset(compose_job(overrides).config)


def test_every_name_has_an_option_and_a_reader() -> None:
    assert set(DATA) == set(OPTIONS["data"]) == set(READERS)


@pytest.fixture(params=DATA)
def overrides(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    return small_dataset_overrides(request.param, tmp_path / "files")


def test_parts_fit_each_other(overrides: list[str]) -> None:
    read = load(overrides)
    assert read.name == overrides[0].removeprefix("data=")
    assert len(read.classes) == len(set(read.classes)) >= 2
    for part in parts(read):
        assert part.images.dtype == torch.uint8
        assert part.labels.dtype == torch.int64
        assert part.images.shape == (len(part), *read.shape)
        assert part.images.is_contiguous()
        assert int(part.labels.min()) >= 0
        assert int(part.labels.max()) < len(read.classes)
    assert set(read.train.labels.tolist()) == set(range(len(read.classes)))
    assert torch.equal(read.train.images[read.measured_indices], read.measured.images)
    assert f"{len(read.train):,} training" in read.describe()


def test_a_second_start_reads_the_same_and_decodes_nothing(
    overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, first = overrides[0].removeprefix("data="), load(overrides)

    def refuse(*arguments: object) -> None:
        raise AssertionError("read again")

    if name != "digits":
        monkeypatch.setitem(READERS, name, refuse)
        monkeypatch.setattr(sources, "_hash_files", refuse)
    second = load(overrides)
    assert same(first, second)
    assert first.classes == second.classes
    assert first.fingerprint == second.fingerprint


Tensors = dict[str, np.ndarray]
DAMAGES: dict[str, Callable[[Tensors, dict[str, str]], object]] = {
    "no tensors": lambda tensors, facts: tensors.clear(),
    "another type": lambda tensors, facts: tensors.update(train_images=tensors["train_images"].astype(np.int16)),
    "another shape": lambda tensors, facts: tensors.update(train_images=tensors["train_images"][:, 0].copy()),
    "lengths that differ": lambda tensors, facts: tensors.update(train_labels=tensors["train_labels"][:-1].copy()),
    "a label too high": lambda tensors, facts: tensors["train_labels"].fill(99),
    "no classes": lambda tensors, facts: facts.pop("classes"),
    "classes that are no JSON": lambda tensors, facts: facts.update(classes="cats"),
    "no fingerprint": lambda tensors, facts: facts.pop("fingerprint"),
}


@pytest.fixture
def cached(overrides: list[str]) -> Source:
    """The source of a data set that is in the cache."""
    if overrides == ["data=digits"]:
        pytest.skip("is not cached")
    load(overrides)
    return locate(*data_source(compose_job(overrides).config))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_cache_that_holds_something_else_is_made_anew(overrides: list[str], cached: Source, damage: str) -> None:
    first = load(overrides)
    with safe_open(cached.cache, framework="numpy") as file:
        facts = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    DAMAGES[damage](tensors, facts)
    save_file(tensors, cached.cache, facts)
    assert _read_cache(cached) is None
    assert same(load(overrides), first)
    assert _read_cache(cached) is not None


@pytest.mark.parametrize("damage", [lambda whole: whole[:-1], lambda whole: b"garbage" * 100, lambda whole: b""])
def test_a_broken_cache_is_made_anew(overrides: list[str], cached: Source, damage: Callable[[bytes], bytes]) -> None:
    first = load(overrides)
    cached.cache.write_bytes(damage(cached.cache.read_bytes()))
    assert same(load(overrides), first)
    assert _read_cache(cached) is not None


def test_the_cache_keeps_one_version_of_a_place(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "data")
    overrides = ["data=image_folder", f"data.root={root}"]
    load(overrides)
    load([*overrides, "data.image_size=4"])
    assert len(list(cache_directory().iterdir())) == 2
    (root / CLASSES[1] / "005.png").unlink()
    load(overrides)
    assert len(list(cache_directory().iterdir())) == 2


def test_a_data_set_trains_to_its_end_and_is_shown_the_second_time(overrides: list[str]) -> None:
    done = run([*overrides, *SHORT], quiet=True)
    assert done.status == "completed"
    written = (done.directory / "summary.json").stat().st_mtime_ns
    again = run([*overrides, *SHORT], quiet=True)
    assert again.directory == done.directory
    assert (again.directory / "summary.json").stat().st_mtime_ns == written
    read = load(overrides)
    assert done.model()(read.train.images[:2] / 255).shape == (2, len(read.classes))


@pytest.mark.parametrize("name", IDX_DATASETS)
def test_names_of_classes_are_torchvisions(name: str) -> None:
    import torchvision

    original = getattr(torchvision.datasets, IDX_DATASETS[name].loader).classes
    assert list(IDX_DATASETS[name].classes) == [each.split(" - ")[0] for each in original]


def test_digits_ignore_the_root(tmp_path: Path) -> None:
    assert locate("digits", str(tmp_path / "nowhere")) == locate("digits", None)


def identity(done: Run) -> dict[str, str]:
    return done.record["identity"]


def chain(overrides: list[str]) -> Run:
    return run([*overrides, *SHORT, "early_stopping=none", "optimizer.lr=0.01"], quiet=True)


def test_gray_pictures_with_unusual_names_go_the_whole_way(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "my pictures ü")
    overrides = ["data=image_folder", f"data.root='{root}'", "augmentation=lesson"]
    done = chain(overrides)
    assert done.summary is not None
    read = load(overrides)
    assert (read.shape, read.classes) == ((1, 7, 9), CLASSES)
    assert done.model()(torch.rand(2, 1, 7, 9)).shape == (2, 3)
    picture = root / CLASSES[0] / "000.png"
    Image.fromarray(np.zeros((7, 9), np.uint8)).save(picture)
    changed = chain(overrides)
    assert identity(changed)["data"] != identity(done)["data"]
    assert identity(changed)["config"] == identity(done)["config"]
    assert len(list(Path("outputs/default").iterdir())) == 2  # the old run is set aside
    moved = root.rename(tmp_path / "moved")
    assert identity(chain(["data=image_folder", f"data.root={moved}", "augmentation=lesson"])) == identity(changed)
    (moved / CLASSES[0]).rename(moved / "dogs")
    assert identity(chain(["data=image_folder", f"data.root={moved}", "augmentation=lesson"])) != identity(changed)


def test_colored_pictures_in_three_parts_go_the_whole_way(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "data", ("train", "val", "test"), 6, (8, 8, 3), ".JPG")
    overrides = ["data=image_folder", f"data.root={root}"]
    done, read = chain(overrides), load(overrides)
    assert done.status == "completed"
    assert (read.shape, len(read.train), len(read.validation)) == ((3, 8, 8), 18, 18)
    assert read.describe().endswith("18 training, 18 validation, 18 test; 8x8x3")
    resized = chain([*overrides, "data.image_size=5", "data.grayscale=true"])
    assert identity(resized)["config"] != identity(done)["config"]
    assert identity(resized)["data"] == identity(done)["data"]
    assert resized.model()(torch.rand(2, 1, 5, 5)).shape == (2, 3)


def test_arrays_go_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_arrays(Path("own.npz"), shape=(6, 5, 3), classes=CLASSES)
    overrides = ["data=arrays", "data.path=own.npz"]  # relative to where it is typed
    done, read = chain(overrides), load(overrides)
    assert (read.shape, read.classes) == ((3, 6, 5), CLASSES)
    assert done.summary is not None
    write_arrays(Path("own.npz"), shape=(6, 5, 3), count=33, classes=CLASSES)
    assert identity(chain(overrides))["data"] != identity(done)["data"]


def test_a_sweep_over_data_sets_keeps_each(tmp_path: Path) -> None:
    for name, count in (("one", 30), ("other", 33)):
        write_image_folder(tmp_path / name, count=count // 3)
        write_arrays(tmp_path / f"{name}.npz", count)
    jobs = [[*SHORT, "data=image_folder", f"data.root={tmp_path / name}"] for name in ("one", "other")]
    jobs += [[*SHORT, "data=arrays", f"data.path={tmp_path / name}.npz"] for name in ("one", "other")]
    runs = sweep(jobs, quiet=True)
    assert [done.status for done in runs] == ["completed"] * 4
    assert len({done.directory for done in runs}) == len(list(Path("outputs/default").glob("*/run.json"))) == 4
    assert len({identity(done)["data"] for done in runs}) == 4


def test_data_that_changes_after_the_start_is_not_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_image_folder(tmp_path / "data")
    groups = builders.group_into_cohorts

    def slow(*arguments: object) -> object:
        found = groups(*arguments)
        (root / CLASSES[1] / "005.png").unlink()
        return found

    monkeypatch.setattr(builders, "group_into_cohorts", slow)
    with pytest.raises(DataError, match="changed after the start"):
        run(["data=image_folder", f"data.root={root}", *SHORT], quiet=True)


def test_an_option_of_another_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="choose this one with data=image_folder"):
        compose_job(["data=arrays", "data.name=image_folder"])


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_images_in_a_class_leave_every_class_to_train_on(tmp_path: Path, count: int) -> None:
    classes = 40
    images = np.arange(classes * count, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    path = write_arrays(tmp_path / "few.npz", images=images, labels=np.arange(classes * count) % classes)
    overrides = ["data=arrays", f"data.path={path}"]
    for size in ("0.2", "1", "7"):
        read = load([*overrides, f"data.val_size={size}"])
        if count > 2 or size == "1":
            assert torch.bincount(read.train.labels, minlength=classes).min() >= 1
        assert len(read.test) == -(-classes * count // 5)
        assert torch.bincount(read.test.labels, minlength=classes).max() == 1
    [cohort] = [make_cohort([*overrides, "data.train_size=50"])[0]]
    assert len(cohort.dataset.train) == 50


def test_a_class_of_a_single_image_cannot_give_to_the_test(tmp_path: Path) -> None:
    labels = [0] * 9 + [1]
    path = write_arrays(tmp_path / "one.npz", count=10, labels=labels)
    read = load(["data=arrays", f"data.path={path}", "data.val_size=2"])  # it stays where it is needed
    assert 1 in read.train.labels
    path = write_arrays(tmp_path / "each.npz", count=2, labels=[0, 1])
    with pytest.raises(DataError, match=r"class [01] has a single image"):
        load(["data=arrays", f"data.path={path}"])
