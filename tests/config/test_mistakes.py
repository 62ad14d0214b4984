"""Typing mistakes, and the messages about them before anything is trained."""

import shlex
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from helpers.command_lines import find_problems
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from regexp.cli.arguments import read_arguments
from regexp.config.compose import make_composer
from regexp.config.composing.composer import Composer
from regexp.config.fields import iterate_fields
from regexp.config.hydra_config.search_path import CONF
from regexp.config.job import JobTemplate
from regexp.config.keys import list_keys, list_step_keys
from regexp.config.overrides import MAX_RUNS
from regexp.config.schema import OPTIONS, Config
from regexp.config.validation import validate
from regexp.errors import ConfigError


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        # groups and options
        ("normalisation=batch", ["there is no such key", "did you mean normalization=batch?"]),
        ("augmentation=lession", ["one of affine, blur,", "did you mean augmentation=lesson?"]),
        ("normalization=null", ["normalization=null: choose one of batch, group, layer, none, rms"]),
        ("normalization=", ["choose one of batch, group, layer, none, rms"]),
        ("normalization=Batch", ["did you mean normalization=batch?"]),
        ("normalization=batchnorm", ["did you mean normalization=batch?"]),
        ("augmentation=mixup", ["did you mean mixing=mixup?"]),
        ("cutmix.alpha=0.3", ["did you mean mixing.alpha=0.3?"]),
        ("experiment=lessen", ["did you mean experiment=lesson?"]),
        ("early_stopping=off", ["did you mean early_stopping=none?"]),
        ("device=gpu", ["did you mean device=cuda?"]),
        ("device=cuda:1", ["did you mean device=cuda device.index=1?"]),
        ("data=./pictures", ["type data=image_folder data.root=./pictures"]),
        ("data=my.npz", ["type data=arrays data.path=my.npz"]),
        ("augmentation=rotates", ["did you mean augmentation=rotate?"]),
        ("+normalization=batch", ["the group is already there; type normalization=batch"]),
        ("~normalization", ["a group cannot be dropped; choose normalization=none"]),
        ("~optimizer", ["choose one of its options, such as optimizer=adam"]),
        ("optimizer.name=sgd", ["choose this one with optimizer=sgd"]),
        # keys
        ("lr=0.1", ["lr=0.1: there is no such key; did you mean optimizer.lr=0.1?"]),
        ("patience=3", ["did you mean early_stopping.patience=3?"]),
        ("epoch=5", ["did you mean epochs=5?"]),
        ("dropout=0.5", ["did you mean model.dropout=0.5?"]),
        ("learning_rate=0.1", ["did you mean optimizer.lr=0.1?"]),
        ("momentum=0.9", ["optimizer.momentum=0.9 or normalization.momentum=0.9?"]),
        ("degrees=15", ["+augmentation.rotate.degrees=15"]),
        ("augmentation=lesson degrees=15", [" augmentation.rotate.degrees=15"]),
        ("early_stopping.patiense=3", ["did you mean early_stopping.patience=3?"]),
        ("+optimizer.lrr=1", ["optimizer.lrr: there is no such key; did you mean optimizer.lr?"]),
        (
            "+augmentation.rotate.degreess=15",
            ["did you mean augmentation.rotate.degrees?", "degrees, interpolation, fill"],
        ),
        ("+augmentation.blurr.sigma=1", ["augmentation.blurr: there is no such step; did you mean augmentation.blur?"]),
        ("augmentation.rotate.degrees=15", ["no step rotate; to add it type +augmentation.rotate.degrees=15"]),
        (
            "+augmentation.rotate.degrees=15 augmentation.rotate.fill=0.5",
            [
                "augmentation.rotate.fill=0.5: the step rotate is chosen without this key",
                "+augmentation.rotate.fill=0.5",
            ],
        ),
        ("augmentation=lesson ~augmentation.flop", ["no such step in augmentation=lesson; its steps: rotate, flip"]),
        ("optimizer=sgd optimizer.betas=[0.9,0.9]", ["optimizer=sgd has no such key", "optimizer=adamw have"]),
        ("normalization.eps=1e-3", ["normalization=none has no such key"]),
        ("optimizer={lrr:0.1}", ["optimizer.lrr", "did you mean optimizer.lr?"]),
        ("+seed=1", ["the key is already there; type seed=1"]),
        ("~seed", ["only augmentation steps can be dropped"]),
        ("workers=4", ["regexp --help lists all"]),
        # values
        ("model.dropout=1.5", ["model.dropout=1.5: must be below 1; for example model.dropout=0.2"]),
        ("optimizer.lr=-1", ["must be above 0; for example optimizer.lr=0.001"]),
        ("batch_size=0", ["must be at least 1; for example batch_size=64"]),
        ("epochs=ten", ["epochs=ten: must be a whole number; for example epochs=100"]),
        ("epochs=1.5", ["must be a whole number"]),
        ("epochs=", ["must be a whole number"]),
        ("seed=null", ["must be a whole number"]),
        ("force=maybe", ["must be true or false"]),
        ("model.hidden_sizes=128", ["must be a list of whole numbers; did you mean 'model.hidden_sizes=[128]'?"]),
        ("optimizer.betas=0.9", ["must be a list of numbers; for example 'optimizer.betas=[0.9,0.999]'"]),
        ("model.activation=relo", ["did you mean model.activation=relu?"]),
        ("early_stopping.monitor=val_acc", ["did you mean early_stopping.monitor=val_accuracy?"]),
        ("+augmentation.blur.kernel_size=4", ["must be odd; for example augmentation.blur.kernel_size=5"]),
        ("+augmentation.rotate.degrees=ten", ["augmentation.rotate.degrees=ten: must be a number"]),
        ("+augmentation.rotate=3", ["a step must be a mapping of keys"]),
        ("name=../../x", ["letters, digits"]),
        ("seed=${nope}", ["seed: Interpolation key 'nope' not found"]),
        ("seed=???", ["seed: Missing mandatory value"]),
        ("metrics=${name}", ["metrics=default: must be a mapping of keys"]),
        ("loss=${name}", ["loss=${name}: loss must be one of bootstrap, cross_entropy"]),
        ("hydra.job.chdir=${oc.env:HOME}", ["hydra.job.chdir=true: paths are relative to the directory"]),
        (
            "hydra.job.env_set={A:1} epochs=??? early_stopping.patience=-1",
            ["env_set", "patience=-1: must be at least 1"],
        ),
        ("rotate.degrees=5", ["did you mean +augmentation.rotate.degrees=5?"]),
        (
            "+augmentation.a._target_=regexp.augmentation.RandomRotaton",
            ["did you mean regexp.augmentation.RandomRotation?"],
        ),
        ("data.val_size=100.7", ["must be a whole number, or a fraction up to 1.0"]),
        ("data.train_size=50%", ["must be a number or null"]),
        ("data.train_size=-5", ["must be above 0; for example data.train_size=1000"]),
        ("data.val_size=-0.5", ["data.val_size=-0.5: must be above 0"]),
        ("data.train_size=true", ["must be a number or null"]),
        ("data.train_size=${force} force=true", ["data.train_size=true: must be a number or null"]),
        ("data.val_size=${name}", ["data.val_size=default: must be a number; for example data.val_size=0.2"]),
        ("data.val_size=${tags}", ["data.val_size=[]: must be a number"]),
        # combinations
        ("data.val_size=1.0", ["data.val_size=1.0: asks for 1,437 of 1,437 training images"]),
        ("data.val_size=99999", ["asks for 99,999 of 1,437 training images"]),
        ("data.train_size=1151", ["validation leaves 1,150"]),
        ("augmentation=crop augmentation.crop.size=24", ["images of data=digits are 8x8", "at most 8"]),
        ("data=arrays", ["type data.path=FILE.npz"]),
        ("data=image_folder", ["type data.root=DIR"]),
        ("schedule=cosine schedule.warmup_epochs=300", ["must be below epochs=100"]),
        # the shell
        ("model.hidden_sizes=[256, 128]", ["splits this at the spaces; type 'model.hidden_sizes=[256,128]'"]),
        ("optimizer.betas=[0.9, 0.99, 1] seed=1", ["type 'optimizer.betas=[0.9,0.99,1]'"]),
        ("lr = 0.1", ["lr = 0.1: the shell splits this at the spaces; type optimizer.lr=0.1"]),
        ("optimizer.lr= 0.1", ["type optimizer.lr=0.1"]),
        ("optimizer.lr =0.1", ["type optimizer.lr=0.1"]),
        ("seed=[1", ["a bracket is not closed"]),
        ("seed=5;", ["did you mean seed=5?"]),
        ("seed==5", ["did you mean seed=5?"]),
        ("tags=über", ["tags=über: must be a list of strings; did you mean 'tags=[über]'?"]),
        ("=5", ["the key before = is missing"]),
        ("~", ["the key before = is missing"]),
        ("lesson", ["has the form KEY=VALUE", "experiment=lesson"]),
        ("seed", ["has the form KEY=VALUE; for example seed=0"]),
        ("--epochs 5", ["keys have no dashes; type epochs=5"]),
        ("--lr=0.1", ["keys have no dashes; type optimizer.lr=0.1"]),
        ("--confg-dir foo", ["there is no such flag; did you mean --config-dir?"]),
        ("-v", ["there is no such flag; regexp --help"]),
        ("help", ["type regexp --help"]),
        ("data=image_folder data.root=my pics", ["data.root=my pics: the shell splits this"]),
        # sweeps
        ("seed=0,1", ["several values make a sweep; type regexp -m seed=0,1"]),
        ("'seed=range(4)'", ["type regexp -m 'seed=range(4)'"]),
        ("model.hidden_sizes=128,64", ["or for one list 'model.hidden_sizes=[128,64]'"]),
        ("model.dropout=0,5", ["or for one number model.dropout=0.5"]),
        (
            "-m model.hidden_sizes=128,64",
            ["did you mean 'model.hidden_sizes=[128]'? (1 of 2 runs)", "[64]'? (1 of 2 runs)"],
        ),
        ("-m 'seed=interval(0,4)'", ["an interval is for a sweeper that searches"]),
        ("-m 'seed=range(1000000000)'", [f"more than {MAX_RUNS:,} runs"]),
        ("-m normalization=none,bach", ["did you mean normalization=batch? (1 of 2 runs)"]),
        ("-m seed=0,1 epochs=ten", ["epochs=ten: must be a whole number; for example epochs=100"]),
        # Hydra's flags
        ("--cfg jobb", ["invalid choice: 'jobb'"]),
        ("--config-path foo", ["type --config-dir foo"]),
        ("--experimental-rerun x.pickle", ["reads a pickle"]),
        ("-m --cfg job epochs=1,2", ["--multirun and --cfg do not go together"]),
        ("--resolve epochs=1", ["--resolve works only with --cfg"]),
        ("-p optimizer", ["--package works only with --cfg"]),
        ("-sc install=foo", ["the shells are bash, fish and zsh"]),
        ("-sc query=bash", ["for the shell itself"]),
        ("--config-name foo", ["leave the flag out"]),
        ("optimizer@foo=sgd", ["packages (@) cannot be chosen here; type optimizer=sgd"]),
        ("hydra.job.chdir=true", ["leave it out"]),
        ("-m hydra/launcher=foo seed=0,1", ["hydra/launcher=foo", "basic, cohort"]),
        ("hydra.lancher.x=1", ["hydra.lancher.x"]),
        ("-m hydra/launcher=jobliib", ["hydra/launcher=jobliib", "hydra-joblib-launcher"]),
    ],
)
def test_a_mistake_is_an_error_with_a_remedy(composer: Composer, line: str, parts: list[str]) -> None:
    message = "\n".join(find_problems(composer, *shlex.split(line)))
    for part in parts:
        assert part in message
    assert "full_key" not in message
    assert "\t" not in message


def test_all_problems_are_reported_together(composer: Composer) -> None:
    line = "normalization=bach lr=0.1 optimizer.lr=-1 epochs=ten +augmentation.flip.p=2 +augmentation.flop.p=1 x 'a=[1'"
    problems = find_problems(composer, *shlex.split(line))
    for part in ("normalization=bach", "lr=0.1", "optimizer.lr=-1", "epochs=ten", "flip.p=2", "flop", "x:", "a=[1"):
        assert sum(problem.startswith((part, f"augmentation.{part}")) for problem in problems) == 1, part
    assert len(problems) == 8


def test_all_jobs_of_a_sweep_are_checked_together(composer: Composer) -> None:
    problems = find_problems(composer, "-m", "optimizer.lr=1,-1,0", "model.dropout=0,2", "seed=0,1", "lr=3")
    assert problems == [
        "lr=3: there is no such key; did you mean optimizer.lr=3?",
        "model.dropout=2: must be below 1; for example model.dropout=0.2 (6 of 12 runs)",
        "optimizer.lr=-1: must be above 0; for example optimizer.lr=0.001 (4 of 12 runs)",
        "optimizer.lr=0: must be above 0; for example optimizer.lr=0.001 (4 of 12 runs)",
    ]


def test_the_last_of_several_overrides_wins(composer: Composer) -> None:
    [job] = composer.compose_command_line(["optimizer=sgd", "seed=1", "optimizer=adam", "seed=2"], False)
    assert (job.config.optimizer.name, job.config.seed) == ("adam", 2)


def test_overrides_may_be_on_both_sides_of_a_flag() -> None:
    arguments = read_arguments(["seed=0,1", "-m", "epochs=3"])
    assert arguments.multirun
    assert set(arguments.overrides) == {"seed=0,1", "epochs=3"}
    assert arguments.hydra_words() == ["-m", "seed=0,1", "epochs=3"]
    assert read_arguments(["--config-dir", "a", "x=1"]).config_dir == "a"
    assert read_arguments(["-cd=a", "x=1"]).overrides == ("x=1",)
    assert not read_arguments(["-sc", "install=bash"]).needs_configuration


# Files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("augmentation/custom", "a: [1\n b", ["custom.yaml, line 2: broken YAML"]),
        ("augmentation/custom", "flip:\n\tp: 1", ["custom.yaml, line 2: broken YAML"]),
        ("augmentation/custom", "flip: {p: 1}\nflip: {p: 2}", ["custom.yaml, line 2: broken YAML", "duplicate"]),
        ("augmentation/custom", "5", ["custom.yaml cannot be read"]),
        ("augmentation/custom", "x: &a [*a]", ["custom.yaml cannot be read"]),
        ("augmentation/custom", "flip: {p: 2}", ["augmentation.flip.p=2: must be at most 1"]),
        ("augmentation/custom", "blurr: {x: 1}", ["did you mean augmentation.blur?"]),
        ("augmentation/custom", "x: {_target_: os.system, command: ls}", ["x._target_=os.system: only transforms"]),
        ("augmentation/custom", "x: {_target_: subprocess.Popen}", ["only transforms are allowed"]),
        ("augmentation/custom", "x: {_target_: torchvision.transforms.functional.rotate}", ["only transforms"]),
        ("augmentation/custom", "x: {_target_: [1]}", ["only transforms"]),
        (
            "augmentation/custom",
            "x: {_target_: torchvision.transforms.RandomApply, transforms: [{a: {_target_: os.system}}]}",
            ["augmentation.x.transforms[0].a._target_=os.system"],
        ),
        (
            "experiment/custom",
            "optimizer:\n  lrr: 3\nepoch: 3",
            ["custom.yaml: optimizer.lrr=3", "custom.yaml: epoch=3"],
        ),
        ("experiment/custom", "optimizer: {lr: ten}", ["custom.yaml", "optimizer.lr=ten: must be a number"]),
        ("experiment/custom", "defaults:\n  - override /normalization: bach", ["bach", "did you mean batch?"]),
        ("experiment/custom", "defaults:\n  - override /normalisation: batch", ["did you mean normalization?"]),
        ("experiment/custom", "name: ../../x", ["name=../../x"]),
        (
            "experiment/custom",
            "hydra: {callbacks: {x: {_target_: os.system}}}",
            ["hydra.callbacks: callbacks run code"],
        ),
        ("experiment/custom", "hydra: {job_logging: {x: {(): os.system}}}", ["job_logging.x.()=os.system: names code"]),
        ("experiment/custom", "hydra: {job_logging: {handlers: {x: {class: os.X}}}}", ["x.class=os.X: names code"]),
        ("experiment/custom", "hydra: {hydra_logging: {x: {y: 'ext://os.system'}}}", ["y=ext://os.system: names code"]),
        ("experiment/custom", "hydra: {launcher: {_target_: os.system}}", ["launcher._target_=os.system: names code"]),
        ("experiment/custom", "hydra: {sweeper: {_target_: os.system}}", ["names code that regexp does not run"]),
        (
            "optimizer/custom",
            "lr: 0.1\nbetas: [0.9, 0.9]",
            ["custom.yaml: optimizer.betas", "defaults: [adam, _self_]"],
        ),
        ("model/custom", "hidden_sizes: [64]", ["custom.yaml: model.hidden_sizes=[64]", "defaults: [mlp, _self_]"]),
        ("model/custom", "name: mlp", ["model.name=mlp", "defaults: [mlp, _self_]"]),
    ],
)
def test_a_mistake_in_a_file_is_an_error_that_names_it(
    tmp_path: Path, name: str, content: str, parts: list[str]
) -> None:
    file = tmp_path / f"{name}.yaml"
    file.parent.mkdir()
    package = "# @package _global_\n" if name.startswith("experiment") else ""
    file.write_text(package + content)
    with pytest.raises(ConfigError) as error:  # of a run: a command line tries to compose a broken file three times
        make_composer(str(tmp_path)).compose_job([name.replace("/", "=")])
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("content", "words", "problem"),
    [
        ("model: {channels: [2]}", "model=resnet", "sets model.channels, and model=resnet has no such key"),
        ("model: {channels: [2]}", "", "sets model.channels, and model=mlp has no such key"),
        ("optimizer: {betas: [0, 0]}", "optimizer=sgd", "sets optimizer.betas, and optimizer=sgd has no such key"),
    ],
)
def test_an_experiment_that_sets_a_key_of_another_option_is_an_error_that_names_both(
    tmp_path: Path, content: str, words: str, problem: str
) -> None:
    file = tmp_path / "experiment" / "custom.yaml"
    file.parent.mkdir()
    file.write_text(f"# @package _global_\n{content}")
    with pytest.raises(ConfigError) as error:
        make_composer(str(tmp_path)).compose_command_line(["experiment=custom", *words.split()], False)
    assert str(error.value) == f"{file}: {problem}; leave one of the two out"


def test_an_experiment_of_ours_that_does_not_fit_a_model_is_named(composer: Composer) -> None:
    [problem] = find_problems(composer, "experiment=mnist_cnn", "model=resnet")
    assert problem.startswith("experiment=mnist_cnn: sets model.channels, and model=resnet has no such key; leave one")


def test_a_file_that_is_not_text_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "augmentation").mkdir()
    (tmp_path / "augmentation" / "custom.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"custom\.yaml, line 1: is not UTF-8"):
        make_composer(str(tmp_path)).compose_command_line(["augmentation=custom"], False)


@pytest.mark.parametrize("multirun", [False, True])
def test_a_broken_file_does_not_hide_words_that_cannot_be_read(tmp_path: Path, multirun: bool) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "own.yaml").write_text("foo: 3")
    with pytest.raises(ConfigError) as caught:
        make_composer(str(tmp_path)).compose_command_line(["optimizer=own", "a=[1", "epochs=x"], multirun)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "a=[1",
        str(tmp_path / "optimizer" / "own.yaml"),
        "epochs=x",
    ]


def test_a_broken_file_does_not_hide_other_mistakes(tmp_path: Path) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "custom.yaml").write_text("lr: -1\nfoo: 3")
    with pytest.raises(ConfigError) as error:
        make_composer(str(tmp_path)).compose_command_line(
            ["optimizer=custom", "epochs=x", "model.dropout=3", "lr=2"], False
        )
    problems = str(error.value).splitlines()
    assert len(problems) == 4
    for problem, part in zip(
        problems, ("optimizer.foo=3", "epochs=x", "model.dropout=3", "did you mean optimizer.lr=2"), strict=True
    ):
        assert part in problem


def test_a_file_that_hydra_would_ignore_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "augmentation").mkdir()
    (tmp_path / "augmentation" / "custom.yml").write_text("flip: {p: 1}")
    with pytest.raises(ConfigError, match=r"custom\.yml: Hydra reads \.yaml files only; rename it to custom\.yaml"):
        make_composer(str(tmp_path))


def test_combinations_are_checked_beside_other_mistakes(composer: Composer) -> None:
    line = (
        "epochs=2 optimizer.betas=[0.9,2] data.val_size=0.9999 augmentation=crop augmentation.crop.size=30 "
        "batch_size=0 schedule=cosine schedule.warmup_epochs=7"
    )
    message = "\n".join(find_problems(composer, *shlex.split(line)))
    for part in ("batch_size=0", "optimizer.betas", "warmup_epochs=7", "data.val_size=0.9999", "crop.size=30"):
        assert part in message


def test_the_users_own_options_compose(tmp_path: Path) -> None:
    for name, content in (
        ("augmentation/custom", "turn: {_target_: regexp.augmentation.RandomRotation, degrees: 5}\nflip: {p: 0.1}"),
        ("optimizer/custom", "defaults: [adam, _self_]\nlr: 0.2"),
        ("experiment/custom", "# @package _global_\ndefaults:\n  - override /optimizer: custom\nepochs: 7"),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / f"{name}.yaml").write_text(content)
    [job] = make_composer(str(tmp_path)).compose_command_line(["experiment=custom", "augmentation=custom"], False)
    assert (job.config.optimizer.lr, job.config.epochs) == (0.2, 7)
    assert job.config.augmentation["turn"].degrees == 5.0


def test_a_missing_directory_of_options_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match="--config-dir nowhere: there is no such directory"):
        make_composer("nowhere")


# Warnings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "warnings"),
    [
        ("", []),
        ("augmentation=lesson", ["a mirrored 2 is not a 2; drop the step with ~augmentation.flip"]),
        ("augmentation=lesson augmentation.flip.p=0", ["augmentation.flip with p=0 changes no image"]),
        ("data=mnist augmentation=lesson", ["mirrors the characters of data=mnist"]),
        ("data=fashion_mnist augmentation=lesson", []),
        ("experiment=lesson", []),
        ("experiment=lesson_layernorm", []),
        ("epochs=6", ["early_stopping.patience=5 can never end a run before epochs=6 are over"]),
        ("epochs=7", []),
        ("data.train_size=1", ["data.train_size=1 is one image; 1.0 is all of them"]),
        ("data.val_size=1", ["data.val_size=1 is one image"]),
        ("data.train_size=1.0", []),
        ("data.train_size=2", []),
        ("epochs=5 early_stopping=none", []),
        ("normalization=batch batch_size=3", ["batches of batch_size=3"]),
        ("normalization=batch batch_size=4", []),
        ("normalization=layer batch_size=1", []),
    ],
)
def test_doubtful_configurations_have_warnings(composer: Composer, line: str, warnings: list[str]) -> None:
    [job] = composer.compose_command_line(line.split(), False)
    assert len(job.warnings) == len(warnings)
    for warning, part in zip(job.warnings, warnings, strict=True):
        assert part in warning


# Composition without Hydra ---------------------------------------------------------------------------------------

_VALID_OVERRIDES = [
    *(
        f"{group}={option}"
        for group in ("normalization", "augmentation", "optimizer")
        for option in OPTIONS.get(group, ())
    ),
    *("augmentation=lesson", "augmentation=affine", "experiment=lesson", "schedule=cosine", "schedule=onecycle"),
    *("seed=3", "++seed=4", "optimizer.lr=0.5", "model.hidden_sizes=[3,4]", "model.dropout=0.25", "tags=[a,b]"),
    *("+augmentation.shift.padding=1", "++augmentation.rotate.degrees=3", "optimizer={lr:0.3}", "data.train_size=null"),
]


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(st.sampled_from(_VALID_OVERRIDES), max_size=6, unique_by=lambda word: word.lstrip("+").split("=")[0])
)
def test_the_composer_gives_what_hydra_gives(composer: Composer, words: list[str]) -> None:
    from hydra import compose, initialize_config_dir

    job = composer.compose_job(words)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        hydra_config = compose("config", overrides=words)
    assert OmegaConf.to_container(job.composed_config) == OmegaConf.to_container(hydra_config)
    assert job.hydra_files()["config.yaml"] == OmegaConf.to_yaml(hydra_config)
    assert job.config == validate(hydra_config)
    assert job.overrides == tuple(words)


# Random words and files ------------------------------------------------------------------------------------------

_KEYS = [key.name for key in (*list_keys(), *list_step_keys())]
_HOSTILE = [
    *(
        "${oc.env:HOME}",
        "${oc.decode:1}",
        "${seed}",
        "${x}",
        "???",
        "1e999",
        "-1e-999",
        "nan",
        "inf",
        "99999999999999999999",
    ),
    *(
        "[" * 40,
        "[" * 40 + "]" * 40,
        "{a:{b:{c:1}}}",
        "{_target_:os.system}",
        "[{_target_:os.system}]",
        "''",
        '"',
        "\\",
    ),
    *(
        "\x00",
        "a\nb",
        "é",
        "🙂",
        "a" * 300,
        "../../x",
        "/dev/null",
        "~",
        "%s",
        "{}",
        "[]",
        "null",
        "true",
        "0x10",
        "1_000",
    ),
    *(
        "[1,2]",
        "[a,[b]]",
        "{1:2}",
        "a:b",
        "a b",
        "'a",
        "$(ls)",
        "`ls`",
        "=",
        "==",
        "@",
        "choice(1,2)",
        "sort(2,1)",
        "_self_",
    ),
]
_VALUES = st.one_of(
    st.sampled_from(_HOSTILE),
    st.sampled_from([option for options in OPTIONS.values() for option in options]),
    st.text(max_size=8),
    st.integers().map(str),
    st.floats().map(str),
)
_NAMES = st.one_of(
    st.sampled_from(
        [*_KEYS, *OPTIONS, "augmentation", "experiment", "lr", "hydra.x", "hydra/launcher", "a/b", "a@b", ""]
    ),
    st.text(max_size=6),
    st.tuples(st.sampled_from(_KEYS), st.text("abc.[]_", max_size=3)).map("".join),
)
_WORDS = st.one_of(
    st.tuples(
        st.sampled_from(["", "", "", "+", "++", "~"]), _NAMES, st.sampled_from(["=", "=", "=", "", "==", "= "]), _VALUES
    ).map("".join),
    st.sampled_from([*_HOSTILE, "--epochs", "-x", "--cfg", "-m"]),
)


def describe_outcome(composer: Composer, words: list[str]) -> object:
    """Return the configuration and warnings of a run's overrides, or the message about their mistakes."""
    try:
        job = composer.compose_job(words)
    except ConfigError as error:
        return str(error)
    return job.config, job.warnings


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.one_of(st.sampled_from(_VALID_OVERRIDES), _WORDS), max_size=5))
@example(words=["+augmentation.flip.p=0.1", "~augmentation.flip"])
@example(words=["model.dropout=0.1", "model.dropout=0.2", "model.hidden_sizes=[1]"])
@example(words=["normalization=batch", "batch_size=1"])
def test_sections_give_what_the_whole_configuration_gives(composer: Composer, words: list[str]) -> None:
    with patch.object(JobTemplate, "_join_sections", return_value=None):
        expected = describe_outcome(composer, words)
    assert describe_outcome(composer, words) == expected


def check_outcome(composer: Composer, words: list[str], multirun: bool) -> None:
    """Check that words make a valid configuration or a ConfigError with a message."""
    jobs, message = [], None
    try:
        arguments = read_arguments(words)
        jobs = composer.compose_command_line(arguments.overrides, arguments.multirun or multirun)
    except ConfigError as error:
        message = str(error)
    assert message is None or message.strip()
    for job in jobs:
        assert isinstance(job.config, Config)
        assert all(key for key, _, _ in iterate_fields(job.config))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(_WORDS, max_size=4), multirun=st.booleans())
@example(words=["model.dropout=" + "[" * 300], multirun=False)
@example(words=["augmentation={a:1}"], multirun=False)
@example(words=["+schedule.warmup_epochs=${oc.env:HOME}"], multirun=False)
@example(words=["loss.options=${oc.env:HOME}"], multirun=False)
def test_random_words_make_a_configuration_or_an_error(composer: Composer, words: list[str], multirun: bool) -> None:
    check_outcome(composer, words, multirun)


@pytest.mark.slow
@settings(max_examples=4000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(_WORDS, max_size=6), multirun=st.booleans())
def test_thousands_of_random_words_make_a_configuration_or_an_error(
    composer: Composer, words: list[str], multirun: bool
) -> None:
    check_outcome(composer, words, multirun)


_YAML: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(_HOSTILE)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(["rotate", "flip", "p", "degrees", "_target_", "defaults", "hydra", "optimizer", "lr"]),
                st.text(max_size=4),
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(_YAML.map(lambda node: yaml.safe_dump(node).encode("utf-8", "replace")), st.binary(max_size=60)),
    group=st.sampled_from(["augmentation", "experiment", "optimizer", "data"]),
)
def test_random_files_make_a_configuration_or_an_error(tmp_path: Path, content: bytes, group: str) -> None:
    file = tmp_path / group / "custom.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes((b"# @package _global_\n" if group == "experiment" else b"") + content)
    check_outcome(make_composer(str(tmp_path)), [f"{group}=custom"], False)
