"""Bound models: any torch module on the run axis, as K plain modules whose tensors are rows of stacked tensors.

The modules only compute, one after the other. Optimizers, best weights, checkpoints and evaluation see the stacked
tensors, as those of stacked layers. On a CPU, K convolutions take no longer than one grouped convolution, so this costs
convolutional networks nothing; small dense layers are faster stacked.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Self, final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from regexp.errors import ConfigError
from regexp.models.module_tensors import find_owner, get_tensor, list_shared_names
from regexp.models.protocol import Architecture
from regexp.models.stacking import slices_of_runs
from regexp.utils.rng import RandomStates, random_stream


@final
class BoundModel:
    """K modules of one architecture. Implements models.protocol.Model.

    What a module draws from torch's global generators in a forward pass comes from its run's own random streams. In
    evaluation mode, each forward pass begins with the same state.

    Attributes:
        architecture: the architecture of the modules.
        modules: [K], the modules.
        copies_images: whether each module gets a copy of its images.
    """

    def __init__(self, architecture: Architecture, modules: Sequence[nn.Module], copies_images: bool = False) -> None:
        """Bind modules, which must have the same tensors.

        Args:
            architecture: the architecture of the modules.
            modules: [K], the modules.
            copies_images: whether each module gets a copy of its images, because it changes them.
        """
        self.architecture, self.modules, self.copies_images = architecture, list(modules), copies_images
        self._names = list_shared_names(self.modules[0])
        self._random_states: RandomStates | None = None
        self._bind()

    def _bind(self) -> None:
        """Stack the modules' tensors by name, and make the data of each module's own tensors views of their rows.

        The tensors stay the same objects: a module may refer to them elsewhere too, and they may have hooks.
        """
        self._parameters: dict[str, nn.Parameter] = {}
        self._constants: dict[str, Tensor] = {}  # buffers, and parameters that are not trained
        self._rows: list[list[tuple[nn.Module, str, Tensor, Tensor]]] = [[] for _ in self.modules]  # of constants
        for names in self._names:
            own_tensors = [get_tensor(module, names[0]) for module in self.modules]
            stacked = torch.stack([tensor.detach() for tensor in own_tensors])
            is_trained = own_tensors[0].requires_grad
            if is_trained:
                self._parameters[names[0]] = nn.Parameter(stacked)
                gradients = torch.zeros_like(stacked)
                self._parameters[names[0]].grad = gradients
            else:
                self._constants[names[0]] = stacked
            for k, tensor in enumerate(own_tensors):
                tensor.data = stacked[k]
                owners = [find_owner(self.modules[k], name) for name in names]
                for owner, leaf in owners:  # a change of type makes several tensors of a shared one
                    _set_tensor(owner, leaf, tensor)
                if is_trained:
                    tensor.grad = gradients[k]
                else:
                    self._rows[k] += [(owner, leaf, tensor, stacked[k]) for owner, leaf in owners]

    @property
    def activations_per_image(self) -> int:
        """The number of values that the layers of all modules produce for one image."""
        return len(self.modules) * self.architecture.costs.num_activations

    def __call__(self, images: Tensor, runs_per_stream: Sequence[int]) -> Tensor:
        """Return the logits [K, B, classes] of images [S, B, C, H, W]; runs_per_stream[s] runs read slice s."""
        slices = slices_of_runs(len(images), len(self.modules), runs_per_stream)
        states = self._random_states
        if states is None or not self.modules[0].training:
            states = RandomStates([random_stream(0, "evaluation")] * len(self.modules), images.device)
        else:
            self._step_states = states.copy()
        logits = []
        for k, module in enumerate(self.modules):
            with states.of_run(k):
                logits.append(module(_take_images(images, slices[k], self.copies_images)))
            for owner, leaf, tensor, row in self._rows[k]:
                current = getattr(owner, leaf)
                if current is not tensor or not tensor.is_set_to(row):  # the module has assigned a new one, or new data
                    row.copy_(current.detach())
                    tensor.data = row
                    _set_tensor(owner, leaf, tensor)
        return torch.stack(logits)

    def train(self, mode: bool = True) -> Self:
        """Set training mode, or with False evaluation mode, as torch.nn.Module does.

        Raises:
            ConfigError: a module has replaced the data of a parameter, which then is no row of the stacked tensor.
        """
        for k, module in enumerate(self.modules):
            module.train(mode)
            for name, stacked in self._parameters.items():
                if not get_tensor(module, name).is_set_to(stacked[k]):
                    raise ConfigError(
                        f"{self.architecture.describe()}: replaces the parameter {name}, or its data, in forward; "
                        f"change it in place, as {name}.data.clamp_(0, 1) does"
                    )
        return self

    def eval(self) -> Self:
        """Set evaluation mode, as torch.nn.Module does."""
        return self.train(mode=False)

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Move all tensors to a device and change the type of the floating-point ones, as torch.nn.Module does."""
        self.modules = [module.to(device, dtype) for module in self.modules]
        self._bind()
        return self

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters, each [K, ...]."""
        yield from self._parameters.values()

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the parameters, each [K, ...], with their names."""
        yield from self._parameters.items()

    @property
    def overwritten_gradients(self) -> frozenset[str]:
        """No names: autograd adds to the gradients of all parameters."""
        return frozenset()

    def state_dict(self) -> dict[str, Tensor]:
        """Return all parameters and buffers by name, each [K, ...]; views, not copies."""
        return {name: tensor.detach() for name, tensor in (self._parameters | self._constants).items()}

    def begin_epoch(self, seeds: Sequence[int], epoch: int, batch_sizes: Sequence[int]) -> None:
        """Seed the random streams of an epoch. Arguments as in protocol.Model."""
        device = next(iter(self.state_dict().values())).device
        self._random_states = RandomStates([random_stream(seed, "forward", epoch) for seed in seeds], device)

    def batch_norms(self) -> list[_BatchNorm]:
        """Return the layers of batch normalization of all modules."""
        return _find_batch_norms(self.modules)

    @contextmanager
    def extra_pass(self, repeats: bool) -> Iterator[None]:
        """Let the forward pass in the `with` statement be no step of its own. Arguments as in protocol.Model."""
        states, constants = self._random_states, {name: tensor.clone() for name, tensor in self._constants.items()}
        if states is not None:
            self._random_states = self._step_states.copy() if repeats else states.copy()
        yield
        self._random_states = states
        for name, tensor in constants.items():
            self._constants[name].copy_(tensor)

    def select_runs(self, rows: Tensor) -> "SelectedRuns":
        """Return copies of the tensors of the runs at `rows` [K'], to be evaluated."""
        state = {name: tensor[rows] for name, tensor in self.state_dict().items()}
        modules = [self.modules[k] for k in rows.tolist()]
        return SelectedRuns(self.architecture, modules, state, self.copies_images)

    def keep_runs(self, rows: Tensor) -> None:
        """Remove all runs but those at `rows` [K']."""
        self.modules = [self.modules[k] for k in rows.tolist()]
        self._bind()

    def run_state(self, k: int) -> dict[str, Tensor]:
        """Return run k's parameters and buffers by name; views, not copies."""
        rows = {name: tensor[k] for name, tensor in self.state_dict().items()}
        return {name: rows[names[0]] for names in self._names for name in names}


@final
class SelectedRuns:
    """Some of the runs of a bound model, with weights of their own. Implements models.protocol.Predictor."""

    def __init__(
        self,
        architecture: Architecture,
        modules: Sequence[nn.Module],
        state: Mapping[str, Tensor],
        copies_images: bool,
    ) -> None:
        """Take some modules of a bound model.

        Args:
            architecture: the architecture of the modules.
            modules: [K'], the modules, whose own tensors stay as they are.
            state: the tensors [K', ...] to use instead.
            copies_images: as in `BoundModel`.
        """
        self.architecture, self.modules, self._state = architecture, modules, dict(state)
        self._copies_images = copies_images

    @property
    def activations_per_image(self) -> int:
        """The number of values that the layers of all modules produce for one image."""
        return len(self.modules) * self.architecture.costs.num_activations

    def __call__(self, images: Tensor, runs_per_stream: Sequence[int]) -> Tensor:
        """Return the logits [K', B, classes] of images [S, B, C, H, W]; runs_per_stream[s] runs read slice s."""
        slices = slices_of_runs(len(images), len(self.modules), runs_per_stream)
        states = RandomStates([random_stream(0, "evaluation")] * len(self.modules), images.device)
        logits = []
        for k, module in enumerate(self.modules):
            row = {name: tensor[k] for name, tensor in self._state.items()}
            with states.of_run(k):
                logits.append(functional_call(module, row, (_take_images(images, slices[k], self._copies_images),)))
        return torch.stack(logits)

    def eval(self) -> Self:
        """Set evaluation mode, as torch.nn.Module does."""
        for module in self.modules:
            module.eval()
        return self

    def state_dict(self) -> dict[str, Tensor]:
        """Return all parameters and buffers by name, each [K', ...]; views, not copies."""
        return dict(self._state)

    def batch_norms(self) -> list[_BatchNorm]:
        """Return the layers of batch normalization of all modules."""
        return _find_batch_norms(self.modules)


def _find_batch_norms(modules: Sequence[nn.Module]) -> list[_BatchNorm]:
    return [layer for module in modules for layer in module.modules() if isinstance(layer, _BatchNorm)]


def _set_tensor(owner: nn.Module, leaf: str, tensor: Tensor) -> None:
    if isinstance(tensor, nn.Parameter):
        owner._parameters[leaf] = tensor
    else:
        owner._buffers[leaf] = tensor


def _take_images(images: Tensor, i: int, copies: bool) -> Tensor:
    """Return slice i [B, C, H, W] of images [S, B, C, H, W]. A copy is for modules that change their images."""
    return images[i].clone() if copies else images[i]
