"""The cohort: K >= 1 runs on one device, their tensors stacked along a leading run axis."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import torch
from torch import Tensor

from regexp.data.dataset import Dataset
from regexp.models.mlp import MLP, Architecture, initialize
from regexp.training.batches import Batch, batch_sizes, batches
from regexp.training.early_stopping import EarlyStopping
from regexp.training.member import Checkpoint, Member
from regexp.training.metrics import EpochMetrics
from regexp.training.optimizers import StackedOptimizer
from regexp.utils.device import Compute
from regexp.utils.rng import random_stream

# Gradient norms are measured at this many steps of an epoch, evenly spaced: each costs a pass over all gradients.
NORMS = 16


class Cohort:
    """K runs that train together, sorted by image stream.

    Attributes:
        members: [K].
        everyone: all that ever were members.
        sharing: [S], how many consecutive runs read each image stream.
        best: the best weights so far, by name, [K, ...].
        smoothing: label smoothing [K]; None where it is 0 for all.
        measured_labels: [K, n], those that each run trains on, of the measured images; None where they are as the data
            set has them.
        epoch: the last one begun.
        started: when it was, on time.perf_counter's clock.
        objective: sum over the epoch's images so far of what the optimizer saw [K].
        norms: sum of the gradient norms [K] at `norms_taken` of the epoch's steps.
        saved: when checkpoints were last written, and `saving`: how long it took, in seconds.
    """

    def __init__(
        self,
        members: Sequence[Member],
        states: Sequence[Checkpoint | None],
        architecture: Architecture,
        init: str,
        family: str,
        batch_size: int,
        dataset: Dataset,
        compute: Compute,
    ) -> None:
        """Begin the runs, or go on from their states [K], which are all of one epoch (None: the beginning).

        `dataset` is on the device. With `family` and `init` as in optimization and model.
        """
        # Runs that share a stream stand together, and within it those that share an optimizer's numbers.
        order = sorted(range(len(members)), key=lambda k: (members[k].plan.stream_key, members[k].plan.numbers.key))
        self.members = [members[k] for k in order]
        self.everyone = tuple(self.members)
        self.batch_size, self.dataset, self.compute = batch_size, dataset, compute
        self.steps_per_epoch = len(batch_sizes(len(dataset.train), batch_size))
        plans = [member.plan for member in self.members]
        self.model = MLP(architecture, torch.tensor([plan.dropout for plan in plans], dtype=torch.float64))
        initialize(self.model, [plan.seed for plan in plans], init)
        self.model.to(compute.device, compute.dtype)
        self.best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.early_stopping = EarlyStopping(
            torch.tensor([plan.patience for plan in plans], dtype=torch.float64),
            torch.tensor([plan.min_delta for plan in plans], dtype=torch.float64),
        )
        self.epoch = 0
        self.saved, self.saving = time.perf_counter(), 0.0
        resumed = {k: state for k, i in enumerate(order) if (state := states[i]) is not None}
        for k, state in resumed.items():
            self._restore(k, state)
        numbers = [plan.numbers for plan in plans]
        self.optimizer = StackedOptimizer(family, self._parameters(), numbers, self.epoch * self.steps_per_epoch)
        for k, state in resumed.items():
            self.optimizer.load(k, state.part("optimizer"))
        self._arrange()

    def _parameters(self) -> dict[str, Tensor]:
        return dict(self.model.named_parameters())

    def _restore(self, k: int, state: Checkpoint) -> None:
        """Put run k where its state was, all but its optimizer."""
        for stacked, part in ((self.model.state_dict(), "model"), (self.best, "best")):
            for name, tensor in state.part(part).items():
                stacked[name][k].copy_(tensor)
        member, facts = self.members[k], state.facts
        self.epoch, member.status, member.seconds = facts["epoch"], facts["status"], facts["seconds"]
        member.best, member.last = EpochMetrics.of(facts["best"]), EpochMetrics.of(facts["last"])
        self.early_stopping.best[k], self.early_stopping.waited[k] = facts["reference"], facts["waited"]
        if (memory := member.plan.numbers.memory) is not None:
            memory.restore(facts["schedule"])

    def _arrange(self) -> None:
        """Set up what follows from the members: streams and smoothing."""
        plans = [member.plan for member in self.members]
        keys = [plan.stream_key for plan in plans]
        self.sharing = [keys.count(key) for key in dict.fromkeys(keys)]
        self.streams = list({plan.stream_key: plan.stream for plan in plans}.values())
        self.measured_labels = self._measured_labels()
        smoothing = torch.tensor([plan.label_smoothing for plan in plans], dtype=self.compute.dtype)
        self.smoothing = smoothing.to(self.compute.device) if smoothing.any() else None

    def _measured_labels(self) -> Tensor | None:
        data = self.dataset
        if all(image_stream.labels is None for image_stream in self.streams):
            return None
        own = [
            data.train.labels if image_stream.labels is None else image_stream.labels for image_stream in self.streams
        ]
        labels = torch.stack([labels.index_select(0, data.measured_at) for labels in own])  # [S, n]
        return labels.repeat_interleave(torch.tensor(self.sharing, device=labels.device), 0)  # [K, n]

    def begin_epoch(self) -> None:
        """Fresh dropout streams and sums."""
        self.epoch += 1
        self.started = time.perf_counter()
        self.model.train()
        device, runs = self.compute.device, len(self.members)
        generators = [random_stream(member.plan.seed, "dropout", self.epoch, device) for member in self.members]
        for layer in self.model.dropouts():
            layer.generators = generators
        self.objective, self.norms = torch.zeros(2, runs, dtype=self.compute.sum_dtype, device=device)  # [K] each
        self.norms_taken = 0

    def batches(self) -> Iterator[Batch]:
        """The epoch's images [S, B, C, H, W] and labels [K, B]."""
        train, dtype = self.dataset.train, self.compute.dtype
        return batches(train, self.streams, self.sharing, self.batch_size, self.epoch, dtype)

    def forward(self, images: Tensor) -> Tensor:
        """images [S, B, C, H, W] -> logits [K, B, classes]."""
        with self.compute.arithmetic():
            logits: Tensor = self.model(images, self.sharing)
        return logits.to(self.compute.dtype)

    def step(self, losses: Tensor, batch_size: int) -> None:
        """Let every run follow its gradient. `losses` [K]; nothing here waits for the device."""
        self.objective.add_(losses.detach(), alpha=batch_size)
        if self.optimizer.penalizes:
            self.optimizer.penalize()
        # The same steps of every epoch and in every cohort, so that a run's figure does not depend on its company.
        sampled = self.optimizer.steps % self.steps_per_epoch % max(1, self.steps_per_epoch // NORMS) == 0
        if sampled or self.optimizer.clips:
            norms = self.optimizer.gradient_norms()
            if sampled:
                self.norms += norms
                self.norms_taken += 1
            if self.optimizer.clips:
                self.optimizer.clip(norms)
        self.optimizer.step()

    def note(self, measured: Sequence[EpochMetrics]) -> list[bool]:
        """Take an epoch's metrics [K]; returns which runs early stopping ends."""
        improved = [member.take(metrics) for member, metrics in zip(self.members, measured, strict=True)]
        rows = torch.nonzero(torch.tensor(improved)).flatten().to(self.compute.device)
        if len(rows):
            for name, tensor in self.model.state_dict().items():
                self.best[name].index_copy_(0, rows, tensor.index_select(0, rows))
        scores = [metrics.score(m.plan.monitor) for m, metrics in zip(self.members, measured, strict=True)]
        for member, score in zip(self.members, scores, strict=True):
            if (memory := member.plan.numbers.memory) is not None:
                memory.note(score)
        stops: list[bool] = self.early_stopping.update(torch.tensor(scores, dtype=torch.float64)).tolist()
        return stops

    def keep(self, staying: Sequence[int]) -> None:
        """Remove all other runs from every tensor.

        They are never masked (0 x NaN is NaN), and the rest go on faster.
        """
        self.members = [self.members[k] for k in staying]
        if not self.members:
            return
        rows = torch.tensor(staying, device=self.compute.device)
        self.optimizer.let_go()
        self.model.keep(rows)
        for name in self.best:
            self.best[name] = self.best[name][rows]
        self.optimizer.keep(rows, self._parameters())
        self.early_stopping.keep(rows.cpu())
        self._arrange()

    def state(self, k: int) -> Checkpoint:
        """Run k's, as it would be alone; the tensors are views."""
        member = self.members[k]
        memory = member.plan.numbers.memory
        tensors = {f"model/{name}": tensor for name, tensor in self.model.row(k).items()}
        tensors |= {f"best/{name}": tensor[k] for name, tensor in self.best.items()}
        tensors |= {f"optimizer/{name}": tensor for name, tensor in self.optimizer.row(k).items()}
        facts = {
            "epoch": self.epoch,
            "status": member.status,
            "seconds": member.seconds,
            "best": None if member.best is None else asdict(member.best),
            "last": None if member.last is None else asdict(member.last),
            "reference": float(self.early_stopping.best[k]),
            "waited": float(self.early_stopping.waited[k]),
            "schedule": None if memory is None else memory.state(),
        }
        return Checkpoint(tensors, facts)
