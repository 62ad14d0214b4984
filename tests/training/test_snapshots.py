"""Snapshot ensembles against a plain loop, in cohorts of different cycles, after interruptions, and as loaded."""

import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.cohorts import DOUBLE, MemoryRecorder, QuietReporter, make_configured_cohort
from torch import Tensor, nn

from regexp import load_run, run
from regexp.config.compose import compose_job
from regexp.config.schema import Config
from regexp.config.schemas.averaging import SnapshotsConfig
from regexp.data.dataset import Images, scale
from regexp.execution.builders import load_dataset, make_settings
from regexp.execution.building.optimizer_builders import count_optimizer_values
from regexp.models.cnn import CNNArchitecture
from regexp.models.mlp import MLPArchitecture
from regexp.models.normalization import Normalization
from regexp.models.protocol import Architecture
from regexp.models.regularizing.ensemble import (
    COUNT,
    SnapshotEnsemble,
    StackedEnsembles,
    newest_network,
    split_snapshots,
)
from regexp.training.batches import draw_epoch
from regexp.training.checkpoints import Checkpoint
from regexp.training.loop import train
from regexp.utils.signals import StopRequest

WORDS = [DOUBLE, "averaging=snapshots", "data.train_size=60", "data.val_size=40", "batch_size=25", "optimizer.lr=0.004"]
WORDS += ["normalization=batch", "model.hidden_sizes=[7]", "early_stopping=none", "epochs=6"]


@pytest.fixture(scope="module")
def config() -> Config:
    return compose_job(WORDS).config


def change(config: Config, **changes: int | None) -> Config:
    """Return a configuration with other epochs, seed, cycles or snapshots."""
    keys = {key: changes.pop(key) for key in ("cycles", "snapshots") if key in changes}
    return replace(config, averaging=replace(config.averaging, **keys), **changes)


def train_configs(
    configs: list[Config], checkpoints: list[Checkpoint | None] | None = None, last_epoch: int = 0
) -> list[MemoryRecorder]:
    """Train a cohort from checkpoints, and stop after `last_epoch`."""
    cohort, recorders = make_configured_cohort(configs, checkpoints)
    stop_request = StopRequest()
    train(cohort, QuietReporter(stop_request, last_epoch), stop_request)
    return recorders


@torch.no_grad()
def measure(networks: list[nn.Module], split: Images) -> tuple[float, float]:
    """Return loss and accuracy of the mean of the networks' probabilities."""
    probabilities = [network.eval()(scale(split.images, torch.float64)).softmax(1) for network in networks]
    mean = torch.stack(probabilities).mean(0)
    return F.nll_loss(mean.log(), split.labels).item(), (mean.argmax(1) == split.labels).double().mean().item()


@pytest.mark.parametrize(("cycles", "snapshots", "ends"), [(2, None, [3, 6]), (3, 2, [2, 4, 6]), (4, 3, [2, 3, 5, 6])])
def test_a_run_equals_a_plain_loop(config: Config, cycles: int, snapshots: int | None, ends: list[int]) -> None:
    config = change(config, cycles=cycles, snapshots=snapshots)
    cohort, [recorder] = make_configured_cohort([config])
    data, settings = cohort.dataset, make_settings(config, cohort.dataset)
    model = cohort.model.architecture.make_module(settings.rates).double()
    model.load_state_dict(cohort.model.run_state(0))
    train(cohort, QuietReporter(), StopRequest())
    optimizer = torch.optim.Adam(model.parameters())
    states: list[dict[str, Tensor]] = []
    for epoch in range(1, config.epochs + 1):
        model.train()
        start = max([end for end in ends if end < epoch], default=0)
        end = next(end for end in ends if end >= epoch)
        batches = draw_epoch(data.train, {"": settings.stream}, config.batch_size, epoch, torch.float64).batches([1])
        for i, batch in enumerate(batches):
            done = ((epoch - 1 - start) * cohort.steps_per_epoch + i) / ((end - start) * cohort.steps_per_epoch)
            optimizer.param_groups[0]["lr"] = 0.004 / 2 * (math.cos(math.pi * done) + 1)
            optimizer.zero_grad()
            F.cross_entropy(model(batch.images[0]), batch.labels[0]).backward()
            optimizer.step()
        if epoch == end:
            states.append(deepcopy(model.state_dict()))
        networks = []
        for state in states[-(snapshots or len(ends)) :] or [model.state_dict()]:
            networks.append(cohort.model.architecture.make_module(settings.rates).double())
            networks[-1].load_state_dict(state)
        for metrics, split in (("train", data.measured), ("val", data.validation)):
            loss, accuracy = measure(networks, split)
            assert recorder.column(f"{metrics}_loss")[epoch - 1] == pytest.approx(loss, abs=1e-9)
            assert recorder.column(f"{metrics}_accuracy")[epoch - 1] == pytest.approx(accuracy)
    assert recorder.final_result.test_last is not None
    assert data.test is not None
    assert recorder.final_result.test_last["loss"] == pytest.approx(measure(networks, data.test)[0], abs=1e-9)
    last_weights = split_snapshots(recorder.final_result.checkpoint.last_weights)
    for name, tensor in SnapshotEnsemble(networks).state_dict().items():
        torch.testing.assert_close(last_weights[name], tensor, rtol=0, atol=1e-9)


def test_runs_of_different_cycles_train_together_as_alone_and_resume(config: Config) -> None:
    """Rows with other numbers of snapshots, some of which leave, change nothing; nor do interruptions."""
    configs = [
        change(config, cycles=3, snapshots=2),
        change(config, cycles=6, seed=1),
        change(config, cycles=1, epochs=2),
        change(config, cycles=2, epochs=5, snapshots=1),
        change(config, cycles=5, epochs=4, seed=1),
    ]
    together = train_configs(configs)
    for one_config, recorder in zip(configs, together, strict=True):
        [alone] = train_configs([one_config])
        assert recorder.column("val_loss") == pytest.approx(alone.column("val_loss"), abs=1e-9)
        result, expected = recorder.final_result, alone.final_result
        assert result.best is not None
        assert expected.best is not None
        assert result.best.epoch == expected.best.epoch
        assert result.test == pytest.approx(expected.test, abs=1e-9)
        assert result.checkpoint.tensors.keys() == expected.checkpoint.tensors.keys()
        for name, tensor in expected.checkpoint.tensors.items():
            torch.testing.assert_close(result.checkpoint.tensors[name], tensor, rtol=0, atol=1e-9, msg=name)
    sizes = [int(recorder.final_result.checkpoint.tensors[f"average/{COUNT}"]) for recorder in together]
    assert sizes == [2, 6, 1, 1, 4]
    uninterrupted = train_configs(configs[:2])
    for last_epoch in (1, 3, 5):
        first = train_configs(configs[:2], last_epoch=last_epoch)
        second = train_configs(configs[:2], [recorder.checkpoint for recorder in first])
        for before, after, expected_run in zip(first, second, uninterrupted, strict=True):
            assert before.column("val_loss") + after.column("val_loss") == expected_run.column("val_loss")
            for name, tensor in expected_run.final_result.checkpoint.tensors.items():
                assert torch.equal(after.final_result.checkpoint.tensors[name], tensor), name


def test_early_stopping_counts_cycles(config: Config) -> None:
    """With a patience of two cycles, and no improvement by as much as min_delta after the first one."""
    stopping = replace(
        change(config, cycles=6, epochs=12, snapshots=1),
        early_stopping=replace(config.early_stopping, patience=2, min_delta=100.0),
    )
    [recorder] = train_configs([stopping])
    assert recorder.final_result.status == "stopped_early"
    assert recorder.final_result.last.epoch == 6  # cycles end after 2, 4 and 6 epochs


@pytest.mark.parametrize(
    "architecture",
    [
        MLPArchitecture(4, (6,), 3, "relu", Normalization("batch")),
        CNNArchitecture.from_options(
            (1, 2, 2),
            3,
            {"model.channels": [2], "model.kernel_size": 3, "model.pooling": "max", "model.hidden_sizes": [5],
             "model.activation": "relu", "model.init": "torch", "normalization": "batch"},
        ),
    ],
    ids=["stacked", "bound"],
)  # fmt: skip
def test_an_ensemble_is_the_mean_of_probabilities(architecture: Architecture) -> None:
    """Of three places two or one count; runs 0 and 1 read the first images, run 2 the second ones."""
    model = architecture.make_model([1, 2, 3, 4, 5, 6], [{}] * 6)
    rows = torch.tensor([0, 1, 2, 3, 4, 5, 2, 1, 0])
    ensembles = StackedEnsembles(model.select_runs(rows), 3).eval()
    ensembles.num_snapshots.copy_(torch.tensor([2, 1, 3]))
    images = torch.rand(2, 8, 1, 2, 2)
    logits = ensembles(images, [2, 1])
    assert ensembles.activations_per_image == 9 * architecture.costs.num_activations
    for k, (networks, i) in enumerate((([0, 1], 0), ([3], 0), ([2, 1, 0], 1))):
        modules = []
        for row in networks:
            modules.append(architecture.make_module({}).eval())
            modules[-1].load_state_dict(model.run_state(row))
        mean = torch.stack([module(images[i]).softmax(-1) for module in modules]).mean(0)
        torch.testing.assert_close(logits[k].softmax(-1), mean)
        torch.testing.assert_close(logits[k].exp(), mean)
        torch.testing.assert_close(SnapshotEnsemble(modules)(images[i]), logits[k])
    state = {name: tensor[2] for name, tensor in ensembles.state_dict().items()}
    newest = newest_network(state)
    assert all(torch.equal(newest[name], tensor) for name, tensor in model.run_state(0).items())
    assert newest_network(newest) is newest


def test_the_loaded_ensemble_gives_the_stored_test_figures(tmp_path: Path) -> None:
    """Best and last weights: with two snapshots left of four, and with the one of the first cycle."""
    words = [*WORDS, "averaging.cycles=4", "averaging.snapshots=2", "early_stopping.monitor=val_accuracy"]
    recorded = run(words, outputs=tmp_path, quiet=True)
    test = load_dataset(compose_job(words).config).test
    assert test is not None
    assert recorded.summary is not None
    for weights, name in (("best", "test"), ("last", "test_last")):
        network = load_run(recorded.directory).model(weights)
        with torch.no_grad():
            logits = network(test.images)
        assert isinstance(network, SnapshotEnsemble)
        assert len(network.snapshots) <= 2
        assert F.cross_entropy(logits, test.labels).item() == pytest.approx(recorded.summary[name]["loss"], abs=1e-9)
    probabilities = load_run(recorded.directory).predict(test.images.numpy()).probabilities
    best_logits = load_run(recorded.directory).model("kept")(test.images).detach()
    torch.testing.assert_close(torch.from_numpy(probabilities), best_logits.exp())


@pytest.mark.parametrize(
    ("cycles", "epochs", "ends"),
    [(5, 100, (20, 40, 60, 80, 100)), (4, 10, (3, 5, 8, 10)), (5, 3, (1, 2, 3)), (1, 7, (7,)), (10**9, 2, (1, 2))],
)
def test_cycles_have_whole_epochs(cycles: int, epochs: int, ends: tuple[int, ...]) -> None:
    assert SnapshotsConfig(cycles=cycles).cycle_ends(epochs) == ends


def test_memory_counts_the_snapshots_of_average_and_best_weights_and_the_copies_that_are_tested(config: Config) -> None:
    counts = [count_optimizer_values(change(config, snapshots=snapshots)) for snapshots in (1, 2, None)]
    assert [count - counts[0] for count in counts] == [0, 4, 16]
