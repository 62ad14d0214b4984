"""Stacked layers against torch's own, run by run, in float64."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from regexp.config.schemas import model as model_schema
from regexp.models.layers import ACTIVATIONS, Linear
from regexp.models.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from regexp.models.regularizing.ghost_batch_norm import GhostBatchNorm1d, GhostBatchNorm2d
from regexp.models.regularizing.random_layers import _ENTRIES, AdditiveNoise, Dropout, Noise
from regexp.models.stacking import keep_rows
from regexp.utils.keyed_draws import draw_keys, draw_table, keyed_draws

close = partial(assert_close, rtol=0, atol=1e-12)
RUNS, BATCH, FEATURES, GROUPS = 3, 7, 6, 2


def randomized(layer: nn.Module) -> nn.Module:
    layer = layer.double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


def load_run_into(layer: nn.Module, k: int, plain_layer: nn.Module) -> nn.Module:
    """Load run k's slice of every tensor into torch's layer, and return that layer in the same mode."""
    plain_layer.double().load_state_dict({name: tensor[k] for name, tensor in layer.state_dict().items()}, strict=True)
    return plain_layer.train(layer.training)


def random_leaf(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


@pytest.mark.parametrize("runs_per_stream", [[1], [4], [1, 1, 1], [2, 2], [2, 1, 3], [1, 5]], ids=str)
def test_each_run_of_linear_equals_torchs_layer(runs_per_stream: list[int]) -> None:
    layer = randomized(Linear(sum(runs_per_stream), 4, FEATURES))
    x = random_leaf(len(runs_per_stream), BATCH, 4)
    upstream = torch.randn(sum(runs_per_stream), BATCH, FEATURES, dtype=torch.float64)
    x_copy = x.detach().clone().requires_grad_()
    y = layer(x, runs_per_stream)
    y.backward(upstream)
    streams = [s for s, runs in enumerate(runs_per_stream) for _ in range(runs)]
    for k, s in enumerate(streams):
        plain_layer = load_run_into(layer, k, nn.Linear(4, FEATURES))
        expected = plain_layer(x_copy[s])
        expected.backward(upstream[k])
        close(y[k], expected)
        close(gradient(layer.weight)[k], gradient(plain_layer.weight))
        close(gradient(layer.bias)[k], gradient(plain_layer.bias))
    close(gradient(x), gradient(x_copy))


def test_linear_needs_no_runs_per_stream_where_all_runs_or_none_share_a_stream() -> None:
    layer, x = randomized(Linear(RUNS, 4, FEATURES)), random_leaf(RUNS, BATCH, 4)
    close(layer(x), layer(x, [1] * RUNS))
    close(layer(x[:1]), layer(x[:1], [RUNS]))


# For each size of virtual batches, the first and last image of each part of BATCH images.
PARTS = {
    2: [(0, 2), (2, 4), (4, 7)],  # a last part of one image joins the one before
    3: [(0, 3), (3, 7)],
    4: [(0, 4), (4, 7)],
    5: [(0, 5), (5, 7)],
    6: [(0, 7)],
    7: [(0, 7)],
    9: [(0, 7)],
}


class PartwiseBatchNorm(nn.BatchNorm1d):
    """torch's BatchNorm, applied to one part of a batch after the other."""

    def __init__(self, virtual_batch: int) -> None:
        super().__init__(FEATURES, 1e-3, 0.3)
        self.virtual_batch = virtual_batch

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        return torch.cat([nn.BatchNorm1d.forward(self, x[i:j]) for i, j in PARTS[self.virtual_batch]])


@pytest.mark.parametrize("virtual_batch", PARTS)
def test_ghost_batch_norm_of_one_run_is_torchs_on_the_parts(virtual_batch: int) -> None:
    expected = PartwiseBatchNorm(virtual_batch).double()
    units = GhostBatchNorm1d(FEATURES, 1e-3, 0.3, virtual_batch).double()
    channels = GhostBatchNorm2d(FEATURES, 1e-3, 0.3, virtual_batch).double()
    for training in (True, True, False, True):
        x = torch.randn(BATCH, FEATURES, dtype=torch.float64)
        y = expected.train(training)(x)
        close(units.train(training)(x), y)
        close(channels.train(training)(x.view(BATCH, FEATURES, 1, 1)).flatten(1), y)
    for name, buffer in expected.named_buffers():
        close(units.get_buffer(name), buffer)
        close(channels.get_buffer(name), buffer)
    assert all(f", virtual_batch={virtual_batch})" in repr(layer) for layer in (units, channels))


def test_an_extra_pass_keeps_the_statistics_of_the_parts() -> None:
    layer, x = BatchNorm(RUNS, FEATURES, 1e-3, 0.3, 3), random_leaf(RUNS, BATCH, FEATURES).float()
    layer.keeps_statistics = False
    y = layer(x)
    assert not layer.running_mean.any()
    layer.keeps_statistics = True
    assert torch.equal(layer(x), y)
    assert layer.running_mean.all()


# The output of a Linear is stored as [B, K, C] where its runs share their images, otherwise as [K, B, C].
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("stacked", "make_plain"),
    [
        (BatchNorm(RUNS, FEATURES, 1e-3, 0.3), lambda: nn.BatchNorm1d(FEATURES, 1e-3, 0.3)),
        *((BatchNorm(RUNS, FEATURES, 1e-3, 0.3, v), partial(PartwiseBatchNorm, v)) for v in PARTS),
        (LayerNorm(RUNS, FEATURES, 1e-3), lambda: nn.LayerNorm(FEATURES, 1e-3)),
        (GroupNorm(RUNS, GROUPS, FEATURES, 1e-3), lambda: nn.GroupNorm(GROUPS, FEATURES, 1e-3)),
        (RMSNorm(RUNS, FEATURES, 1e-3), lambda: nn.RMSNorm(FEATURES, 1e-3)),
    ],
    ids=["batch", *(f"virtual batch {v}" for v in PARTS), "layer", "group", "rms"],
)
def test_each_run_of_a_normalization_equals_torchs_layer(stacked, make_plain, transposed: bool) -> None:
    stacked = randomized(stacked).train()
    plain_layers = [load_run_into(stacked, k, make_plain()) for k in range(RUNS)]
    for training in (True, True, True, False, True, False):
        stacked.train(training).zero_grad()
        if training and isinstance(stacked, BatchNorm):
            stacked.begin_epoch([BATCH])
        x = torch.randn(BATCH, RUNS, FEATURES, dtype=torch.float64).transpose(0, 1) * 3 + 1
        x = (x if transposed else x.contiguous()).requires_grad_()
        upstream = torch.randn(RUNS, BATCH, FEATURES, dtype=torch.float64)
        y = stacked(x)
        y.backward(upstream)
        for k, plain_layer in enumerate(plain_layers):
            plain_layer.train(training).zero_grad()
            x_copy = x[k].detach().clone().requires_grad_()
            expected = plain_layer(x_copy)
            expected.backward(upstream[k])
            close(y[k], expected)
            close(gradient(x)[k], gradient(x_copy))
            for name, parameter in plain_layer.named_parameters():
                close(gradient(stacked.get_parameter(name))[k], gradient(parameter))
            for name, buffer in plain_layer.named_buffers():
                close(stacked.get_buffer(name)[k], buffer)


def test_batch_norm_refuses_a_single_image_only_in_training() -> None:
    layer, x = BatchNorm(RUNS, FEATURES, 1e-5, 0.1), torch.randn(RUNS, 1, FEATURES)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        layer(x)
    assert layer.eval()(x).shape == x.shape


MAX_DRAWS = 400 * 250


def make_dropout(p: list[float], seeds: list[int], features: int, steps: int = 8) -> Dropout:
    layer = Dropout(features, torch.tensor(p, dtype=torch.float64))
    keys = [draw_keys(steps, torch.Generator().manual_seed(seed)) for seed in seeds]
    layer.begin_epoch(draw_table("test", 1, MAX_DRAWS), torch.stack(keys))
    return layer


def test_dropout_zeroes_at_the_rate_of_each_run() -> None:
    p = torch.tensor([0.1, 0.5, 0.9])
    zero_rates = (make_dropout(p.tolist(), [1, 2, 3], 250)(torch.ones(3, 400, 250)) == 0).double().mean((1, 2))
    standard_error = (p * (1 - p) / 100_000).sqrt()
    assert ((zero_rates - p).abs() < 4 * standard_error).all()


def test_dropout_divides_kept_values_and_their_gradients_by_one_minus_p() -> None:
    p = [0.25, 0.0, 0.5]  # exact in binary
    x = random_leaf(3, 50, 20)
    y = make_dropout(p, [1, 2, 3], 20)(x)
    y.sum().backward()
    for k, scale in enumerate([1 / 0.75, 1.0, 2.0]):
        kept = y[k] != 0
        close(y[k], torch.where(kept, x[k] * scale, 0.0))
        close(gradient(x)[k], kept.double() * scale)
    assert torch.equal(y[1], x[1])


def test_dropout_draws_a_new_mask_at_every_step_and_for_every_run() -> None:
    layer, x = make_dropout([0.5, 0.5], [1, 2], 20), torch.ones(2, 50, 20)
    outputs = torch.cat([layer(x) for _ in range(8)])  # [16, B, C]
    assert len(outputs.flatten(1).unique(dim=0)) == 16


def test_dropout_masks_are_the_same_alone_and_in_a_cohort() -> None:
    p, seeds = [0.3, 0.0, 0.6], [1, 2, 3]
    stacked = make_dropout(p, seeds, 20)
    alone = [make_dropout([p[k]], [seeds[k]], 20) for k in range(3)]
    for batch in (50, 50, 51, 7):  # the last batches of an epoch may have another size
        x = torch.randn(3, batch, 20)
        y = stacked(x)
        for k in range(3):
            assert torch.equal(y[k], alone[k](x[k : k + 1])[0])


@pytest.mark.parametrize("entries", [1, MAX_DRAWS, 3 * MAX_DRAWS, 1000 * MAX_DRAWS])
def test_dropout_masks_do_not_depend_on_how_many_steps_they_are_made_for(
    entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.ones(1, 20, 20)
    expected = [layer(x) for layer in [make_dropout([0.4], [5], 20)] for _ in range(8)]
    monkeypatch.setitem(_ENTRIES, "cpu", entries)
    layer = make_dropout([0.4], [5], 20)
    assert all(torch.equal(layer(x), y) for y in expected)


def test_dropout_masks_stay_with_their_runs_when_others_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_ENTRIES, "cpu", 6 * MAX_DRAWS)  # two steps of three runs, or three steps of two
    layer, expected = (make_dropout([0.3, 0.5, 0.7], [1, 2, 3], 20) for _ in range(2))
    x = torch.ones(3, 50, 20)
    assert torch.equal(layer(x), expected(x))
    keep_rows(layer.modules(), torch.tensor([2, 0]))
    for _ in range(9):  # one more than the epoch has: it begins again
        assert torch.equal(layer(x[:2]), expected(x)[[2, 0]])


def make_noise(stds: list[float], seeds: list[int], features: int, steps: int = 8) -> Noise:
    layer = Noise(features, torch.tensor(stds, dtype=torch.float64))
    keys = [draw_keys(steps, torch.Generator().manual_seed(seed)) for seed in seeds]
    layer.begin_epoch(draw_table("test", 1, MAX_DRAWS), torch.stack(keys))
    return layer


def test_noise_is_normal_with_each_runs_standard_deviation_and_changes_no_gradient() -> None:
    stds, x = [0.1, 0.0, 2.0], torch.randn(3, 400, 250).requires_grad_()
    layer = make_noise(stds, [1, 2, 3], 250)
    y = layer(x)
    first, second = (y - x).detach(), (layer(x) - x).detach()
    assert torch.equal(first[1], torch.zeros(400, 250))
    for k in (0, 2):
        for noise in (first[k] / stds[k], second[k] / stds[k]):
            count = noise.numel()
            assert abs(float(noise.mean())) < 4 / count**0.5
            assert abs(float(noise.square().mean()) - 1) < 4 * (2 / count) ** 0.5
            assert abs(float((noise < 1).double().mean()) - 0.8413) < 4 * (0.8413 * 0.1587 / count) ** 0.5
        assert abs(float((first[k] * second[k]).mean())) / stds[k] ** 2 < 4 / count**0.5
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], torch.ones_like(x))


def test_noise_is_the_same_alone_in_evaluation_there_is_none() -> None:
    x = torch.randn(2, 30, 20)
    together, alone = make_noise([0.3, 0.7], [1, 2], 20), make_noise([0.7], [2], 20)
    for _ in range(3):
        assert torch.equal(together(x)[1], alone(x[1:])[0])
    assert torch.equal(together.eval()(x), x)
    assert torch.equal(AdditiveNoise(0.5).eval()(x), x)


def test_the_plain_layer_of_noise_has_its_standard_deviation() -> None:
    x = torch.zeros(400, 250)
    assert abs(float(AdditiveNoise(0.5)(x).std()) - 0.5) < 0.01


def test_dropout_of_images_is_of_single_values_for_all_runs_of_a_stream() -> None:
    layer = Dropout(20, torch.tensor([0.25, 0.5], dtype=torch.float64), of_images=True)
    keys = torch.stack([draw_keys(1, torch.Generator().manual_seed(seed)) for seed in (1, 2)])
    layer.begin_epoch(draw_table("test", 1, 30 * 20), keys)
    y = layer(torch.ones(1, 30, 20))
    draws = keyed_draws(draw_table("test", 1, 30 * 20), keys)[:, 0].view(2, 30, 20)
    close(y, (draws >= torch.tensor([2**14, 2**15]).view(2, 1, 1) - 2**15) / torch.tensor([0.75, 0.5]).view(2, 1, 1))


def test_dropout_without_draws_says_what_is_missing() -> None:
    with pytest.raises(RuntimeError, match="call begin_epoch"):
        Dropout(4, torch.tensor([0.5]))(torch.ones(1, 3, 4))


def test_dropout_masks_are_laid_out_as_the_plain_formula_says() -> None:
    layer, x = make_dropout([0.4], [5], 6), torch.ones(1, 7, 6)
    table, key = draw_table("test", 1, 42), draw_keys(2, torch.Generator().manual_seed(5))
    for step in range(2):
        kept = keyed_draws(table, key[step : step + 1]).view(6, 7).t() >= round(0.4 * 2**16) - 2**15
        close(layer(x)[0], kept.float() / 0.6, atol=1e-6)


def test_dropout_masks_are_the_same_in_float32_and_float64() -> None:
    p, seeds, x = [0.1, 0.3, 0.7], [1, 2, 3], torch.ones(3, 200, 100)
    single, double = make_dropout(p, seeds, 100).float()(x), make_dropout(p, seeds, 100)(x.double())
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    assert torch.equal(single == 0, double == 0)


@pytest.mark.parametrize("layer", [make_dropout([0.3, 0.6], [1, 2], 4).eval(), make_dropout([0.0, 0.0], [1, 2], 4)])
def test_dropout_is_the_identity_in_evaluation_and_at_zero(layer: Dropout) -> None:
    x = torch.randn(2, 5, 4)
    assert layer(x) is x
    assert layer.draws.step == 0


def test_the_activations_are_those_of_the_schema() -> None:
    assert tuple(ACTIVATIONS) == model_schema.ACTIVATIONS
