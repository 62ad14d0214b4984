"""Options without effect get a warning. Every key of the configuration is in one of the two tables of this file."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.data_files import write_arrays
from helpers.transforms import random_images

from regexp import run
from regexp.config.compose import compose_job
from regexp.config.keys import list_keys
from regexp.config.schemas.augmentation import STEPS
from regexp.errors import ConfigError
from regexp.execution.building.stream_builders import make_pipeline
from regexp.utils.messages import format_value

LINEAR = "model.hidden_sizes=[]"
# For each key that can be without effect: overrides with which it is, and a part of the warning. The other keys of a
# step that changes no image are without effect, too, and its warning is theirs. So is that of a schedule.
IDLE = {
    "keep": ("force=true keep=true", "keep=true has no effect with force=true"),
    "model.activation": (f"{LINEAR} model.activation=gelu", "model.activation=gelu has no effect with"),
    "model.dropout": (f"{LINEAR} model.dropout=0.5", "model.dropout=0.5 has no effect with model.hidden_sizes=[]"),
    "model.noise": (f"{LINEAR} model.noise=0.1", "model.noise=0.1 has no effect with model.hidden_sizes=[]"),
    "model.residual": ("model.residual=true", "no hidden layer has as many units as the one before it; for example"),
    "model.drop_path": ("model.drop_path=0.1", "model.drop_path=0.1 has no effect with model.residual=false"),
    "normalization.eps": (f"{LINEAR} normalization=layer", "normalization=layer has no effect with"),
    "normalization.groups": (f"{LINEAR} normalization=group", "normalization=group has no effect with"),
    "normalization.momentum": (f"{LINEAR} normalization=batch", "normalization=batch has no effect with"),
    "normalization.virtual_batch": (
        "normalization=batch batch_size=32 normalization.virtual_batch=32",
        "normalization.virtual_batch=32 has no effect with batch_size=32: each batch is normalized as a whole",
    ),
    "early_stopping.patience": ("epochs=6 early_stopping.patience=5", "can never end a run before epochs=6"),
    "early_stopping.alpha": (
        "early_stopping=generalization_loss epochs=2",
        "early_stopping=generalization_loss can never end a run before epochs=2 are over",
    ),
    "early_stopping.strip": (
        "early_stopping=progress epochs=5",
        "early_stopping.strip=5 can never end a run before epochs=5 are over",
    ),
    "early_stopping.min_delta": (
        "early_stopping=none early_stopping.min_delta=0.1",
        "early_stopping.min_delta=0.1 has no effect with early_stopping.patience=null",
    ),
    "mixing.alpha": (
        "mixing=mixup mixing.alpha=0",
        "mixing=mixup with mixing.alpha=0 mixes no images; use mixing=none",
    ),
    "mixing.probability": ("mixing=cutmix mixing.probability=0", "mixing=cutmix with mixing.probability=0 mixes no"),
    "data.root": ("data=digits data.root=pictures", "data.root=pictures has no effect with data=digits"),
    "data.val_size": ("data.validation=test data.val_size=0.3", "data.val_size=0.3 has no effect with"),
    "evaluation.corruptions": (
        "data=wine evaluation.corruptions=true",
        "evaluation.corruptions=true has no effect with data=wine: a table has no images",
    ),
    "device.index": ("device=cpu device.index=0", "device.index=0 has no effect with device=cpu"),
    "loss.gamma": ("loss=focal loss.gamma=0", "loss=focal with loss.gamma=0 is the cross entropy"),
    "loss.beta": ("loss=hard_bootstrap loss.beta=1", "loss=hard_bootstrap with loss.beta=1 is the cross entropy"),
    "optimizer.sam_adaptive": ("optimizer.sam_adaptive=true", "has no effect with optimizer.sam_rho=0"),
    "optimizer.lookahead_alpha": ("optimizer.lookahead_alpha=0.8", "has no effect with optimizer.lookahead_k=null"),
    "adversarial.epsilon": ("adversarial=fgsm adversarial.epsilon=0", "with adversarial.epsilon=0 changes no image"),
    "averaging.decay": ("averaging=ema averaging.decay=0", "averaging.decay=0 averages nothing"),
    "averaging.start": ("averaging=swa epochs=4", "averaging.start=0.75 averages the last of epochs=4 alone"),
    "averaging.anneal_epochs": ("averaging=swa averaging.anneal_epochs=2", "has no effect with averaging.lr=null"),
    "averaging.cycles": (
        "averaging=snapshots averaging.cycles=1",
        "averaging.cycles=1 and epochs=100 takes one snapshot, and an ensemble needs two",
    ),
    "averaging.snapshots": (
        "averaging=snapshots averaging.snapshots=1",
        "averaging.snapshots=1 is no ensemble: the network of the last cycle predicts alone",
    ),
    "schedule.final_fraction": (
        "schedule=cosine schedule.final_fraction=1",
        "schedule=cosine with schedule.final_fraction=1 keeps the learning rate",
    ),
    **dict.fromkeys(
        ("schedule.div_factor", "schedule.final_div_factor", "schedule.pct_start"),
        ("schedule=onecycle schedule.div_factor=1 schedule.final_div_factor=1", "schedule=onecycle with"),
    ),
    "schedule.step_size": ("schedule=step epochs=10", "schedule.step_size=10 never lowers the learning rate within"),
    "schedule.gamma": ("schedule=step schedule.gamma=1", "schedule=step with schedule.gamma=1 keeps"),
    **dict.fromkeys(
        ("schedule.patience", "schedule.factor", "schedule.threshold", "schedule.cooldown", "schedule.min_lr"),
        ("schedule=plateau epochs=4 early_stopping=none", "schedule.patience=2 never lowers the learning rate within"),
    ),
}
# The keys that are refused where they would be without effect, with overrides and a part of the message.
REFUSED = {
    "optimizer.nesterov": ("optimizer=sgd optimizer.momentum=0 optimizer.nesterov=true", "Nesterov needs momentum"),
    "optimizer.centered": ("optimizer=rmsprop optimizer.centered=true optimizer.alpha=0", "the variance is always 0"),
    "schedule.warmup_epochs": ("schedule=cosine schedule.warmup_epochs=100", "must be below epochs=100"),
    "loss.options": ("loss.options.gamma=2", "cross entropy has no options"),
    "averaging.lr": (
        "averaging=swa averaging.lr=0.1 schedule=plateau",
        "both decide the learning rate of the last epochs",
    ),
    "device.graphs": ("device=cpu device.graphs=true", "only cuda has graphs"),
}
# The keys that have an effect whatever the others are, or whose value is the word for having none (0, null, false).
EFFECTIVE = {
    "name": "names the directory",
    "tags": "are recorded",
    "seed": "is that of all draws",
    "epochs": "at least 1",
    "batch_size": "decides the steps; beyond the number of images all are one batch",
    "force": "false is off",
    "keep_checkpoints": "true is the default; false always deletes or shortens the checkpoint",
    "predictions": "false is off",
    "loss.label_smoothing": "0 is off",
    "loss.target": "null is cross entropy",
    "loss.class_weights": "none is off",
    "loss.confidence_penalty": "0 is off",
    "metrics": "{} is off",
    "data.train_size": "null and 1.0 are all",
    "data.split_seed": "what it draws depends on the files: the header says where it draws nothing",
    "data.validation": "decides what validates",
    "data.label_noise": "0 is off",
    "data.image_size": "null is off",
    "data.grayscale": "null is off",
    "data.scale": "null is off",
    "data.path": "names the data",
    "data.label": "names the column of the classes",
    "data.drop": "[] is off, and columns that do not exist are refused",
    "data.categorical": "[] is off, and columns that do not exist are refused",
    "data.missing": "error is off",
    "device.precision": "decides the arithmetic",
    "device.threads": "draws are made on the CPU, whatever the device",
    "early_stopping.monitor": "also decides which epoch is called the best, and what a search optimizes",
    "early_stopping.restore_best": "decides which weights are kept, with or without patience",
    "model.hidden_sizes": "[] is logistic regression",
    "model.channels": "are at least one",
    "model.kernel_size": "at least 1, which mixes channels",
    "model.pooling": "there is at least one pooling",
    "model.depth": "at least 1",
    "model.width": "at least 1",
    "model.input_dropout": "0 is off",
    "model.init": "also draws the output layer",
    "model.target": "makes the module",
    "model.options": "are the target's own",
    "optimizer.lr": "above 0",
    "optimizer.weight_decay": "0 is off",
    "optimizer.l1": "0 is off",
    "optimizer.clip_norm": "null is off",
    "optimizer.max_norm": "null is off",
    "optimizer.sam_rho": "0 is off",
    "optimizer.lookahead_k": "null is off",
    "optimizer.gradient_noise": "0 is off",
    "adversarial.share": "above 0",
    "adversarial.steps": "at least 1",
    "adversarial.step_size": "null is a fraction of epsilon",
    "optimizer.betas": "zeros mean no memory",
    "optimizer.eps": "above 0",
    "optimizer.momentum": "0 is off",
    "optimizer.alpha": "0 means no memory",
}


def warnings_of(line: str) -> tuple[str, ...]:
    """Return the warnings about the overrides in a line."""
    return compose_job(line.split()).warnings


def test_every_key_is_in_a_table() -> None:
    keys = {key.name for key in list_keys()}
    tables = [set(IDLE), set(REFUSED), set(EFFECTIVE)]
    assert keys == set.union(*tables)
    assert sum(map(len, tables)) == len(keys)


@pytest.mark.parametrize("key", IDLE)
def test_an_option_without_effect_gets_a_warning(key: str) -> None:
    line, part = IDLE[key]
    warnings = warnings_of(line)
    assert sum(part in warning for warning in warnings) == 1, warnings


@pytest.mark.parametrize("key", REFUSED)
def test_an_option_without_effect_is_refused(key: str) -> None:
    line, part = REFUSED[key]
    with pytest.raises(ConfigError, match=part):
        warnings_of(line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        LINEAR,
        f"{LINEAR} model.init=orthogonal model.input_dropout=0.2",
        "normalization=batch model.dropout=0.5 model.activation=gelu",
        "model.hidden_sizes=[9,9] model.residual=true model.drop_path=0.2",
        "model=resnet model.drop_path=0.2",
        "epochs=7 early_stopping.patience=5",
        "early_stopping.min_delta=0.1",
        "data=mnist data.root=pictures",
        "data.validation=test",
        "data.val_size=0.3",
        "device=cuda device.index=0",
        "schedule=cosine schedule.final_fraction=0.99",
        "schedule=onecycle schedule.div_factor=1",
        "schedule=step epochs=11",
        "schedule=plateau epochs=5 early_stopping=none",
        "schedule=plateau early_stopping.patience=4",
        "early_stopping=generalization_loss epochs=3",
        "early_stopping=progress epochs=6",
        "keep=true",
        "normalization=batch normalization.virtual_batch=62",
        "force=true",
        "loss=focal loss.gamma=0.5",
        "loss=bootstrap",
        "loss=hard_bootstrap loss.confidence_penalty=0.1 loss.class_weights=balanced",
        "augmentation=strong",
        "augmentation=affine augmentation.affine.degrees=0 augmentation.affine.translate=[0,0]",
        "augmentation=jitter augmentation.jitter.contrast=0",
        "augmentation=shift augmentation.shift.padding=0.07",
        "augmentation=perspective augmentation.perspective.distortion_scale=0.25",
        "augmentation=crop augmentation.crop.size=7",
        "augmentation=crop",
        "mixing=mixup mixing.alpha=0.1 mixing.probability=0.1",
        "mixing=cutmix",
        "batch_size=2 mixing=mixup",
        "averaging=snapshots",
        "averaging=snapshots averaging.snapshots=2 epochs=5",
        "averaging=snapshots early_stopping.patience=3",
    ],
)
def test_an_option_with_effect_gets_none(line: str) -> None:
    assert warnings_of(line) == ()


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("model.hidden_sizes=[] model.residual=true", ["model.residual=true", "there is no hidden layer"]),
        ("model.hidden_sizes=[9,8] model.residual=true", ["model.residual=true", "hidden_sizes=[9,8]", "[8,8]"]),
        ("model.residual=true model.drop_path=0.1", ["model.residual=true", "model.drop_path=0.1", "[128,128]"]),
    ],
)
def test_residual_connections_that_are_nowhere_get_a_warning(line: str, parts: list[str]) -> None:
    text = "\n".join(warnings_of(line))
    assert text.count("has no effect") == line.count("residual=") + line.count("drop_path=")
    assert all(part in text for part in parts), text


@pytest.mark.parametrize("rule", ["generalization_loss", "progress"])
def test_rules_that_need_a_loss_refuse_an_accuracy(rule: str) -> None:
    message = f"early_stopping.monitor=val_accuracy with early_stopping={rule}: its formula needs a loss"
    with pytest.raises(ConfigError, match=message):
        warnings_of(f"early_stopping={rule} early_stopping.monitor=val_accuracy")


def test_parts_of_batches_that_are_too_small_get_a_warning() -> None:
    [warning] = warnings_of("normalization=batch normalization.virtual_batch=3")
    assert warning.startswith("normalization=batch estimates its statistics from batches of normalization.virtual_bat")


def test_parts_that_leave_a_single_image_get_a_warning() -> None:
    [warning] = warnings_of("normalization=batch normalization.virtual_batch=63")
    assert warning.startswith("normalization.virtual_batch=63 has hardly an effect with batch_size=64: the image that")


def test_a_penalty_that_works_against_the_loss_gets_a_warning() -> None:
    [warning] = warnings_of("loss=bootstrap loss.confidence_penalty=0.1")
    assert warning.startswith(
        "loss.confidence_penalty=0.1 raises the entropy of predictions, and loss=bootstrap lowers"
    )


def test_mixing_the_only_image_of_a_batch_gets_a_warning() -> None:
    assert warnings_of("batch_size=1") == ()
    [warning] = warnings_of("batch_size=1 mixing=mixup")
    assert warning == "mixing=mixup has no effect with batch_size=1: it mixes the images of a batch"


def test_a_learning_rate_that_averaging_never_reaches_gets_a_warning() -> None:
    line = "averaging=swa averaging.lr=0.01 early_stopping=none"
    [warning] = warnings_of(f"{line} epochs=16")
    assert "averaging.anneal_epochs=5 never reaches averaging.lr=0.01 within the last 4 of epochs=16" in warning
    assert warnings_of(f"{line} epochs=20") == ()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("epochs=3", ["averaging.cycles=5 are more than epochs=3: a cycle takes one epoch at least"]),
        ("epochs=1 averaging.cycles=1", ["averaging.cycles=1 and epochs=1 takes one snapshot"]),
        ("averaging.snapshots=6", ["averaging.snapshots=6 has no effect beyond averaging.cycles=5"]),
        ("early_stopping.patience=4", ["early_stopping.patience=4 can never end a run: with averaging=snapshots it"]),
        ("early_stopping=progress", ["early_stopping.strip=5 can never end a run: with averaging=snapshots it counts"]),
    ],
)
def test_cycles_that_do_nothing_get_a_warning(words: str, parts: list[str]) -> None:
    warnings = warnings_of(f"averaging=snapshots {words}")
    assert [part in warning for part, warning in zip(parts, warnings, strict=True)] == [True] * len(parts), warnings


def test_snapshots_refuse_another_schedule() -> None:
    for schedule in ("cosine", "plateau"):
        with pytest.raises(ConfigError, match=f"averaging=snapshots with schedule={schedule}: both decide the learn"):
            warnings_of(f"averaging=snapshots schedule={schedule}")


def test_early_stopping_before_a_plateau_gets_a_warning() -> None:
    [warning] = warnings_of("schedule=plateau schedule.patience=5")
    assert "early_stopping.patience=5 ends a run before schedule.patience=5 lowers the learning rate" in warning
    assert warning.endswith("use early_stopping.patience=7 or more")
    assert len(warnings_of("schedule=plateau schedule.patience=5 early_stopping.patience=6")) == 1
    assert warnings_of("schedule=plateau schedule.patience=5 early_stopping.patience=7") == ()


def idle_settings() -> list[tuple[str, dict[str, Any]]]:
    """Return settings with which each step changes no image of 8x8 pixels: those of its schema, and below a pixel."""
    settings: list[tuple[str, dict[str, Any]]] = [
        ("crop", {"size": 1.0}),
        ("crop", {"size": 8}),
        ("crop", {"size": 0.95}),
        ("shift", {"padding": 0.05}),
        ("perspective", {"distortion_scale": 0.2}),
        ("affine", {"degrees": 0.0, "translate": [0.05, 0.06], "scale": [1.0, 1.0], "shear": 0.0}),
    ]
    for kind, schema in STEPS.items():
        settings += [(kind, {item.name: item.metadata["off"]}) for item in fields(schema) if "off" in item.metadata]
        if neutral := {item.name: item.metadata["neutral"] for item in fields(schema) if "neutral" in item.metadata}:
            settings.append((kind, neutral))
    return settings


def test_every_step_can_be_switched_off() -> None:
    """A step whose schema says nowhere at which value it changes no image gets no warning."""
    assert {kind for kind, _ in idle_settings()} == set(STEPS)


@pytest.mark.parametrize(("kind", "values"), idle_settings(), ids=str)
def test_a_step_that_changes_no_image_gets_a_warning(kind: str, values: dict[str, Any]) -> None:
    settings = [f"{name}={format_value(value, mark_fractions=True)}" for name, value in values.items()]
    job = compose_job([f"+augmentation.{kind}.{setting}" for setting in settings])
    [warning] = job.warnings
    assert warning.startswith(f"augmentation.{kind} with ")
    assert warning.endswith(f"changes no image of 8x8 pixels; drop the step with ~augmentation.{kind}")
    images = random_images((1, 8, 8))
    pipeline = make_pipeline(job.config, (1, 8, 8))
    torch.testing.assert_close(pipeline(images, pipeline.draw(len(images), seed=1, epoch=1)), images)


def test_steps_after_a_crop_see_smaller_images() -> None:
    overrides = ["augmentation=crop", "augmentation.crop.size=4", "+augmentation.shift.padding=0.1"]
    [warning] = compose_job(overrides).warnings
    assert warning.startswith("augmentation.shift with padding=0.1 changes no image of 4x4 pixels")
    assert compose_job([*overrides, "data=arrays", "data.path=a.npz"]).warnings == ()  # of unknown size


@pytest.mark.parametrize(
    ("overrides", "unused"),
    [
        ([], None),
        (["data.val_size=0.3"], "data.val_size=0.3, as the files have a validation set of their own"),
        (["data.split_seed=2"], "data.split_seed=2, as no images are held out"),
        (["data.split_seed=2", "data.train_size=12"], None),
        (["data.validation=test", "data.split_seed=2"], "data.split_seed=2, as no images are held out"),
    ],
    ids=str,
)
def test_what_the_files_make_useless_is_in_the_header(
    overrides: list[str], unused: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {f"{name}_{kind}": np.load(write_arrays(tmp_path / f"{name}.npz"))[kind] for name in ("val", "test")
             for kind in ("images", "labels")}  # fmt: skip
    file = write_arrays(tmp_path / "all.npz", **parts)
    run(["data=arrays", f"data.path={file}", "epochs=1", "early_stopping=none", *overrides])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("unused")]
    assert [line.split(maxsplit=1)[1].strip() for line in lines] == ([] if unused is None else [unused])
