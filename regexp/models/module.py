"""Modules of the user's own: any class or function that makes a torch module."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, final

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.parameter import is_lazy

from regexp.errors import ConfigError
from regexp.models.bound import BoundModel
from regexp.models.costs import ModelCosts, count_parameters, measure_costs
from regexp.user_code.global_draws import refuse_global_draws
from regexp.user_code.loading import call_target
from regexp.utils.rng import draw_from, random_stream

_OPTIONS = "model.options."
_NUM_PROBES = 2  # images that a module is tried on: BatchNorm refuses a single one


@final
@dataclass(frozen=True)
class ModuleArchitecture:
    """The shape of a module of the user's own. Implements models.protocol.Architecture.

    Attributes:
        target: the class or function that makes the module (see user_code.targets).
        options: its keyword arguments, by name.
        input_shape: [C, H, W] of the images; (F,) for rows of F features.
        num_classes: the number of classes.
        costs: what a run's module costs.
    """

    target: str
    options: Mapping[str, Any]
    input_shape: tuple[int, ...]
    num_classes: int
    costs: ModelCosts = field(default=ModelCosts(0, 0, 0), compare=False)

    @classmethod
    def from_options(cls, input_shape: tuple[int, ...], num_classes: int, options: Mapping[str, Any]) -> Self:
        """Return the architecture for images of a shape [C, H, W] and a flat configuration, after trying a module.

        Raises:
            ConfigError: the target makes no module, or one that does not turn images into logits.
        """
        target = options["model.target"]
        arguments = {key.removeprefix(_OPTIONS): value for key, value in options.items() if key.startswith(_OPTIONS)}
        architecture = cls(target, arguments, input_shape, num_classes)
        with draw_from(random_stream(0, "probes")), refuse_global_draws(f"model.target={target}"):
            module = architecture.make_module()
            return replace(architecture, costs=architecture._try(module))

    def describe(self) -> str:
        """Return the target, its options and sizes in words: "net.py:Net(width=64), from 1x28x28 to 10 classes"."""
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{self.target}({options}), from {'x'.join(map(str, self.input_shape))} to {self.num_classes} classes"

    def make_model(self, seeds: Sequence[int], rates: Sequence[Mapping[str, float]]) -> BoundModel:
        """Return K modules with the initial weights that they give themselves, on the CPU; `seeds` is [K]."""
        modules = []
        for seed in seeds:
            with draw_from(random_stream(seed, "initialization")):
                modules.append(self.make_module())
        with draw_from(random_stream(0, "probes")):
            self._check_independence([*modules, self.make_module()])
        return BoundModel(self, modules, copies_images=True)  # it costs far less than a module

    def make_module(self, rates: Mapping[str, float] | None = None) -> nn.Module:
        """Return one run's model. Lazy layers have seen images, so that all parameters exist.

        Raises:
            ConfigError: the target makes no module, or one that cannot be trained.
        """
        offered = {"classes": self.num_classes, "in_shape": self.input_shape}
        module = call_target(self.target, self.options, offered, "model.options")
        if not isinstance(module, nn.Module):
            raise ConfigError(f"{self._key}: returns {type(module).__name__}; must be or return a torch.nn.Module")
        if any(isinstance(layer, torch.jit.ScriptModule) for layer in module.modules()):
            raise ConfigError(f"{self._key}: is compiled by torch.jit, which hides its tensors; name the class itself")
        devices = {tensor.device for tensor in (*module.parameters(), *module.buffers())}
        if devices - {torch.device("cpu")}:
            names = ", ".join(sorted(str(device) for device in devices))
            raise ConfigError(f"{self._key}: puts its tensors on {names}; make them on the CPU, and regexp moves them")
        if any(is_lazy(parameter) for parameter in module.parameters()):
            with torch.no_grad():
                module.eval()  # some return nothing
                module(self._draw_probes())
            module.train()
        module.float()
        return module

    def first_layer_weight(self, state: Mapping[str, Tensor]) -> None:
        """Return None: which layer is the first is not known."""

    @property
    def _key(self) -> str:
        return f"model.target={self.target}"

    def _draw_probes(self) -> Tensor:
        return torch.rand(_NUM_PROBES, *self.input_shape)

    def _try(self, module: nn.Module) -> ModelCosts:
        """Return what a module costs, after checking that it turns images into logits that can be trained.

        The module may be changed by this.

        Raises:
            ConfigError: it does not.
        """
        parameters = dict(module.named_parameters())
        if not any(parameter.requires_grad for parameter in parameters.values()):
            raise ConfigError(f"{self._key}: has no parameters that require gradients, so there is nothing to train")
        with torch.no_grad():
            module.eval()
            self._check_logits(module(self._draw_probes()), "in evaluation mode")
        module.train()
        saved_values: dict[int, int] = {}
        ours = {parameter.data_ptr() for parameter in parameters.values()}

        def count(tensor: Tensor) -> Tensor:
            if tensor.data_ptr() not in ours:
                saved_values[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.inference_mode(mode=False), torch.enable_grad(), saved_tensors_hooks(count, lambda tensor: tensor):
            logits = module(self._draw_probes())
        self._check_logits(logits, "in training mode")
        if new_names := dict(module.named_parameters()).keys() - parameters.keys():
            raise ConfigError(
                f"{self._key}: makes the parameter {min(new_names)} in forward, where the optimizer does not see it; "
                "make it in __init__, or use one of torch's lazy layers"
            )
        if not logits.requires_grad:
            raise ConfigError(f"{self._key}: its logits do not depend on any parameter that requires gradients")
        # Functions produce values too, and those that the backward pass needs are saved.
        num_saved_values = sum(saved_values.values()) // _NUM_PROBES
        try:
            costs = measure_costs(module, self._draw_probes())
        except RuntimeError:  # compiled modules take no hooks
            costs = ModelCosts(count_parameters(module), 0, 0)
        return replace(costs, num_activations=max(costs.num_activations, num_saved_values))

    def _check_independence(self, modules: Sequence[nn.Module]) -> None:
        """Raise ConfigError if modules that were made one after the other differ in their tensors or share some.

        Args:
            modules: the modules of the runs, and one more, so that a run alone is checked too.
        """
        names_by_tensor: dict[int, str] = {}
        first_shapes = _list_shapes(modules[0])
        for module in modules:
            shapes = _list_shapes(module)
            if different := first_shapes.items() ^ shapes.items():
                name = min(name for name, _ in different)
                raise ConfigError(
                    f"{self._key}: makes modules whose tensors differ ({name}); they must follow from its options alone"
                )
            tensors = {id(tensor): name for name, tensor in (*module.named_parameters(), *module.named_buffers())}
            if shared := tensors.keys() & names_by_tensor.keys():
                raise ConfigError(
                    f"{self._key}: its modules share the tensor {tensors[min(shared)]} with each other, so that runs "
                    "would change each other; make it in __init__"
                )
            names_by_tensor |= tensors

    def _check_logits(self, logits: Any, mode: str) -> None:
        """Raise ConfigError if the output of a module for the probes is not logits [B, classes]."""
        rule = f"must return logits [B, classes], here [{_NUM_PROBES}, {self.num_classes}]"
        images = f"for images {[_NUM_PROBES, *self.input_shape]} {mode}"
        if not isinstance(logits, Tensor):
            raise ConfigError(f"{self._key}: returns {_describe_type(logits)} {images}; {rule}")
        if tuple(logits.shape) != (_NUM_PROBES, self.num_classes):
            raise ConfigError(f"{self._key}: returns {list(logits.shape)} {images}; {rule}")
        if not logits.is_floating_point():
            raise ConfigError(f"{self._key}: returns {logits.dtype} {images}; {rule}, in floating point")
        if not bool(logits.isfinite().all()):
            raise ConfigError(f"{self._key}: returns NaN or infinity {images}, before any training")


def _describe_type(value: Any) -> str:
    if isinstance(value, tuple | list):
        entries = ", ".join(str(list(entry.shape)) if isinstance(entry, Tensor) else "..." for entry in value)
        return f"a {type(value).__name__} of {entries}"
    return type(value).__name__


def _list_shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in (*module.named_parameters(), *module.named_buffers())}
