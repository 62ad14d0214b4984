"""The network of a run, made from its configuration and its stored weights."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from regexp.config.schema import OPTIONS
from regexp.config.schemas.model import rate_names
from regexp.errors import ConfigError, RunError
from regexp.runs.predicting.input_check import InputCheck
from regexp.runs.weights import WEIGHT_FILES, read_weights
from regexp.user_code.python_objects import register_object
from regexp.utils.lazy import load_object
from regexp.utils.messages import first_line

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class TrainedModel(NamedTuple):
    """The model of a run.

    Attributes:
        module: the module, on the CPU and in evaluation mode, without the check of its input.
        input_shape: [C, H, W] of the images that it takes; (F,) for rows of F features.
        dtype: the type of its weights.
    """

    module: "nn.Module"
    input_shape: tuple[int, ...]
    dtype: "torch.dtype"

    def with_check(self) -> "nn.Module":
        """Return the module, which from now on checks and converts what it is called with."""
        self.module.register_forward_pre_hook(InputCheck(self.input_shape))
        return self.module


def load_model(
    directory: Path, config: Mapping[str, Any], weights: str, target: "Callable[..., nn.Module] | str | None"
) -> TrainedModel:
    """Return the model of a run.

    Args:
        directory: the directory of the run.
        config: its flat configuration.
        weights: "best" or "last".
        target: the class or function that makes the module of a run of model=module, or its name.

    Raises:
        ConfigError: the run is of model=module and there is no `target`, or the other way round.
        RunError: the file of weights is broken, or the module does not fit it.
    """
    path = directory / WEIGHT_FILES[weights]
    try:
        tensors, metadata = read_weights(directory, weights)
    except RunError as error:
        raise RunError(f"{error}. force=true trains the run again.") from error
    schema = OPTIONS["model"][config["model"]]
    rates = {name: config.get(f"model.{name}", 0.0) for name in rate_names(schema)}
    options = _choose_target(directory, config, target)
    if "input_shape" not in metadata:
        raise RunError(f"{path} is of an earlier version, which did not store what its model is made for")
    try:
        input_shape, num_classes = tuple(json.loads(metadata["input_shape"])), int(metadata["num_classes"])
        architecture = load_object(schema.architecture).from_options(input_shape, num_classes, options)
        model: nn.Module
        if config.get("averaging") == "snapshots":
            model, tensors = _make_ensemble(lambda: architecture.make_module(rates), tensors)
        else:
            model = architecture.make_module(rates)
        dtype = next(tensor.dtype for tensor in tensors.values() if tensor.is_floating_point())
        load_object("models.module_tensors.load_tensors")(model.to(dtype), tensors)
    except (LookupError, RuntimeError, ValueError, StopIteration) as error:
        raise RunError(f"{path} does not hold the weights of this run: {first_line(error)}") from error
    return TrainedModel(model.eval(), input_shape, dtype)


def _make_ensemble(
    make_network: "Callable[[], nn.Module]", tensors: "Mapping[str, Tensor]"
) -> "tuple[nn.Module, dict[str, Tensor]]":
    """Return an ensemble of as many networks as there are snapshots, and its tensors by name."""
    from regexp.models.regularizing.ensemble import COUNT, SnapshotEnsemble, split_snapshots

    return SnapshotEnsemble([make_network() for _ in range(int(tensors[COUNT]))]), split_snapshots(tensors)


def _choose_target(
    directory: Path, config: Mapping[str, Any], target: "Callable[..., nn.Module] | str | None"
) -> Mapping[str, Any]:
    """Return the configuration with the target that this call names; what a file names does not run."""
    if target is not None and not isinstance(target, str) and not callable(target):
        raise ConfigError(f"target={target!r}: must be a class, a function, or a name such as 'net.py:Net'")
    if (recorded_target := config.get("model.target")) is None:
        if target is not None:
            raise ConfigError(f"{directory}: is of model={config['model']}, which needs no target")
        return config
    if target is None:
        raise ConfigError(
            f"{directory}: its model is made by code of your own, {recorded_target}, which runs only where you name "
            f"it; type target={recorded_target!r}, or pass the class or function as target"
        )
    return {**config, "model.target": register_object(target) if callable(target) else target}
