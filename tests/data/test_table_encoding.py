"""The features of a table against scikit-learn's, and the figures that they are made of."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.data_files import CLASSES, write_table
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from regexp.config.compose import compose_job
from regexp.data.dataset import Dataset, scale
from regexp.data.readers import read_splits
from regexp.data.sources import locate
from regexp.data.tables.columns import Column
from regexp.data.tables.encoding import fit_encoding
from regexp.errors import DataError
from regexp.execution.builders import _read_dataset_once, load_dataset


def load(path: Path, *overrides: str) -> Dataset:
    """Load and split a table."""
    _read_dataset_once.cache_clear()
    job = compose_job(["data=table", f"data.path={path}", "data.label=class", *overrides])
    return load_dataset(job.config)


def write_random_table(path: Path, num_rows: int = 200) -> Path:
    """Write a table with a number of large size, a small one, and a text with a rare category."""
    generator = np.random.default_rng(1)
    kinds = generator.choice(["a", "b", "c", "rare"], num_rows, p=[0.5, 0.3, 0.18, 0.02])
    rows = [
        (1e6 + 1e4 * generator.normal(), kind, 1e-3 * generator.normal(), CLASSES[i % 3])
        for i, kind in enumerate(kinds.tolist())
    ]
    return write_table(path, rows, "large,kind,small,class")


@pytest.mark.parametrize("overrides", [(), ("data.train_size=20",), ("data.split_seed=3", "data.val_size=0.4")])
def test_features_are_scikit_learns_fitted_on_the_training_rows(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    path = write_random_table(tmp_path / "own.csv")
    dataset = load(path, *overrides)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert dataset.features is not None
    by_number: dict[float, dict[str, str]] = {float(row["large"]): row for row in rows}
    mean, std = next((item.mean, item.std) for item in dataset.features if item.column == "large")

    def rows_of(split: torch.Tensor) -> list[dict[str, str]]:
        """Find the rows of a split by their first number, which no two rows share."""
        numbers = np.array(list(by_number))
        nearest = np.abs(split[:, :1].double().numpy() * std + mean - numbers).argmin(1)
        return [by_number[numbers[i]] for i in nearest]

    train_rows = rows_of(dataset.train.images)
    scaler = StandardScaler().fit([[float(row["large"]), float(row["small"])] for row in train_rows])
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit([[row["kind"]] for row in train_rows])
    assert len(dataset.test or ()) == 40
    seen = set()
    for split in (dataset.train, dataset.validation, dataset.test, dataset.measured):
        assert split is not None
        split_rows = rows_of(split.images)
        seen |= {row["large"] for row in split_rows}
        numbers = scaler.transform([[float(row["large"]), float(row["small"])] for row in split_rows])
        categories = encoder.transform([[row["kind"]] for row in split_rows])
        expected = np.hstack([numbers[:, :1], categories, numbers[:, 1:]])
        np.testing.assert_allclose(split.images, expected, rtol=1e-5, atol=1e-6)
        assert [dataset.classes[label] for label in split.labels] == [row["class"] for row in split_rows]
    if not overrides:
        assert len(seen) == 200
    assert torch.allclose(dataset.train.images.double().mean(0)[0], torch.zeros(1, dtype=torch.float64), atol=1e-6)


def test_figures_of_other_rows_than_those_to_train_on_change_nothing(tmp_path: Path) -> None:
    path = write_random_table(tmp_path / "own.csv")
    dataset = load(path)
    assert dataset.features is not None
    mean, std = dataset.features[0].mean, dataset.features[0].std
    test_numbers = set((dataset.test.images[:, 0].double() * std + mean).round().tolist()) if dataset.test else set()
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    changed = [[1e9 if round(float(row[0])) in test_numbers else row[0], *row[1:]] for row in rows]
    changed_dataset = load(write_table(tmp_path / "changed.csv", changed, ",".join(header)))
    assert torch.equal(changed_dataset.train.images, dataset.train.images)
    assert changed_dataset.features == dataset.features
    assert changed_dataset.test is not None
    assert changed_dataset.test.images[:, 0].min() > 1000


def test_an_unseen_category_is_zeros_and_is_counted(tmp_path: Path) -> None:
    dataset = load(write_random_table(tmp_path / "own.csv"), "data.train_size=10")
    assert dataset.features is not None
    is_category = torch.tensor([item.category is not None for item in dataset.features])
    assert "rare" not in {item.category for item in dataset.features}
    unseen = sum(
        int((split.images[:, is_category].sum(1) == 0).sum())
        for split in (dataset.validation, dataset.test)
        if split is not None
    )
    assert unseen > 0
    assert dataset.notes["unseen"].startswith(f"{unseen} row")


def test_missing_numbers_become_the_mean_and_missing_texts_a_category(tmp_path: Path) -> None:
    rows = [(1.0 if i % 4 else "", "a" if i % 3 else "", i, CLASSES[i % 2]) for i in range(60)]
    rows[1] = (3.0, *rows[1][1:])
    rows[2] = (3.0, *rows[2][1:])
    dataset = load(write_table(tmp_path / "own.csv", rows, "x,kind,i,class"), "data.missing=fill")
    assert dataset.features is not None
    assert [item.category for item in dataset.features if item.column == "kind"] == ["", "a"]
    x = dataset.train.images[:, 0].double()
    present = x[x != 0]
    assert 0 < len(present) < len(x)
    assert float(present.mean()) == pytest.approx(0, abs=1e-6)
    assert float(present.std(correction=0)) == pytest.approx(1, abs=1e-6)


def test_a_column_with_one_value_is_left_out(tmp_path: Path) -> None:
    rows = [(7, "same", i, CLASSES[i % 2]) for i in range(30)]
    dataset = load(write_table(tmp_path / "own.csv", rows, "seven,text,x,class"))
    assert dataset.shape == (1,)
    assert dataset.notes["left out"] == "seven, text (a single value in all training rows)"
    with pytest.raises(DataError, match="every column has a single value in all training rows"):
        load(write_table(tmp_path / "none.csv", [(7, CLASSES[i % 2]) for i in range(30)], "seven,class"))


@pytest.mark.parametrize("size", [1e-300, 1e-20, 1.0, 1e160, 1e300])
def test_numbers_of_any_size_are_standardized(size: float) -> None:
    values = size * np.array([[1.0], [2.0], [3.0]])
    encoded = fit_encoding("table", [Column("x", None)], values).encode(values)
    np.testing.assert_allclose(encoded[:, 0], [-(1.5**0.5), 0, 1.5**0.5], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "oracle"), [("breast_cancer", load_breast_cancer), ("wine", load_wine)])
def test_packaged_tables_are_scikit_learns(name: str, oracle: object) -> None:
    splits, expected = read_splits(locate(name)), oracle()  # type: ignore[operator]
    assert np.array_equal(splits.train.images, expected.data)
    assert np.array_equal(splits.train.labels, expected.target)
    assert splits.classes == tuple(expected.target_names)
    assert splits.columns is not None
    assert [column.name for column in splits.columns] == list(expected.feature_names)


def test_features_are_not_scaled_again() -> None:
    features = torch.tensor([[-3.5, 0.0, 2.0]])
    assert torch.equal(scale(features, torch.float32), features)
    assert scale(features, torch.float64).dtype == torch.float64
