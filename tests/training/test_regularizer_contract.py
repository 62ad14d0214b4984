"""The contract that every regularizer must keep; new ones are found by themselves.

They are the keys in which runs of a cohort may differ and that do nothing at a value that is left out of the identity,
the losses with numbers of their own, what is switched off by a number, and the options of groups whose option `none` is
left out.
"""

from collections.abc import Iterator
from dataclasses import fields, replace

import pytest
import torch
from helpers.cohorts import DOUBLE, MemoryRecorder, QuietReporter, make_configured_cohort

from regexp.config.compose import compose_job
from regexp.config.schema import OPTIONS, Config
from regexp.training.loop import train
from regexp.training.member import Checkpoint
from regexp.utils.messages import format_value
from regexp.utils.signals import StopRequest

COMMON = [DOUBLE, "data.train_size=60", "batch_size=25", "epochs=3", "early_stopping=none", "model.hidden_sizes=[7,6]"]
# What a regularizer needs beside it, or where its runs would learn the same.
BESIDE: dict[str, list[str]] = {
    "loss.class_weights": ["data.train_size=47"],
    "optimizer.max_norm": ["optimizer.lr=0.3"],  # large weights
    "optimizer.lookahead_alpha": ["optimizer.lookahead_k=2"],
}


def find_regularizers() -> Iterator[tuple[str, str, object]]:
    """Yield the option to choose, the key, and a value with which it does something."""
    for group, options in OPTIONS.items():
        for option, schema in options.items():
            if group in ("data", "device") or option in ("module", "cnn", "resnet"):
                continue
            first_of_group = next(iter(options))
            for item in fields(schema):
                metadata = item.metadata
                if metadata["mark"] != "per_run" or item.name == "name":
                    continue
                is_regularizer = "omitted" in metadata and (option == first_of_group or item.name not in base(group))
                if is_regularizer or "change" in metadata or "off" in metadata:
                    value = metadata.get("example", next(iter(reversed(metadata.get("choices", [None])))))
                    yield f"{group}={option}", f"{group}.{item.name}", value


def base(group: str) -> set[str]:
    """Return the names of the keys that the first option of a group has."""
    return {item.name for item in fields(next(iter(OPTIONS[group].values())))}


REGULARIZERS = list(find_regularizers())


def test_regularizers_are_found() -> None:
    keys = {key for _, key, _ in REGULARIZERS}
    assert {"loss.confidence_penalty", "loss.class_weights", "loss.gamma", "loss.beta", "mixing.alpha"} <= keys
    assert all(value is not None for _, _, value in REGULARIZERS), REGULARIZERS


def train_configs(
    configs: list[Config], checkpoints: list[Checkpoint | None] | None = None, last_epoch: int = 0
) -> list[MemoryRecorder]:
    """Train a cohort from checkpoints, and stop after `last_epoch`."""
    cohort, recorders = make_configured_cohort(configs, checkpoints)
    stop_request = StopRequest()
    train(cohort, QuietReporter(stop_request, last_epoch), stop_request)
    return recorders


@pytest.mark.parametrize(("choice", "key", "value"), REGULARIZERS, ids=lambda part: str(part).replace("=", "-"))
def test_a_regularizer_keeps_its_contract(choice: str, key: str, value: object) -> None:
    """Alone as in a cohort of other values, whose runs end one by one; a run that resumes ends with the same bits."""
    words = [*COMMON, choice, *BESIDE.get(key, [])]
    plain, regularized = (compose_job([*words, *extra]).config for extra in ([], [f"{key}={format_value(value)}"]))
    other = replace(regularized, seed=1, optimizer=replace(regularized.optimizer, lr=0.003))
    shorter = [replace(plain, epochs=1), replace(other, epochs=2)]
    in_cohort = train_configs([regularized, *shorter, plain, other])
    alone = [train_configs([config])[0] for config in (regularized, plain)]
    for together, expected in zip((in_cohort[0], in_cohort[3]), alone, strict=True):
        for name, tensor in expected.final_result.checkpoint.tensors.items():
            torch.testing.assert_close(
                together.final_result.checkpoint.tensors[name], tensor, rtol=0, atol=1e-9, msg=name
            )
        for column in ("objective", "val_loss"):
            assert together.column(column) == pytest.approx(expected.column(column), abs=1e-9)
    is_default = getattr(getattr(plain, key.partition(".")[0]), key.partition(".")[2]) == value
    assert (in_cohort[0].column("val_loss") == in_cohort[3].column("val_loss")) == is_default
    [first] = train_configs([regularized], last_epoch=1)
    [resumed] = train_configs([regularized], [first.checkpoint])
    assert resumed.column("val_loss") == alone[0].column("val_loss")[1:]
    for name, tensor in alone[0].final_result.checkpoint.tensors.items():
        assert torch.equal(resumed.final_result.checkpoint.tensors[name], tensor), name


def find_options() -> list[str]:
    """Return the options of the groups whose first option `none` is left out of the identity."""
    return [
        f"{group}={option}"
        for group, options in OPTIONS.items()
        if next(iter(options)) == "none"
        and any(item.name == "name" and "omitted" in item.metadata for item in fields(options["none"]))
        for option in options
        if option != "none"
    ]


@pytest.mark.parametrize("option", find_options())
def test_an_option_keeps_its_contract(option: str) -> None:
    """Alone as in a cohort, whose runs end one by one; a run that resumes ends with the same bits."""
    words = [*COMMON, "normalization=batch", "model.dropout=0.2", "optimizer.lr=0.003"]
    words += [] if option.startswith("augmentation=") else ["augmentation=crop"]
    config, plain = compose_job([*words, option]).config, compose_job(words).config
    [alone], [without] = train_configs([config]), train_configs([plain])
    assert alone.column("val_loss") != without.column("val_loss")
    together, *_ = train_configs([config, replace(config, seed=1, epochs=2), replace(config, seed=2, epochs=1)])
    expected_tensors = alone.final_result.checkpoint.tensors
    for name, tensor in expected_tensors.items():
        torch.testing.assert_close(together.final_result.checkpoint.tensors[name], tensor, rtol=0, atol=1e-9, msg=name)
    assert together.column("val_loss") == pytest.approx(alone.column("val_loss"), abs=1e-9)
    for last_epoch in (1, 2):  # before and after an average begins
        [first] = train_configs([config], last_epoch=last_epoch)
        [resumed] = train_configs([config], [first.checkpoint])
        assert resumed.column("val_loss") == alone.column("val_loss")[last_epoch:]
        for name, tensor in expected_tensors.items():
            assert torch.equal(resumed.final_result.checkpoint.tensors[name], tensor), name
