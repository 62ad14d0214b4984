"""Losses of the user's own: what they may be, their draws, and what is said of those that cannot be minimized."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.cohorts import DOUBLE, make_cohort, train_runs
from helpers.commands import read_summaries, run_main, run_regexp
from torch import Tensor
from torch.testing import assert_close

from regexp import run, sweep
from regexp.config.compose import compose_job
from regexp.errors import ConfigError
from regexp.training.batches import Batch
from regexp.training.losses.training_loss import LossTerms, training_loss
from regexp.training.losses.user_loss import UserLoss
from regexp.verify import main as verify_main

SOURCE = '''
import torch
import torch.nn.functional as F
from torch import nn


def focal(logits, labels, gamma=2.0):
    losses = F.cross_entropy(logits, labels, reduction="none")
    return (1 - torch.exp(-losses)) ** gamma * losses


class Drawing(nn.Module):
    """Cross entropy with random weights, and a buffer that must be where the logits are."""

    def __init__(self, spread=0.5):
        super().__init__()
        self.register_buffer("spread", torch.tensor(spread))

    def forward(self, logits, labels):
        losses = F.cross_entropy(logits, labels, reduction="none")
        return losses * (1 + self.spread * torch.rand_like(losses))


class Remembering:
    """Cross entropy over its running mean."""

    def __init__(self):
        self.mean = 1.0

    def __call__(self, logits, labels):
        losses = F.cross_entropy(logits, labels, reduction="none")
        self.mean = 0.9 * self.mean + 0.1 * float(losses.detach().mean())
        return losses / self.mean


class Learned(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, logits, labels):
        return self.scale * F.cross_entropy(logits, labels, reduction="none")


def change(logits, labels, kind, after=0):
    losses = F.cross_entropy(logits, labels, reduction="none")
    if len(labels) <= after:
        return losses
    if kind == "raises":
        raise ValueError("a mistake of the user's")
    if kind == "backward":
        return losses.view(-1, 1).expand(-1, 2).detach().requires_grad_()[:, 0] * Broken.apply(losses)
    results = {"list": [1], "mean": losses.mean(), "undefined": losses / 0 - losses / 0, "detached": losses.detach()}
    return results[kind]


class Broken(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        raise ValueError("a mistake of the user's")


open("code_has_run", "a").close()
'''
SOURCE_FILE = "loss.py"
MARKER = Path("code_has_run")
WORDS = ["data.train_size=100", "early_stopping=none", "epochs=2", "model.hidden_sizes=[8]"]
CROSS_ENTROPY = ["loss.target=torch.nn:CrossEntropyLoss", "loss.options.reduction=none"]


@pytest.fixture(autouse=True)
def _source() -> None:
    Path(SOURCE_FILE).write_text(SOURCE)


def test_what_a_loss_remembers_is_of_its_run() -> None:
    runs = [[*WORDS, DOUBLE, "loss.target=loss.py:Remembering", f"seed={seed}"] for seed in range(3)]
    together = train_runs(*runs)
    [alone] = train_runs(runs[1])
    assert together[1].column("objective") == pytest.approx(alone.column("objective"), rel=1e-9)


def test_a_loss_with_parameters_is_refused() -> None:
    with pytest.raises(ConfigError, match="has parameters that require gradients, and no optimizer trains a loss"):
        UserLoss("loss.py:Learned", {}, 10)


def test_cross_entropy_by_another_name_trains_the_same() -> None:
    words = [*WORDS, DOUBLE]
    [expected], [actual] = train_runs(words), train_runs([*words, *CROSS_ENTROPY])
    for column in ("objective", "train_loss", "val_loss", "val_accuracy"):
        assert actual.column(column) == pytest.approx(expected.column(column), rel=1e-12)


def test_the_objective_is_what_the_optimizer_saw_and_evaluation_is_in_cross_entropy() -> None:
    cohort, _ = make_cohort([*WORDS, DOUBLE, "optimizer=sgd", "optimizer.lr=1e-9", "loss.target=loss.py:focal"])
    cohort.begin_epoch()
    [recorder] = train_runs([*WORDS, DOUBLE, "optimizer=sgd", "optimizer.lr=1e-9", "loss.target=loss.py:focal"])
    logits, labels = [], []
    for batch in cohort.batches():
        logits.append(cohort.forward(batch.images)[0].detach())
        labels.append(batch.labels[0].clone())
    losses = F.cross_entropy(torch.cat(logits), torch.cat(labels), reduction="none")
    assert recorder.column("objective")[0] == pytest.approx(float(((1 - (-losses).exp()) ** 2 * losses).mean()))
    assert recorder.column("train_loss")[0] == pytest.approx(float(losses.mean()), rel=1e-6)


@pytest.mark.parametrize("target", ["focal", "Drawing"])
def test_a_run_is_the_same_alone_and_in_company(target: str) -> None:
    words = [*WORDS, DOUBLE, f"loss.target=loss.py:{target}"]
    runs = [[*words, "seed=0"], [*words, "seed=1", "optimizer.lr=0.01"], [*words, "seed=1", "epochs=1"]]
    torch.manual_seed(3)
    for overrides, together in zip(runs, train_runs(*runs), strict=True):
        [alone] = train_runs(overrides)
        assert alone.column("objective") == pytest.approx(together.column("objective"), rel=1e-9)
        assert alone.column("val_loss") == pytest.approx(together.column("val_loss"), rel=1e-9)


def test_a_resumed_run_draws_what_it_would_have_drawn() -> None:
    words = [*WORDS, DOUBLE, "loss.target=loss.py:Drawing"]
    [expected] = train_runs([*words, "epochs=2"])
    [shorter] = train_runs([*words, "epochs=1"])
    assert shorter.result is not None
    checkpoint = shorter.result.checkpoint
    metadata = {**checkpoint.metadata, "status": None}
    cohort, _ = make_cohort([*words, "epochs=2"], checkpoints=[type(checkpoint)(checkpoint.tensors, metadata)])
    torch.manual_seed(3)
    cohort.begin_epoch()
    for batch in cohort.batches():
        losses = training_loss(cohort.forward(batch.images), batch, cohort.loss_terms, cohort.user_loss)
        losses.sum().backward()
        cohort.step(losses, len(batch))
    assert float(cohort.objective_sums / len(cohort.dataset.train)) == pytest.approx(
        expected.column("objective")[1], rel=1e-12
    )


def test_the_loss_of_mixed_images_is_the_mixture_of_the_losses() -> None:
    loss = UserLoss("loss.py:focal", {"gamma": 1.0}, 5)

    def focal(logits: Tensor, labels: Tensor) -> Tensor:
        losses = F.cross_entropy(logits, labels, reduction="none")
        return (1 - (-losses).exp()) * losses

    logits, (labels, other_labels) = torch.randn(2, 6, 5), torch.randint(5, (2, 2, 6))
    weights = torch.rand(2, 6)
    loss.begin_epoch([0, 1], 1, logits.device)
    losses = training_loss(logits, Batch(torch.empty(0), labels, other_labels, weights), LossTerms(), loss)
    for k in range(2):
        mixture = weights[k] * focal(logits[k], labels[k]) + (1 - weights[k]) * focal(logits[k], other_labels[k])
        assert_close(losses[k], mixture.mean())


def test_a_sweep_over_an_option_and_an_edit_and_who_may_run_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, "epochs=1", "loss.target=loss.py:focal"]
    sweep(
        [[*words, f"loss.options.gamma={gamma}", f"seed={seed}"] for gamma in (0, 2) for seed in (0, 1)],
        quiet=True,
        workers=1,
    )
    assert [summary["cohort"]["size"] for summary in read_summaries().values()] == [2, 2, 2, 2]
    MARKER.unlink()
    monkeypatch.setattr("regexp.user_code.loading._loaded_targets", {})
    assert run_main(monkeypatch, verify_main, "regexp.verify", "outputs/default") == 2
    assert "which runs only with --code loss.py:focal" in capsys.readouterr().out
    assert not MARKER.exists()
    Path("loss.py").write_text(SOURCE.replace("** gamma", "** (gamma + 1)"))
    run([*words, "loss.options.gamma=2"])
    assert "1 finished run was trained by another version of loss.py:focal" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("loss.target=loss.py:foca", "loss.target=loss.py:foca: loss.py has no foca; did you mean loss.py:focal?"),
        ("loss.target=gone.py:focal", "loss.target=gone.py:focal: there is no such file"),
        ("loss.target=loss.py:focal loss.gamma=3", "loss=focal has it; did you mean loss.options.gamma=3?"),
        ("loss.options.gamma=3", "loss.options.gamma: cross entropy has no options; type loss.target=FILE.py:NAME as"),
        ("loss.target=loss.py:focal loss.label_smoothing=0.1", "loss.label_smoothing=0.1 with loss.target=loss.py:foc"),
        ("loss.target=loss.py:focal device.graphs=true", "device.graphs=true with loss.target=loss.py:focal: a CUDA"),
    ],
)
def test_mistakes_of_the_configuration_are_found_before_any_code_runs(words: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        compose_job(words.split())
    assert message in str(error.value)
    assert not MARKER.exists()


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        (
            "loss.py:focal",
            {"gama": 1},
            "loss.options.gama: loss.py:focal has no such parameter; did you mean loss.optio",
        ),
        ("loss.py:change", {}, "loss.py:change: needs a value for kind; type loss.options.kind=VALUE"),
        ("loss.py:change", {"kind": "list"}, "loss.target=loss.py:change: returns list for logits [4, 10] and labels"),
        (
            "loss.py:change",
            {"kind": "mean"},
            "returns [] for logits [4, 10] and labels [4]; must return the loss of ea",
        ),
        ("loss.py:change", {"kind": "undefined"}, "loss.target=loss.py:change: returns NaN or infinity for logits [4,"),
        ("loss.py:change", {"kind": "detached"}, "returns losses that do not depend on the logits by gradients"),
        ("loss.py:change", {"kind": "raises"}, "fails for logits [4, 10] and labels [4]: ValueError: a mistake of the"),
        ("loss.py:change", {"kind": "raises"}, 'in change: raise ValueError("a mistake of the user'),
    ],
)
def test_what_cannot_be_minimized_is_told_with_what_was_seen(
    target: str, options: dict[str, object], message: str, shared_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shared_directory)
    with pytest.raises(ConfigError) as error:
        UserLoss(target, options, 10)
    assert message in str(error.value)


def test_its_mistakes_end_the_command_with_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_regexp(monkeypatch, *WORDS, "loss.target=loss.py:change", "loss.options.kind=mean") == 2
    assert "must return the loss of each image, here [4], and no mean over them" in capsys.readouterr().err
    words = [*WORDS, "epochs=1", "loss.target=loss.py:change", "loss.options.after=4"]
    with pytest.raises(ConfigError, match=r"^loss\.py:change: ValueError: a mistake of the user's \(loss\.py, line "):
        run([*words, "loss.options.kind=raises"], quiet=True)
    with pytest.raises(ConfigError, match=r"loss\.py:change: .*a mistake of the user's"):
        run([*words, "loss.options.kind=backward"], quiet=True)
