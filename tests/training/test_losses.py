"""The losses and their terms against torch, torchvision, scikit-learn and plain formulas."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils import compute_class_weight
from torch import Tensor
from torch.testing import assert_close
from torchvision.ops import sigmoid_focal_loss

from regexp.config.compose import compose_job
from regexp.config.schemas.loss import LOSS_SCHEMAS, CrossEntropyConfig, LossConfig
from regexp.data.dataset import Dataset
from regexp.execution.builders import load_dataset, make_settings
from regexp.execution.building.loss_settings import make_loss_settings
from regexp.training.batches import Batch
from regexp.training.losses.class_weights import balance_classes
from regexp.training.losses.training_loss import LossTerms, stack_loss_terms, training_loss

close = partial(assert_close, rtol=0, atol=1e-12)
RUNS, IMAGES, CLASSES = 3, 13, 4
CPU = torch.device("cpu")

# The loss l(c) of an image whose probabilities are p [classes], if its label were c, by name; with the run's number.
FORMULAS: dict[str, Callable[[Tensor, int, float], Tensor]] = {
    "cross_entropy": lambda p, c, _: -p[c].log(),
    "focal": lambda p, c, gamma: -((1 - p[c]) ** gamma) * p[c].log(),
    "bootstrap": lambda p, c, beta: -(beta * p[c].log() + ((1 - beta) * p * p.log()).sum()),
    "hard_bootstrap": lambda p, c, beta: -(beta * p[c].log() + (1 - beta) * p.max().log()),
}
NUMBERS = {"focal": ("gamma", [0.0, 0.5, 2.0]), "bootstrap": ("beta", [1.0, 0.9, 0.3])}
NUMBERS["hard_bootstrap"] = NUMBERS["bootstrap"]


@pytest.fixture
def logits() -> Tensor:
    return (torch.randn(RUNS, IMAGES, CLASSES, dtype=torch.float64) * 3).requires_grad_()


@pytest.fixture
def batch() -> Batch:
    labels, other_labels = torch.randint(CLASSES, (2, RUNS, IMAGES))
    return Batch(torch.empty(0), labels, other_labels, torch.rand(RUNS, IMAGES, dtype=torch.float64))


def make_terms(configs: list[LossConfig], labels: Tensor) -> LossTerms:
    """Return the terms of runs, given the keys of their losses and the labels of the training set."""
    settings = [make_loss_settings(config, labels, CLASSES) for config in configs]
    return stack_loss_terms(settings, torch.float64, CPU)


def test_there_is_a_formula_for_every_loss() -> None:
    assert set(FORMULAS) == set(LOSS_SCHEMAS)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("name", FORMULAS)
def test_a_loss_with_all_terms_equals_its_formula(name: str, mixed: bool, logits: Tensor, batch: Batch) -> None:
    """The sum over classes c of q(c) w(c) l(c), less the penalty; with other numbers for each run."""
    key, numbers = NUMBERS.get(name, (None, [0.0] * RUNS))
    smoothing, penalties = [0.1, 0.0, 0.6], [0.0, 0.3, 0.2]
    configs = [
        LOSS_SCHEMAS[name](
            label_smoothing=smoothing[k],
            confidence_penalty=penalties[k],
            class_weights="none" if k == 0 else "balanced",
            **({key: numbers[k]} if key else {}),
        )
        for k in range(RUNS)
    ]
    train_labels = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3])
    weights = torch.tensor([8 / 12, 8 / 8, 8 / 4, 8 / 8], dtype=torch.float64)
    batch = batch if mixed else Batch(batch.images, batch.labels)
    losses = training_loss(logits, batch, make_terms(configs, train_labels))
    formula, expected = FORMULAS[name], []
    for k in range(RUNS):
        image_losses = []
        for i in range(IMAGES):
            p = logits[k, i].softmax(0)
            target = F.one_hot(batch.labels[k, i], CLASSES).double()
            if batch.other_labels is not None and batch.label_weights is not None:
                target = batch.label_weights[k, i] * target
                target = target + (1 - batch.label_weights[k, i]) * F.one_hot(batch.other_labels[k, i], CLASSES)
            target = (1 - smoothing[k]) * target + smoothing[k] / CLASSES
            w = torch.ones(CLASSES) if k == 0 else weights
            loss = sum(target[c] * w[c] * formula(p, c, numbers[k]) for c in range(CLASSES))
            image_losses.append(loss + penalties[k] * (p * p.log()).sum())
        expected.append(torch.stack(image_losses).mean())
    close(losses, torch.stack(expected))
    gradients = torch.autograd.grad(losses.sum(), logits)
    close(gradients, torch.autograd.grad(torch.stack(expected).sum(), logits))


def test_class_weights_and_label_smoothing_are_torchs(logits: Tensor, batch: Batch) -> None:
    smoothing = [0.0, 0.1, 0.5]
    configs: list[LossConfig] = [CrossEntropyConfig(label_smoothing=e, class_weights="balanced") for e in smoothing]
    terms = make_terms(configs, torch.tensor([0, 1, 1, 2, 2, 2, 3]))
    assert terms.class_weights is not None
    losses = training_loss(logits, Batch(batch.images, batch.labels), terms)
    for k in range(RUNS):
        weight = terms.class_weights[k]
        expected = F.cross_entropy(
            logits[k], batch.labels[k], weight, reduction="none", label_smoothing=smoothing[k]
        ).mean()
        close(losses[k], expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_the_focal_loss_of_two_classes_is_torchvisions(gamma: float) -> None:
    x, targets = torch.randn(40, dtype=torch.float64) * 3, torch.randint(2, (40,))
    expected = sigmoid_focal_loss(x, targets.double(), alpha=-1, gamma=gamma, reduction="mean")
    config = replace(LOSS_SCHEMAS["focal"](), gamma=gamma)
    terms = stack_loss_terms([make_loss_settings(config, targets, 2)], torch.float64, CPU)
    logits = torch.stack([torch.zeros_like(x), x], 1).unsqueeze(0)
    close(training_loss(logits, Batch(torch.empty(0), targets.unsqueeze(0)), terms), expected.unsqueeze(0))


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_losses_of_certain_predictions_have_finite_gradients(name: str, scale: float) -> None:
    """P is 1, or 0, in floating point: of the label, or of another class."""
    logits = (torch.eye(CLASSES).unsqueeze(0) * scale).requires_grad_()
    key, numbers = NUMBERS.get(name, (None, [0.0]))
    config = LOSS_SCHEMAS[name](confidence_penalty=0.1, label_smoothing=0.1, **({key: numbers[1]} if key else {}))
    terms = stack_loss_terms([make_loss_settings(config, torch.arange(CLASSES), CLASSES)], torch.float32, CPU)
    for labels in (torch.arange(CLASSES), torch.arange(CLASSES).roll(1)):
        loss = training_loss(logits, Batch(torch.empty(0), labels.unsqueeze(0)), terms)
        [gradient] = torch.autograd.grad(loss.sum(), logits)
        assert loss.isfinite().all()
        assert gradient.isfinite().all()


def test_numbers_that_switch_a_term_off_change_no_bit(logits: Tensor, batch: Batch) -> None:
    with torch.no_grad():
        expected = training_loss(logits, batch, LossTerms())
        for name, (key, numbers) in NUMBERS.items():
            configs = [LOSS_SCHEMAS[name](**{key: number}) for number in numbers]
            losses = training_loss(logits, batch, make_terms(configs, batch.labels[0]))
            assert losses[0] == expected[0]
            assert (losses[1:] != expected[1:]).all()
        configs = [CrossEntropyConfig(confidence_penalty=weight) for weight in (0.0, 0.1, 0.2)]
        losses = training_loss(logits, batch, make_terms(configs, batch.labels[0]))
    assert losses[0] == expected[0]
    assert (losses[1:] < expected[1:]).all()


def test_terms_that_no_run_uses_are_left_out(batch: Batch) -> None:
    assert make_terms([CrossEntropyConfig()] * 3, batch.labels[0]) == LossTerms()


def test_balanced_weights_are_scikit_learns() -> None:
    labels = torch.randint(5, (50,)) ** 2 % 7  # classes 0, 1, 2, 4
    weights = balance_classes(labels, 7)
    present = np.unique(labels)
    expected = compute_class_weight("balanced", classes=present, y=labels.numpy())
    close(weights[present], torch.from_numpy(expected))
    assert weights.sum() == weights[present].sum()  # classes without images count for nothing
    close(weights[labels].mean(), torch.tensor(1.0, dtype=torch.float64))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(compose_job(["data.train_size=150"]).config)


def test_balanced_weights_are_those_of_the_labels_that_a_run_trains_on(dataset: Dataset) -> None:
    words = ["data.train_size=150", "loss.class_weights=balanced", "data.label_noise=0.5"]
    settings = make_settings(compose_job(words).config, dataset)
    assert settings.stream.labels is not None
    assert settings.loss.class_weights is not None
    assert torch.equal(settings.loss.class_weights, balance_classes(settings.stream.labels, 10))
    assert not torch.equal(settings.loss.class_weights, balance_classes(dataset.train.labels, 10))


def test_weights_and_penalties_also_change_a_loss_of_the_users_own(logits: Tensor, batch: Batch) -> None:
    configs: list[LossConfig] = [CrossEntropyConfig(confidence_penalty=0.1, class_weights="balanced")] * RUNS
    terms = make_terms(configs, torch.tensor([0, 1, 1, 2, 2, 2, 3]))

    def hinge(logits: Tensor, labels: Tensor) -> Tensor:
        margins = logits - logits.gather(2, labels.unsqueeze(2)) + 1
        return margins.relu().sum(2)

    assert terms.class_weights is not None
    losses = training_loss(logits, batch, terms, hinge)  # type: ignore[arg-type]
    weight, other_labels = batch.label_weights, batch.other_labels
    assert weight is not None
    assert other_labels is not None
    expected = weight * terms.class_weights.gather(1, batch.labels) * hinge(logits, batch.labels)
    expected = expected + (1 - weight) * terms.class_weights.gather(1, other_labels) * hinge(logits, other_labels)
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    close(losses, (expected - 0.1 * entropy).mean(1))
