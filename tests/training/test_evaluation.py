"""Losses and accuracies of K runs against a plain loop over plain models."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from sklearn import metrics
from torch.testing import assert_close

from regexp.data.dataset import Images
from regexp.models.initialization import initialize_stacked
from regexp.models.mlp import MLP, MLPArchitecture
from regexp.models.normalization import Normalization
from regexp.training import evaluation
from regexp.training.batches import Batch
from regexp.training.evaluation import count_confusions, evaluate
from regexp.training.losses.training_loss import LossTerms, training_loss
from regexp.utils.device import choose_backend

close = partial(assert_close, rtol=0, atol=1e-12)
RUNS, IMAGE_COUNT, CLASSES = 3, 17, 4
ARCHITECTURE = MLPArchitecture(12, (9,), CLASSES, "relu", Normalization("batch"))


@pytest.fixture
def model() -> MLP:
    model = MLP(ARCHITECTURE, {"dropout": torch.tensor([0.2, 0.0, 0.5], dtype=torch.float64)}).double()
    initialize_stacked(model, ARCHITECTURE.init, range(RUNS))
    model.begin_epoch(range(RUNS), 1, [8] * 5)
    for _ in range(5):  # change the running statistics
        model(torch.rand(1, 8, 1, 3, 4, dtype=torch.float64), [RUNS])
    return model


@pytest.fixture
def split() -> Images:
    images = torch.randint(256, (IMAGE_COUNT, 1, 3, 4), dtype=torch.uint8)
    return Images(images, torch.randint(CLASSES, (IMAGE_COUNT,)))


@pytest.mark.parametrize("smoothing", [None, [0.0, 0.1, 0.7]])
def test_cross_entropy_equals_torchs_with_each_runs_label_smoothing(smoothing: list[float] | None) -> None:
    logits = (torch.randn(RUNS, IMAGE_COUNT, CLASSES, dtype=torch.float64) * 5).requires_grad_()
    labels = torch.randint(CLASSES, (RUNS, IMAGE_COUNT))
    logits_copy = logits.detach().clone().requires_grad_()
    loss_terms = LossTerms(smoothing=torch.tensor(smoothing, dtype=torch.float64) if smoothing else None)
    losses = training_loss(logits, Batch(torch.empty(0), labels), loss_terms)
    expected = [
        F.cross_entropy(logits_copy[k], labels[k], label_smoothing=smoothing[k] if smoothing else 0.0) for k in range(3)
    ]
    close(losses, torch.stack(expected))
    losses.sum().backward()
    sum(expected).backward()
    close(logits.grad, logits_copy.grad)


def test_the_loss_of_mixed_images_equals_torchs_with_mixed_targets() -> None:
    logits = torch.randn(RUNS, IMAGE_COUNT, CLASSES, dtype=torch.float64)
    labels, other_labels = torch.randint(CLASSES, (2, RUNS, IMAGE_COUNT))
    weights = torch.rand(RUNS, IMAGE_COUNT, dtype=torch.float64)
    smoothing = torch.tensor([0.0, 0.1, 0.7], dtype=torch.float64)
    batch = Batch(torch.empty(0), labels, other_labels, weights)
    losses = training_loss(logits, batch, LossTerms(smoothing=smoothing))
    for k in range(RUNS):
        share = weights[k].unsqueeze(1)
        targets = share * F.one_hot(labels[k], CLASSES) + (1 - share) * F.one_hot(other_labels[k], CLASSES)
        close(losses[k], F.cross_entropy(logits[k], targets, label_smoothing=float(smoothing[k])))


# An image has 12 values, and 9 + 4 units of each of the three runs; a chunk holds at least one image.
@pytest.mark.parametrize("images_at_once", [0, 1, 2, 4, 17, 2730])
def test_evaluate_equals_a_plain_loop(
    model: MLP, split: Images, images_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(evaluation.BYTES_AT_ONCE, "cpu", images_at_once * 8 * (12 + 3 * 13))
    measured = evaluate(model, RUNS, split, choose_backend("cpu", None, "float64", None), predict=True)
    for k in range(RUNS):
        plain_model = ARCHITECTURE.make_module().double()
        plain_model.load_state_dict(model.run_state(k))
        plain_model.eval()
        with torch.no_grad():
            logits = [plain_model(image.double().unsqueeze(0) / 255)[0] for image in split.images]
        losses = [-logit.log_softmax(0)[label] for logit, label in zip(logits, split.labels, strict=True)]
        predictions = [int(logit.argmax()) for logit in logits]
        correct = sum(p == int(label) for p, label in zip(predictions, split.labels, strict=True))
        close(measured.values["loss"][k], sum(losses) / IMAGE_COUNT)
        assert measured.predictions[k].tolist() == predictions
        assert float(measured.values["accuracy"][k]) == correct / IMAGE_COUNT


def test_evaluate_sets_evaluation_mode_and_changes_no_tensor_of_the_model(model: MLP, split: Images) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    measured = evaluate(model.train(), RUNS, split, choose_backend("cpu", None, "float64", None), predict=True)
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not measured.values["loss"].requires_grad


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_losses_are_summed_in_float64_at_every_precision(model: MLP, split: Images, precision: str) -> None:
    exact = evaluate(model, RUNS, split, choose_backend("cpu", None, "float64", None), predict=True)
    measured = evaluate(model.float(), RUNS, split, choose_backend("cpu", None, precision, None), predict=True)
    assert {values.dtype for values in measured.values.values()} == {torch.float64}
    assert_close(measured.values["loss"], exact.values["loss"], rtol=0, atol=1e-6 if precision == "float32" else 3e-2)


def test_a_diverged_run_does_not_change_the_metrics_of_the_others(model: MLP, split: Images) -> None:
    backend = choose_backend("cpu", None, "float64", None)
    before = evaluate(model, RUNS, split, backend, predict=True)
    model.get_parameter("1.weight").data[1] = torch.nan
    after = evaluate(model, RUNS, split, backend, predict=True)
    assert after.values["loss"].isnan().tolist() == [False, True, False]
    close(after.values["loss"][[0, 2]], before.values["loss"][[0, 2]])


def test_the_confusion_matrix_equals_scikit_learns() -> None:
    labels, *predictions = torch.randint(1, 4, (4, 50))  # 0 and 4 never occur
    counts = count_confusions(torch.stack(predictions), labels, 5)
    expected = [metrics.confusion_matrix(labels, run_predictions, labels=range(5)) for run_predictions in predictions]
    assert counts.tolist() == [matrix.tolist() for matrix in expected]
