"""The loop against a plain one without a run axis, and what is promised to be the same alone and in company."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import chain, combinations
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.cohorts import DOUBLE, MemoryRecorder, QuietReporter, make_cohort, train_runs
from helpers.data_files import small_dataset_overrides, write_idx
from torch import Tensor, nn

from regexp.config.compose import CONF, compose_job
from regexp.config.schema import OPTIONS
from regexp.data.dataset import scale
from regexp.execution.builders import load_dataset, make_settings
from regexp.models.layers import Dropout
from regexp.training.batches import batches
from regexp.training.loop import train
from regexp.utils.rng import random_stream
from regexp.utils.signals import StopRequest

LOSSES = ("objective", "train_loss", "val_loss")


class RecordedDropout(nn.Module):
    """nn.Dropout that draws as run `seed` of a cohort does."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p, self.generator = p, torch.Generator()

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        bits = torch.empty(x.numel() // 4, dtype=torch.int64).random_(-(2**63), None, generator=self.generator)
        shares = (bits.view(torch.int16).double() + 2**15) / 2**16  # [0, 1)
        keep = shares.view(x.shape[1], x.shape[0]).t() >= round(self.p * 2**16) / 2**16
        return x * keep / (1 - self.p)


def reference(overrides: Sequence[str]) -> tuple[nn.Sequential, dict[str, list[float]]]:
    """One run as a plain loop would train it: nn.Module, torch.optim, no run axis, no early stopping."""
    config = compose_job(overrides).config
    cohort, _ = make_cohort(overrides)
    data, seed = cohort.dataset, config.seed
    model = cohort.model.architecture.make_module().double()
    model.load_state_dict(cohort.model.run_state(0))
    dropouts = []
    for i, layer in enumerate(model):
        if isinstance(layer, nn.Dropout):
            model[i] = RecordedDropout(config.model.dropout)
            dropouts.append(model[i])
    adam = config.optimizer
    optimizer = torch.optim.Adam(model.parameters(), adam.lr, weight_decay=adam.weight_decay)
    smoothing = config.loss.label_smoothing
    history: dict[str, list[float]] = {name: [] for name in LOSSES}
    settings = make_settings(config, data)
    for epoch in range(1, config.epochs + 1):
        model.train()
        generator = random_stream(seed, "dropout", epoch)
        for layer in dropouts:
            layer.generator = generator
        total = 0.0
        for batch in batches(data.train, [settings.stream], [1], config.batch_size, epoch, torch.float64):
            images, labels = batch.images[0], batch.labels[0]
            loss = F.cross_entropy(model(images), labels, label_smoothing=smoothing)
            optimizer.zero_grad()
            (loss + adam.l1 * sum(parameter.abs().sum() for parameter in model.parameters())).backward()
            if adam.clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), adam.clip_norm)
            optimizer.step()
            total += loss.item() * len(labels)
        history["objective"].append(total / len(data.train))
        model.eval()
        with torch.no_grad():
            for name, part in (("train_loss", data.measured), ("val_loss", data.validation)):
                logits = model(scale(part.images, torch.float64))
                history[name].append(F.cross_entropy(logits, part.labels).item())
    return model, history


REFERENCE_RUNS = {
    "plain": [],
    "batch": ["normalization=batch", "augmentation=affine"],
    "layer": ["normalization=layer", "augmentation=shift", "model.activation=gelu"],
    "dropout": ["model.dropout=0.3", "model.hidden_sizes=[32,16]", "loss.label_smoothing=0.1"],
    "penalty": ["optimizer.l1=0.003", "optimizer.clip_norm=0.7"],
    "decay": ["optimizer.weight_decay=0.01", "model.hidden_sizes=[]", "batch_size=100"],
}


@pytest.mark.parametrize("overrides", REFERENCE_RUNS.values(), ids=REFERENCE_RUNS.keys())
def test_a_run_equals_a_plain_loop(overrides: list[str]) -> None:
    overrides = [DOUBLE, "epochs=3", "early_stopping=none", *overrides]
    model, history = reference(overrides)
    [memory] = train_runs(overrides)
    for name in LOSSES:
        assert memory.column(name) == pytest.approx(history[name], abs=1e-9)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(memory.final_result.checkpoint.tensors_of("model")[name], tensor, rtol=0, atol=1e-9)


DIFFERENT = (
    ["seed=1", "optimizer.lr=0.003", "optimizer.l1=0.001", "early_stopping.patience=1"],
    ["seed=2", "model.dropout=0.4", "optimizer.weight_decay=0.001", "epochs=5", "schedule=step", "schedule.gamma=0.3"],
    ["seed=2", "loss.label_smoothing=0.1", "optimizer.clip_norm=0.5", "early_stopping.min_delta=0.05"],
    ["seed=1", "optimizer.lr=0.01", "schedule=cosine", "early_stopping.monitor=val_accuracy"],
)


def assert_same(alone: MemoryRecorder, together: MemoryRecorder, tolerance: float = 1e-9) -> None:
    assert together.final_result.status == alone.final_result.status
    assert len(together.epochs) == len(alone.epochs)
    for name in (*LOSSES, "train_accuracy", "val_accuracy", "gradient_norm", "lr"):
        assert together.column(name) == pytest.approx(alone.column(name), abs=tolerance), name
    for name, tensor in alone.final_result.checkpoint.tensors.items():
        torch.testing.assert_close(together.final_result.checkpoint.tensors[name], tensor, rtol=0, atol=tolerance)
    assert together.final_result.test is not None
    assert alone.final_result.test is not None
    assert together.final_result.test["loss"] == pytest.approx(alone.final_result.test["loss"], abs=tolerance)
    assert torch.equal(together.final_result.confusion, alone.final_result.confusion)


@pytest.mark.parametrize("normalization", list(OPTIONS["normalization"]))
def test_different_runs_train_together_as_they_do_alone(normalization: str) -> None:
    common = [DOUBLE, "epochs=8", f"normalization={normalization}", "augmentation=lesson", "model.hidden_sizes=[16]"]
    runs = [[*common, *own] for own in DIFFERENT]
    together = train_runs(*runs)
    assert len({len(memory.epochs) for memory in together}) > 1, "no run left before the others"
    for overrides, memory in zip(runs, together, strict=True):
        [alone] = train_runs(overrides)
        assert_same(alone, memory)


def test_in_float32_validation_losses_stay_close() -> None:
    common = ["epochs=10", "normalization=batch", "early_stopping=none", "model.hidden_sizes=[32]"]
    runs = [[*common, f"seed={seed}"] for seed in range(3)]
    for overrides, memory in zip(runs, train_runs(*runs), strict=True):
        [alone] = train_runs(overrides)
        assert memory.column("val_loss") == pytest.approx(alone.column("val_loss"), abs=2e-3)


def test_random_numbers_are_the_same_bits_alone_and_together() -> None:
    common = ["augmentation=affine", "model.dropout=0.2", "model.hidden_sizes=[8]"]
    runs = [[*common, "seed=3"], [*common, "seed=4"], [*common, "seed=3", "optimizer.lr=0.1"]]

    def seen(*chosen: list[str]) -> list[tuple[list[Tensor], list[Tensor], Tensor, Tensor]]:
        cohort, memories = make_cohort(*chosen)
        position = {id(member.recorder): k for k, member in enumerate(cohort.members)}
        start = [
            {name: tensor.clone() for name, tensor in cohort.model.run_state(k).items()} for k in range(len(chosen))
        ]
        cohort.begin_epoch()
        images, labels = [], []
        for batch in cohort.batches():
            images.append(batch.images.repeat_interleave(torch.tensor(cohort.runs_per_stream), 0))  # [K, B, C, H, W]
            labels.append(batch.labels)
            cohort.forward(batch.images)
        [dropout] = [layer for layer in cohort.model.modules() if isinstance(layer, Dropout)]
        rows = [position[id(memory)] for memory in memories]
        return [
            (
                [image[k] for image in images],
                [label[k] for label in labels],
                dropout.generators[k].get_state(),
                start[k]["1.weight"],
            )
            for k in rows
        ]

    for overrides, together in zip(runs, seen(*runs), strict=True):
        [alone] = seen(overrides)
        for one, other in zip(chain(*alone[:2], alone[2:]), chain(*together[:2], together[2:]), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("epoch", [1, 3])
@pytest.mark.parametrize("leaving", [*combinations(range(4), 1), (0, 2), (1, 3), (1, 2, 3)])
def test_removing_runs_leaves_the_others_as_they_were(epoch: int, leaving: tuple[int, ...]) -> None:
    common = [DOUBLE, "normalization=batch", "augmentation=lesson", "model.hidden_sizes=[8]", "model.dropout=0.1"]
    runs = [[*common, *own, "epochs=4", "early_stopping=none"] for own in DIFFERENT]
    whole = train_runs(*runs)
    shorter = [[*run, f"epochs={epoch}"] if k in leaving else run for k, run in enumerate(runs)]
    for k, (memory, undisturbed) in enumerate(zip(train_runs(*shorter), whole, strict=True)):
        if k not in leaving:
            assert_same(undisturbed, memory)


def test_a_runs_gradient_norm_does_not_depend_on_its_company() -> None:
    common = [DOUBLE, "epochs=2", "data.train_size=700", "batch_size=8", "early_stopping=none"]
    neighbour = [*common, "optimizer.clip_norm=0.1"]
    [alone], [beside, _] = train_runs(common), train_runs(common, neighbour)
    assert beside.column("gradient_norm") == pytest.approx(alone.column("gradient_norm"), abs=1e-9)


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_an_epoch_that_is_not_finite_is_never_the_best(monitor: str) -> None:
    [memory] = train_runs(["epochs=3", "optimizer.lr=1e38", f"early_stopping.monitor={monitor}"])
    assert memory.final_result.status == "diverged"
    assert memory.final_result.best is None


def test_the_best_weights_are_those_of_the_best_value_whatever_min_delta() -> None:
    overrides = ["epochs=30", "model.hidden_sizes=[8]", "early_stopping.min_delta=0.5", "early_stopping.patience=4"]
    [memory] = train_runs(overrides)
    assert memory.final_result.status == "stopped_early"
    assert memory.final_result.best is not None
    losses = memory.column("val_loss")
    assert memory.final_result.best.values["val_loss"] == min(losses)
    reference, since = losses[0], 0
    for epoch, loss in enumerate(losses[1:], 2):
        reference, since = (loss, 0) if loss < reference - 0.5 else (reference, since + 1)
        assert (since == 4) == (epoch == len(losses))


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_a_diverging_run_disturbs_no_other(schedule: str) -> None:
    common = [DOUBLE, "epochs=5", "model.hidden_sizes=[16]", "normalization=layer", f"schedule={schedule}"]
    good, bad = [*common, "seed=1"], [*common, "seed=1", "optimizer.lr=1e200"]
    healthy, diverged = train_runs(good, bad)
    [alone] = train_runs(good)
    assert_same(alone, healthy)
    assert diverged.final_result.status == "diverged"
    assert not math.isfinite(diverged.final_result.last.values["val_loss"])
    assert len(diverged.epochs) < 5


def test_a_run_that_diverges_late_keeps_its_best_weights() -> None:
    overrides = [DOUBLE, "epochs=6", "model.hidden_sizes=[]"]
    cohort, [memory] = make_cohort(overrides)

    class Breaks(QuietReporter):
        def show_epoch(self, metrics: object) -> None:
            if cohort.epoch == 3:
                cohort.optimizer.parameters["1.weight"].data.fill_(torch.nan)

    train(cohort, Breaks(), StopRequest())
    assert memory.final_result.status == "diverged"
    assert memory.final_result.best is not None
    assert memory.final_result.best.epoch == 3
    assert memory.final_result.test is not None
    assert memory.final_result.test_last is None
    assert all(tensor.isfinite().all() for tensor in memory.final_result.checkpoint.tensors_of("best").values())


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer=adam", "normalization=batch"],
        ["optimizer=adamw", "schedule=cosine", "schedule.warmup_epochs=1.5", "model.dropout=0.2"],
        ["optimizer=sgd", "schedule=onecycle", "augmentation=lesson", "optimizer.clip_norm=1"],
        ["optimizer=rmsprop", "optimizer.momentum=0.5", "schedule=step", "schedule.step_size=2", "optimizer.l1=0.001"],
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_bits(overrides: list[str]) -> None:
    overrides = [*overrides, "epochs=7", "model.hidden_sizes=[16]", "early_stopping.patience=3"]
    [uninterrupted] = train_runs(overrides)
    cohort, [first] = make_cohort(overrides)
    interruption = StopRequest()
    train(cohort, QuietReporter(interruption, last_epoch=3), interruption)
    assert first.result is None
    cohort, [second] = make_cohort(overrides, checkpoints=[first.checkpoint])
    train(cohort, QuietReporter(), StopRequest())
    for name in (*LOSSES, "val_accuracy", "lr", "gradient_norm"):
        assert first.column(name) + second.column(name) == uninterrupted.column(name)
    assert second.final_result.best is not None
    assert uninterrupted.final_result.best is not None
    assert replace(second.final_result.best, seconds=0) == replace(uninterrupted.final_result.best, seconds=0)
    for name, tensor in uninterrupted.final_result.checkpoint.tensors.items():
        assert torch.equal(second.final_result.checkpoint.tensors[name], tensor), name


PLATEAU = ["schedule=plateau", "schedule.patience=0", "schedule.threshold=0.15", "schedule.factor=0.5"]
# The first two of one seed and one schedule, but not of one learning rate for long; the last leaves first.
ON_A_PLATEAU = (
    [*PLATEAU, "early_stopping.monitor=val_loss"],
    [*PLATEAU, "early_stopping.monitor=val_accuracy"],
    [*PLATEAU, "optimizer.l1=0.001", "loss.label_smoothing=0.2"],
    [*PLATEAU, "schedule.cooldown=2", "schedule.threshold=0.3", "seed=1"],
    [],
    [*PLATEAU, "early_stopping.monitor=val_accuracy", "epochs=4", "model.dropout=0.3"],
)
BRIEF = ["epochs=9", "early_stopping=none", "optimizer.lr=0.02", "model.hidden_sizes=[8]", "data.train_size=400"]


def torchs_rates(memory: MemoryRecorder, overrides: Sequence[str]) -> list[float]:
    """What ReduceLROnPlateau makes of the values that a run recorded."""
    config = compose_job(overrides).config
    own, monitor = asdict(config.schedule), config.early_stopping.monitor
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=config.optimizer.lr)
    if own.pop("name") == "constant":
        return [config.optimizer.lr] * len(memory.epochs)
    mode = "max" if monitor == "val_accuracy" else "min"
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode, **own)
    rates = []
    for value in memory.column(monitor):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(value)
    return rates


def test_runs_on_a_plateau_train_together_as_they_do_alone() -> None:
    runs = [[DOUBLE, *BRIEF, *own] for own in ON_A_PLATEAU]
    together = train_runs(*runs)
    for overrides, memory in zip(runs, together, strict=True):
        [alone] = train_runs(overrides)
        assert_same(alone, memory)
        assert memory.column("lr") == pytest.approx(torchs_rates(memory, overrides), rel=1e-12)
    assert together[0].column("lr") != together[1].column("lr")


def test_runs_on_a_plateau_go_on_to_the_same_bits() -> None:
    runs = [[*BRIEF, *own] for own in ON_A_PLATEAU[:5]]
    uninterrupted = train_runs(*runs)
    cohort, first = make_cohort(*runs)
    interruption = StopRequest()
    train(cohort, QuietReporter(interruption, last_epoch=5), interruption)
    assert len({memory.column("lr")[-1] for memory in first}) > 2
    cohort, second = make_cohort(*runs, checkpoints=[memory.checkpoint for memory in first])
    train(cohort, QuietReporter(), StopRequest())
    for before, after, whole in zip(first, second, uninterrupted, strict=True):
        for name in (*LOSSES, "val_accuracy", "lr", "gradient_norm"):
            assert before.column(name) + after.column(name) == whole.column(name)
        for name, tensor in whole.final_result.checkpoint.tensors.items():
            assert torch.equal(after.final_result.checkpoint.tensors[name], tensor), name


def test_the_same_run_gives_the_same_bits() -> None:
    overrides = ["epochs=3", "model.dropout=0.2", "normalization=batch", "augmentation=affine"]
    [first], [second] = train_runs(overrides), train_runs(overrides)
    for name in (*LOSSES, "gradient_norm"):
        assert first.column(name) == second.column(name)


def test_the_kept_weights_are_tested() -> None:
    common = [DOUBLE, "epochs=30", "optimizer.lr=0.05", "model.hidden_sizes=[16]", "early_stopping.patience=3"]
    restoring, lasting = train_runs(common, [*common, "early_stopping.restore_best=false"])
    for memory, part in ((restoring, "best"), (lasting, "model")):
        end = memory.final_result
        assert end.status == "stopped_early"
        assert end.best is not None
        assert end.last.epoch == end.best.epoch + 3
        cohort, _ = make_cohort(common)
        model = cohort.model.architecture.make_module().double().eval()
        for weights, score in ((part, end.test), ("model", end.test_last)):
            model.load_state_dict(end.checkpoint.tensors_of(weights))
            test = cohort.dataset.test
            with torch.no_grad():
                logits = model(scale(test.images, torch.float64))
            assert score["loss"] == pytest.approx(F.cross_entropy(logits, test.labels).item(), abs=1e-9)
            assert score["accuracy"] == pytest.approx((logits.argmax(1) == test.labels).double().mean().item())


def test_without_early_stopping_all_epochs_are_trained() -> None:
    [memory] = train_runs(["epochs=12", "optimizer.lr=0.1", "model.hidden_sizes=[4]", "early_stopping=none"])
    assert memory.final_result.status == "completed"
    assert len(memory.epochs) == 12


def test_a_last_batch_of_one_trains_with_batch_norm() -> None:
    overrides = ["data.train_size=129", "normalization=batch", "epochs=2"]
    [memory] = train_runs(overrides)
    assert memory.final_result.status == "completed"
    assert load_dataset(compose_job(overrides).config).train.labels.numel() % 64 == 1


def test_augmentation_touches_nothing_that_is_measured() -> None:
    overrides = ["epochs=1", "optimizer.lr=1e-30", "early_stopping=none"]
    [plain_images], [augmented] = train_runs(overrides), train_runs([*overrides, "augmentation=affine"])
    for name in ("train_loss", "val_loss"):
        assert augmented.column(name) == plain_images.column(name)
    assert augmented.final_result.test == plain_images.final_result.test
    assert augmented.column("objective") != plain_images.column("objective")


@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])
def test_every_precision_learns(precision: str) -> None:
    [memory] = train_runs(["epochs=15", f"device.precision={precision}", "normalization=batch", "augmentation=none"])
    assert memory.final_result.best is not None
    assert memory.final_result.best.values["val_accuracy"] > 0.93
    expected = torch.float64 if precision == "float64" else torch.float32
    assert memory.final_result.checkpoint.tensors_of("model")["1.weight"].dtype == expected


EVERY_OPTION = sorted(f"{file.parent.name}={file.stem}" for file in CONF.glob("*/*.yaml"))
ON_THIS_MACHINE = [option for option in EVERY_OPTION if option not in ("device=cuda", "device=mps")]


@pytest.mark.parametrize("option", ON_THIS_MACHINE)
def test_every_option_trains(option: str, tmp_path: Path) -> None:
    group, _, name = option.partition("=")
    words = small_dataset_overrides(name, tmp_path / "data") if group == "data" else [option]
    if group == "experiment":
        words.append(f"data.root={write_idx(tmp_path, 'mnist')}")
    [memory] = train_runs([*words, "epochs=2", "model.dropout=0.1", "loss.label_smoothing=0.1"])
    assert memory.final_result.status == "completed"
    if words in ([option], ["data=digits"]):  # what stands for the other data sets is noise
        assert memory.column("objective")[1] < memory.column("objective")[0]


@pytest.mark.slow
@pytest.mark.parametrize("option", [option for option in ON_THIS_MACHINE if not option.startswith("data=")])
def test_every_option_trains_on_mnist(option: str, mnist_root: str) -> None:
    [memory] = train_runs(["data=mnist", f"data.root={mnist_root}", "data.train_size=4000", "epochs=3", option])
    assert memory.final_result.status == "completed"
    assert memory.column("val_accuracy")[-1] > 0.5
