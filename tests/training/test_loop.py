"""The training loop against a plain loop without a run axis, and runs in a cohort against the same runs alone."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import chain, combinations, count
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.cohorts import DOUBLE, MemoryRecorder, QuietReporter, make_cohort, train_runs
from helpers.data_files import small_dataset_overrides, write_idx
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn
from torchvision.ops import StochasticDepth

from regexp.config.compose import compose_job
from regexp.config.hydra_config.search_path import CONF
from regexp.config.schema import OPTIONS, Config
from regexp.config.schemas.optimizer import OptimizerConfig
from regexp.data.dataset import scale
from regexp.execution.builders import load_dataset, make_settings
from regexp.models.regularizing.random_layers import AdditiveNoise, Dropout
from regexp.training.batches import draw_epoch
from regexp.training.loop import train
from regexp.utils.keyed_draws import draw_keys, draw_table, keyed_draws
from regexp.utils.rng import random_stream
from regexp.utils.signals import StopRequest

LOSSES = ("objective", "train_loss", "val_loss")


class RecordedLayer(nn.Module):
    """A random layer that draws as one run of a cohort does; `keys` are those of the epoch's next steps.

    Attributes:
        rate: the probability, or the standard deviation of noise.
        name: the name of its table of draws: "dropout/0", "drop_path/1", "input_dropout/0", "noise/0".
    """

    def __init__(self, rate: float, name: str) -> None:
        super().__init__()
        self.rate, self.name, self.epoch = rate, name, 0
        self.keys: list[Tensor] = []
        self.last_key: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        kind, batch_size = self.name.partition("/")[0], len(x)
        features = 1 if kind == "drop_path" else x[0].numel()
        table = draw_table(self.name, self.epoch, batch_size * features)
        self.last_key = self.keys.pop(0)
        draws = keyed_draws(table, self.last_key[None])[0, : batch_size * features]
        shares = (draws.double() + 2**15) / 2**16  # [0, 1)
        shares = shares.view(x.shape) if kind == "input_dropout" else shares.view(features, batch_size).t()
        if kind == "noise":
            return x + self.rate * torch.special.ndtri(shares + 2**-17).float().double()  # quantiles are rounded
        return x * (shares >= round(self.rate * 2**16) / 2**16) / (1 - self.rate)

    def repeat(self) -> None:
        """Draw in the next pass what the last one drew."""
        if self.last_key is not None:
            self.keys.insert(0, self.last_key)


def replace_random_layers(model: nn.Sequential) -> list[RecordedLayer]:
    """Replace the random layers of a plain model by recorded ones, and return these."""
    recorded_layers = []
    for kind, name in ((nn.Dropout, "dropout"), (StochasticDepth, "drop_path"), (AdditiveNoise, "noise")):
        layers = [(path, layer) for path, layer in model.named_modules() if isinstance(layer, kind)]
        counter = count()
        for path, layer in layers:
            table_name = "input_dropout/0" if path == "input_dropout" else f"{name}/{next(counter)}"
            recorded_layers.append(RecordedLayer(layer.std if kind is AdditiveNoise else layer.p, table_name))
            model.set_submodule(path, recorded_layers[-1])
    return recorded_layers


def train_plain_loop(overrides: Sequence[str]) -> tuple[nn.Sequential, dict[str, list[float]]]:
    """Train one run with nn.Module and torch.optim, without a run axis or early stopping.

    Returns:
        The trained model that was evaluated last, and the LOSSES of each epoch.
    """
    config = compose_job(overrides).config
    cohort, _ = make_cohort(overrides)
    data, seed = cohort.dataset, config.seed
    settings = make_settings(config, data)
    model = cohort.model.architecture.make_module(settings.rates).double()
    model.load_state_dict(cohort.model.run_state(0))
    random_layers = replace_random_layers(model)
    optimizer_config = config.optimizer
    optimizer = torch.optim.Adam(model.parameters(), optimizer_config.lr, weight_decay=optimizer_config.weight_decay)
    smoothing = config.loss.label_smoothing
    average = make_torch_average(model, config)
    history: dict[str, list[float]] = {name: [] for name in LOSSES}
    steps = count()
    for epoch in range(1, config.epochs + 1):
        model.train()
        keys = draw_keys(cohort.steps_per_epoch, random_stream(seed, "dropout", epoch))
        for layer in random_layers:
            layer.epoch, layer.keys = epoch, list(keys)
        noise_keys = iter(draw_keys(cohort.steps_per_epoch, random_stream(seed, "gradient_noise", epoch)))
        loss_sum = 0.0
        images = draw_epoch(data.train, {"": settings.stream}, config.batch_size, epoch, torch.float64)
        for i, batch in enumerate(images.batches([1])):
            images, labels = batch.images[0], batch.labels[0]
            if config.adversarial.name != "none":
                images = attack(model, images, labels, config, i, epoch)
            loss = F.cross_entropy(model(images), labels, label_smoothing=smoothing)
            optimizer.zero_grad()
            (loss + optimizer_config.l1 * sum(parameter.abs().sum() for parameter in model.parameters())).backward()
            if optimizer_config.sam_rho > 0:
                take_sam_gradient(model, images, labels, optimizer_config)
            if optimizer_config.clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), optimizer_config.clip_norm)
            if optimizer_config.gradient_noise > 0:
                add_gradient_noise(model, optimizer_config.gradient_noise, next(steps), next(noise_keys), epoch)
            optimizer.step()
            if average is not None and config.averaging.name == "ema":
                average.update_parameters(model)
            loss_sum += loss.item() * len(labels)
        history["objective"].append(loss_sum / len(data.train))
        evaluated = model
        if average is not None and config.averaging.name == "swa" and epoch > config.averaging.start * config.epochs:
            average.update_parameters(model)
            # Parts that are normalized by themselves are batches here.
            size = getattr(config.normalization, "virtual_batch", None) or config.batch_size
            update_bn(scale(data.cropped_train.images, torch.float64).split(size), average)
        if average is not None and average.n_averaged > 0:
            evaluated = average.module
        evaluated.eval()
        with torch.no_grad():
            for name, split in (("train_loss", data.measured), ("val_loss", data.validation)):
                logits = evaluated(scale(split.images, torch.float64))
                history[name].append(F.cross_entropy(logits, split.labels).item())
    return evaluated, history


def attack(model: nn.Module, originals: Tensor, labels: Tensor, config: Config, i: int, epoch: int) -> Tensor:
    """Change the images of a batch within a bound so that the model errs."""
    adversarial, images = config.adversarial, originals
    steps, step_size = 1, adversarial.epsilon
    if adversarial.name == "pgd":
        steps, step_size = adversarial.steps, 2.5 * adversarial.epsilon / adversarial.steps
        table = draw_table("adversary", epoch, config.batch_size * originals[0].numel())
        key = draw_keys(i + 1, random_stream(config.seed, "adversary", epoch))[i : i + 1]
        draws = keyed_draws(table, key)[0, : originals.numel()].double()
        images = (originals + adversarial.epsilon * (draws.view_as(originals) + 0.5) / 2**15).clamp(0, 1)
    random_layers = [layer for layer in model.modules() if isinstance(layer, RecordedLayer)]
    for _ in range(steps):
        images.requires_grad_()
        with batch_statistics_kept(model):
            loss = F.cross_entropy(model(images), labels)
        for layer in random_layers:
            layer.repeat()
        [gradient] = torch.autograd.grad(loss, images)
        step = images.detach() + step_size * gradient.sign()
        images = step.clamp(originals - adversarial.epsilon, originals + adversarial.epsilon).clamp(0, 1)
    num_changed = math.ceil(adversarial.share * len(labels))
    return torch.cat([images[:num_changed], originals[num_changed:]])


@contextmanager
def batch_statistics_kept(model: nn.Module) -> Iterator[None]:
    """Let passes in training mode leave the running statistics of BatchNorm as they are."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm1d)]
    for layer in layers:
        layer.track_running_stats = False
    yield
    for layer in layers:
        layer.track_running_stats = True


def add_gradient_noise(model: nn.Module, eta: float, step: int, key: Tensor, epoch: int) -> None:
    """Add noise to the gradients, drawn as one run of a cohort does."""
    for name, parameter in model.named_parameters():
        table = draw_table(f"gradient_noise/{name}", epoch, parameter.numel())
        draws = keyed_draws(table, key[None])[0, : parameter.numel()]
        noise = torch.special.ndtri((draws.double() + 2**15 + 0.5) / 2**16).float().double()
        parameter.grad += (eta / (1 + step) ** 0.55) ** 0.5 * noise.view_as(parameter)


def take_sam_gradient(model: nn.Module, images: Tensor, labels: Tensor, config: OptimizerConfig) -> None:
    """Replace the gradients of a step by those of sharpness-aware minimization, with the same draws."""
    parameters = list(model.parameters())
    weights = [parameter.detach().clone() for parameter in parameters]
    sizes = [weight.abs() if config.sam_adaptive else torch.ones_like(weight) for weight in weights]
    gradients = [parameter.grad * size for parameter, size in zip(parameters, sizes, strict=True)]
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    with torch.no_grad():
        for parameter, gradient, size in zip(parameters, gradients, sizes, strict=True):
            parameter += config.sam_rho * size * gradient / norm
            parameter.grad = None
    for layer in model.modules():
        if isinstance(layer, RecordedLayer):
            layer.repeat()
    with batch_statistics_kept(model):
        F.cross_entropy(model(images), labels).backward()
    with torch.no_grad():
        for parameter, weight in zip(parameters, weights, strict=True):
            parameter.copy_(weight)


def make_torch_average(model: nn.Module, config: Config) -> AveragedModel | None:
    """Return torch's average of the weights of a model."""

    def update(average: Tensor, newest: Tensor, count: Tensor) -> Tensor:
        decay = min(config.averaging.decay, (1 + count.item()) / (10 + count.item()))
        return decay * average + (1 - decay) * newest

    if config.averaging.name == "ema":
        return AveragedModel(model, avg_fn=update, use_buffers=True)
    return AveragedModel(model) if config.averaging.name == "swa" else None


REFERENCE_RUNS = {
    "plain": [],
    "batch": ["normalization=batch", "augmentation=affine"],
    "layer": ["normalization=layer", "augmentation=shift", "model.activation=gelu"],
    "dropout": ["model.dropout=0.3", "model.hidden_sizes=[32,16]", "loss.label_smoothing=0.1"],
    "residual": ["model.residual=true", "model.hidden_sizes=[9,9,9]", "model.drop_path=0.4", "model.dropout=0.2"],
    "noise": ["model.noise=0.3", "model.hidden_sizes=[9,9]", "model.residual=true", "model.dropout=0.2"],
    "input": ["model.input_dropout=0.2", "model.noise=0.1", "augmentation=shift"],
    "ghost": ["normalization=batch", "normalization.virtual_batch=20", "model.hidden_sizes=[9,9]"],
    "penalty": ["optimizer.l1=0.003", "optimizer.clip_norm=0.7"],
    "sam": ["optimizer.sam_rho=0.1", "normalization=batch", "model.dropout=0.2", "optimizer.clip_norm=0.7"],
    "adaptive sam": ["optimizer.sam_rho=1", "optimizer.sam_adaptive=true", "normalization=layer"],
    "gradient noise": ["optimizer.gradient_noise=0.01", "optimizer.clip_norm=0.7"],
    "fgsm": ["adversarial=fgsm", "normalization=batch", "model.dropout=0.2"],
    "pgd": ["adversarial=pgd", "adversarial.steps=2", "adversarial.share=0.8", "normalization=batch"],
    "ema": ["averaging=ema", "averaging.decay=0.8", "normalization=batch"],
    "swa": ["averaging=swa", "averaging.start=0.4", "normalization=batch"],
    "ghost sam": ["optimizer.sam_rho=0.1", "normalization=batch", "normalization.virtual_batch=20", "model.noise=0.2"],
    "ghost swa": ["averaging=swa", "averaging.start=0.4", "normalization=batch", "normalization.virtual_batch=50"],
    "cropped swa": ["averaging=swa", "averaging.start=0.4", "normalization=batch", "augmentation=crop"],
    "decay": ["optimizer.weight_decay=0.01", "model.hidden_sizes=[]", "batch_size=100"],
}


@pytest.mark.parametrize("overrides", REFERENCE_RUNS.values(), ids=REFERENCE_RUNS.keys())
def test_a_run_equals_a_plain_loop(overrides: list[str]) -> None:
    overrides = [DOUBLE, "epochs=3", "early_stopping=none", *overrides]
    model, history = train_plain_loop(overrides)
    [recorder] = train_runs(overrides)
    for name in LOSSES:
        assert recorder.column(name) == pytest.approx(history[name], abs=1e-9)
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):  # torch averages the counts, too
            continue
        torch.testing.assert_close(recorder.final_result.checkpoint.last_weights[name], tensor, rtol=0, atol=1e-9)


DIFFERENT_RUNS = (
    ["seed=1", "optimizer.lr=0.003", "optimizer.l1=0.001", "early_stopping.patience=1"],
    ["seed=2", "model.dropout=0.4", "optimizer.weight_decay=0.001", "epochs=5", "schedule=step", "schedule.gamma=0.3"],
    ["seed=2", "loss.label_smoothing=0.1", "optimizer.clip_norm=0.5", "early_stopping.min_delta=0.05"],
    ["seed=1", "optimizer.lr=0.01", "schedule=cosine", "early_stopping.monitor=val_accuracy"],
)


def assert_equal_results(alone: MemoryRecorder, in_cohort: MemoryRecorder, tolerance: float = 1e-9) -> None:
    assert in_cohort.final_result.status == alone.final_result.status
    assert len(in_cohort.epochs) == len(alone.epochs)
    for name in (*LOSSES, "train_accuracy", "val_accuracy", "gradient_norm", "lr"):
        assert in_cohort.column(name) == pytest.approx(alone.column(name), abs=tolerance), name
    for name, tensor in alone.final_result.checkpoint.tensors.items():
        torch.testing.assert_close(in_cohort.final_result.checkpoint.tensors[name], tensor, rtol=0, atol=tolerance)
    assert in_cohort.final_result.test is not None
    assert alone.final_result.test is not None
    assert in_cohort.final_result.test["loss"] == pytest.approx(alone.final_result.test["loss"], abs=tolerance)
    assert torch.equal(in_cohort.final_measures.confusion_matrix, alone.final_measures.confusion_matrix)


@pytest.mark.parametrize(
    "normalization",
    [
        *(
            pytest.param(name, marks=[pytest.mark.slow] * (name in ("group", "rms")))
            for name in OPTIONS["normalization"]
        ),
        "batch normalization.virtual_batch=20",
    ],
)
def test_different_runs_train_in_a_cohort_as_they_do_alone(normalization: str) -> None:
    words = f"normalization={normalization}".split()
    common = [DOUBLE, "epochs=8", *words, "augmentation=lesson", "model.hidden_sizes=[32]"]
    runs = [[*common, *run_overrides] for run_overrides in DIFFERENT_RUNS]
    recorders = train_runs(*runs)
    assert len({len(recorder.epochs) for recorder in recorders}) > 1, "no run ended before the others"
    for overrides, recorder in zip(runs, recorders, strict=True):
        [alone] = train_runs(overrides)
        assert_equal_results(alone, recorder)


def test_validation_losses_in_a_cohort_stay_close_in_float32() -> None:
    common = ["epochs=10", "normalization=batch", "early_stopping=none", "model.hidden_sizes=[32]"]
    runs = [[*common, f"seed={seed}"] for seed in range(3)]
    for overrides, recorder in zip(runs, train_runs(*runs), strict=True):
        [alone] = train_runs(overrides)
        assert recorder.column("val_loss") == pytest.approx(alone.column("val_loss"), abs=2e-3)


def test_random_draws_are_the_same_bits_alone_and_in_a_cohort() -> None:
    common = ["augmentation=affine", "model.dropout=0.2", "model.hidden_sizes=[8]"]
    runs = [[*common, "seed=3"], [*common, "seed=4"], [*common, "seed=3", "optimizer.lr=0.1"]]

    def draws(*cohort_runs: list[str]) -> list[tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]]:
        """Return each run's images and labels of an epoch, dropout masks, and initial weights."""
        cohort, recorders = make_cohort(*cohort_runs)
        position = {id(member.recorder): k for k, member in enumerate(cohort.members)}
        initial_states = [
            {name: tensor.clone() for name, tensor in cohort.model.run_state(k).items()}
            for k in range(len(cohort_runs))
        ]
        cohort.begin_epoch()
        images, labels, masks = [], [], []
        _, dropout = (layer for layer in cohort.model.modules() if isinstance(layer, Dropout))
        dropout.register_forward_pre_hook(lambda layer, args: torch.ones_like(args[0]))
        dropout.register_forward_hook(lambda layer, args, output: masks.append(output))
        for batch in cohort.batches():
            images.append(batch.images.repeat_interleave(torch.tensor(cohort.runs_per_stream), 0))  # [K, B, C, H, W]
            labels.append(batch.labels)
            cohort.forward(batch.images)
        rows = [position[id(recorder)] for recorder in recorders]
        return [
            (
                [image[k] for image in images],
                [label[k] for label in labels],
                [mask[k] for mask in masks],
                initial_states[k]["1.weight"],
            )
            for k in rows
        ]

    for overrides, in_cohort in zip(runs, draws(*runs), strict=True):
        [alone] = draws(overrides)
        for tensor_alone, tensor_in_cohort in zip(
            chain(*alone[:3], alone[3:]), chain(*in_cohort[:3], in_cohort[3:]), strict=True
        ):
            assert torch.equal(tensor_alone, tensor_in_cohort)


@pytest.mark.parametrize("epoch", [1, 3])
@pytest.mark.parametrize("shortened", [*combinations(range(4), 1), (0, 2), (1, 3), (1, 2, 3)])
def test_runs_that_end_early_do_not_change_the_others(epoch: int, shortened: tuple[int, ...]) -> None:
    common = [DOUBLE, "normalization=batch", "augmentation=lesson", "model.hidden_sizes=[8]", "model.dropout=0.1"]
    runs = [[*common, *run_overrides, "epochs=4", "early_stopping=none"] for run_overrides in DIFFERENT_RUNS]
    full_length = train_runs(*runs)
    shorter_runs = [[*run, f"epochs={epoch}"] if k in shortened else run for k, run in enumerate(runs)]
    for k, (recorder, undisturbed) in enumerate(zip(train_runs(*shorter_runs), full_length, strict=True)):
        if k not in shortened:
            assert_equal_results(undisturbed, recorder)


def test_a_runs_gradient_norm_does_not_depend_on_its_cohort() -> None:
    common = [DOUBLE, "epochs=2", "data.train_size=700", "batch_size=8", "early_stopping=none"]
    neighbour = [*common, "optimizer.clip_norm=0.1"]
    [alone], [in_cohort, _] = train_runs(common), train_runs(common, neighbour)
    assert in_cohort.column("gradient_norm") == pytest.approx(alone.column("gradient_norm"), abs=1e-9)


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_an_epoch_that_is_not_finite_is_never_the_best(monitor: str) -> None:
    [recorder] = train_runs(["epochs=3", "optimizer.lr=1e38", f"early_stopping.monitor={monitor}"])
    assert recorder.final_result.status == "diverged"
    assert recorder.final_result.best is None


def test_the_best_weights_have_the_best_value_even_within_min_delta() -> None:
    overrides = ["epochs=30", "model.hidden_sizes=[8]", "early_stopping.min_delta=0.5", "early_stopping.patience=4"]
    [recorder] = train_runs(overrides)
    assert recorder.final_result.status == "stopped_early"
    assert recorder.final_result.best is not None
    losses = recorder.column("val_loss")
    assert recorder.final_result.best.values["val_loss"] == min(losses)
    best_loss, epochs_since_best = losses[0], 0
    for epoch, loss in enumerate(losses[1:], 2):
        best_loss, epochs_since_best = (loss, 0) if loss < best_loss - 0.5 else (best_loss, epochs_since_best + 1)
        assert (epochs_since_best == 4) == (epoch == len(losses))


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_a_diverging_run_does_not_change_the_others(schedule: str) -> None:
    common = [DOUBLE, "epochs=5", "model.hidden_sizes=[16]", "normalization=layer", f"schedule={schedule}"]
    good, bad = [*common, "seed=1"], [*common, "seed=1", "optimizer.lr=1e200"]
    healthy, diverged = train_runs(good, bad)
    [alone] = train_runs(good)
    assert_equal_results(alone, healthy)
    assert diverged.final_result.status == "diverged"
    assert not math.isfinite(diverged.final_result.last.values["val_loss"])
    assert len(diverged.epochs) < 5


def test_a_run_that_diverges_late_keeps_its_best_weights() -> None:
    overrides = [DOUBLE, "epochs=6", "model.hidden_sizes=[]"]
    cohort, [recorder] = make_cohort(overrides)

    class WeightBreakingReporter(QuietReporter):
        def show_epoch(self, metrics: object) -> None:
            if cohort.epoch == 3:
                cohort.optimizer.parameters["1.weight"].data.fill_(torch.nan)

    train(cohort, WeightBreakingReporter(), StopRequest())
    assert recorder.final_result.status == "diverged"
    assert recorder.final_result.best is not None
    assert recorder.final_result.best.epoch == 3
    assert recorder.final_result.test is not None
    assert recorder.final_result.test_last is None
    assert all(tensor.isfinite().all() for tensor in recorder.final_result.checkpoint.tensors_of("best").values())


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer=adam", "normalization=batch"],
        ["optimizer=adam", "normalization=batch", "normalization.virtual_batch=16"],
        ["optimizer=adamw", "schedule=cosine", "schedule.warmup_epochs=1.5", "model.dropout=0.2"],
        ["optimizer=sgd", "schedule=onecycle", "augmentation=lesson", "optimizer.clip_norm=1"],
        ["optimizer=rmsprop", "optimizer.momentum=0.5", "schedule=step", "schedule.step_size=2", "optimizer.l1=0.001"],
    ],
)
def test_a_resumed_run_ends_with_the_same_bits_as_an_uninterrupted_run(overrides: list[str]) -> None:
    overrides = [*overrides, "epochs=7", "model.hidden_sizes=[16]", "early_stopping.patience=3"]
    [uninterrupted] = train_runs(overrides)
    cohort, [first] = make_cohort(overrides)
    stop_request = StopRequest()
    train(cohort, QuietReporter(stop_request, last_epoch=3), stop_request)
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
# The first two have the same seed and schedule, but their learning rates soon differ. The last run ends first.
PLATEAU_RUNS = (
    [*PLATEAU, "early_stopping.monitor=val_loss"],
    [*PLATEAU, "early_stopping.monitor=val_accuracy"],
    [*PLATEAU, "optimizer.l1=0.001", "loss.label_smoothing=0.2"],
    [*PLATEAU, "schedule.cooldown=2", "schedule.threshold=0.3", "seed=1"],
    [],
    [*PLATEAU, "early_stopping.monitor=val_accuracy", "epochs=4", "model.dropout=0.3"],
)
SHORT = ["epochs=9", "early_stopping=none", "optimizer.lr=0.02", "model.hidden_sizes=[8]", "data.train_size=400"]


def reduce_on_plateau_rates(recorder: MemoryRecorder, overrides: Sequence[str]) -> list[float]:
    """Return the learning rates that ReduceLROnPlateau sets for the values that a run recorded."""
    config = compose_job(overrides).config
    arguments, monitor = asdict(config.schedule), config.early_stopping.monitor
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=config.optimizer.lr)
    if arguments.pop("name") == "constant":
        return [config.optimizer.lr] * len(recorder.epochs)
    mode = "max" if monitor == "val_accuracy" else "min"
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode, **arguments)
    rates = []
    for value in recorder.column(monitor):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(value)
    return rates


def test_runs_with_a_plateau_schedule_train_in_a_cohort_as_they_do_alone() -> None:
    runs = [[DOUBLE, *SHORT, *run_overrides] for run_overrides in PLATEAU_RUNS]
    recorders = train_runs(*runs)
    for overrides, recorder in zip(runs, recorders, strict=True):
        [alone] = train_runs(overrides)
        assert_equal_results(alone, recorder)
        assert recorder.column("lr") == pytest.approx(reduce_on_plateau_rates(recorder, overrides), rel=1e-12)
    assert recorders[0].column("lr") != recorders[1].column("lr")


def test_resumed_runs_with_a_plateau_schedule_end_with_the_same_bits() -> None:
    runs = [[*SHORT, *run_overrides] for run_overrides in PLATEAU_RUNS[:5]]
    uninterrupted = train_runs(*runs)
    cohort, first = make_cohort(*runs)
    stop_request = StopRequest()
    train(cohort, QuietReporter(stop_request, last_epoch=5), stop_request)
    assert len({recorder.column("lr")[-1] for recorder in first}) > 2
    cohort, second = make_cohort(*runs, checkpoints=[recorder.checkpoint for recorder in first])
    train(cohort, QuietReporter(), StopRequest())
    for before_stop, after_stop, full in zip(first, second, uninterrupted, strict=True):
        for name in (*LOSSES, "val_accuracy", "lr", "gradient_norm"):
            assert before_stop.column(name) + after_stop.column(name) == full.column(name)
        for name, tensor in full.final_result.checkpoint.tensors.items():
            assert torch.equal(after_stop.final_result.checkpoint.tensors[name], tensor), name


def test_the_same_run_gives_the_same_bits_again() -> None:
    overrides = ["epochs=3", "model.dropout=0.2", "normalization=batch", "augmentation=affine"]
    [first], [second] = train_runs(overrides), train_runs(overrides)
    for name in (*LOSSES, "gradient_norm"):
        assert first.column(name) == second.column(name)


def test_the_weights_that_restore_best_selects_are_tested() -> None:
    common = [DOUBLE, "epochs=30", "optimizer.lr=0.05", "model.hidden_sizes=[16]", "early_stopping.patience=3"]
    with_best, with_last = train_runs(common, [*common, "early_stopping.restore_best=false"])
    for recorder, tested_weights in ((with_best, "best"), (with_last, "model")):
        result = recorder.final_result
        assert result.status == "stopped_early"
        assert result.best is not None
        assert result.last.epoch == result.best.epoch + 3
        cohort, _ = make_cohort(common)
        model = cohort.model.architecture.make_module().double().eval()
        for weights, test_metrics in ((tested_weights, result.test), ("model", result.test_last)):
            model.load_state_dict(result.checkpoint.tensors_of(weights))
            test = cohort.dataset.test
            with torch.no_grad():
                logits = model(scale(test.images, torch.float64))
            assert test_metrics["loss"] == pytest.approx(F.cross_entropy(logits, test.labels).item(), abs=1e-9)
            assert test_metrics["accuracy"] == pytest.approx((logits.argmax(1) == test.labels).double().mean().item())


def test_without_early_stopping_all_epochs_are_trained() -> None:
    [recorder] = train_runs(["epochs=12", "optimizer.lr=0.1", "model.hidden_sizes=[4]", "early_stopping=none"])
    assert recorder.final_result.status == "completed"
    assert len(recorder.epochs) == 12


def test_batch_norm_trains_where_a_last_batch_would_hold_one_image() -> None:
    overrides = ["data.train_size=129", "normalization=batch", "epochs=2"]
    [recorder] = train_runs(overrides)
    assert recorder.final_result.status == "completed"
    assert load_dataset(compose_job(overrides).config).train.labels.numel() % 64 == 1


def test_losses_are_measured_on_images_without_augmentation() -> None:
    overrides = ["epochs=1", "optimizer.lr=1e-30", "early_stopping=none"]
    [plain], [augmented] = train_runs(overrides), train_runs([*overrides, "augmentation=affine"])
    for name in ("train_loss", "val_loss"):
        assert augmented.column(name) == plain.column(name)
    assert augmented.final_result.test == plain.final_result.test
    assert augmented.column("objective") != plain.column("objective")


@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])
def test_every_precision_learns(precision: str) -> None:
    [recorder] = train_runs(["epochs=15", f"device.precision={precision}", "normalization=batch", "augmentation=none"])
    assert recorder.final_result.best is not None
    assert recorder.final_result.best.values["val_accuracy"] > 0.93
    expected = torch.float64 if precision == "float64" else torch.float32
    assert recorder.final_result.checkpoint.tensors_of("model")["1.weight"].dtype == expected


OPTION_FILES = sorted(f"{file.parent.name}={file.stem}" for file in CONF.glob("*/*.yaml"))
CPU_OPTIONS = [option for option in OPTION_FILES if option not in ("device=cuda", "device=mps", "model=module")]


# The other experiments differ from these in numbers; all are composed in tests/config/test_compose.py.
FAST_EXPERIMENTS = ("experiment=lesson", "experiment=mnist_cnn")
OPTION_CASES = [
    pytest.param(
        option, marks=pytest.mark.slow if option[:10] == "experiment" and option not in FAST_EXPERIMENTS else []
    )
    for option in CPU_OPTIONS
]


@pytest.mark.parametrize("option", OPTION_CASES)
def test_every_option_trains(option: str, tmp_path: Path) -> None:
    group, _, name = option.partition("=")
    overrides = small_dataset_overrides(name, tmp_path / "data") if group == "data" else [option]
    if group == "experiment":
        overrides += [f"data.root={write_idx(tmp_path, 'mnist')}", "data.val_size=10", "data.train_size=null"]
    [recorder] = train_runs([*overrides, "epochs=2", "model.dropout=0.1", "loss.label_smoothing=0.1"])
    assert recorder.final_result.status == "completed"
    if overrides in ([option], ["data=digits"]):  # the stand-ins for the other data sets are noise
        assert recorder.column("objective")[1] < recorder.column("objective")[0]


# Its network of sigmoid units learns nothing in three epochs without BatchNorm, which is what it shows.
MNIST_OPTIONS = [
    "experiment=ioffe2015 normalization=batch" if option == "experiment=ioffe2015" else option
    for option in CPU_OPTIONS
    if not option.startswith("data=")
]


@pytest.mark.slow
@pytest.mark.parametrize("option", MNIST_OPTIONS)
def test_every_option_trains_on_mnist(option: str, mnist_root: str) -> None:
    overrides = ["data=mnist", f"data.root={mnist_root}", "data.train_size=4000", "epochs=3", *option.split()]
    [recorder] = train_runs(overrides)
    assert recorder.final_result.status == "completed"
    assert recorder.column("val_accuracy")[-1] > 0.5
