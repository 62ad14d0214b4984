"""The keys that take a count or a fraction: a whole number is a count, and a float up to 1.0 is a fraction."""

import pytest
import torch

from regexp import compare, sweep
from regexp.augmentation.geometry import RandomCrop, RandomShift
from regexp.config.compose import compose_job
from regexp.config.keys import Key, list_keys, list_step_keys
from regexp.config.schema import Config, cohort_key, identity_items
from regexp.errors import ConfigError
from regexp.execution.builders import load_dataset
from regexp.execution.building.stream_builders import make_transform
from regexp.utils.counts import describe_length, resolve_count

SIZE_KEYS = [key for key in (*list_keys(), *list_step_keys()) if "whole_from" in key.metadata]


def compose(key: Key, value: str) -> Config:
    group, name, *_ = key.name.split(".")
    option = ["data=arrays", "data.path=FILE.npz"] if group == "data" else [f"augmentation={name}"]
    return compose_job([*option, f"{key.name}={value}"]).config


def size_of(key: Key, value: str) -> int | float:
    return identity_items(compose(key, value))[key.name]


def test_every_key_that_takes_a_fraction_of_something_countable_is_covered() -> None:
    names = {key.name for key in (*list_keys(), *list_step_keys()) if "or a fraction" in key.metadata["help"]}
    assert names == {key.name for key in SIZE_KEYS}
    assert {"data.train_size", "data.val_size", "augmentation.crop.size", "augmentation.shift.padding"} <= names


@pytest.mark.parametrize("key", SIZE_KEYS, ids=lambda key: key.name)
def test_one_is_one_and_one_point_zero_is_all(key: Key) -> None:
    assert resolve_count(size_of(key, "1"), 6) == 1
    assert resolve_count(size_of(key, "1.0"), 6) == 6
    assert resolve_count(size_of(key, "1e0"), 6) == 6
    assert cohort_key(compose(key, "1")) != cohort_key(compose(key, "1.0")) or key.metadata["mark"] == "per_run"
    assert repr(size_of(key, "1")) != repr(size_of(key, "1.0"))  # the identity is a hash of such texts


@pytest.mark.parametrize("key", SIZE_KEYS, ids=lambda key: key.name)
@pytest.mark.parametrize(("texts", "count"), [(("5", "5.0", "5e0", "0.5e1"), 5), (("0.5", "5e-1", ".5"), 3)])
def test_spellings_of_a_size_are_equal(key: Key, texts: tuple[str, ...], count: int) -> None:
    sizes = {repr(size_of(key, text)) for text in texts}
    assert len(sizes) == 1
    assert resolve_count(size_of(key, texts[0]), 6) == count


@pytest.mark.parametrize("key", SIZE_KEYS, ids=lambda key: key.name)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.5", "must be a whole number, or a fraction up to 1.0"),
        ("5.000001", "must be a whole number, or a fraction up to 1.0"),
        ("-1", "must be (above|at least) 0"),
        ("-0.5", "must be (above|at least) 0"),
        ("50%", r"must be a number( or null)?; did you mean {}=0\.5\?"),
        ("12.5 %", r"must be a number( or null)?; did you mean {}=0\.125\?"),
        ("100%", r"must be a number( or null)?; did you mean {}=1\.0\?"),
        ("5.%", "must be a number"),
        ("true", "must be a number"),
        ("[5]", "must be a number"),
        ("inf", "must be finite"),
    ],
)
def test_everything_else_is_refused_with_what_to_type(key: Key, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key.name}=.*: " + expected.format(key.name)):
        compose(key, text)


@pytest.mark.parametrize(("first", "second"), [("1", "1.0"), ("1.0", "1")])
def test_runs_of_one_process_do_not_share_data_of_one_image_and_of_all(first: str, second: str) -> None:
    counts = [len(load_dataset(compose_job([f"data.train_size={size}"]).config).train) for size in (first, second)]
    assert counts == [{"1": 1, "1.0": 1150}[size] for size in (first, second)]


def test_transforms_read_sizes_in_the_same_way() -> None:
    for value, pixels in (("1", 1), ("1.0", 8), ("2", 2), ("0.25", 2)):
        [crop] = compose_job(["augmentation=crop", f"augmentation.crop.size={value}"]).config.augmentation.values()
        [shift] = compose_job(
            ["augmentation=shift", f"augmentation.shift.padding={value}"]
        ).config.augmentation.values()
        random_crop, random_shift = (make_transform(step, (1, 8, 8)) for step in (crop, shift))
        assert isinstance(random_crop, RandomCrop)
        assert isinstance(random_shift, RandomShift)
        assert random_crop.output_size(8, 8) == (pixels, pixels)
        draws = random_shift.draw(400, 8, 8, torch.Generator().manual_seed(0))
        assert {int(value) for value in draws["i"].abs().unique()} == set(range(pixels + 1))


@pytest.mark.parametrize(
    ("size", "words"),
    [(1, "1 pixel"), (1.0, "the whole side"), (0.5, "0.5 of the side"), (3.0, "3 pixels"), (0.0, "0 pixels")],
)
def test_a_length_is_described_as_it_is_meant(size: float, words: str) -> None:
    assert describe_length(size) == words


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["data.train_size=1"], "data.train_size=1 is one image"),
        (["data.val_size=1"], "data.val_size=1 is one image"),
        (["augmentation=crop", "augmentation.crop.size=1"], "augmentation.crop.size=1 is one pixel"),
    ],
)
def test_a_size_of_one_where_all_may_be_meant_gets_a_warning(overrides: list[str], expected: str) -> None:
    assert any(expected in warning for warning in compose_job(overrides).warnings)
    warnings = compose_job([*overrides[:-1], f"{overrides[-1]}.0"] if "val" not in overrides[0] else []).warnings
    assert not any("is one" in warning for warning in warnings)


def test_a_comparison_tells_one_image_from_all() -> None:
    sweep(
        [[f"data.train_size={size}", "epochs=1", f"seed={seed}"] for size in ("1", "1.0") for seed in (0, 1)],
        quiet=True,
    )
    rows = compare("outputs")
    assert sorted(row["data.train_size"] for row in rows) == ["1", "1.0"]
    assert len(compare("outputs", where="data.train_size=1.0")) == 1
