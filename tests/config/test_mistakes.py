"""What people mistype, and the answer they get before anything is trained."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from regexp.cli.arguments import read_arguments
from regexp.config.compose import CONF, Composer, make_composer
from regexp.config.fields import iterate_fields
from regexp.config.job import Job
from regexp.config.keys import list_keys, list_step_keys
from regexp.config.overrides import MAX_RUNS
from regexp.config.schema import OPTIONS, Config
from regexp.errors import ConfigError


@pytest.fixture(scope="module")
def composer() -> Composer:
    return make_composer()


def answer(composer: Composer, line: str) -> list[str]:
    """The problems of a command line, one a line."""

    def run() -> list[Job]:
        arguments = read_arguments(shlex.split(line))
        return composer.compose_command_line(arguments.overrides, arguments.multirun)

    with pytest.raises(ConfigError) as caught:
        run()
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        # groups and options
        ("normalisation=batch", ["there is no such key", "did you mean normalization=batch?"]),
        ("augmentation=lession", ["one of affine, blur,", "did you mean augmentation=lesson?"]),
        ("normalization=null", ["normalization=null: choose one of batch, layer, none"]),
        ("normalization=", ["choose one of batch, layer, none"]),
        ("normalization=Batch", ["did you mean normalization=batch?"]),
        ("normalization=batchnorm", ["did you mean normalization=batch?"]),
        ("experiment=lessen", ["did you mean experiment=lesson?"]),
        ("early_stopping=off", ["did you mean early_stopping=none?"]),
        ("device=gpu", ["did you mean device=cuda?"]),
        ("device=cuda:1", ["did you mean device=cuda device.index=1?"]),
        ("data=./pictures", ["type data=image_folder data.root=./pictures"]),
        ("data=my.npz", ["type data=arrays data.path=my.npz"]),
        ("augmentation=rotate", ["type '+augmentation.rotate={}'"]),
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
        ("model.hidden_sizes=128", ["must be a list of whole numbers; did you mean model.hidden_sizes=[128]?"]),
        ("optimizer.betas=0.9", ["must be a list of numbers; for example optimizer.betas=[0.9,0.999]"]),
        ("model.activation=relo", ["did you mean model.activation=relu?"]),
        ("early_stopping.monitor=val_acc", ["did you mean early_stopping.monitor=val_accuracy?"]),
        ("+augmentation.blur.kernel_size=4", ["must be odd; for example augmentation.blur.kernel_size=5"]),
        ("+augmentation.rotate.degrees=ten", ["augmentation.rotate.degrees=ten: must be a number"]),
        ("+augmentation.rotate=3", ["a step must be a mapping of keys"]),
        ("name=../../x", ["letters, digits"]),
        ("seed=${nope}", ["seed: Interpolation key 'nope' not found"]),
        ("seed=???", ["seed: Missing mandatory value"]),
        ("rotate.degrees=5", ["did you mean +augmentation.rotate.degrees=5?"]),
        (
            "+augmentation.a._target_=regexp.augmentation.RandomRotaton",
            ["did you mean regexp.augmentation.RandomRotation?"],
        ),
        ("data.val_size=100.7", ["must be below 1 or a whole number"]),
        # combinations
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
        ("tags=[über]", ["""type 'tags=["über"]'"""]),
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
            ["did you mean model.hidden_sizes=[128]? (1 of 2 runs)", "[64]? (1 of 2 runs)"],
        ),
        ("-m 'seed=interval(0,4)'", ["the basic sweeper takes no intervals"]),
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
def test_a_mistake_is_answered(composer: Composer, line: str, parts: list[str]) -> None:
    said = "\n".join(answer(composer, line))
    for part in parts:
        assert part in said
    assert "full_key" not in said
    assert "\t" not in said


def test_everything_wrong_is_said_at_once(composer: Composer) -> None:
    line = "normalization=bach lr=0.1 optimizer.lr=-1 epochs=ten +augmentation.flip.p=2 +augmentation.flop.p=1 x 'a=[1'"
    said = answer(composer, line)
    for part in ("normalization=bach", "lr=0.1", "optimizer.lr=-1", "epochs=ten", "flip.p=2", "flop", "x:", "a=[1"):
        assert sum(problem.startswith((part, f"augmentation.{part}")) for problem in said) == 1, part
    assert len(said) == 8


def test_all_jobs_of_a_sweep_are_checked_before_any_is_trained(composer: Composer) -> None:
    said = answer(composer, "-m optimizer.lr=1,-1,0 model.dropout=0,2 seed=0,1 lr=3")
    assert said == [
        "lr=3: there is no such key; did you mean optimizer.lr=3?",
        "model.dropout=2: must be below 1; for example model.dropout=0.2 (6 of 12 runs)",
        "optimizer.lr=-1: must be above 0; for example optimizer.lr=0.001 (4 of 12 runs)",
        "optimizer.lr=0: must be above 0; for example optimizer.lr=0.001 (4 of 12 runs)",
    ]


def test_what_is_typed_last_holds(composer: Composer) -> None:
    [job] = composer.compose_command_line(["optimizer=sgd", "seed=1", "optimizer=adam", "seed=2"], False)
    assert (job.config.optimizer.name, job.config.seed) == ("adam", 2)


def test_overrides_may_stand_on_both_sides_of_a_flag() -> None:
    arguments = read_arguments(["seed=0,1", "-m", "epochs=3"])
    assert arguments.multirun
    assert set(arguments.overrides) == {"seed=0,1", "epochs=3"}
    assert arguments.words == ("-m", "seed=0,1", "epochs=3")
    assert read_arguments(["--config-dir", "a", "x=1"]).config_dir == "a"
    assert read_arguments(["-cd=a", "x=1"]).overrides == ("x=1",)
    assert not read_arguments(["-sc", "install=bash"]).needs_configuration


# Files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("augmentation/own", "a: [1\n b", ["own.yaml, line 2: broken YAML"]),
        ("augmentation/own", "flip:\n\tp: 1", ["own.yaml, line 2: broken YAML"]),
        ("augmentation/own", "flip: {p: 1}\nflip: {p: 2}", ["own.yaml, line 2: broken YAML", "duplicate"]),
        ("augmentation/own", "5", ["own.yaml cannot be read"]),
        ("augmentation/own", "x: &a [*a]", ["own.yaml cannot be read"]),
        ("augmentation/own", "flip: {p: 2}", ["augmentation.flip.p=2: must be at most 1"]),
        ("augmentation/own", "blurr: {x: 1}", ["did you mean augmentation.blur?"]),
        ("augmentation/own", "x: {_target_: os.system, command: ls}", ["x._target_=os.system: only transforms"]),
        ("augmentation/own", "x: {_target_: subprocess.Popen}", ["only transforms are allowed"]),
        ("augmentation/own", "x: {_target_: torchvision.transforms.functional.rotate}", ["only transforms"]),
        ("augmentation/own", "x: {_target_: [1]}", ["only transforms"]),
        (
            "augmentation/own",
            "x: {_target_: torchvision.transforms.RandomApply, transforms: [{a: {_target_: os.system}}]}",
            ["augmentation.x.transforms[0].a._target_=os.system"],
        ),
        ("experiment/own", "optimizer:\n  lrr: 3\nepoch: 3", ["own.yaml: optimizer.lrr=3", "own.yaml: epoch=3"]),
        ("experiment/own", "optimizer: {lr: ten}", ["own.yaml", "optimizer.lr=ten: must be a number"]),
        ("experiment/own", "defaults:\n  - override /normalization: bach", ["bach", "did you mean batch?"]),
        ("experiment/own", "defaults:\n  - override /normalisation: batch", ["did you mean normalization?"]),
        ("experiment/own", "name: ../../x", ["name=../../x"]),
        ("experiment/own", "hydra: {callbacks: {x: {_target_: os.system}}}", ["hydra.callbacks: callbacks run code"]),
        ("experiment/own", "hydra: {job_logging: {x: {(): os.system}}}", ["job_logging.x.()=os.system: names code"]),
        ("experiment/own", "hydra: {job_logging: {handlers: {x: {class: os.X}}}}", ["x.class=os.X: names code"]),
        ("experiment/own", "hydra: {hydra_logging: {x: {y: 'ext://os.system'}}}", ["y=ext://os.system: names code"]),
        ("experiment/own", "hydra: {launcher: {_target_: os.system}}", ["launcher._target_=os.system: names code"]),
        ("experiment/own", "hydra: {sweeper: {_target_: os.system}}", ["names code that regexp does not run"]),
        ("optimizer/own", "lr: 0.1\nbetas: [0.9, 0.9]", ["own.yaml: optimizer.betas", "defaults: [adam, _self_]"]),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, name: str, content: str, parts: list[str]) -> None:
    file = tmp_path / f"{name}.yaml"
    file.parent.mkdir()
    package = "# @package _global_\n" if name.startswith("experiment") else ""
    file.write_text(package + content)
    with pytest.raises(ConfigError) as caught:
        make_composer(str(tmp_path)).compose_command_line([name.replace("/", "=")], False)
    for part in parts:
        assert part in str(caught.value)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "augmentation").mkdir()
    (tmp_path / "augmentation" / "own.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"own\.yaml cannot be read"):
        make_composer(str(tmp_path)).compose_command_line(["augmentation=own"], False)


def test_a_broken_file_hides_no_other_mistake(tmp_path: Path) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "own.yaml").write_text("lr: -1\nfoo: 3")
    with pytest.raises(ConfigError) as caught:
        make_composer(str(tmp_path)).compose_command_line(["optimizer=own", "epochs=x", "model.dropout=3", "lr=2"], False)
    said = str(caught.value).splitlines()
    assert len(said) == 4
    for problem, part in zip(
        said, ("optimizer.foo=3", "epochs=x", "model.dropout=3", "did you mean optimizer.lr=2?"), strict=True
    ):
        assert part in problem


def test_a_file_that_hydra_would_pass_over_is_named(tmp_path: Path) -> None:
    (tmp_path / "augmentation").mkdir()
    (tmp_path / "augmentation" / "own.yml").write_text("flip: {p: 1}")
    with pytest.raises(ConfigError, match=r"own\.yml: Hydra reads \.yaml files only; rename it to own\.yaml"):
        make_composer(str(tmp_path))


def test_what_can_be_judged_is_judged_beside_other_mistakes(composer: Composer) -> None:
    line = (
        "epochs=2 optimizer.betas=[0.9,2] data.val_size=0.9999 augmentation=crop augmentation.crop.size=30 "
        "batch_size=0 schedule=cosine schedule.warmup_epochs=7"
    )
    said = "\n".join(answer(composer, line))
    for part in ("batch_size=0", "optimizer.betas", "warmup_epochs=7", "data.val_size=0.9999", "crop.size=30"):
        assert part in said


def test_options_of_ones_own_just_work(tmp_path: Path) -> None:
    for name, content in (
        ("augmentation/own", "turn: {_target_: regexp.augmentation.RandomRotation, degrees: 5}\nflip: {p: 0.1}"),
        ("optimizer/own", "defaults: [adam, _self_]\nlr: 0.2"),
        ("experiment/own", "# @package _global_\ndefaults:\n  - override /optimizer: own\nepochs: 7"),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / f"{name}.yaml").write_text(content)
    [job] = make_composer(str(tmp_path)).compose_command_line(["experiment=own", "augmentation=own"], False)
    assert (job.config.optimizer.lr, job.config.epochs) == (0.2, 7)
    assert job.config.augmentation["turn"].degrees == 5.0


def test_a_folder_of_options_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="--config-dir nowhere: there is no such directory"):
        make_composer("nowhere")


# Warnings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "warnings"),
    [
        ("", []),
        ("augmentation=lesson", ["a mirrored 2 is not a 2; drop the step with ~augmentation.flip"]),
        ("augmentation=lesson augmentation.flip.p=0", []),
        ("data=mnist augmentation=lesson", ["mirrors the characters of data=mnist"]),
        ("data=fashion_mnist augmentation=lesson", []),
        ("experiment=lesson", []),
        ("experiment=lesson_layernorm", []),
        ("epochs=5", ["early_stopping.patience=5 can never stop a run of epochs=5"]),
        ("epochs=6", []),
        ("epochs=5 early_stopping=none", []),
        ("normalization=batch batch_size=3", ["batches of batch_size=3"]),
        ("normalization=batch batch_size=4", []),
        ("normalization=layer batch_size=1", []),
    ],
)
def test_what_is_hardly_meant_is_warned_of(composer: Composer, line: str, warnings: list[str]) -> None:
    [job] = composer.compose_command_line(line.split(), False)
    assert len(job.warnings) == len(warnings)
    for said, part in zip(job.warnings, warnings, strict=True):
        assert part in said


# Composition in one go -------------------------------------------------------------------------------------------

_LEGAL = [
    *(
        f"{group}={option}"
        for group in ("normalization", "augmentation", "optimizer")
        for option in OPTIONS.get(group, ())
    ),
    *("augmentation=lesson", "augmentation=affine", "experiment=lesson", "schedule=cosine", "schedule=onecycle"),
    *("seed=3", "++seed=4", "optimizer.lr=0.5", "model.hidden_sizes=[3,4]", "model.dropout=0.25", "tags=[a,b]"),
    *("+augmentation.shift.padding=1", "++augmentation.rotate.degrees=3", "optimizer={lr:0.3}", "data.train_size=null"),
]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.sampled_from(_LEGAL), max_size=6, unique_by=lambda word: word.lstrip("+").split("=")[0]))
def test_quick_composition_is_hydras_own(composer: Composer, words: list[str]) -> None:
    from hydra import compose, initialize_config_dir

    job = composer.compose_job(words)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        theirs = compose("config", overrides=words)
    assert OmegaConf.to_container(job.composed) == OmegaConf.to_container(theirs)
    assert job.overrides == tuple(words)


# Whatever is typed -----------------------------------------------------------------------------------------------

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


def survives(composer: Composer, words: list[str], multirun: bool) -> None:
    """Every outcome is a valid configuration or a ConfigError."""
    jobs, said = [], None
    try:
        arguments = read_arguments(words)
        jobs = composer.compose_command_line(arguments.overrides, arguments.multirun or multirun)
    except ConfigError as error:
        said = str(error)
    assert said is None or said.strip()
    for job in jobs:
        assert isinstance(job.config, Config)
        assert all(key for key, _, _ in iterate_fields(job.config))


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(_WORDS, max_size=4), multirun=st.booleans())
@example(words=["model.dropout=" + "[" * 300], multirun=False)
@example(words=["augmentation={a:1}"], multirun=False)
@example(words=["+schedule.warmup_epochs=${oc.env:HOME}"], multirun=False)
def test_whatever_is_typed_is_a_configuration_or_a_message(
    composer: Composer, words: list[str], multirun: bool
) -> None:
    survives(composer, words, multirun)


@pytest.mark.slow
@settings(max_examples=4000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(_WORDS, max_size=6), multirun=st.booleans())
def test_whatever_is_typed_thousands_of_times(composer: Composer, words: list[str], multirun: bool) -> None:
    survives(composer, words, multirun)


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


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(_YAML.map(lambda node: yaml.safe_dump(node).encode("utf-8", "replace")), st.binary(max_size=60)),
    group=st.sampled_from(["augmentation", "experiment", "optimizer", "data"]),
)
def test_whatever_a_file_holds_is_a_configuration_or_a_message(tmp_path: Path, content: bytes, group: str) -> None:
    file = tmp_path / group / "own.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes((b"# @package _global_\n" if group == "experiment" else b"") + content)
    survives(make_composer(str(tmp_path)), [f"{group}=own"], False)
