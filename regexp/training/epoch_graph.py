"""CUDA graphs: all steps of an epoch, launched at once."""

from collections.abc import Callable
from typing import final

import torch

from regexp.training.cohort import Cohort


@final
class EpochGraph:
    """The steps of a cohort's epochs as one CUDA graph.

    Small networks keep a GPU waiting: launching a step's operations takes longer than computing them. A graph holds
    the launches of a whole epoch with the addresses of their tensors. So every tensor that differs between epochs must
    be overwritten in its place: `Cohort.begin_epoch` does so, except for the images' draws, which are copied here.

    The first epoch of a cohort is trained without a graph, and so is the first one after runs have left it: that loads
    what a capture may not load. The second one is captured.
    """

    def __init__(self, take_steps: Callable[[Cohort], None]) -> None:
        """Begin without a graph.

        Args:
            take_steps: takes the steps of an epoch. It must not wait for the device, and must do the same in every
                epoch.
        """
        self.take_steps = take_steps
        self.graph: torch.cuda.CUDAGraph | None = None
        self.num_runs = 0

    def __call__(self, cohort: Cohort) -> None:
        """Take the steps of the epoch that the cohort has begun."""
        if len(cohort.members) != self.num_runs:
            self.graph, self.num_runs = None, len(cohort.members)
            self.take_steps(cohort)
            return
        if self.graph is None:
            graph, self.images = torch.cuda.CUDAGraph(), cohort.images
            # A capture is of the current device, and launches nothing yet.
            with torch.cuda.device(cohort.backend.device), torch.cuda.graph(graph):
                self.take_steps(cohort)
            self.graph = graph
        else:
            self.images.copy_draws(cohort.images)
            cohort.optimizer.steps_done += cohort.steps_per_epoch
        self.graph.replay()
