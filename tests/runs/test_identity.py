"""Labels, identities and seed groups."""

import pytest

from regexp.config.compose import compose_job
from regexp.runs.identity import identify, make_label, seed_group


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], "defaults"),
        (["normalization=batch", "seed=1"], "normalization=batch,seed=1"),
        (["seed=1", "normalization=batch"], "normalization=batch,seed=1"),
        (["optimizer.lr=0.01", "model.dropout=0.5"], "dropout=0.5,lr=0.01"),
        (["model.hidden_sizes=[64,32]"], "hidden_sizes=64-32"),
        (["model.hidden_sizes=[]"], "hidden_sizes=none"),
        (["augmentation.rotate.degrees=15", "augmentation.affine.degrees=5"], "affine.degrees=5,rotate.degrees=15"),
        (["augmentation.rotate.fill=1", "x.rotate.fill=2"], "augmentation.rotate.fill=1,x.rotate.fill=2"),
        (["~augmentation.flip", "augmentation=lesson"], "augmentation=lesson,~flip"),
        (["+augmentation.shift.padding=2"], "shift.padding=2"),
        (["name=x", "force=true", "tags=[a]", "data.root=/a/b", "device=cpu", "hydra.run.dir=x"], "defaults"),
        (["device.precision=float64"], "precision=float64"),
        (["seed=1", "seed=2"], "seed=2"),
        (["experiment=my exp/ü:*"], "experiment=my-exp-ü--"),
    ],
)
def test_a_label_names_the_changed_keys(overrides: list[str], expected: str) -> None:
    assert make_label(overrides) == expected


def test_long_labels_are_cut_and_remain_different() -> None:
    first, second = ([f"augmentation.step{i}.value={i}" for i in range(20)] + [f"seed={seed}"] for seed in (1, 2))
    assert len(make_label(first)) == len(make_label(second)) == 100
    assert make_label(first) != make_label(second)


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
    assert seed_group(job.config, "data").startswith("batch lr=0.003 rotate+flip (")
    other_job = compose_job(["augmentation=lesson", "augmentation.rotate.degrees=5", *job.overrides[1:]])
    assert seed_group(other_job.config, "data").startswith("batch lr=0.003 rotate+flip (")
    assert seed_group(other_job.config, "data") != seed_group(job.config, "data")
