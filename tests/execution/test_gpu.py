"""Training on the GPU of this machine, against the CPU. Run with `pytest -m gpu`; skipped where there is no GPU."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.cohorts import QuietReporter, make_configured_cohort
from helpers.option_sweeps import (
    assert_equal_results,
    choose_overrides,
    choose_robust_runs,
    count_sweeps,
    train_sweep,
)

from regexp.config.compose import compose_job
from regexp.training.batches import Batch
from regexp.training.loop import train
from regexp.training.parameter_groups import MAX_KERNEL_GROUPS
from regexp.utils.device import is_out_of_memory
from regexp.utils.signals import StopRequest

pytestmark = pytest.mark.gpu
COMMON = ["epochs=3", "model.hidden_sizes=[8,6]", "data.train_size=96", "batch_size=16", "model.dropout=0.3"]
PRECISIONS = ("float32", "float64", "bfloat16")


def choose_precision(gpu: str, precision: str) -> tuple[str, float]:
    """Return the precision to test on this GPU, and the tolerance: float64, which shows every mistake, if possible."""
    if gpu == "mps":
        precision = "float32" if precision == "float64" else precision
    return precision, {"float64": 1e-7, "float32": 1e-2, "bfloat16": 5e-2}[precision]


@pytest.mark.parametrize("i", range(count_sweeps()))
def test_every_option_comes_out_as_on_the_cpu(gpu: str, i: int, tmp_path: Path) -> None:
    precision, tolerance = choose_precision(gpu, "float64")
    words = [word for word in choose_overrides(i, tmp_path / "data") if not word.startswith("device.precision=")]
    overrides = [*words, f"device.precision={precision}"]
    expected_runs = train_sweep(overrides, "cpu", tmp_path / "cpu", choose_robust_runs(overrides))
    runs = train_sweep(overrides, gpu, tmp_path / "gpu", choose_robust_runs(overrides))
    assert all(run.summary["device"].startswith(gpu) for run in runs)
    assert_equal_results(runs, expected_runs, tolerance)


@pytest.mark.parametrize("i", range(count_sweeps()))
def test_epochs_in_a_graph_come_out_as_on_the_cpu(
    gpu: str, i: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if gpu == "mps":
        pytest.skip("only cuda has graphs")
    monkeypatch.setitem(MAX_KERNEL_GROUPS, "cpu", 0)  # rules, as in a graph: kernels round in another order
    # Before BatchNorm, the gradients of biases are nothing but rounding, which Adam makes large.
    words = [word for word in choose_overrides(i, tmp_path / "data") if not word.startswith("model")]  # but an MLP
    overrides = [*words, "model.hidden_sizes=[16,8]", "epochs=5", "device.precision=float64", "normalization=layer"]
    expected_runs = train_sweep(overrides, "cpu", tmp_path / "cpu")
    assert_equal_results(train_sweep([*overrides, "device.graphs=true"], gpu, tmp_path / "gpu"), expected_runs, 1e-7)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_comes_out_as_on_the_cpu(gpu: str, precision: str, tmp_path: Path) -> None:
    precision, tolerance = choose_precision(gpu, precision)
    overrides = [*COMMON, "normalization=batch", "augmentation=strong", f"device.precision={precision}"]
    expected_runs = train_sweep(overrides, "cpu", tmp_path / "cpu", choose_robust_runs(overrides))
    runs = train_sweep(overrides, gpu, tmp_path / "gpu", choose_robust_runs(overrides))
    assert_equal_results(runs, expected_runs, tolerance)


@pytest.mark.parametrize("first", ["cpu", "gpu"])
def test_an_interrupted_sweep_goes_on(gpu: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the GPU, after an epoch on the GPU or on the CPU."""
    precision, tolerance = choose_precision(gpu, "float64")
    overrides = [*COMMON, f"device.precision={precision}"]
    expected_runs = train_sweep(overrides, "cpu", tmp_path / "cpu")
    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "requested", True)
        with pytest.raises(KeyboardInterrupt):
            train_sweep(overrides, gpu if first == "gpu" else "cpu", tmp_path / "gpu")
    assert_equal_results(train_sweep(overrides, gpu, tmp_path / "gpu"), expected_runs, tolerance)


@pytest.mark.parametrize("words", [[], ["augmentation=strong", "normalization=batch", "optimizer.clip_norm=1"]])
def test_no_step_waits_for_the_device(gpu: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With this debug mode, torch raises an error where a step waits; it begins when the first batch is made."""
    if gpu == "mps":
        pytest.skip("torch does not say when it waits for mps")
    configs = [compose_job([*COMMON, *words, f"seed={seed}"]).config for seed in range(2)]
    cohort, _ = make_configured_cohort(configs, device=gpu)
    make_batches = cohort.batches

    def watched_batches() -> Iterator[Batch]:
        for batch in make_batches():
            torch.cuda.set_sync_debug_mode("error")
            yield batch
        torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(cohort, "batches", watched_batches)
    try:
        train(cohort, QuietReporter(), StopRequest())
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_shortage_of_memory_is_recognized(gpu: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8, device=gpu)
    assert is_out_of_memory(caught.value)
