"""Label noise: which labels are wrong, and that only training sees them."""

from pathlib import Path

import pytest
import torch
from helpers.cohorts import DOUBLE, MemoryRecorder, make_cohort, train_runs
from helpers.data_files import write_arrays
from torch import Tensor

from regexp.config.compose import compose_job
from regexp.config.schema import cohort_key
from regexp.data.dataset import add_label_noise, read_dataset
from regexp.execution.builders import load_dataset
from regexp.execution.building.stream_builders import make_noisy_labels, make_stream
from regexp.training.batches import Batch
from regexp.training.evaluation import count_confusions

COUNT, NUM_CLASSES = 997, 7
LABELS = torch.arange(COUNT) % NUM_CLASSES


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.1, 0.25, 0.5, 1.0])
def test_exactly_this_fraction_of_labels_is_wrong(fraction: float) -> None:
    noisy = add_label_noise(LABELS, fraction, NUM_CLASSES, 0)
    assert int((noisy != LABELS).sum()) == round(fraction * COUNT)
    assert int(noisy.min()) >= 0
    assert int(noisy.max()) < NUM_CLASSES
    assert noisy.dtype == torch.int64


def test_wrong_labels_at_a_smaller_fraction_are_the_same_at_a_larger_one() -> None:
    less_noisy = add_label_noise(LABELS, 0.2, NUM_CLASSES, 0)
    more_noisy = add_label_noise(LABELS, 0.6, NUM_CLASSES, 0)
    is_wrong = less_noisy != LABELS
    assert torch.equal(less_noisy[is_wrong], more_noisy[is_wrong])


def test_only_the_seed_decides() -> None:
    noisy = add_label_noise(LABELS, 0.3, NUM_CLASSES, 0)
    torch.manual_seed(1)
    assert torch.equal(noisy, add_label_noise(LABELS, 0.3, NUM_CLASSES, 0))
    assert not torch.equal(noisy, add_label_noise(LABELS, 0.3, NUM_CLASSES, 1))


def test_wrong_labels_and_their_classes_are_drawn_uniformly() -> None:
    """Pearson's chi-squared against its mean and standard deviation: v and sqrt(2 v) for v degrees of freedom."""
    count, num_classes, num_seeds = 60, 4, 400
    labels = torch.arange(count) % num_classes
    noisy = torch.stack([add_label_noise(labels, 0.5, num_classes, seed) for seed in range(num_seeds)])
    times_wrong = (noisy != labels).sum(0).double()
    assert abs(((times_wrong - num_seeds / 2) ** 2 / (num_seeds / 4)).sum() - count) < 5 * (2 * count) ** 0.5
    offsets = (noisy - labels) % num_classes
    offset_counts = torch.bincount(offsets.flatten(), minlength=num_classes)[1:].double()
    expected = num_seeds * count / 2 / (num_classes - 1)
    chi_squared, freedom = ((offset_counts - expected) ** 2 / expected).sum(), num_classes - 2
    assert chi_squared < freedom + 5 * (2 * freedom) ** 0.5


def test_all_labels_of_two_classes_are_exchanged_at_full_noise() -> None:
    labels = torch.arange(20) % 2
    assert torch.equal(add_label_noise(labels, 1.0, 2, 0), 1 - labels)


FRACTIONS = ("0", "0.1", "0.5")
COMMON = [DOUBLE, "epochs=3", "model.hidden_sizes=[8]", "early_stopping=none", "normalization=batch"]
COLUMNS = ("objective", "train_loss", "train_accuracy", "val_loss", "val_accuracy")


def assert_same_results(alone: MemoryRecorder, together: MemoryRecorder) -> None:
    for name in COLUMNS:
        assert together.column(name) == pytest.approx(alone.column(name), abs=1e-9), name
    assert together.final_result.test is not None
    assert alone.final_result.test is not None
    assert together.final_result.test["loss"] == pytest.approx(alone.final_result.test["loss"], abs=1e-9)
    assert torch.equal(together.final_measures.confusion_matrix, alone.final_measures.confusion_matrix)


def test_runs_with_different_noise_train_together_as_they_do_alone() -> None:
    runs = [[*COMMON, f"data.label_noise={fraction}", f"seed={seed}"] for seed in (0, 1) for fraction in FRACTIONS]
    runs += [[*runs[1], f"optimizer.lr={lr}"] for lr in (0.1, 0.01)]  # share the image stream of runs[1]
    assert len({cohort_key(compose_job(overrides).config) for overrides in runs}) == 1
    cohort, _ = make_cohort(*runs)
    assert sorted(cohort.runs_per_stream) == [1, 1, 1, 1, 1, 3]
    for overrides, together in zip(runs, train_runs(*runs), strict=True):
        [alone] = train_runs(overrides)
        assert_same_results(alone, together)


def test_runs_without_noise_have_no_labels_of_their_own() -> None:
    cohort, _ = make_cohort(COMMON, [*COMMON, "data.label_noise=0", "optimizer.lr=0.1"])
    assert cohort.runs_per_stream == [2]
    assert cohort.streams[0].labels is None
    assert cohort.measured_labels is None


def test_runs_with_equal_noise_share_one_tensor_of_labels() -> None:
    runs = [[*COMMON, "data.label_noise=0.3", f"seed={seed}"] for seed in (0, 1)]
    cohort, _ = make_cohort(*runs, [*runs[0], "optimizer.lr=0.1"])
    assert cohort.runs_per_stream == [2, 1]
    first, second = (stream.labels for stream in cohort.streams)
    assert first is second


def noisy_and_true_labels(overrides: list[str]) -> tuple[Tensor, Tensor]:
    """Return the labels that a run trains on, and the true labels of its training set."""
    config = compose_job(overrides).config
    dataset = load_dataset(config)
    noisy_labels = make_noisy_labels(config, dataset)
    assert noisy_labels is not None
    return noisy_labels, dataset.train.labels


def test_batches_hold_each_image_with_its_noisy_label() -> None:
    overrides = [*COMMON, "data.label_noise=0.4"]
    noisy_labels, true_labels = noisy_and_true_labels(overrides)
    cohort, recorders = make_cohort(COMMON, overrides)
    assert [member.recorder for member in cohort.members] == recorders
    cohort.begin_epoch()
    # The images are copied, because the next batch overwrites them.
    batches = [Batch(batch.images.clone(), batch.labels) for batch in cohort.batches()]
    labels = torch.cat([batch.labels for batch in batches], 1)  # [2, N]
    images = torch.cat([batch.images for batch in batches], 1)  # [2, N, C, H, W]
    assert torch.equal(images[0], images[1])
    originals = cohort.dataset.train.images.flatten(1).double() / 255
    for labels_of_run, expected_labels in zip(labels, (true_labels, noisy_labels), strict=True):
        for image, label in zip(images[0, :100], labels_of_run[:100], strict=True):
            is_equal = (originals - image.flatten()).abs().sum(1) < 1e-9
            assert label in expected_labels[is_equal]
    assert int((labels[0] != labels[1]).sum()) == round(0.4 * len(true_labels))


@pytest.mark.parametrize("max_measured", [None, 200])
def test_training_metrics_use_noisy_labels_and_all_others_true_ones(
    monkeypatch: pytest.MonkeyPatch, max_measured: int | None
) -> None:
    if max_measured is not None:
        monkeypatch.setattr("regexp.data.dataset.MAX_MEASURED_IMAGES", max_measured)
        monkeypatch.setattr("regexp.execution.builders._read_dataset_once", read_dataset)  # not cached
    overrides = [*COMMON, "data.label_noise=0.5"]
    noisy_labels, _ = noisy_and_true_labels(overrides)
    cohort, _ = make_cohort(overrides)
    [recorder] = train_runs(overrides)
    dataset = cohort.dataset
    model = cohort.model.architecture.make_module().double()
    model.load_state_dict(recorder.final_result.checkpoint.tensors_of("model"))
    model.eval()

    def accuracy(images: Tensor, labels: Tensor) -> float:
        with torch.no_grad():
            return float((model(images.double() / 255).argmax(1) == labels).double().mean())

    assert len(dataset.measured_indices) == (max_measured or len(dataset.train))
    indices = dataset.measured_indices
    train_accuracy = accuracy(dataset.train.images[indices], noisy_labels[indices])
    assert recorder.column("train_accuracy")[-1] == pytest.approx(train_accuracy)
    assert recorder.column("val_accuracy")[-1] == pytest.approx(
        accuracy(dataset.validation.images, dataset.validation.labels)
    )
    assert dataset.test is not None
    assert recorder.final_result.test_last is not None
    assert recorder.final_result.test_last["accuracy"] == pytest.approx(
        accuracy(dataset.test.images, dataset.test.labels)
    )
    model.load_state_dict(recorder.final_result.checkpoint.tensors_of("best"))
    with torch.no_grad():
        predictions = model(dataset.test.images.double() / 255).argmax(1)
    [confusion_matrix] = count_confusions(predictions.unsqueeze(0), dataset.test.labels, 10)
    assert torch.equal(recorder.final_measures.confusion_matrix, confusion_matrix)


def test_a_cohort_keeps_each_runs_labels_when_others_leave() -> None:
    epochs_of_fraction = dict(zip(FRACTIONS, (3, 1, 4), strict=True))
    runs = [
        [*COMMON, f"data.label_noise={fraction}", f"epochs={epochs}"] for fraction, epochs in epochs_of_fraction.items()
    ]
    for overrides, together in zip(runs, train_runs(*runs), strict=True):
        [alone] = train_runs(overrides)
        assert_same_results(alone, together)


def test_labels_of_the_users_arrays_can_be_noisy(tmp_path: Path) -> None:
    path = write_arrays(tmp_path / "own.npz", 90)
    noisy_labels, true_labels = noisy_and_true_labels(["data=arrays", f"data.path={path}", "data.label_noise=1"])
    assert set(noisy_labels.tolist()) == {0, 1, 2}
    assert not (noisy_labels == true_labels).any()


def test_an_image_stream_holds_the_noisy_labels() -> None:
    config = compose_job(["data.label_noise=0.5"]).config
    dataset = load_dataset(config)
    labels = make_stream(config, dataset).labels
    assert torch.equal(labels, add_label_noise(dataset.train.labels, 0.5, 10, 0))
