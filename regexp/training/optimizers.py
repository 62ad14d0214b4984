"""torch's own optimizers over stacked parameters, in which each run has its own hyperparameters."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor

from regexp.training.parameter_groups import Hyperparameters, make_updater
from regexp.training.regularizers.gradient_noise import GradientNoise
from regexp.training.regularizers.lookahead import Lookahead
from regexp.training.regularizers.max_norm import bound_weights
from regexp.training.regularizers.sharpness import SharpnessAwareness
from regexp.training.update_rules import OPTIMIZERS, TensorLists
from regexp.utils.device import use_huge_pages

SLOW_WEIGHTS = "slow_weights"  # the entry of the state that Lookahead adds


class StackedOptimizer:
    """One of torch's optimizers for K runs.

    torch's kernel updates the runs with equal hyperparameters together, one group after the other; on a GPU, a rule
    updates many groups at once. Both get views of stacked tensors, which are made once; gradients stay in their place.

    Attributes:
        parameters: the stacked parameters by name, each [K, ...].
        hyperparameters: [K], the hyperparameters of each run.
        steps_done: the number of steps since the first epoch.
        in_graph: whether the steps are captured in a CUDA graph.
        state: the state by entry (such as "exp_avg") and parameter, each [K, ...].
        updater: the groups of runs that are updated together.
        lookahead: the slow weights, where any run has them.
        sharpness: sharpness-aware minimization, where any run uses it.
        gradient_noise: the noise on gradients, where any run has some.
    """

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, Tensor],
        hyperparameters: Sequence[Hyperparameters],
        steps_done: int = 0,
        in_graph: bool = False,
        overwritten_gradients: Collection[str] = (),
    ) -> None:
        """Begin with an empty state.

        Args:
            name: the name of the optimizer in OPTIMIZERS.
            parameters: the stacked parameters by name, each [K, ...].
            hyperparameters: [K], the hyperparameters of each run.
            steps_done: the number of steps before the checkpoint from which the runs resume; 0 at their start.
            in_graph: whether the steps are captured in a CUDA graph.
            overwritten_gradients: the names of the parameters whose gradients backward() overwrites. The others are set
                to zero after each step.
        """
        self.parameters = dict(parameters)
        self.hyperparameters = list(hyperparameters)
        self.steps_done, self.in_graph = steps_done, in_graph
        self.overwritten_gradients = frozenset(overwritten_gradients)
        self.spec = OPTIMIZERS[name]
        self._make_gradients()
        entries = dict.fromkeys(entry for run in hyperparameters for entry in self.spec.state_names(run.arguments))
        self.state = {
            entry: {name: torch.zeros_like(tensor.detach()) for name, tensor in self.parameters.items()}
            for entry in entries
        }
        if any(run.lookahead_period is not None for run in hyperparameters):
            self.state[SLOW_WEIGHTS] = {name: tensor.detach().clone() for name, tensor in self.parameters.items()}
        self._derive_from_runs()

    def _make_gradients(self) -> None:
        """Make the gradients of the parameters that have none."""
        for tensor in self.parameters.values():
            if tensor.grad is None:
                tensor.grad = torch.zeros_like(tensor)

    def _derive_from_runs(self) -> None:
        """Make the groups of runs, and what belongs to a step beside the optimizer's update."""
        runs = self.hyperparameters
        tensors = TensorLists(
            [tensor.detach() for tensor in self.parameters.values()],
            [_gradient(tensor) for tensor in self.parameters.values()],
            {entry: list(tensors.values()) for entry, tensors in self.state.items()},
        )
        for large_tensor in (*tensors.parameters, *tensors.gradients, *chain(*tensors.state.values())):
            use_huge_pages(large_tensor)
        self.updater = make_updater(self.spec, runs, tensors, self.in_graph)
        self.accumulated_gradients = [
            _gradient(tensor) for name, tensor in self.parameters.items() if name not in self.overwritten_gradients
        ]
        self.has_l1 = any(run.l1 != 0 for run in runs)
        self.l1 = self._stack([run.l1 for run in runs])
        self.clips = any(run.clip_norm != torch.inf for run in runs)
        self.clip_norms = self._stack([run.clip_norm for run in runs])
        self.bounds_weights = any(run.max_norm != torch.inf for run in runs)
        self.max_norms = self._stack([run.max_norm for run in runs])
        self.lookahead = self.sharpness = self.gradient_noise = None
        if any(run.gradient_noise > 0 for run in runs):
            gradients = {name: _gradient(tensor) for name, tensor in self.parameters.items()}
            self.gradient_noise = GradientNoise([run.gradient_noise for run in runs], gradients)
        if any(run.lookahead_period is not None for run in runs):
            periods = [run.lookahead_period for run in runs]
            alphas = [run.lookahead_alpha for run in runs]
            self.lookahead = Lookahead(periods, alphas, self.state[SLOW_WEIGHTS], self.in_graph)
        if any(run.sam_radius > 0 for run in runs):
            self.sharpness = SharpnessAwareness(self._stack([run.sam_radius for run in runs]), runs[0].sam_is_adaptive)

    def _stack(self, numbers: Sequence[float]) -> Tensor:
        """Return numbers of the runs, [K], on the device and in the type of the parameters."""
        parameter = next(iter(self.parameters.values()))
        return torch.tensor(numbers, dtype=parameter.dtype, device=parameter.device)

    def begin_epoch(self, steps: int, seeds: Sequence[int] = ()) -> None:
        """Compute the learning rates of an epoch's steps, and copy them to the device at once: then no step waits.

        Args:
            steps: the number of steps in every epoch.
            seeds: [K], the seed of each run, from which noise is drawn.
        """
        self.first_step, self.num_steps = self.steps_done, steps
        schedules = list(dict.fromkeys(run.schedule for run in self.hyperparameters))
        factors = torch.tensor(
            [[schedule(self.first_step + i) for schedule in schedules] for i in range(steps)], dtype=torch.float64
        )  # [steps, schedules]
        columns = {schedule: column for column, schedule in enumerate(schedules)}
        run_factors = factors[:, [columns[run.schedule] for run in self.hyperparameters]]  # [steps, K]
        base_rates = torch.tensor([run.arguments["lr"] for run in self.hyperparameters], dtype=torch.float64)  # [K]
        self.updater.begin_epoch(base_rates * run_factors, self.first_step)
        if self.lookahead is not None:
            self.lookahead.begin_epoch(self.first_step, steps)
        if self.gradient_noise is not None:
            self.gradient_noise.begin_epoch(self.first_step, steps, seeds)

    def learning_rates(self) -> list[float]:
        """Return the learning rates of the last step, [K]."""
        step = max(0, self.steps_done - 1)
        return [run.arguments["lr"] * run.schedule(step) for run in self.hyperparameters]

    def change_gradients(self, measures_norms: bool) -> Tensor | None:
        """Add l1's part to the gradients, clip them and add noise; return their norms [K] before clipping, if known."""
        if self.has_l1:
            self.add_l1_gradients()
        norms = self.gradient_norms() if measures_norms or self.clips else None
        if norms is not None and self.clips:
            self.clip_gradients(norms)
        if self.gradient_noise is not None:
            self.gradient_noise.add(self._step_of_epoch)
        return norms

    @torch.no_grad()
    def add_l1_gradients(self) -> None:
        """Add the gradient of l1 * sum |w| to each run's gradient: l1 * sign(w), which is 0 at 0 as in autograd."""
        for tensor in self.parameters.values():
            _gradient(tensor).addcmul_(tensor.sign(), _per_run(self.l1, tensor))

    @torch.no_grad()
    def gradient_norms(self) -> Tensor:
        """Return the L2 norm of each run's gradient, [K]."""
        norms = [torch.linalg.vector_norm(_gradient(tensor).flatten(1), dim=1) for tensor in self.parameters.values()]
        total: Tensor = torch.linalg.vector_norm(torch.stack(norms), dim=0)
        return total

    @torch.no_grad()
    def clip_gradients(self, norms: Tensor) -> None:
        """Scale each run's gradient to its clip_norm if its norm, in `norms` [K], is larger, as clip_grad_norm_."""
        # An infinite norm of a run that is not clipped would give inf / inf.
        factors = (self.clip_norms / (norms + 1e-6)).clamp(max=1.0).where(self.clip_norms.isfinite(), 1.0)
        for tensor in self.parameters.values():
            _gradient(tensor).mul_(_per_run(factors, tensor))

    @property
    def _step_of_epoch(self) -> int:
        """The number of the next step, from 0; after the last the first one again, for who only measures time."""
        return (self.steps_done - self.first_step) % self.num_steps

    @torch.no_grad()
    def zero_gradients(self) -> None:
        """Set the gradients to zero that backward() would add to."""
        if self.accumulated_gradients:
            torch._foreach_zero_(self.accumulated_gradients)

    @contextmanager
    def worst_weights_nearby(self) -> Iterator[None]:
        """Let the parameters be those of which `sharpness` takes the gradient, whose sum begins anew."""
        assert self.sharpness is not None
        with self.sharpness.worst_weights_nearby(self.parameters.values()):
            self.zero_gradients()
            yield

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters of all runs and set the gradients to zero."""
        i = self._step_of_epoch
        self.updater.step(i)
        if self.lookahead is not None:
            self.lookahead.step(i, self.parameters)
        if self.bounds_weights:
            bound_weights(self.parameters.values(), self.max_norms)
        self.zero_gradients()
        self.steps_done += 1

    def release_parameters(self) -> None:
        """Drop all references to parameters and gradients until `keep_runs`: views keep removed runs in memory."""
        self.parameters, self.accumulated_gradients = {}, []
        self.lookahead = self.gradient_noise = None
        del self.updater

    def keep_runs(self, rows: Tensor, parameters: Mapping[str, Tensor]) -> None:
        """Remove all runs but those at `rows` [K'], whose parameters are now `parameters`."""
        self.parameters = dict(parameters)
        for tensors in self.state.values():
            for name in tensors:
                tensors[name] = tensors[name][rows]
        self.hyperparameters = [self.hyperparameters[k] for k in rows.tolist()]
        self._make_gradients()
        self._derive_from_runs()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the stacked state by "parameter/entry", [K, ...] each; views, not copies."""
        return {f"{name}/{entry}": tensor for entry, tensors in self.state.items() for name, tensor in tensors.items()}

    def state_names(self, k: int) -> list[str]:
        """Return the names of those entries of `state_dict` that run k's arguments need."""
        run = self.hyperparameters[k]
        entries = [*self.spec.state_names(run.arguments), *([SLOW_WEIGHTS] if run.lookahead_period is not None else [])]
        return [f"{name}/{entry}" for entry in entries for name in self.parameters]

    def load_run_state(self, k: int, state: Mapping[str, Tensor]) -> None:
        """Set run k's state to its rows of a `state_dict`, of this cohort or of another."""
        for key, value in state.items():
            name, _, entry = key.rpartition("/")
            self.state[entry][name][k].copy_(value)


def _per_run(values: Tensor, tensor: Tensor) -> Tensor:
    """Return values [K] as [K, 1, ...], with as many dimensions as `tensor`."""
    return values.view(-1, *[1] * (tensor.dim() - 1))


def _gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad
