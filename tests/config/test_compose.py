"""The configuration: what conf/ holds, what is refused, and how it says so."""

from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from regexp.config import augmentation_schema as step_schema
from regexp.config import schema as schema
from regexp.config.augmentation_schema import STEPS
from regexp.config.compose import CONF, compose_job
from regexp.config.fields import iterate_fields
from regexp.config.schema import OPTIONS, Config, cohort_key, flatten, identity_items
from regexp.errors import ConfigError
from regexp.utils.messages import format_value

GROUPS = {
    folder.name: sorted(file.stem for file in folder.glob("*.yaml")) for folder in CONF.iterdir() if folder.is_dir()
}
EVERY_OPTION = [(group, option) for group, options in GROUPS.items() for option in options]


# What an option cannot do without.
NEEDED = {"arrays": ["data.path=x.npz"], "image_folder": ["data.root=x"]}


@pytest.mark.parametrize(("group", "option"), EVERY_OPTION)
def test_every_option_composes(group: str, option: str) -> None:
    config = compose_job([f"{group}={option}", *NEEDED.get(option, [])]).config
    if group in OPTIONS:
        assert isinstance(getattr(config, group), OPTIONS[group][option])


@pytest.mark.parametrize(("group", "option"), [(group, option) for group in OPTIONS for option in OPTIONS[group]])
def test_every_option_of_the_schema_spells_out_all_its_keys(group: str, option: str) -> None:
    written = yaml.safe_load((CONF / group / f"{option}.yaml").read_text())
    written.pop("defaults", None)
    assert set(written) == {item.name for item in fields(OPTIONS[group][option])}


@pytest.mark.parametrize("group", ["normalization", "optimizer", "schedule", "model"])
def test_values_in_conf_are_the_defaults_of_the_schema(group: str) -> None:
    for option, node in OPTIONS[group].items():
        composed = getattr(compose_job([f"{group}={option}"]).config, group)
        assert composed == node(name=option)


@pytest.mark.parametrize("option", GROUPS["augmentation"])
def test_steps_in_conf_spell_out_all_their_keys(option: str) -> None:
    written = yaml.safe_load((CONF / "augmentation" / f"{option}.yaml").read_text())
    for name, step in written.items():
        assert set(step) == {item.name for item in fields(STEPS[name])}


def test_every_option_begins_with_a_line_about_itself() -> None:
    for group, option in EVERY_OPTION:
        comments = [line for line in (CONF / group / f"{option}.yaml").read_text().splitlines() if line[:1] == "#"]
        assert any(not line.startswith("# @") for line in comments), f"{group}/{option}"


def every_dataclass() -> list[type[Any]]:
    return [
        node
        for module in (schema, step_schema)
        for node in vars(module).values()
        if isinstance(node, type) and is_dataclass(node)
    ]


@pytest.mark.parametrize("node", every_dataclass())
def test_every_field_is_marked(node: type[Any]) -> None:
    for item in fields(node):
        if not is_dataclass(getattr(node(), item.name)):
            assert item.metadata["mark"] in ("shared", "per_run"), item.name
            assert item.metadata["help"], item.name


def test_the_lesson_is_the_lessons() -> None:
    config = compose_job(["experiment=lesson"]).config
    assert flatten(config) | {"data.root": None} == flatten(config)
    expected = {
        "data": "mnist",
        "data.validation": "test",
        "model.hidden_sizes": [128],
        "normalization": "batch",
        "augmentation.rotate.degrees": 10.0,
        "augmentation.rotate.interpolation": "nearest",
        "augmentation.flip.p": 0.5,
        "optimizer": "adam",
        "optimizer.lr": 1e-3,
        "batch_size": 64,
        "epochs": 30,
        "early_stopping.patience": 5,
        "early_stopping.restore_best": False,
        "schedule": "constant",
        "model.dropout": 0.0,
    }
    assert {key: flatten(config)[key] for key in expected} == expected
    layered = compose_job(["experiment=lesson_layernorm"]).config
    assert layered.normalization.name == "layer"
    assert {**flatten(layered), "normalization": "batch", "normalization.momentum": 0.1} == flatten(config)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("model.dropout=1", ["model.dropout=1:", "below 1", "for example model.dropout=0"]),
        ("model.dropout=-0.1", ["at least 0"]),
        ("optimizer.lr=0", ["optimizer.lr=0:", "above 0", "optimizer.lr=0.001"]),
        ("optimizer.lr=nan", ["finite"]),
        ("optimizer.lr=inf", ["finite"]),
        ("optimizer.betas=[0.9,1]", ["optimizer.betas=[0.9,1]:", "every entry must be below 1"]),
        ("optimizer.betas=[0.9]", ["2"]),
        ("batch_size=0", ["batch_size=0:", "at least 1"]),
        ("epochs=0", ["at least 1"]),
        ("early_stopping.patience=0", ["at least 1"]),
        ("early_stopping.monitor=loss", ["val_loss"]),
        ("model.activation=swish", ["relu", "silu"]),
        ("model.hidden_sizes=[128,0]", ["every entry must be at least 1"]),
        ("data.val_size=0", ["above 0"]),
        ("device.precision=float16", ["bfloat16"]),
        ("name=../x", ["letters, digits"]),
        ("name=.", ["letters, digits"]),
        ("+augmentation.rotate.degrees=200", ["augmentation.rotate.degrees=200:", "at most 180"]),
        ("+augmentation.rotate.degreess=2", ["augmentation.rotate", "degreess"]),
        ("+augmentation.blurr.x=2", ["augmentation.blurr", "rotate, flip, shift, crop, affine"]),
        ("+augmentation.rotate=3", ["augmentation.rotate"]),
        ("+augmentation.affine.scale=[1.2,0.8]", ["ascending order"]),
        ("+lr=1", ["lr: there is no such key"]),
        ("+optimizer.lrr=1", ["optimizer.lrr", "did you mean optimizer.lr?"]),
        ("epochs=ten", ["ten"]),
        ("model.hidden_sizes=128", ["hidden_sizes=128"]),
        ("optimizer.momentum=0.9", ["optimizer.momentum"]),
        ("nonsense=1", ["nonsense"]),
        ("experiment=lessen", ["lessen", "lesson"]),
        ("seed=[1", ["[1"]),
    ],
)
def test_a_mistake_is_named(override: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_job([override])
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        (["batch_size=1", "normalization=batch"], "batch_size=2"),
        (["device=mps", "device.precision=float64"], "device=cpu"),
        (["optimizer=sgd", "optimizer.nesterov=true", "optimizer.momentum=0"], "optimizer.momentum=0.9"),
        (["schedule=cosine", "schedule.warmup_epochs=5", "epochs=5"], "schedule.warmup_epochs=5"),
        (["optimizer=rmsprop", "optimizer.centered=true", "optimizer.alpha=0"], "optimizer.alpha=0.99"),
        (["schedule=plateau", "schedule.min_lr=0.5", "optimizer.lr=0.5"], "min_lr=0.5: must be below optimizer.lr=0.5"),
        (["optimizer.name=sgd"], "choose this one with optimizer=sgd"),
        (["optimizer=sgd", "optimizer.name=adam"], "choose this one with optimizer=adam"),
        (["schedule.name=cosine"], "choose this one with schedule=cosine"),
        (["normalization.name=batch"], "choose this one with normalization=batch"),
        (["normalization=null"], "choose one of batch, layer, none"),
        (["augmentation=lesson", "augmentation.flip=null"], "drop a step with ~augmentation.flip"),
        (["optimizer.betas=[0.9,[0.1]]"], "must be a list of numbers"),
        (["hydra.run.dir=x"], "only the command line"),
    ],
)
def test_combinations_that_cannot_be_are_named(overrides: list[str], part: str) -> None:
    with pytest.raises(ConfigError, match=part.replace(".", r"\.")):
        compose_job(overrides)


def test_a_string_is_no_list_of_overrides() -> None:
    with pytest.raises(ConfigError, match="list of strings"):
        compose_job("seed=1")


def test_problems_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        compose_job(["model.dropout=2", "optimizer.lr=-1", "+augmentation.blurr.x=1", "+foo=1"])
    assert len(str(caught.value).splitlines()) == 4


def test_augmentation_steps_are_named_on_the_command_line() -> None:
    overrides = [
        "augmentation=lesson",
        "augmentation.rotate.degrees=15",
        "~augmentation.flip",
        "+augmentation.shift.padding=2",
    ]
    steps = compose_job(overrides).config.augmentation
    assert steps == {"rotate": step_schema.RotateConfig(degrees=15.0), "shift": step_schema.ShiftConfig(padding=2.0)}


def test_shared_fields_decide_what_trains_together() -> None:
    def key(*overrides: str) -> tuple[Any, ...]:
        return cohort_key(compose_job(overrides).config)

    alone = key()
    for override in (
        "seed=3",
        "optimizer.lr=0.1",
        "model.dropout=0.5",
        "epochs=3",
        "early_stopping=none",
        "augmentation=affine",
    ):
        assert key(override) == alone, override
    for override in (
        "model.hidden_sizes=[64]",
        "normalization=layer",
        "batch_size=32",
        "optimizer=sgd",
        "data.split_seed=1",
    ):
        assert key(override) != alone, override


def test_identity_holds_what_can_change_a_result() -> None:
    base = identity_items(compose_job([]).config)
    for override in ("name=x", "tags=[a]", "force=true", "data.root=/x", "device=cpu", "device.threads=1"):
        assert identity_items(compose_job([override]).config) == base, override
    for override in ("seed=1", "device.precision=float64", "loss.label_smoothing=0.1", "augmentation=affine"):
        assert identity_items(compose_job([override]).config) != base, override


def test_identity_knows_the_order_of_steps() -> None:
    one = compose_job(["+augmentation.flip.p=0.5", "+augmentation.shift.padding=1"]).config
    other = compose_job(["+augmentation.shift.padding=1", "+augmentation.flip.p=0.5"]).config
    assert list(one.augmentation) != list(other.augmentation)
    assert identity_items(one) != identity_items(other)


def test_a_job_keeps_its_documents() -> None:
    job = compose_job(["seed=3", "normalization=batch"])
    assert OmegaConf.create(job.hydra_files()["config.yaml"]).seed == 3
    assert OmegaConf.to_object(OmegaConf.create(job.hydra_files()["overrides.yaml"])) == ["seed=3", "normalization=batch"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (0.001, "0.001"),
        (1e-8, "1e-08"),
        ([1, 2], "[1,2]"),
        ("relu", "relu"),
        (5000.0, "5000"),
    ],
)
def test_values_are_shown_as_one_would_type_them(value: object, text: str) -> None:
    assert format_value(value) == text


def test_defaults_are_accepted() -> None:
    config = compose_job([]).config
    assert config.epochs == Config().epochs
    assert {key for key, _, _ in iterate_fields(config)} >= {"optimizer.betas", "device.kind", "loss.label_smoothing"}
