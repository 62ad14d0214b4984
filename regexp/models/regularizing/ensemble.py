"""Ensembles of snapshots, the weights of one network at several times, for K runs at once and for one.

The probabilities of an ensemble are the mean of those of its n networks. Its logits are their logarithm,

    z = log(1/n sum over i of softmax(z_i)),

so that the softmax of the logits, and their cross entropy, are those of the mean probabilities.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Self, final

import torch
from torch import Tensor, nn

from regexp.models.protocol import Predictor, RunningStatistics

# The names of an ensemble's tensors: how many snapshots there are, and what stands before those of the network.
COUNT, PREFIX = "num_snapshots", "snapshots."


@final
class SnapshotEnsemble(nn.Module):
    """One run's ensemble, of plain modules.

    Attributes:
        snapshots: the networks, from the oldest to the newest.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        """Make an ensemble of networks."""
        super().__init__()
        self.snapshots = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [B, classes] of images [B, C, H, W]."""
        logits = torch.stack([network(images) for network in self.snapshots])  # [n, B, classes]
        ensemble_logits: Tensor = logits.log_softmax(-1).logsumexp(0) - math.log(len(self.snapshots))
        return ensemble_logits


@final
class StackedEnsembles:
    """K ensembles of up to m snapshots each. Implements models.protocol.Predictor.

    A run may have fewer snapshots than others; those beyond its number do not count, but have to be finite.

    Attributes:
        networks: K * m networks, the m of each run side by side.
        num_snapshots: [K], int64, the number of snapshots of each run.
        size: m.
    """

    def __init__(self, networks: Predictor, num_runs: int) -> None:
        """Make ensembles of one snapshot each, the first network of each run.

        Args:
            networks: K * m networks, the m of each run side by side.
            num_runs: K.
        """
        self.networks = networks
        first_tensor = next(iter(networks.state_dict().values()))
        self.size = len(first_tensor) // num_runs
        self.num_snapshots = torch.ones(num_runs, dtype=torch.long, device=first_tensor.device)

    @property
    def activations_per_image(self) -> int:
        """The number of values that the layers of all networks produce for one image."""
        return self.networks.activations_per_image

    def __call__(self, images: Tensor, runs_per_stream: Sequence[int]) -> Tensor:
        """Return the logits [K, B, classes] of images [S, B, C, H, W]; runs_per_stream[s] runs read slice s."""
        logits = self.networks(images, [self.size * num_runs for num_runs in runs_per_stream])  # [K * m, B, classes]
        log_probabilities = logits.log_softmax(-1).unflatten(0, (-1, self.size))  # [K, m, B, classes]
        counts = self.num_snapshots.to(log_probabilities.dtype).unsqueeze(1)  # [K, 1]
        is_used = torch.arange(self.size, device=counts.device) < counts
        log_weights = torch.where(is_used, -counts.log(), -torch.inf)  # [K, m]
        ensemble_logits: Tensor = (log_probabilities + log_weights[..., None, None]).logsumexp(1)
        return ensemble_logits

    def eval(self) -> Self:
        """Set evaluation mode, as torch.nn.Module does."""
        self.networks.eval()
        return self

    def state_dict(self) -> dict[str, Tensor]:
        """Return the numbers of snapshots [K], and parameters and buffers by name [K, m, ...]; views, not copies."""
        tensors = self.networks.state_dict().items()
        return {COUNT: self.num_snapshots} | {
            f"{PREFIX}{name}": tensor.unflatten(0, (-1, self.size)) for name, tensor in tensors
        }

    def batch_norms(self) -> Sequence[RunningStatistics]:
        """Return the layers of batch normalization."""
        return self.networks.batch_norms()


def split_snapshots(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a `SnapshotEnsemble` by name, given one run's of `StackedEnsembles`."""
    return {
        f"{PREFIX}{i}.{name.removeprefix(PREFIX)}": tensor[i]
        for name, tensor in state.items()
        if name.startswith(PREFIX)
        for i in range(len(tensor))
    }


def newest_network(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the tensors of the newest snapshot by the names of the network; those of a single network as they are."""
    if COUNT not in state:
        return state
    return {name.removeprefix(PREFIX): tensor[-1] for name, tensor in state.items() if name.startswith(PREFIX)}
