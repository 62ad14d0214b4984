"""Identities and seed groups."""

import pytest

from regexp.config.compose import compose_job
from regexp.runs.identity import identify, seed_group


def test_identity_follows_configuration_data_and_code(monkeypatch: pytest.MonkeyPatch) -> None:
    config, other_config = compose_job([]).config, compose_job(["seed=1"]).config
    identity = identify(config, "data")
    assert identify(config, "data") == identity
    assert identify(other_config, "data").config != identity.config
    assert identify(config, "other data").data != identity.data
    monkeypatch.setattr("regexp.runs.identity.code_hash", lambda: "other code")
    assert identify(config, "data").code != identity.code


def test_seeds_of_a_configuration_share_a_seed_group() -> None:
    group = seed_group(compose_job([]).config, "data")
    assert seed_group(compose_job(["seed=7"]).config, "data") == group
    assert seed_group(compose_job(["optimizer.lr=0.1"]).config, "data") != group
    assert seed_group(compose_job([]).config, "other data") != group
    assert group.startswith("defaults (")


def test_a_seed_group_names_the_values_that_are_not_defaults() -> None:
    job = compose_job(["augmentation=lesson", "normalization=batch", "optimizer.lr=3e-3", "seed=7"])
    assert seed_group(job.config, "data").startswith("batch rotate+flip lr=0.003 (")
    other_job = compose_job(["augmentation=lesson", "augmentation.rotate.degrees=5", *job.overrides[1:]])
    assert seed_group(other_job.config, "data").startswith("batch rotate+flip lr=0.003 (")
    assert seed_group(other_job.config, "data") != seed_group(job.config, "data")


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("model.noise=0.1", "noise=0.1"),
        ("loss.class_weights=balanced", "class_weights=balanced"),
        ("loss=focal", "focal"),
        ("early_stopping=progress", "progress patience=null"),
    ],
)
def test_a_seed_group_names_what_is_no_part_of_the_identity_while_it_is_off(word: str, name: str) -> None:
    assert seed_group(compose_job([word]).config, "data").startswith(f"{name} (")
