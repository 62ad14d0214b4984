"""The configuration: the options in conf/, errors about invalid values, cohort keys and identity."""

import pickle
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
import yaml
from helpers.command_lines import REQUIRED_OVERRIDES
from helpers.commands import record_calls
from omegaconf import OmegaConf

from regexp.config import schema, schemas
from regexp.config.compose import compose_job, compose_jobs, make_composer
from regexp.config.fields import iterate_fields, per_run
from regexp.config.hydra_config.search_path import CONF
from regexp.config.job import JobTemplate
from regexp.config.schema import OPTIONS, Config, cohort_key, flatten, identity_items
from regexp.config.schemas import augmentation as augmentation_schema
from regexp.config.schemas.augmentation import STEPS
from regexp.config.schemas.loss import CrossEntropyConfig
from regexp.errors import ConfigError
from regexp.runs.identity import identify
from regexp.utils.messages import format_value

GROUPS = {
    directory.name: sorted(file.stem for file in directory.glob("*.yaml"))
    for directory in CONF.iterdir()
    if directory.is_dir()
}
ALL_OPTIONS = [(group, option) for group, options in GROUPS.items() for option in options]


@pytest.mark.parametrize(("group", "option"), ALL_OPTIONS)
def test_every_option_composes(group: str, option: str) -> None:
    config = compose_job([f"{group}={option}", *REQUIRED_OVERRIDES.get(option, [])]).config
    if group in OPTIONS:
        assert isinstance(getattr(config, group), OPTIONS[group][option])


@pytest.mark.parametrize(("group", "option"), [(group, option) for group in OPTIONS for option in OPTIONS[group]])
def test_every_option_file_lists_all_keys_of_its_schema(group: str, option: str) -> None:
    content = yaml.safe_load((CONF / group / f"{option}.yaml").read_text())
    content.pop("defaults", None)
    assert set(content) == {item.name for item in fields(OPTIONS[group][option])}


@pytest.mark.parametrize("group", ["normalization", "optimizer", "schedule", "model"])
def test_values_in_conf_are_the_defaults_of_the_schema(group: str) -> None:
    for option, option_schema in OPTIONS[group].items():
        required = {
            words.partition(".")[2].partition("=")[0]: words.partition("=")[2]
            for words in REQUIRED_OVERRIDES.get(option, [])
        }
        composed = getattr(compose_job([f"{group}={option}", *REQUIRED_OVERRIDES.get(option, [])]).config, group)
        assert composed == option_schema(name=option, **required)


@pytest.mark.parametrize("option", GROUPS["augmentation"])
def test_every_augmentation_file_lists_all_keys_of_its_steps(option: str) -> None:
    content = yaml.safe_load((CONF / "augmentation" / f"{option}.yaml").read_text())
    for name, step in content.items():
        assert set(step) == {item.name for item in fields(STEPS[name])}


def test_every_option_file_has_a_comment_that_describes_it() -> None:
    for group, option in ALL_OPTIONS:
        comments = [line for line in (CONF / group / f"{option}.yaml").read_text().splitlines() if line[:1] == "#"]
        assert any(not line.startswith("# @") for line in comments), f"{group}/{option}"


def list_schema_modules() -> list[str]:
    return [f"{schemas.__name__}.{module.name}" for module in iter_modules(schemas.__path__)]


def list_dataclasses() -> list[type[Any]]:
    return [
        schema_class
        for module in (schema, *map(import_module, list_schema_modules()))
        for schema_class in vars(module).values()
        if isinstance(schema_class, type) and is_dataclass(schema_class) and schema_class.__name__.endswith("Config")
    ]


@pytest.mark.parametrize("schema_class", list_dataclasses())
def test_every_field_has_a_mark_and_help(schema_class: type[Any]) -> None:
    for item in fields(schema_class):
        if not is_dataclass(getattr(schema_class(), item.name)):
            assert item.metadata["mark"] in ("shared", "per_run"), item.name
            assert item.metadata["help"], item.name


@pytest.mark.slow
@pytest.mark.parametrize("experiment", GROUPS["experiment"])
@pytest.mark.parametrize("model", OPTIONS["model"])
def test_an_experiment_without_a_model_of_its_own_suits_every_model(experiment: str, model: str) -> None:
    if "override /model" not in (CONF / "experiment" / f"{experiment}.yaml").read_text():
        words = [f"experiment={experiment}", f"model={model}", *REQUIRED_OVERRIDES.get(model, [])]
        assert compose_job(words).config.model.name == model


def test_the_experiment_lesson_has_the_lessons_values() -> None:
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
    with_layer_norm = compose_job(["experiment=lesson_layernorm"]).config
    assert with_layer_norm.normalization.name == "layer"
    batch_norm = {"normalization": "batch", "normalization.momentum": 0.1, "normalization.virtual_batch": None}
    assert {**flatten(with_layer_norm), **batch_norm} == flatten(config)


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
def test_a_mistake_is_an_error_that_names_it(override: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        compose_job([override])
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        (["batch_size=1", "normalization=batch"], "batch_size=2"),
        (["device=mps", "device.precision=float64"], "device=cpu"),
        (["device=cpu", "device.graphs=true"], "only cuda has graphs; leave device.graphs out"),
        (["device=mps", "device.graphs=true"], "only cuda has graphs; leave device.graphs out"),
        (
            ["device.graphs=true", "+augmentation.gray={_target_: torchvision.transforms.RandomGrayscale}"],
            "augmentation.gray: torchvision.transforms.RandomGrayscale is applied image by image",
        ),
        (["model=cnn", "device.graphs=true"], "only an mlp can be captured; leave device.graphs out"),
        (["model=cnn", "model.channels=[]"], "at least one number; use model=mlp"),
        (["optimizer=sgd", "optimizer.nesterov=true", "optimizer.momentum=0"], "optimizer.momentum=0.9"),
        (["schedule=cosine", "schedule.warmup_epochs=5", "epochs=5"], "schedule.warmup_epochs=5"),
        (["optimizer=rmsprop", "optimizer.centered=true", "optimizer.alpha=0"], "optimizer.alpha=0.99"),
        (["schedule=plateau", "schedule.min_lr=0.5", "optimizer.lr=0.5"], "min_lr=0.5: must be below optimizer.lr=0.5"),
        (["optimizer.name=sgd"], "choose this one with optimizer=sgd"),
        (["optimizer=sgd", "optimizer.name=adam"], "choose this one with optimizer=adam"),
        (["schedule.name=cosine"], "choose this one with schedule=cosine"),
        (["normalization.name=batch"], "choose this one with normalization=batch"),
        (["normalization=null"], "choose one of batch, group, layer, none, rms"),
        (["augmentation=lesson", "augmentation.flip=null"], "drop a step with ~augmentation.flip"),
        (["optimizer.betas=[0.9,[0.1]]"], "must be a list of numbers"),
        (["hydra.run.dir=x"], "only the command line"),
    ],
)
def test_an_invalid_combination_is_an_error_with_a_remedy(overrides: list[str], part: str) -> None:
    with pytest.raises(ConfigError, match=part.replace(".", r"\.")):
        compose_job(overrides)


def test_a_string_is_not_a_list_of_overrides() -> None:
    with pytest.raises(ConfigError, match="list of strings"):
        compose_job("seed=1")


def test_problems_are_reported_together() -> None:
    with pytest.raises(ConfigError) as error:
        compose_job(["model.dropout=2", "optimizer.lr=-1", "+augmentation.blurr.x=1", "+foo=1"])
    assert len(str(error.value).splitlines()) == 4


def test_overrides_set_add_and_drop_augmentation_steps() -> None:
    overrides = [
        "augmentation=lesson",
        "augmentation.rotate.degrees=15",
        "~augmentation.flip",
        "+augmentation.shift.padding=2",
    ]
    steps = compose_job(overrides).config.augmentation
    assert steps == {
        "rotate": augmentation_schema.RotateConfig(degrees=15.0),
        "shift": augmentation_schema.ShiftConfig(padding=2.0),
    }


def test_shared_fields_decide_what_trains_together() -> None:
    def cohort_key_of(*overrides: str) -> tuple[Any, ...]:
        return cohort_key(compose_job(overrides).config)

    default_key = cohort_key_of()
    for override in (
        "seed=3",
        "optimizer.lr=0.1",
        "model.dropout=0.5",
        "epochs=3",
        "early_stopping=none",
        "augmentation=affine",
    ):
        assert cohort_key_of(override) == default_key, override
    assert cohort_key_of("optimizer.sam_rho=0.1") != default_key  # takes twice the time
    assert cohort_key_of("optimizer.sam_rho=0.1") == cohort_key_of("optimizer.sam_rho=0.2")
    for override in (
        "model.hidden_sizes=[64]",
        "normalization=layer",
        "batch_size=32",
        "optimizer=sgd",
        "data.split_seed=1",
    ):
        assert cohort_key_of(override) != default_key, override


def test_identity_contains_the_keys_that_can_change_a_result() -> None:
    default_items = identity_items(compose_job([]).config)
    for override in ("name=x", "tags=[a]", "force=true", "data.root=/x", "device=cpu", "device.threads=1"):
        assert identity_items(compose_job([override]).config) == default_items, override
    for override in ("seed=1", "device.precision=float64", "loss.label_smoothing=0.1", "augmentation=affine"):
        assert identity_items(compose_job([override]).config) != default_items, override


def test_identity_depends_on_the_order_of_steps() -> None:
    flip_first = compose_job(["+augmentation.flip.p=0.5", "+augmentation.shift.padding=1"]).config
    shift_first = compose_job(["+augmentation.shift.padding=1", "+augmentation.flip.p=0.5"]).config
    assert list(flip_first.augmentation) != list(shift_first.augmentation)
    assert identity_items(flip_first) != identity_items(shift_first)


def test_a_job_has_the_contents_of_its_hydra_files() -> None:
    job = compose_job(["seed=3", "normalization=batch"])
    assert OmegaConf.create(job.hydra_files()["config.yaml"]).seed == 3
    assert OmegaConf.to_object(OmegaConf.create(job.hydra_files()["overrides.yaml"])) == [
        "seed=3",
        "normalization=batch",
    ]


def test_jobs_share_the_sections_that_they_have_in_common() -> None:
    first, second = compose_jobs([["optimizer.lr=0.1", f"seed={seed}"] for seed in (1, 2)])
    assert (first.config.seed, second.config.seed) == (1, 2)
    assert first.config.optimizer is second.config.optimizer
    assert first.config.model is compose_job([]).config.model
    assert first.template is second.template
    first.composed_config.seed = 3
    assert [job.composed_config.seed for job in (first, second)] == [1, 2]


def test_a_job_can_be_sent_to_another_process() -> None:
    job = compose_job(["normalization=batch", "seed=3"])
    content = pickle.dumps(job)
    assert b"LauncherConfig" not in content  # no plugin is imported there
    assert b"SweeperConfig" not in content
    copy = pickle.loads(content)
    assert copy.config == job.config
    assert copy.hydra_files() == job.hydra_files()


def test_values_that_refer_to_others_follow_them() -> None:
    assert compose_job(["batch_size=7"]).config.batch_size == 7
    runs = [["batch_size=${epochs}", f"epochs={epochs}"] for epochs in (8, 9)]
    assert [job.config.batch_size for job in compose_jobs(runs)] == [8, 9]
    with_default = compose_job(["optimizer.lr=${oc.select:model.dropout,0.5}", "model.dropout=0.25"])
    assert with_default.config.optimizer.lr == 0.25


def test_an_option_whose_values_refer_to_others_follows_them(tmp_path: Path) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer/custom.yaml").write_text("defaults: [adam, _self_]\nweight_decay: ${model.dropout}")
    composer = make_composer(str(tmp_path))
    runs = [["optimizer=custom", f"model.dropout={dropout}"] for dropout in (0.1, 0.2)]
    jobs = composer.compose_jobs(runs)
    assert [job.config.optimizer.weight_decay for job in jobs] == [0.1, 0.2]
    assert [job.composed_config.optimizer.weight_decay for job in jobs] == [0.1, 0.2]


def test_a_value_is_converted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = record_calls(monkeypatch, JobTemplate, "_convert_section")
    runs = [[f"seed={seed}", f"optimizer.lr={lr}", "epochs=3"] for seed in range(5) for lr in (0.1, 0.2)]
    make_composer().compose_jobs(runs)
    assert len(calls) == 5 + 2 + 1


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
def test_values_are_formatted_as_a_user_would_type_them(value: object, text: str) -> None:
    assert format_value(value) == text


def test_the_defaults_are_valid() -> None:
    config = compose_job([]).config
    assert config.epochs == Config().epochs
    assert {key for key, _, _ in iterate_fields(config)} >= {"optimizer.betas", "device.kind", "loss.label_smoothing"}


@pytest.mark.parametrize("key", ["train_size", "val_size"])
@pytest.mark.parametrize(
    ("typed", "value"), [("1", 1), ("0.5", 0.5), ("5.0", 5), ("1e3", 1000), ("1000", 1000), ("7", 7)]
)
def test_a_size_is_a_count_or_a_fraction_as_it_was_typed(key: str, typed: str, value: float) -> None:
    size = getattr(compose_job([f"data.{key}={typed}"]).config.data, key)
    assert size == value
    assert isinstance(size, int) == (typed == "1")  # all others mean the same with and without a point


def test_a_train_size_of_one_point_zero_is_all_of_it() -> None:
    size = compose_job(["data.train_size=1.0"]).config.data.train_size
    assert isinstance(size, float)
    one, whole = (identify(compose_job([f"data.train_size={size}"]).config, "data") for size in ("1", "1.0"))
    assert one != whole
    assert identify(compose_job(["data.train_size=1e3"]).config, "data") == identify(
        compose_job(["data.train_size=1000"]).config, "data"
    )


def test_a_field_at_its_omitted_value_is_no_part_of_the_identity() -> None:
    @dataclass
    class ExtendedConfig(CrossEntropyConfig):
        penalty: float = per_run(0.0, "a field that was added later", omitted=0.0)

    config = compose_job([]).config
    expected = identity_items(config)
    config.loss = ExtendedConfig()
    assert identity_items(config) == expected
    config.loss = ExtendedConfig(penalty=0.1)
    assert identity_items(config) == {**expected, "loss.penalty": 0.1}
