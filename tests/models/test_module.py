"""Modules of the user's own: what they may be, and what is said of those that cannot be trained."""

import random
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from helpers.command_lines import OWN_MODULES
from torch import nn

from regexp.errors import ConfigError
from regexp.models.module import ModuleArchitecture
from regexp.user_code.python_objects import register_object

SHAPE, CLASSES = (1, 8, 8), 10


def make_architecture(target: Any, **options: Any) -> ModuleArchitecture:
    text = target if isinstance(target, str) else register_object(target)
    flat_options = {"model.target": text, **{f"model.options.{name}": value for name, value in options.items()}}
    return ModuleArchitecture.from_options(SHAPE, CLASSES, flat_options)


def test_its_costs_are_those_of_one_image() -> None:
    architecture = make_architecture(f"{OWN_MODULES}:make_perceptron", width=16)
    assert architecture.costs.num_parameters == 64 * 16 + 16 + 16 * CLASSES + CLASSES
    assert architecture.costs.flop == 2 * (64 * 16 + 16 * CLASSES)
    assert architecture.costs.num_activations >= 16 + CLASSES
    assert "make_perceptron(width=16), from 1x8x8 to 10 classes" in architecture.describe()


def test_lazy_layers_exist_before_training_and_have_the_weights_of_their_seed() -> None:
    architecture = make_architecture(f"{OWN_MODULES}:Drawing")
    model = architecture.make_model([3, 4], [{}] * 2)
    assert model.state_dict()["layers.1.weight"].shape == (2, 16, 64)
    alone = architecture.make_model([4], [{}])
    assert all(torch.equal(tensor, alone.run_state(0)[name]) for name, tensor in model.run_state(1).items())


def test_making_and_trying_modules_leaves_the_global_generator_as_it_is() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make_architecture(f"{OWN_MODULES}:Drawing").make_model([0], [{}])
    assert torch.equal(torch.rand(3), expected)


class Linear(nn.Module):
    """A layer on all pixels, whose output `change` changes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> Any:
        return self.change(self.layer(x.flatten(1)))

    def change(self, logits: torch.Tensor) -> Any:
        return logits


class Pair(Linear):
    def change(self, logits: torch.Tensor) -> Any:
        return logits, logits[:, :3]


class Mapping(Linear):
    def change(self, logits: torch.Tensor) -> Any:
        return {"logits": logits}


class Narrow(Linear):
    def change(self, logits: torch.Tensor) -> Any:
        return logits[:, :7]


class Sequence(Linear):
    def change(self, logits: torch.Tensor) -> Any:
        return logits.unsqueeze(1)


class PairInTraining(Linear):
    def change(self, logits: torch.Tensor) -> Any:
        return (logits,) if self.training else logits


class Whole(Linear):
    def change(self, logits: torch.Tensor) -> Any:
        return logits.long()


class Undefined(Linear):
    def change(self, logits: torch.Tensor) -> Any:
        return logits / 0 - logits / 0


class Detached(Linear):
    def change(self, logits: torch.Tensor) -> Any:
        return logits.detach()


class Growing(Linear):
    def change(self, logits: torch.Tensor) -> Any:
        if self.training:
            self.scale = nn.Parameter(torch.ones(()))
        return logits


class NumpyNoise(Linear):
    def change(self, logits: torch.Tensor) -> Any:
        return logits + np.random.rand()


class PythonNoise(Linear):
    def change(self, logits: torch.Tensor) -> Any:
        return logits + random.random()


class Frozen(Linear):
    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.requires_grad_(requires_grad=False)


class Elsewhere(Linear):
    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.to("meta")


class Random(Linear):
    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.extra = nn.Linear(3, next(_SIZES))


_SIZES = count(1)
_FROZEN = nn.Linear(64, 64).requires_grad_(requires_grad=False)


class Sharing(Linear):
    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.frozen = _FROZEN


class ReturningNothing(Linear):
    def get_extra_state(self) -> dict[str, int]:
        return {"a": 1}

    def set_extra_state(self, state: dict[str, int]) -> None:
        pass

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)


def test_a_module_with_methods_of_its_own_is_made() -> None:
    architecture = make_architecture(ReturningNothing)
    assert architecture.costs.num_parameters == 65 * CLASSES
    architecture.make_model([0, 1], [{}] * 2).train().eval()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Random, "makes modules whose tensors differ (extra."),
        (Sharing, "its modules share the tensor frozen."),
    ],
)
def test_modules_that_depend_on_each_other_are_refused(target: Any, message: str) -> None:
    architecture = make_architecture(target)
    with pytest.raises(ConfigError) as error:
        architecture.make_model([0], [{}])  # also alone: runs of other cohorts share the process
    assert message in str(error.value)


def make_number(classes: int) -> int:
    return classes


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Pair, "returns a tuple of [2, 10], [2, 3] for images [2, 1, 8, 8] in evaluation mode; must return logits [B,"),
        (Mapping, "returns dict for images [2, 1, 8, 8]"),
        (Narrow, "returns [2, 7] for images [2, 1, 8, 8] in evaluation mode; must return logits [B, classes], here [2"),
        (Sequence, "returns [2, 1, 10] for images"),
        (PairInTraining, "returns a tuple of [2, 10] for images [2, 1, 8, 8] in training mode"),
        (Whole, "returns torch.int64 for images"),
        (Undefined, "returns NaN or infinity for images [2, 1, 8, 8] in evaluation mode, before any training"),
        (Detached, "its logits do not depend on any parameter that requires gradients"),
        (Growing, "makes the parameter scale in forward, where the optimizer does not see it"),
        (NumpyNoise, "draws from the global generator of numpy.random, so that runs would change each other"),
        (PythonNoise, "draws from the global generator of Python's random"),
        (Frozen, "has no parameters that require gradients"),
        (Elsewhere, "puts its tensors on meta; make them on the CPU"),
        (make_number, "returns int; must be or return a torch.nn.Module"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_trained_is_told_with_what_was_seen(target: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        make_architecture(target)
    assert str(error.value).startswith("model.target=")
    assert message in str(error.value)
