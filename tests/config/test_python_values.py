"""Values of Python as overrides: each is read as exactly this value, and refused where that cannot be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regexp.config.compose import compose_job
from regexp.config.schema import flatten
from regexp.config.words.parsing import parse_override
from regexp.config.words.python_values import (
    expand_python_grid,
    name_keywords,
    write_conditions,
    write_overrides,
)
from regexp.errors import ConfigError

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"optimizer.lr": 0.01, "seed": 3}, ["optimizer.lr=0.01", "seed=3"]),
        ({"normalization": "batch", "force": True}, ["normalization=batch", "force=true"]),
        ({"data.train_size": None}, ["data.train_size=null"]),
        ({"model.hidden_sizes": (64, 32)}, ["model.hidden_sizes=[64,32]"]),
        ({"model.hidden_sizes": range(1, 3)}, ["model.hidden_sizes=[1,2]"]),
        ({"optimizer": {"lr": 0.1, "eps": 1e-9}}, ["optimizer.lr=0.1", "optimizer.eps=1e-09"]),
        ({"+augmentation.rotate": {"degrees": 5}}, ["+augmentation.rotate={degrees:5}"]),
        ({"+augmentation.rotate": {}}, ["+augmentation.rotate={}"]),
        ({"~augmentation.flip": None}, ["~augmentation.flip"]),
        ({"data.root": Path("a,b")}, ["data.root=a,b"]),  # which means one path here, as typed
        ({"seed": np.int64(3), "optimizer.lr": np.float64(0.1)}, ["seed=3", "optimizer.lr=0.1"]),
        ({"optimizer.lr": torch.tensor(0.5), "force": np.bool_(True)}, ["optimizer.lr=0.5", "force=true"]),
        ({"model.hidden_sizes": np.array([8, 4])}, ["model.hidden_sizes=[8,4]"]),
        (["seed=1", "+a.b={c: d}"], ["seed=1", "+a.b={c: d}"]),
    ],
)
def test_values_are_written_as_one_would_type_them(overrides: Any, expected: list[str]) -> None:
    assert write_overrides(overrides) == expected


@settings(deadline=None, max_examples=60)
@given(TEXTS)
def test_a_text_stays_this_text(text: str) -> None:
    """Also one that Hydra reads as a number, a list, null or a reference to another key."""
    for key in ("model.options.text", "+anything"):
        [word] = write_overrides({key: text})
        value = parse_override(word).value()
        assert not parse_override(word).is_sweep_override()
        # OmegaConf takes the backslashes before a reference off again.
        assert value == text or ("${" in text and "\\${" in value)
    [word] = write_overrides({"+step": {"name": [text]}})
    assert parse_override(word).value()["name"] == [text] or "${" in text


@pytest.mark.parametrize(
    "text", ["1.10", "null", "a,b", "[a]", "${seed}", "Bob's pics", "x=y", "true", " a ", "\\", "a: b", "é"]
)
def test_text_keys_hold_what_was_given(text: str) -> None:
    config = flatten(
        compose_job(write_overrides({"tags": [text, "b"], "data": "arrays", "data.path": f"{text}.npz"})).config
    )
    assert config["tags"] == [text, "b"]
    assert config["data.path"] == f"{text}.npz"


@given(st.floats(allow_nan=False) | st.integers(-(10**15), 10**15) | st.booleans() | st.none())
def test_numbers_are_exact(value: float | None) -> None:
    [word] = write_overrides({"key": value})
    reading = parse_override(word).value()
    assert reading == value
    assert type(reading) is type(value)


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        ("seed=1", '["seed=1"]'),
        (5, '{"seed": 1}'),
        ([1], "must be a text"),
        ({1: 2}, "a key must be a text"),
        ({"seed": {1}}, "seed={1}: must be a number"),
        ({"seed": object}, "not type"),
        ({"tags": [b"x"]}, "not bytes"),
    ],
)
def test_other_values_are_refused(overrides: Any, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        write_overrides(overrides)
    assert part in str(caught.value)


def test_two_underscores_of_a_keyword_stand_for_a_dot() -> None:
    assert name_keywords({"optimizer__lr": 1, "batch_size": 2, "a.b": 3}) == {
        "optimizer.lr": 1,
        "batch_size": 2,
        "a.b": 3,
    }


def test_a_grid_has_every_combination_and_single_values() -> None:
    grid = expand_python_grid({"normalization": ["none", "batch"], "epochs": 3, "seed": range(2), "name": "abc"})
    assert [(member["normalization"], member["seed"]) for member in grid] == [
        ("none", 0), ("none", 1), ("batch", 0), ("batch", 1),
    ]  # fmt: skip
    assert {(member["epochs"], member["name"]) for member in grid} == {(3, "abc")}
    assert expand_python_grid({"optimizer.lr": np.array([0.5, 1.0])}) == [{"optimizer.lr": 0.5}, {"optimizer.lr": 1.0}]


def test_conditions_are_texts_or_a_dictionary() -> None:
    assert write_conditions("seed=1") == ["seed=1"]
    assert write_conditions({"seed": [0, 1], "data.train_size": 1.0, "normalization": "batch"}) == [
        "seed=0,1", "data.train_size=1.0", "normalization=batch",
    ]  # fmt: skip
