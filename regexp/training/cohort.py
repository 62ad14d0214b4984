"""The cohort: K >= 1 runs on one device, their tensors stacked along a leading run axis."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod

import torch
from torch import Tensor

from regexp.data.dataset import Dataset
from regexp.models.protocol import Architecture
from regexp.models.stacking import slice_of_run
from regexp.training.batches import Batch, EpochImages, draw_epoch
from regexp.training.checkpoints import Checkpoint, take_rows
from regexp.training.early_stopping import EarlyStopping
from regexp.training.evaluated_networks import EvaluatedNetworks, copy_row
from regexp.training.losses.training_loss import stack_loss_terms, training_loss
from regexp.training.losses.user_loss import UserLoss
from regexp.training.member import Member
from regexp.training.metrics import EpochMetrics, UserMetric
from regexp.training.optimizers import StackedOptimizer
from regexp.training.regularizers.adversary import Adversary
from regexp.training.streams import stack_labels
from regexp.utils.counts import batch_sizes
from regexp.utils.device import Backend

# Steps of more runs keep a GPU busy for longer than their launches take, and a graph would only hold memory.
MAX_GRAPH_RUNS = 64
# Gradient norms are measured at this many steps of an epoch, evenly spaced: each costs a pass over all gradients.
GRADIENT_NORMS_PER_EPOCH = 16


class Cohort:
    """K runs that train together, sorted by image stream.

    Attributes:
        members: [K], the runs.
        all_members: all runs that ever were members.
        model: K networks.
        optimizer: the optimizer of all runs.
        streams, stream_keys: [S] each, the image streams and their keys.
        uses_graphs: whether the steps of its epochs are launched as one CUDA graph.
        images, next_images: those of the epoch, and of the next where they have been drawn already.
        runs_per_stream: [S], how many consecutive runs read each image stream.
        evaluated: the networks that are evaluated and kept, and their best weights.
        user_loss, user_metrics: the loss of all runs, if it is one of the user's own, and metrics of the user's own.
        loss_terms: the terms of the loss that any run uses, with the numbers [K] of the runs.
        measured_labels: [K, n], those that each run trains on; None where all runs train on the data set's own.
        epoch, epoch_start: the number of the last epoch that has begun, from 1, and when, on time.perf_counter's clock.
        objective_sums, gradient_norm_sums: [K] each, over the epoch's images, and over some of its steps so far.
        last_checkpoint_time, checkpoint_seconds: when checkpoints were last written, and how long that took.
    """

    def __init__(
        self,
        members: Sequence[Member],
        checkpoints: Sequence[Checkpoint | None],
        architecture: Architecture,
        optimizer: str,
        batch_size: int,
        dataset: Dataset,
        backend: Backend,
        user_loss: UserLoss | None = None,
        user_metrics: Sequence[UserMetric] = (),
    ) -> None:
        """Begin the runs, or go on from their checkpoints.

        Args:
            members: [K], in any order.
            checkpoints: [K], all of the same epoch; None for runs that begin.
            architecture: the architecture of every run's network.
            optimizer: one of training.update_rules.OPTIMIZERS.
            batch_size: images in a step of each run.
            dataset: the data set, on the device.
            backend: the device and precision.
            user_loss: the loss of all runs, if it is one of the user's own.
            user_metrics: metrics of the user's own.
        """
        # Runs that share a stream stand together, and within it those that share hyperparameters.
        order = sorted(range(len(members)), key=lambda k: _sort_key(members[k]))
        self.members = [members[k] for k in order]
        self.all_members = tuple(self.members)
        self.batch_size, self.dataset, self.backend = batch_size, dataset, backend
        self.user_loss, self.user_metrics = user_loss, user_metrics
        self.uses_graphs = backend.graphs and len(members) <= MAX_GRAPH_RUNS
        self.steps_per_epoch = len(batch_sizes(len(dataset.train), batch_size))
        run_settings = [member.settings for member in self.members]
        seeds = [settings.seed for settings in run_settings]
        self.model = architecture.make_model(seeds, [settings.rates for settings in run_settings])
        self.model.to(backend.device, backend.dtype)
        self.epoch = next((checkpoint.metadata["epoch"] for checkpoint in checkpoints if checkpoint is not None), 0)
        self.evaluated = EvaluatedNetworks([settings.averaging for settings in run_settings], self.model, self.epoch)
        self.early_stopping = EarlyStopping([settings.stopping for settings in run_settings])
        self.next_images: EpochImages | None = None
        self.last_checkpoint_time = time.perf_counter()
        self.checkpoint_seconds = 0.0
        checkpoints_to_load = {k: checkpoint for k, i in enumerate(order) if (checkpoint := checkpoints[i]) is not None}
        for k, checkpoint in checkpoints_to_load.items():
            self._restore(k, checkpoint)
        hyperparameters = [settings.hyperparameters for settings in run_settings]
        steps_done = self.epoch * self.steps_per_epoch
        parameters = dict(self.model.named_parameters())
        self.optimizer = StackedOptimizer(
            optimizer, parameters, hyperparameters, steps_done, self.uses_graphs, self.model.overwritten_gradients
        )
        for k, checkpoint in checkpoints_to_load.items():
            self.optimizer.load_run_state(k, checkpoint.tensors_of("optimizer"))
        self._derive_from_members()

    def _restore(self, k: int, checkpoint: Checkpoint) -> None:
        """Restore run k from its checkpoint, except for its optimizer, which does not exist yet."""
        for prefix, stacked in self._weights().items():
            for name, tensor in checkpoint.tensors_of(prefix).items():
                copy_row(stacked[name], k, tensor)
        self.members[k].restore_progress(checkpoint.metadata)
        self.early_stopping.restore_progress(k, checkpoint.metadata)

    def _weights(self) -> dict[str, Mapping[str, Tensor]]:
        """Return the stacked tensors that hold weights, by the prefix of their names in checkpoints."""
        return {"model": self.model.state_dict(), **self.evaluated.tensors()}

    def _derive_from_members(self) -> None:
        """Set the image streams, the measured labels, the loss terms and the sums, which follow from the members."""
        run_settings = [member.settings for member in self.members]
        streams = {settings.stream_key: settings.stream for settings in run_settings}
        self.streams, self.stream_keys = list(streams.values()), list(streams)
        counts = Counter(settings.stream_key for settings in run_settings)
        self.runs_per_stream = [counts[key] for key in streams]
        self.measured_labels = stack_labels(
            self.streams, self.runs_per_stream, self.dataset.train, self.dataset.measured_indices
        )
        loss_settings = [settings.loss for settings in run_settings]
        self.loss_terms = stack_loss_terms(loss_settings, self.backend.dtype, self.backend.device)
        attacks = [settings.attack for settings in run_settings if settings.attack is not None]
        self.adversary = Adversary(attacks, self.dataset.features is None, self.backend) if attacks else None
        sums = torch.zeros(2, len(self.members), dtype=self.backend.sum_dtype, device=self.backend.device)
        self.objective_sums, self.gradient_norm_sums = sums  # [K] each

    def begin_epoch(self) -> None:
        """Draw the epoch's images and dropout, compute its learning rates, and set its sums to zero."""
        self.epoch += 1
        self.epoch_start = time.perf_counter()
        self.model.train()
        images = self._draw_images(self.epoch) if self.next_images is None else self.next_images
        self.images, self.next_images = images.keep_streams(self.stream_keys), None
        seeds = [member.settings.seed for member in self.members]
        sizes = batch_sizes(len(self.dataset.train), self.batch_size)
        self.model.begin_epoch(seeds, self.epoch, sizes)
        if self.adversary is not None:
            self.adversary.begin_epoch(seeds, self.epoch, sizes, prod(self.dataset.measured.images.shape[1:]))
        if self.user_loss is not None:
            self.user_loss.begin_epoch(seeds, self.epoch, self.backend.device)
        self.optimizer.begin_epoch(self.steps_per_epoch, seeds)
        self.evaluated.begin_epoch(self.epoch, self.steps_per_epoch)
        self.objective_sums.zero_()
        self.gradient_norm_sums.zero_()

    @property
    def gradient_norm_steps(self) -> range:
        """The steps of an epoch at which gradient norms are measured.

        The same in every epoch and in every cohort, so that a run's value does not depend on the other runs.
        """
        return range(0, self.steps_per_epoch, max(1, self.steps_per_epoch // GRADIENT_NORMS_PER_EPOCH))

    def batches(self) -> Iterator[Batch]:
        """Yield the epoch's batches: images [S, B, C, H, W], or [K, B, C, H, W] after an attack, and labels [K, B]."""
        for batch in self.images.batches(self.runs_per_stream):
            yield batch if self.adversary is None else self._attack(self.adversary, batch)

    def _attack(self, adversary: Adversary, batch: Batch) -> Batch:
        """Return a batch whose images are changed so that the networks err."""
        runs = slice_of_run(tuple(self.runs_per_stream), batch.images.device)
        return adversary.attack(batch, runs, self.losses, partial(self.model.extra_pass, repeats=False))

    def draw_ahead(self) -> None:
        """Drop the epoch's images. On a GPU, draw those of the next epoch."""
        del self.images
        goes_on = any(member.settings.epochs > self.epoch for member in self.members)
        if self.backend.device.type != "cpu" and goes_on:
            # The device still computes the last steps, and the host would wait for it.
            self.next_images = self._draw_images(self.epoch + 1)

    def _draw_images(self, epoch: int) -> EpochImages:
        streams = dict(zip(self.stream_keys, self.streams, strict=True))
        return draw_epoch(self.dataset.train, streams, self.batch_size, epoch, self.backend.dtype)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [K, B, classes] of images [S, B, C, H, W]."""
        with self.backend.autocast_context():
            logits = self.model(images, self.runs_per_stream)
        return logits.to(self.backend.dtype)

    def losses(self, batch: Batch) -> Tensor:
        """Return each run's mean loss over a batch, [K], in nats."""
        logits = self.forward(batch.images)  # [K, B, classes]
        return training_loss(logits, batch, self.loss_terms, self.user_loss)

    @contextmanager
    def worst_weights_nearby(self) -> Iterator[None]:
        """Let the weights be those of which sharpness-aware minimization takes the gradient, for one more pass."""
        with self.model.extra_pass(repeats=True), self.optimizer.worst_weights_nearby():
            yield

    def step(self, losses: Tensor, batch_size: int) -> None:
        """Update every run's parameters by its gradient. `losses` is [K]; nothing here waits for the device."""
        self.objective_sums.add_(losses.detach(), alpha=batch_size)
        optimizer = self.optimizer
        measures_norms = optimizer.steps_done % self.steps_per_epoch in self.gradient_norm_steps
        norms = optimizer.change_gradients(measures_norms)
        if measures_norms and norms is not None:
            self.gradient_norm_sums += norms
        optimizer.step()
        self.evaluated.end_step((optimizer.steps_done - 1) % self.steps_per_epoch)

    def average_weights(self) -> None:
        """Update the averages that are taken over epochs, or take snapshots of the weights."""
        self.evaluated.end_epoch(self.epoch, self.dataset.cropped_train, self.batch_size, self.backend)

    def end_epoch(self, metrics: Sequence[EpochMetrics]) -> list[bool]:
        """End an epoch: keep the weights that are the best so far, and update early stopping and the schedules.

        Args:
            metrics: [K], the epoch's metrics.

        Returns:
            [K], for each run whether early stopping ends it.
        """
        is_best = [member.update(run_metrics) for member, run_metrics in zip(self.members, metrics, strict=True)]
        self.evaluated.keep_best(is_best)
        scores = [member.score(run_metrics) for member, run_metrics in zip(self.members, metrics, strict=True)]
        for member, score in zip(self.members, scores, strict=True):
            if (plateau := member.settings.hyperparameters.plateau) is not None:
                plateau.update(score)
        training_scores = [
            member.training_score(run_metrics) for member, run_metrics in zip(self.members, metrics, strict=True)
        ]
        is_counted = torch.tensor(self.evaluated.find_counted(self.epoch))
        table = torch.tensor([scores, training_scores], dtype=torch.float64)
        stops: list[bool] = self.early_stopping.update(table[0], table[1], is_counted).tolist()
        return stops

    def keep_runs(self, rows: Sequence[int]) -> None:
        """Remove all runs but those at `rows` from every tensor. Masking would not do, because 0 x NaN is NaN."""
        self.members = [self.members[k] for k in rows]
        if not self.members:
            return
        index = torch.tensor(rows, device=self.backend.device)
        self.optimizer.release_parameters()
        self.model.keep_runs(index)
        self.evaluated.keep_runs(index)
        self.optimizer.keep_runs(index, dict(self.model.named_parameters()))
        self.early_stopping.keep_runs(index.cpu())
        self._derive_from_members()

    def checkpoints(self, rows: Sequence[int]) -> list[Checkpoint]:
        """Return the checkpoints of the runs at `rows`, as they would be if each trained alone."""
        stacked = {
            f"{prefix}/{name}": tensor for prefix, group in self._weights().items() for name, tensor in group.items()
        }
        common_names = list(stacked)
        stacked |= {f"optimizer/{name}": tensor for name, tensor in self.optimizer.state_dict().items()}
        names = [[*common_names, *(f"optimizer/{name}" for name in self.optimizer.state_names(k))] for k in rows]
        progress = [
            {"epoch": self.epoch, **self.members[k].progress(), **self.early_stopping.progress(k)} for k in rows
        ]
        tensors = map(self.evaluated.drop_unused, take_rows(stacked, rows, names))
        return list(map(Checkpoint, tensors, progress))


def _sort_key(member: Member) -> tuple[str, str]:
    """Return the key by which runs are sorted, equal for runs that share image stream and hyperparameters."""
    return member.settings.stream_key, member.settings.hyperparameters.key
