"""Training on mixed images: against a plain loop, in a cohort as alone, and after an interruption."""

import pytest
import torch
import torch.nn.functional as F
from helpers.cohorts import DOUBLE, MemoryRecorder, QuietReporter, make_cohort, train_runs

from regexp.config.compose import compose_job
from regexp.config.schema import identity_items
from regexp.execution.building.stream_builders import make_stream
from regexp.training.batches import draw_epoch
from regexp.training.loop import train
from regexp.utils.signals import StopRequest

COMMON = [DOUBLE, "model.hidden_sizes=[8]", "data.train_size=200", "batch_size=32", "early_stopping=none"]
RUNS = (
    ["epochs=3"],
    ["mixing=mixup", "mixing.alpha=0.3", "epochs=2"],
    ["mixing=mixup", "mixing.probability=0.5", "epochs=4", "data.label_noise=0.3"],
    ["mixing=cutmix", "mixing.probability=1", "epochs=3", "augmentation=crop", "augmentation.crop.size=8"],
    ["mixing=mixup", "mixing.alpha=0.3", "epochs=3", "loss.label_smoothing=0.1", "seed=1"],
)


def assert_equal_runs(recorder: MemoryRecorder, expected: MemoryRecorder, tolerance: float = 1e-9) -> None:
    for name in ("objective", "train_loss", "val_loss", "gradient_norm"):
        assert recorder.column(name) == pytest.approx(expected.column(name), abs=tolerance, rel=0), name
    tensors = expected.final_result.checkpoint.tensors
    for name, tensor in tensors.items():
        result = recorder.final_result.checkpoint.tensors[name]
        torch.testing.assert_close(result, tensor, rtol=0, atol=tolerance)


def test_runs_that_mix_differently_train_in_a_cohort_as_they_do_alone() -> None:
    runs = [[*COMMON, *words] for words in RUNS]
    for words, recorder in zip(runs, train_runs(*runs), strict=True):
        [alone] = train_runs(words)
        assert_equal_runs(recorder, alone)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_the_objective_is_that_of_soft_labels_and_metrics_are_on_the_images_as_they_are(kind: str) -> None:
    words = [*COMMON, "epochs=1", f"mixing={kind}", "optimizer.lr=1e-30", "loss.label_smoothing=0.2"]
    cohort, [recorder] = make_cohort(words)
    model = cohort.model.architecture.make_module({}).double()
    model.load_state_dict(cohort.model.run_state(0))
    stream, data = make_stream(compose_job(words).config, cohort.dataset), cohort.dataset
    total = 0.0
    for batch in draw_epoch(data.train, {"": stream}, 32, 1, torch.float64).batches([1]):
        assert batch.other_labels is not None
        assert batch.label_weights is not None
        labels, others = (F.one_hot(each[0], 10) for each in (batch.labels, batch.other_labels))
        weights = batch.label_weights[0].unsqueeze(1)
        targets = weights * labels + (1 - weights) * others
        total += F.cross_entropy(model(batch.images[0]), targets, label_smoothing=0.2).item() * len(batch)
    train(cohort, QuietReporter(), StopRequest())
    [plain] = train_runs([*words[:-3], "mixing=none", "optimizer.lr=1e-30"])
    assert recorder.column("objective")[0] == pytest.approx(total / len(data.train), abs=1e-9)
    assert recorder.column("train_loss") == plain.column("train_loss")
    assert recorder.column("objective") != plain.column("objective")


def test_a_run_without_mixing_has_the_identity_it_had_before_there_was_any() -> None:
    keys = identity_items(compose_job([]).config)
    assert not [key for key in keys if key.startswith("mixing")]
    assert identity_items(compose_job(["mixing=mixup"]).config)["mixing.alpha"] == 1
