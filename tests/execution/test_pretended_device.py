"""Training on a GPU, checked without one: on a pretended CUDA device and on a pretended Apple GPU (mps).

Results are the CPU's, no operation mixes devices, no step waits for the device, and the number of launches of a step
does not grow with the number of runs.
"""

import copy
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest
import torch
from helpers.cohorts import QuietReporter, make_configured_cohort
from helpers.option_sweeps import (
    AUGMENTATION,
    SCHEMAS,
    STEP_TARGETS,
    assert_equal_results,
    choose_overrides,
    count_sweeps,
    find_values,
    train_sweep,
)
from helpers.pretended_device import PretendedDevice, pretend_device
from helpers.pretended_tensors import DeviceFault

from regexp.config.compose import compose_job
from regexp.config.schema import OPTIONS, Config
from regexp.data.dataset import Dataset
from regexp.execution.forecasting import forecast
from regexp.training.batches import Batch
from regexp.training.loop import train
from regexp.training.metrics import EpochMetrics
from regexp.training.parameter_groups import MAX_KERNEL_GROUPS
from regexp.utils.messages import format_value
from regexp.utils.signals import StopRequest

# The second of two, so that "the current device" is the wrong one; and mps, of which there is one.
DEVICES = ("cuda:1", "mps")
MAX_WAITS, MAX_LAUNCHES = 4, 60
# So many runs with different hyperparameters that a GPU updates all of them at once, not group by group.
MANY_RUNS = int(MAX_KERNEL_GROUPS["cuda"]) + 1
COMMON = ["model.hidden_sizes=[8,6]", "data.train_size=96", "batch_size=16"]


def find_tolerance(overrides: Sequence[str]) -> float:
    """Return how far results may differ."""
    return 1e-2 if "device.precision=bfloat16" in overrides else 1e-4


# The sweeps that are not slow: mps differs in a few places only, which the first sweep reaches.
NUM_FAST = {"cuda:1": 2, "mps": 1}
SWEEPS = [
    pytest.param(i, device, marks=[pytest.mark.slow] if NUM_FAST[device] <= i < count_sweeps() - 1 else [])
    for device in DEVICES
    for i in range(count_sweeps())
]


@pytest.mark.parametrize(("i", "device"), SWEEPS)
def test_runs_on_a_device_come_out_as_on_the_cpu(
    i: int, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a sweep: forecast, training, checkpoints, pictures and testing."""
    if i > 0:  # a forecast takes as long as all the rest
        monkeypatch.setattr(forecast, "MAX_SECONDS", 0.0)
    overrides = choose_overrides(i, tmp_path / "data")
    unsuited = []
    if "model=mlp" not in overrides:  # convolutions in bfloat16 round so differently that they learn differently
        unsuited.append("device.precision=bfloat16")
    if device == "mps":  # it has no float64
        unsuited.append("device.precision=float64")
    overrides = [word for word in overrides if word not in unsuited]
    expected_runs = train_sweep(overrides, "cpu", tmp_path / "cpu")
    with pretend_device(device):
        runs = train_sweep(overrides, device, tmp_path / "device")
    assert all(run.summary["device"].startswith(device) for run in runs)
    assert_equal_results(runs, expected_runs, find_tolerance(overrides))


def test_the_sweeps_use_every_option_step_and_value(tmp_path: Path) -> None:
    words = {word for i in range(count_sweeps()) for word in choose_overrides(i, tmp_path / str(i))}
    assert {f"augmentation={name}" for name in AUGMENTATION} <= words
    assert {f"+augmentation.extra={{_target_: {target}}}" for target in STEP_TARGETS} <= words
    for group, options in SCHEMAS.items():
        assert {f"{group}={option}" for option in options if option} <= words
        for schema in options.values():
            for name, values in find_values(schema).items():
                assert {f"{group}.{name}={format_value(value)}" for value in values} <= words


@pytest.mark.parametrize("i", [i if i < 1 else pytest.param(i, marks=pytest.mark.slow) for i in range(count_sweeps())])
def test_epochs_in_a_graph_come_out_as_on_the_cpu(i: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second epoch is captured; the third and the fourth differ from it in all that is drawn and scheduled."""
    monkeypatch.setattr(forecast, "MAX_SECONDS", 0.0)
    words = [word for word in choose_overrides(i, tmp_path / "data") if not word.startswith("model")]  # but an MLP
    network = ["model.hidden_sizes=[16,16]", "model.residual=true", "model.drop_path=0.3"]
    overrides = [*words, *network, "epochs=4", "early_stopping=none"]
    monkeypatch.setitem(MAX_KERNEL_GROUPS, "cpu", 0)  # rules, as in a graph: kernels round in another order
    expected_runs = train_sweep(overrides, "cpu", tmp_path / "cpu")
    with pretend_device():
        runs = train_sweep([*overrides, "device.graphs=true"], "cuda:1", tmp_path / "device")
    assert all("CUDA graphs" in run.summary["device"] for run in runs)
    assert_equal_results(runs, expected_runs, find_tolerance(overrides))


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_transforms_of_torchvision_come_out_as_on_the_cpu(device: str, tmp_path: Path) -> None:
    """They are applied image by image, on the CPU."""
    step = "+augmentation.solarize={_target_: torchvision.transforms.RandomSolarize, threshold: 0.5}"
    expected_runs = train_sweep([*COMMON, "epochs=2", step], "cpu", tmp_path / "cpu")
    with pretend_device(device):
        runs = train_sweep([*COMMON, "epochs=2", step], device, tmp_path / "device")
    assert_equal_results(runs, expected_runs, 1e-4)


SEEDS = {"alone": [0], "one stream": [0, 0], "a stream each": [0, 1], "shared streams": [0, 0, 1]}


@pytest.mark.parametrize("name", SEEDS)
def test_large_layers_come_out_as_on_the_cpu(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers so large that a CPU takes other routines than a GPU."""
    monkeypatch.setattr(forecast, "MAX_SECONDS", 0.0)
    overrides = ["epochs=2", "model.hidden_sizes=[300]", "data.train_size=128", "optimizer=sgd"]
    runs = [[f"seed={seed}", f"optimizer.lr=0.0{i + 1}"] for i, seed in enumerate(SEEDS[name])]
    expected_runs = train_sweep(overrides, "cpu", tmp_path / "cpu", runs)
    with pretend_device():
        assert_equal_results(train_sweep(overrides, "cuda:1", tmp_path / "device", runs), expected_runs, 1e-4)


@pytest.mark.parametrize(
    ("optimizer", "device"),
    [
        pytest.param(name, device, marks=[] if (name, device) == ("adam", DEVICES[0]) else pytest.mark.slow)
        for name in OPTIONS["optimizer"]
        for device in DEVICES
    ],
)
def test_many_learning_rates_come_out_as_on_the_cpu(
    optimizer: str, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where many runs differ, a GPU updates all of them at once by rules of the package, the CPU by torch's kernels."""
    monkeypatch.setattr(forecast, "MAX_SECONDS", 0.0)
    overrides = ["epochs=1", "model.hidden_sizes=[4]", "data.train_size=96", "batch_size=16", f"optimizer={optimizer}"]
    runs = [[f"optimizer.lr={i}e-3", f"optimizer.weight_decay=0.00{i % 3}"] for i in range(1, MANY_RUNS + 1)]
    expected_runs = train_sweep(overrides, "cpu", tmp_path / "cpu", runs)
    with pretend_device(device):
        assert_equal_results(train_sweep(overrides, device, tmp_path / device, runs), expected_runs, 1e-4)


@pytest.mark.parametrize(
    ("first", "second"), [("cuda:1", "cuda:1"), pytest.param("mps", "mps", marks=pytest.mark.slow), ("cpu", "cuda:1")]
)
def test_an_interrupted_sweep_goes_on(first: str, second: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On its device, and on another one: the draws do not depend on the device."""
    monkeypatch.setattr(forecast, "MAX_SECONDS", 0.0)
    overrides = [*COMMON, "epochs=3", "normalization=batch", "optimizer=rmsprop", "schedule=plateau"]
    overrides += ["augmentation=strong", "+augmentation.noise.std=0.1"]
    expected_runs = train_sweep(overrides, "cpu", tmp_path / "cpu")
    with pretend_device(second):
        with monkeypatch.context() as patch:
            patch.setattr(StopRequest, "requested", True)
            with pytest.raises(KeyboardInterrupt):
                train_sweep(overrides, first, tmp_path / "device")
        runs = train_sweep(overrides, second, tmp_path / "device")
    assert all("resumes after epoch 1" in (run.directory / "run.log").read_text() for run in runs)
    assert all(run.summary["device"].startswith(second) for run in runs)
    assert_equal_results(runs, expected_runs, 1e-4)


@pytest.mark.parametrize(
    ("device", "graphs"), [("cuda:1", False), ("cuda:1", True), pytest.param("mps", False, marks=pytest.mark.slow)]
)
def test_runs_leave_their_cohort_one_by_one(
    device: str, graphs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that differ in seed, learning rate, dropout, patience and epochs, of which one diverges."""
    monkeypatch.setattr(forecast, "MAX_SECONDS", 0.0)
    differences = (
        ["seed=1", "epochs=2", "optimizer.lr=0.01"],
        ["seed=2", "epochs=3", "model.dropout=0.2", "model.noise=0.1"],
        ["seed=3", "epochs=5", "optimizer.lr=0.5", "early_stopping.patience=1"],
        ["seed=1", "epochs=3", "optimizer.lr=1e20"],
        ["seed=2", "epochs=7", "augmentation=strong", "model.input_dropout=0.1", "loss.class_weights=balanced"],
    )
    expected_runs = train_sweep(COMMON, "cpu", tmp_path / "cpu", differences)
    with pretend_device(device):
        runs = train_sweep([*COMMON, f"device.graphs={format_value(graphs)}"], device, tmp_path / "device", differences)
    assert len({run.summary["epochs"] for run in expected_runs}) > 2
    assert {run.status for run in expected_runs} == {"completed", "stopped_early", "diverged"}
    assert_equal_results(runs, expected_runs, 1e-3)


@pytest.mark.parametrize("device", [DEVICES[0], pytest.param(DEVICES[1], marks=pytest.mark.slow)])
def test_images_are_corrupted_on_a_device_as_on_the_cpu(device: str) -> None:
    config = compose_job([*COMMON, "epochs=1", "evaluation.corruptions=true", "data.train_size=32"]).config
    cohort, [expected] = make_configured_cohort([config])
    train(cohort, QuietReporter(), StopRequest())
    with pretend_device(device):
        cohort, [recorder] = make_configured_cohort([config], device=device)
        train(cohort, QuietReporter(), StopRequest())
    robustness, expected_robustness = recorder.final_measures.robustness, expected.final_measures.robustness
    assert robustness is not None
    assert expected_robustness is not None
    assert torch.allclose(robustness.example, expected_robustness.example, atol=1e-6)
    accuracies, expected_accuracies = robustness.accuracies.double(), expected_robustness.accuracies.double()
    assert torch.allclose(accuracies, expected_accuracies, atol=2 / 360)  # of 360 images two


class WatchedCohort:
    """A cohort on a pretended device, whose training is watched step by step. Its runs are not recorded.

    Attributes:
        cohort: the cohort.
        waits: for each epoch, its waits by reason and place.
        step_waits: for each epoch, the waits after its first batch was made, until its last step.
        launches: the launches so far, by operator and place, before each batch of all epochs and after the last.
    """

    def __init__(self, mode: PretendedDevice, configs: Sequence[Config]) -> None:
        self.cohort, _ = make_configured_cohort(configs, device=str(mode.device))
        self.cohort.last_checkpoint_time = math.inf  # checkpoints are copied to the host
        self.mode, self.make_batches = mode, self.cohort.batches
        self.waits: list[Counter[tuple[str, str]]] = []
        self.step_waits: list[Counter[tuple[str, str]]] = []
        self.launches: list[Counter[tuple[str, str]]] = []

    def train(self) -> None:
        """Train the cohort until its runs end."""
        self.cohort.batches = self.batches  # type: ignore[method-assign]
        self.mode.waits.clear()
        train(self.cohort, self, StopRequest())

    def batches(self) -> Iterator[Batch]:
        """Yield the batches of an epoch, and count."""
        batches = self.make_batches()
        waits_before_steps = Counter[tuple[str, str]]()
        for i in count():
            self.launches.append(self.mode.launches.copy())
            batch = next(batches, None)
            if i == 0:
                waits_before_steps = self.mode.waits.copy()
            if batch is None:
                break
            yield batch
        self.step_waits.append(self.mode.waits - waits_before_steps)

    def show_epoch(self, metrics: Sequence[EpochMetrics]) -> None:
        """End the counts of an epoch."""
        self.waits.append(self.mode.waits.copy())
        self.mode.waits.clear()


def watch(device: str, *runs: Sequence[str]) -> WatchedCohort:
    """Train runs, given by their overrides, for three epochs on a pretended device."""
    configs = [compose_job([*COMMON, *words, "epochs=3", "early_stopping=none"]).config for words in runs]
    with pretend_device(device) as mode:
        watched = WatchedCohort(mode, configs)
        watched.train()
    return watched


WAITING = {
    "plain": [],
    "draws": ["augmentation=strong", "+augmentation.noise.std=0.1"],
    "layers": [
        "normalization=batch",
        "normalization.virtual_batch=5",
        "model.dropout=0.2",
        "model.input_dropout=0.02",
        "model.noise=0.02",
    ],
    "loss": ["loss=focal", "loss.class_weights=balanced", "loss.confidence_penalty=0.1", "loss.label_smoothing=0.1"],
    "optimizer": ["optimizer=rmsprop", "schedule=plateau", "optimizer.l1=1e-4", "optimizer.clip_norm=1"],
    "step": ["optimizer.sam_rho=0.1", "optimizer.lookahead_k=2", "optimizer.max_norm=1"],
    "noise": ["optimizer.gradient_noise=0.01"],
    "averages": ["averaging=swa", "averaging.start=0.1", "normalization=batch"],
    "snapshots": ["averaging=snapshots", "averaging.snapshots=1", "optimizer.lr=0.01"],
    "attacks": ["adversarial=pgd", "adversarial.steps=2", "averaging=ema", "model.dropout=0.2"],
    "labels": ["data.label_noise=0.2"],
    "mixing": ["mixing=mixup", "data.label_noise=0.2"],
    "boxes": ["mixing=cutmix", "augmentation=shift"],
    "operations": ["augmentation=trivial", "+augmentation.randaugment.magnitude=20"],
}


@pytest.mark.parametrize("name", WAITING)
def test_no_step_waits_and_an_epoch_a_few_times_whatever_the_number_of_streams(name: str) -> None:
    watched = watch("cuda:1", *([*WAITING[name], f"seed={seed}"] for seed in range(6)))
    assert watched.step_waits == [Counter()] * 3
    waits = watched.waits[1]  # no run begins or ends in the second epoch
    assert waits.total() <= MAX_WAITS, waits


@pytest.mark.parametrize("name", WAITING)
def test_no_step_waits_on_mps(name: str) -> None:
    """Every copy to mps waits, also those for the next epoch that are made between two steps."""
    few, many = (watch("mps", [*WAITING[name], f"data.train_size={size}"]).waits[1] for size in (48, 96))
    assert few == many


def test_waits_for_checkpoints_and_results_do_not_grow_with_the_number_of_runs() -> None:
    few, many = (watch("cuda:1", *([f"seed={seed}"] for seed in range(count))) for count in (2, 5))
    assert few.mode.waits == many.mode.waits  # since the last epoch was shown: each stacked tensor is copied once
    assert few.mode.waits.total() > 10


@pytest.mark.parametrize("name", ["draws", "optimizer"])
def test_an_epoch_in_a_graph_has_few_launches_however_many_steps(name: str) -> None:
    few, many = (
        watch("cuda:1", [*WAITING[name], "device.graphs=true", f"batch_size={size}"]).mode.launches for size in (48, 8)
    )
    launches_of_steps = many - few  # those of the first epoch, which is not in a graph
    eager = watch("cuda:1", [*WAITING[name], "batch_size=8"]).mode.launches
    assert launches_of_steps.total() < eager.total() / 2


def test_only_small_cohorts_are_in_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regexp.training.cohort.MAX_GRAPH_RUNS", 2)
    with pretend_device():
        cohorts = [
            make_configured_cohort(
                [compose_job([*COMMON, "device.graphs=true", f"seed={seed}"]).config for seed in range(num_runs)],
                device="cuda:1",
            )[0]
            for num_runs in (2, 3)
        ]
    assert [cohort.uses_graphs for cohort in cohorts] == [True, False]


CASES = ("lr", "dropout", "noise", "seed")


def vary(case: str, num_runs: int) -> list[Config]:
    """Return configurations of tiny nets that differ in one number: composing each would take seconds.

    An epoch has 16 steps, whose images are prepared in two halves.
    """
    words = ["epochs=1", "model.hidden_sizes=[4]", "data.train_size=1024", "batch_size=64"]
    config = compose_job([*words, *([f"model.{case}=0.5"] if case in ("dropout", "noise") else [])]).config
    configs = []
    for k in range(num_runs):
        varied = copy.deepcopy(config)
        if case == "seed":
            varied.seed = k
        elif case == "lr":
            varied.optimizer.lr = 1e-3 * (1 + k / num_runs)
        else:
            setattr(varied.model, case, 0.1 + 0.8 * k / num_runs)
        configs.append(varied)
    return configs


def count_launches(case: str, num_runs: int) -> Counter[tuple[str, str]]:
    """Return the launches of eight steps, with the preparation of their images, by operator and place."""
    with pytest.MonkeyPatch.context() as patch, pretend_device() as mode:
        # In a long epoch, 16 of some hundred steps measure gradient norms; here every one of 16 would.
        patch.setattr("regexp.training.cohort.GRADIENT_NORMS_PER_EPOCH", 1)
        watched = WatchedCohort(mode, vary(case, num_runs))
        watched.train()
    assert len(watched.launches) == 17
    return watched.launches[16] - watched.launches[8]


@pytest.mark.parametrize("case", CASES)
def test_the_launches_of_a_step_do_not_grow_with_the_number_of_runs(case: str) -> None:
    few, many = (count_launches(case, num_runs) for num_runs in (MANY_RUNS, 2 * MANY_RUNS))
    assert many.total() <= few.total(), many - few


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_step_of_512_runs_has_few_launches(case: str) -> None:
    launches = count_launches(case, 512)
    assert launches.total() / 8 <= MAX_LAUNCHES, launches.most_common(10)


def test_a_fault_names_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dataset, "to", lambda self, device: self)  # the data set stays on the CPU
    with pretend_device() as mode, pytest.raises(DeviceFault, match=r"cpu and cuda:1, at \w+/\w+\.py:\d+ \w+"):
        WatchedCohort(mode, vary("seed", 2)).train()
