"""Wrong labels: which, how many, for whom, and what they leave as it was."""

from pathlib import Path

import pytest
import torch
from helpers.cohorts import DOUBLE, MemoryRecorder, make_cohort, train_runs
from helpers.data_files import write_arrays
from torch import Tensor

from regexp.config.compose import compose_job
from regexp.config.schema import cohort_key
from regexp.data.dataset import add_label_noise, load_splits
from regexp.execution.builders import load_dataset, make_noisy_labels, make_stream
from regexp.training.batches import Batch
from regexp.training.evaluation import confusion

COUNT, CLASSES = 997, 7
LABELS = torch.arange(COUNT) % CLASSES


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.1, 0.25, 0.5, 1.0])
def test_exactly_the_fraction_is_wrong(fraction: float) -> None:
    noisy = add_label_noise(LABELS, fraction, CLASSES, 0)
    assert int((noisy != LABELS).sum()) == round(fraction * COUNT)
    assert int(noisy.min()) >= 0
    assert int(noisy.max()) < CLASSES
    assert noisy.dtype == torch.int64


def test_what_is_wrong_at_a_smaller_fraction_is_as_wrong_at_a_larger_one() -> None:
    few, many = add_label_noise(LABELS, 0.2, CLASSES, 0), add_label_noise(LABELS, 0.6, CLASSES, 0)
    wrong = few != LABELS
    assert torch.equal(few[wrong], many[wrong])


def test_the_seed_decides_and_nothing_else() -> None:
    one = add_label_noise(LABELS, 0.3, CLASSES, 0)
    torch.manual_seed(1)
    assert torch.equal(one, add_label_noise(LABELS, 0.3, CLASSES, 0))
    assert not torch.equal(one, add_label_noise(LABELS, 0.3, CLASSES, 1))


def test_images_and_wrong_classes_are_drawn_uniformly() -> None:
    """Pearson's chi-squared against its mean and standard deviation: v and sqrt(2 v) for v degrees of freedom."""
    count, classes, seeds = 60, 4, 400
    labels = torch.arange(count) % classes
    noisy = torch.stack([add_label_noise(labels, 0.5, classes, seed) for seed in range(seeds)])
    chosen = (noisy != labels).sum(0).double()
    assert abs(((chosen - seeds / 2) ** 2 / (seeds / 4)).sum() - count) < 5 * (2 * count) ** 0.5
    steps = torch.bincount(((noisy - labels) % classes).flatten(), minlength=classes)[1:].double()
    expected = seeds * count / 2 / (classes - 1)
    assert ((steps - expected) ** 2 / expected).sum() < (classes - 2) + 5 * (2 * (classes - 2)) ** 0.5


def test_two_classes_change_places() -> None:
    labels = torch.arange(20) % 2
    assert torch.equal(add_label_noise(labels, 1.0, 2, 0), 1 - labels)


NOISES = ("0", "0.1", "0.5")
COMMON = [DOUBLE, "epochs=3", "model.hidden_sizes=[8]", "early_stopping=none", "normalization=batch"]
COLUMNS = ("objective", "train_loss", "train_accuracy", "val_loss", "val_accuracy")


def assert_same(alone: MemoryRecorder, beside: MemoryRecorder) -> None:
    for name in COLUMNS:
        assert beside.column(name) == pytest.approx(alone.column(name), abs=1e-9), name
    assert beside.final_result.test is not None
    assert alone.final_result.test is not None
    assert beside.final_result.test.loss == pytest.approx(alone.final_result.test.loss, abs=1e-9)
    assert torch.equal(beside.final_result.confusion, alone.final_result.confusion)


def test_runs_of_different_noise_train_together_as_they_do_alone() -> None:
    runs = [[*COMMON, f"data.label_noise={noise}", f"seed={seed}"] for seed in (0, 1) for noise in NOISES]
    runs += [[*runs[1], f"optimizer.lr={lr}"] for lr in (0.1, 0.01)]  # share the stream of another
    assert len({cohort_key(compose_job(overrides).config) for overrides in runs}) == 1
    cohort, _ = make_cohort(*runs)
    assert sorted(cohort.sharing) == [1, 1, 1, 1, 1, 3]
    for overrides, memory in zip(runs, train_runs(*runs), strict=True):
        [alone] = train_runs(overrides)
        assert_same(alone, memory)


def test_no_noise_is_what_it_was() -> None:
    cohort, _ = make_cohort(COMMON, [*COMMON, "data.label_noise=0", "optimizer.lr=0.1"])
    assert cohort.sharing == [2]
    assert cohort.streams[0].labels is None
    assert cohort.measured_labels is None


def test_runs_of_one_noise_share_their_labels() -> None:
    runs = [[*COMMON, "data.label_noise=0.3", f"seed={seed}"] for seed in (0, 1)]
    cohort, _ = make_cohort(*runs, [*runs[0], "optimizer.lr=0.1"])
    assert cohort.sharing == [2, 1]
    first, second = (stream.labels for stream in cohort.streams)
    assert first is second


def reference(overrides: list[str]) -> tuple[Tensor, Tensor]:
    """Labels to train on and clean ones, of the training set."""
    config = compose_job(overrides).config
    data = load_dataset(config)
    labels = make_noisy_labels(config, data)
    assert labels is not None
    return labels, data.train.labels


def test_batches_show_the_wrong_labels_with_the_right_images() -> None:
    noisy = [*COMMON, "data.label_noise=0.4"]
    labels, clean = reference(noisy)
    cohort, memories = make_cohort(COMMON, noisy)
    assert [member.recorder for member in cohort.members] == memories
    cohort.begin_epoch()
    batches = [Batch(batch.images.clone(), batch.labels) for batch in cohort.batches()]  # whose room is used again
    shown = torch.cat([batch.labels for batch in batches], 1)  # [2, N]
    images = torch.cat([batch.images for batch in batches], 1)  # [2, N, C, H, W]
    assert torch.equal(images[0], images[1])
    originals = cohort.dataset.train.images.flatten(1).double() / 255
    for row, expected in zip(shown, (clean, labels), strict=True):
        for image, label in zip(images[0, :100], row[:100], strict=True):
            same = (originals - image.flatten()).abs().sum(1) < 1e-9
            assert label in expected[same]
    assert int((shown[0] != shown[1]).sum()) == round(0.4 * len(clean))


@pytest.mark.parametrize("measured", [None, 200])
def test_training_figures_are_of_the_labels_trained_on_and_others_of_clean_ones(
    monkeypatch: pytest.MonkeyPatch, measured: int | None
) -> None:
    if measured is not None:
        monkeypatch.setattr("regexp.data.dataset.MAX_MEASURED_IMAGES", measured)
        monkeypatch.setattr("regexp.execution.builders._load_splits_once", load_splits)  # keeps what was read before
    overrides = [*COMMON, "data.label_noise=0.5"]
    labels, _ = reference(overrides)
    cohort, _ = make_cohort(overrides)
    [memory] = train_runs(overrides)
    data = cohort.dataset
    model = cohort.model.architecture.make_module().double()
    model.load_state_dict(memory.final_result.checkpoint.tensors_of("model"))
    model.eval()

    def accuracy(images: Tensor, expected: Tensor) -> float:
        with torch.no_grad():
            return float((model(images.double() / 255).argmax(1) == expected).double().mean())

    assert len(data.measured_indices) == (measured or len(data.train))
    own = accuracy(data.train.images[data.measured_indices], labels[data.measured_indices])
    assert memory.column("train_accuracy")[-1] == pytest.approx(own)
    assert memory.column("val_accuracy")[-1] == pytest.approx(accuracy(data.validation.images, data.validation.labels))
    assert data.test is not None
    assert memory.final_result.test_last is not None
    assert memory.final_result.test_last.accuracy == pytest.approx(accuracy(data.test.images, data.test.labels))
    model.load_state_dict(memory.final_result.checkpoint.tensors_of("best"))
    with torch.no_grad():
        predictions = model(data.test.images.double() / 255).argmax(1)
    assert torch.equal(memory.final_result.confusion, confusion(predictions, data.test.labels, 10))


def test_a_cohort_keeps_each_runs_labels_when_others_leave() -> None:
    ends = zip(NOISES, (3, 1, 4), strict=True)
    runs = [[*COMMON, f"data.label_noise={noise}", f"epochs={epochs}"] for noise, epochs in ends]
    for overrides, memory in zip(runs, train_runs(*runs), strict=True):
        [alone] = train_runs(overrides)
        assert_same(alone, memory)


def test_wrong_labels_of_ones_own_classes(tmp_path: Path) -> None:
    path = write_arrays(tmp_path / "own.npz", 90)
    labels, clean = reference(["data=arrays", f"data.path={path}", "data.label_noise=1"])
    assert set(labels.tolist()) == {0, 1, 2}
    assert not (labels == clean).any()


def test_a_stream_carries_the_labels() -> None:
    config = compose_job(["data.label_noise=0.5"]).config
    data = load_dataset(config)
    labels = make_stream(config, data).labels
    assert torch.equal(labels, add_label_noise(data.train.labels, 0.5, 10, 0))
