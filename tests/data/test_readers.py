"""The contract that every data set of the configuration keeps, and the way from files to a finished run."""

import json
from collections.abc import Callable
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cohorts import make_cohort
from helpers.data_files import CLASSES, small_dataset_overrides, write_arrays, write_image_folder, write_table
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

from regexp import load_run, run, sweep
from regexp.config.compose import compose_job
from regexp.config.hydra_config.search_path import CONF
from regexp.config.schema import OPTIONS, source_arguments
from regexp.config.schemas.data import DATA_SCHEMAS, DATA_SOURCES, TableOptions
from regexp.data import sources
from regexp.data.dataset import Dataset, Images
from regexp.data.downloads.idx import IDX_DATASETS
from regexp.data.readers import _read_cache, read_splits
from regexp.data.sources import Source, cache_directory, locate
from regexp.data.splits import Splits
from regexp.errors import ConfigError, DataError
from regexp.execution import grouping
from regexp.execution.builders import _read_dataset_once, load_dataset
from regexp.runs.run import Run
from regexp.utils.lazy import load_object

SHORT = ["epochs=2", "model.hidden_sizes=[8]"]


def splits_of(dataset: Dataset) -> list[Images]:
    splits = (dataset.train, dataset.measured, dataset.validation, dataset.test)
    return [split for split in splits if split is not None]


def are_equal(first: Dataset, second: Dataset) -> bool:
    pairs = zip(splits_of(first), splits_of(second), strict=True)
    return all(torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) for a, b in pairs)


def load_uncached(overrides: list[str]) -> Dataset:
    """Load a data set, even if the same one was loaded before in this process."""
    _read_dataset_once.cache_clear()
    return load_dataset(compose_job(overrides).config)


def test_every_data_set_has_an_option_and_functions() -> None:
    options = {file.stem for file in (CONF / "data").glob("*.yaml")}
    assert set(DATA_SOURCES) == set(OPTIONS["data"]) == options
    assert set(DATA_SCHEMAS) <= set(DATA_SOURCES)
    for source in DATA_SOURCES.values():
        assert callable(load_object(source.find))
        assert callable(load_object(source.read))


@pytest.fixture(params=DATA_SOURCES)
def overrides(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    return small_dataset_overrides(request.param, tmp_path / "files")


def test_splits_are_consistent(overrides: list[str]) -> None:
    dataset = load_uncached(overrides)
    assert dataset.name == overrides[0].removeprefix("data=")
    assert len(dataset.classes) == len(set(dataset.classes)) >= 2
    for split in splits_of(dataset):
        assert split.images.dtype == (torch.uint8 if dataset.features is None else torch.float32)
        assert split.labels.dtype == torch.int64
        assert split.images.shape == (len(split), *dataset.shape)
        assert split.images.is_contiguous()
        assert int(split.labels.min()) >= 0
        assert int(split.labels.max()) < len(dataset.classes)
    assert set(dataset.train.labels.tolist()) == set(range(len(dataset.classes)))
    assert torch.equal(dataset.train.images[dataset.measured_indices], dataset.measured.images)
    assert f"{len(dataset.train):,} training" in dataset.describe()


def test_a_second_start_decodes_nothing(overrides: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name, first = overrides[0].removeprefix("data="), load_uncached(overrides)

    def refuse(*arguments: object) -> None:
        raise AssertionError("read again")

    if DATA_SOURCES[name].cached:
        monkeypatch.setattr(f"regexp.{DATA_SOURCES[name].read}", refuse)
        monkeypatch.setattr(sources, "_hash_files", refuse)
    second = load_uncached(overrides)
    assert are_equal(first, second)
    assert first.classes == second.classes
    assert first.fingerprint == second.fingerprint


Tensors = dict[str, np.ndarray]
# What may be wrong with the content of a cache file.
DAMAGES: dict[str, Callable[[Tensors, dict[str, str]], object]] = {
    "no tensors": lambda tensors, metadata: tensors.clear(),
    "wrong type": lambda tensors, metadata: tensors.update(train_images=tensors["train_images"].astype(np.int16)),
    "wrong shape": lambda tensors, metadata: tensors.update(train_images=tensors["train_images"][:, 0].copy()),
    "different lengths": lambda tensors, metadata: tensors.update(train_labels=tensors["train_labels"][:-1].copy()),
    "a label too high": lambda tensors, metadata: tensors["train_labels"].fill(1000),
    "no classes": lambda tensors, metadata: metadata.pop("classes"),
    "classes that are not JSON": lambda tensors, metadata: metadata.update(classes="cats"),
    "no fingerprint": lambda tensors, metadata: metadata.pop("fingerprint"),
}


@pytest.fixture
def cached_source(overrides: list[str]) -> Source:
    """Return the source of a data set that is in the cache."""
    load_uncached(overrides)
    return locate(*source_arguments(compose_job(overrides).config))


# Packaged data sets are not cached.
of_cached_data_sets = pytest.mark.parametrize(
    "overrides", [name for name, source in DATA_SOURCES.items() if source.cached], indirect=True
)


@of_cached_data_sets
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_cache_with_wrong_content_is_written_again(overrides: list[str], cached_source: Source, damage: str) -> None:
    first = load_uncached(overrides)
    with safe_open(cached_source.cache, framework="numpy") as file:
        metadata = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    DAMAGES[damage](tensors, metadata)
    save_file(tensors, cached_source.cache, metadata)
    assert _read_cache(cached_source) is None
    assert are_equal(load_uncached(overrides), first)
    assert _read_cache(cached_source) is not None


@of_cached_data_sets
@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: b"garbage" * 100, lambda content: b""]
)
def test_a_broken_cache_is_written_again(
    overrides: list[str], cached_source: Source, damage: Callable[[bytes], bytes]
) -> None:
    first = load_uncached(overrides)
    cached_source.cache.write_bytes(damage(cached_source.cache.read_bytes()))
    assert are_equal(load_uncached(overrides), first)
    assert _read_cache(cached_source) is not None


def test_the_cache_keeps_one_version_of_each_data_set(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "data")
    overrides = ["data=image_folder", f"data.root={root}"]
    load_uncached(overrides)
    load_uncached([*overrides, "data.image_size=4"])
    assert len(list(cache_directory().iterdir())) == 2
    (root / CLASSES[1] / "005.png").unlink()
    load_uncached(overrides)
    assert len(list(cache_directory().iterdir())) == 2


def test_a_cache_of_an_older_reader_is_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = TableOptions("class", (), (), "error")
    path = str(write_table(tmp_path / "own.csv"))
    older = locate("table", path=path, table=options)
    read_splits(older)
    monkeypatch.setattr("regexp.data.sources.READING_VERSION", -1)
    source = locate("table", path=path, table=options)
    assert source.fingerprint == older.fingerprint
    assert _read_cache(source) is None
    read_splits(source)
    assert list(cache_directory().iterdir()) == [source.cache]


def test_a_run_on_a_data_set_is_trained_once(overrides: list[str]) -> None:
    finished_run = run([*overrides, *SHORT], quiet=True)
    assert finished_run.status == "completed"
    modified = (finished_run.directory / "summary.json").stat().st_mtime_ns
    repeated_run = run([*overrides, *SHORT], quiet=True)
    assert repeated_run.directory == finished_run.directory
    assert (repeated_run.directory / "summary.json").stat().st_mtime_ns == modified
    dataset = load_uncached(overrides)
    assert finished_run.model()(dataset.train.images[:2] / 255).shape == (2, len(dataset.classes))
    assert dataset.test is not None
    if dataset.features is None:
        summary = finished_run.summary
        assert summary is not None
        predictions = finished_run.predict(dataset.test.images)
        assert (predictions.indices == dataset.test.labels.numpy()).mean() == summary["test"]["accuracy"]
    assert finished_run.classes == dataset.classes
    summary = json.loads((finished_run.directory / "summary.json").read_text())
    assert summary.pop("classes") == list(dataset.classes)
    assert summary.pop("image_shape", None) == (None if dataset.features else list(dataset.shape))
    (finished_run.directory / "summary.json").write_text(json.dumps(summary))
    assert load_run(finished_run.directory).classes == dataset.classes  # as of a run of an earlier version


@pytest.mark.parametrize("name", IDX_DATASETS)
def test_class_names_are_torchvisions(name: str) -> None:
    import torchvision

    original = getattr(torchvision.datasets, IDX_DATASETS[name].loader).classes
    assert list(IDX_DATASETS[name].classes) == [name.split(" - ")[0] for name in original]


@pytest.mark.parametrize("name", DATA_SOURCES)
def test_a_data_set_of_one_class_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = small_dataset_overrides(name, tmp_path / "files")
    source = locate(*source_arguments(compose_job(overrides).config))
    read = load_object(DATA_SOURCES[name].read)

    def read_one_class(source: Source) -> Splits:
        splits: Splits = read(source)
        return replace(splits, train=replace(splits.train, labels=np.zeros_like(splits.train.labels)))

    monkeypatch.setattr(f"regexp.{DATA_SOURCES[name].read}", read_one_class)
    with pytest.raises(DataError, match=f"data={name}: all .* training (images|rows) are of one class, .*at least two"):
        read_splits(source)


def test_digits_ignore_the_root(tmp_path: Path) -> None:
    assert locate("digits", str(tmp_path / "nowhere")) == locate("digits", None)


def identity_of(finished_run: Run) -> dict[str, str]:
    return finished_run.record["identity"]


def train_run(overrides: list[str]) -> Run:
    return run([*overrides, *SHORT, "early_stopping=none", "optimizer.lr=0.01"], quiet=True)


def test_a_run_trains_on_gray_pictures_with_unusual_names(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "my pictures ü")
    overrides = ["data=image_folder", f"data.root='{root}'", "augmentation=lesson"]
    finished_run = train_run(overrides)
    assert finished_run.summary is not None
    dataset = load_uncached(overrides)
    assert (dataset.shape, dataset.classes) == ((1, 7, 9), CLASSES)
    assert finished_run.model()(torch.rand(2, 1, 7, 9)).shape == (2, 3)
    picture = root / CLASSES[0] / "000.png"
    Image.fromarray(np.zeros((7, 9), np.uint8)).save(picture)
    changed_run = train_run(overrides)
    assert identity_of(changed_run)["data"] != identity_of(finished_run)["data"]
    assert identity_of(changed_run)["config"] == identity_of(finished_run)["config"]
    assert len(list(Path("outputs/default").iterdir())) == 2  # the old run is set aside
    moved_root = root.rename(tmp_path / "moved")
    overrides = ["data=image_folder", f"data.root={moved_root}", "augmentation=lesson"]
    assert identity_of(train_run(overrides)) == identity_of(changed_run)
    (moved_root / CLASSES[0]).rename(moved_root / "dogs")
    assert identity_of(train_run(overrides)) != identity_of(changed_run)


def test_a_run_trains_on_colored_pictures_in_three_splits(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "data", ("train", "val", "test"), 6, (8, 8, 3), ".JPG")
    overrides = ["data=image_folder", f"data.root={root}"]
    finished_run, dataset = train_run(overrides), load_uncached(overrides)
    assert finished_run.status == "completed"
    assert (dataset.shape, len(dataset.train), len(dataset.validation)) == ((3, 8, 8), 18, 18)
    assert dataset.describe().endswith("18 training, 18 validation, 18 test; 8x8x3")
    resized_run = train_run([*overrides, "data.image_size=5", "data.grayscale=true"])
    assert identity_of(resized_run)["config"] != identity_of(finished_run)["config"]
    assert identity_of(resized_run)["data"] == identity_of(finished_run)["data"]
    assert resized_run.model()(torch.rand(2, 1, 5, 5)).shape == (2, 3)


def test_a_run_trains_on_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_arrays(Path("own.npz"), shape=(6, 5, 3), classes=CLASSES)
    overrides = ["data=arrays", "data.path=own.npz"]  # relative to the working directory
    finished_run, dataset = train_run(overrides), load_uncached(overrides)
    assert (dataset.shape, dataset.classes) == ((3, 6, 5), CLASSES)
    assert finished_run.summary is not None
    write_arrays(Path("own.npz"), shape=(6, 5, 3), count=33, classes=CLASSES)
    assert identity_of(train_run(overrides))["data"] != identity_of(finished_run)["data"]


@pytest.mark.slow
def test_the_runs_of_a_sweep_over_data_sets_are_kept_apart(tmp_path: Path) -> None:
    for name, count in (("first", 30), ("second", 33)):
        write_image_folder(tmp_path / name, count=count // 3)
        write_arrays(tmp_path / f"{name}.npz", count)
    jobs = [[*SHORT, "data=image_folder", f"data.root={tmp_path / name}"] for name in ("first", "second")]
    jobs += [[*SHORT, "data=arrays", f"data.path={tmp_path / name}.npz"] for name in ("first", "second")]
    runs = sweep(jobs, quiet=True)
    assert [finished_run.status for finished_run in runs] == ["completed"] * 4
    assert len({finished_run.directory for finished_run in runs}) == 4
    assert len(list(Path("outputs/default").glob("*/run.json"))) == 4
    assert len({identity_of(finished_run)["data"] for finished_run in runs}) == 4


def test_data_that_changes_after_the_start_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_image_folder(tmp_path / "data")
    group_into_cohorts = grouping.group_into_cohorts

    def change_data_afterwards(*arguments: Any) -> Any:
        cohorts = group_into_cohorts(*arguments)
        (root / CLASSES[1] / "005.png").unlink()
        return cohorts

    monkeypatch.setattr(grouping, "group_into_cohorts", change_data_afterwards)
    with pytest.raises(DataError, match="changed after this command started"):
        run(["data=image_folder", f"data.root={root}", *SHORT], quiet=True)


def test_the_name_of_another_option_is_refused() -> None:
    with pytest.raises(ConfigError, match="choose this one with data=image_folder"):
        compose_job(["data=arrays", "data.name=image_folder"])


@pytest.mark.parametrize("count", [2, 3, 4])
def test_every_class_keeps_images_to_train_on(tmp_path: Path, count: int) -> None:
    num_classes = 40
    num_images = num_classes * count
    images = np.arange(num_images, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    path = write_arrays(tmp_path / "few.npz", images=images, labels=np.arange(num_images) % num_classes)
    overrides = ["data=arrays", f"data.path={path}"]
    for size in ("0.2", "1", "7"):
        dataset = load_uncached([*overrides, f"data.val_size={size}"])
        if count > 2 or size == "1":
            assert torch.bincount(dataset.train.labels, minlength=num_classes).min() >= 1
        assert len(dataset.test) == ceil(num_images / 5)
        assert torch.bincount(dataset.test.labels, minlength=num_classes).max() == 1
    cohort, _ = make_cohort([*overrides, "data.train_size=50"])
    assert len(cohort.dataset.train) == 50


def test_a_single_image_of_a_class_is_not_given_to_the_test(tmp_path: Path) -> None:
    labels = [0] * 9 + [1]
    path = write_arrays(tmp_path / "one.npz", count=10, labels=labels)
    dataset = load_uncached(["data=arrays", f"data.path={path}", "data.val_size=2"])
    assert 1 in dataset.train.labels
    path = write_arrays(tmp_path / "each.npz", count=2, labels=[0, 1])
    with pytest.raises(DataError, match=r"class [01] has a single image"):
        load_uncached(["data=arrays", f"data.path={path}"])
