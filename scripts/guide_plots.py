"""Plots of the guide: what several regularizers share, losses, stopping rules, ghost batches, corrupted images."""

import statistics
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regexp import Run
from regexp.augmentation.corruptions import CORRUPTIONS
from regexp.training.early_stopping import EarlyStopping, StoppingRule
from regexp.training.losses.focal import focus

SEEDS = range(5)
# Lines that can be told apart without colour.
STYLES = [("#1b6ca8", "-"), ("#c1440e", "--"), ("#3f7d20", "-."), ("#6b4c9a", ":")]
# Trains a sweep, given by the overrides of each run, and returns its runs in order.
Train = Callable[[Sequence[Sequence[str]]], list[Run]]


def plot_strengths(train: Train, key: str, values: Sequence[float | None], others: Sequence[str], label: str) -> Figure:
    """Plot the training and test accuracies of noisy labels against the strength of a regularizer.

    Args:
        train: trains a sweep.
        key: the key that sets the strength.
        values: the strengths; None for no regularizer.
        others: overrides of all runs.
        label: the label of the strengths.
    """
    common = ["data.label_noise=0.2", "early_stopping=none", "epochs=100", *others]
    words = ["null" if value is None else f"{value:g}" for value in values]
    runs = train([[*common, f"{key}={word}", f"seed={seed}"] for word in words for seed in SEEDS])
    figure, panels = plt.subplots(1, 2, figsize=(7.5, 3.2))
    positions = range(len(values))
    train_accuracies, test_accuracies = [], []
    for run in runs:
        summary = run.summary
        assert summary is not None
        train_accuracies.append(100 * summary["last"]["train_accuracy"])
        test_accuracies.append(100 * summary["test_last"]["accuracy"])
    for axes, accuracies, title, (color, line) in zip(
        panels,
        (train_accuracies, test_accuracies),
        ("training accuracy (%)", "test accuracy (%)"),
        STYLES,
        strict=False,
    ):
        accuracies_by_value = [accuracies[i * len(SEEDS) : (i + 1) * len(SEEDS)] for i in positions]
        means = [statistics.mean(seed_accuracies) for seed_accuracies in accuracies_by_value]
        axes.plot(positions, means, line, color=color, marker="o")
        for position, seed_accuracies in zip(positions, accuracies_by_value, strict=True):
            axes.plot([position] * len(SEEDS), seed_accuracies, ".", color="#777777", markersize=4, zorder=0)
        axes.set_xticks(list(positions), ["none" if word == "null" else word for word in words])
        axes.set(xlabel=label)
        axes.set_title(title, fontsize=11, loc="left")
    figure.tight_layout()
    return figure


def plot_mean_and_range(axes: Axes, train: Train, overrides: Sequence[str], label: str, style: tuple[str, str]) -> None:
    """Plot the validation loss over epochs: the mean and the range over seeds.

    Args:
        axes: where to plot.
        train: trains a sweep.
        overrides: the overrides of all runs.
        label: the label of the line.
        style: the colour and the line style.
    """
    color, line = style
    runs = train([[*overrides, f"seed={seed}"] for seed in SEEDS])
    losses_by_epoch = list(zip(*([row["val_loss"] for row in run.metrics] for run in runs), strict=True))
    epochs = range(1, len(losses_by_epoch) + 1)
    axes.plot(epochs, [statistics.mean(losses) for losses in losses_by_epoch], line, color=color, label=label)
    lowest, highest = [min(losses) for losses in losses_by_epoch], [max(losses) for losses in losses_by_epoch]
    axes.fill_between(epochs, lowest, highest, color=color, alpha=0.2, linewidth=0)


def plot_focal_losses() -> Figure:
    """Plot the focal loss against the probability of the label."""
    figure, axes = plt.subplots(figsize=(7.5, 3.2))
    p = torch.linspace(0.02, 1, 200)
    for gamma, (color, line) in zip((0.0, 0.5, 2.0, 5.0), STYLES, strict=True):
        losses = focus(-p.log().view(1, -1, 1), p, torch.tensor(gamma).view(1, 1, 1)).flatten()
        label = "0 (cross entropy)" if gamma == 0 else f"{gamma:g}"
        axes.plot(p, losses, line, color=color, label=label)
    axes.set(xlabel="probability of the label", ylabel="loss (nats)")
    axes.legend(title="gamma")
    return figure


def plot_stopping_rules(train: Train) -> Figure:
    """Plot the generalization loss of a run that overfits, and its quotient with progress, up to where they stop it."""
    common = ["data.label_noise=0.2", "normalization=batch", "model.hidden_sizes=[512]", "epochs=70"]
    [run] = train([[*common, "early_stopping=none"]])
    losses, train_losses = ([row[name] for row in run.metrics] for name in ("val_loss", "train_loss"))
    figure, panels = plt.subplots(1, 2, figsize=(7.5, 3.2))
    lowest = [min(losses[: t + 1]) for t in range(len(losses))]
    generalization_losses = [100 * (loss / low - 1) for loss, low in zip(losses, lowest, strict=True)]
    strip = StoppingRule().strip
    quotients = []
    for t in range(strip, len(losses) + 1, strip):
        strip_losses = train_losses[t - strip : t]
        progress = 1000 * (statistics.mean(strip_losses) / min(strip_losses) - 1)
        quotients.append((t, generalization_losses[t - 1] / progress))
    epochs = range(1, len(losses) + 1)
    panels[0].plot(epochs, generalization_losses, STYLES[0][1], color=STYLES[0][0])
    panels[1].plot(*zip(*quotients, strict=True), STYLES[0][1], color=STYLES[0][0], marker="o", markersize=4)
    rules = (
        (panels[0], 5.0, StoppingRule(max_generalization_loss=5.0), "generalization loss (%)"),
        (panels[1], 0.1, StoppingRule(max_quotient=0.1), "generalization loss / progress"),
    )
    for axes, alpha, rule, title in rules:
        stopping = EarlyStopping([rule])
        table = torch.tensor([losses, train_losses], dtype=torch.float64)
        end = next(t + 1 for t in range(len(losses)) if bool(stopping.update(*table[:, t : t + 1])))
        axes.axhline(alpha, color=STYLES[1][0], linestyle=STYLES[1][1], linewidth=1.2)
        axes.axvline(end, color="#777777", linewidth=1)
        transform = axes.get_xaxis_transform()  # x in epochs, y as a fraction of the axes' height
        offset, side = (1, "left") if end < len(losses) / 2 else (-1, "right")
        text = f"stops after epoch {end}"
        axes.text(end + offset, 0.93, text, ha=side, color="#444444", fontsize=9, transform=transform)
        axes.set(xlabel="epoch")
        axes.set_title(f"{title}, alpha {alpha:g}", fontsize=11, loc="left")
    figure.tight_layout()
    return figure


def plot_ghost_batches(train: Train) -> Figure:
    """Plot the validation loss with batches of 512 images that are normalized in parts of different sizes."""
    figure, axes = plt.subplots(figsize=(7.5, 3.6))
    common = ["normalization=batch", "batch_size=512", "optimizer.lr=0.01", "early_stopping=none", "epochs=100"]
    for size, style in zip(("null", "64", "16"), STYLES, strict=False):
        overrides = [*common, f"normalization.virtual_batch={size}"]
        plot_mean_and_range(axes, train, overrides, "512 (whole batches)" if size == "null" else size, style)
    axes.set(xlabel="epoch", ylabel="validation loss (nats)", yscale="log")
    axes.set_yticks([0.1, 0.15, 0.2, 0.5, 1, 2], ["0.1", "0.15", "0.2", "0.5", "1", "2"])
    axes.set_yticks([], minor=True)
    axes.legend(title="images normalized together")
    return figure


def plot_corruptions(train: Train) -> Figure:
    """Plot the test accuracy against the strength of each corruption, with several regularizers."""
    regularizers = {
        "none": [],
        "augmentation=affine": ["augmentation=affine"],
        "augmentation=noise": ["augmentation=noise", "augmentation.noise.std=0.3"],
        "model.dropout=0.5": ["model.dropout=0.5"],
    }
    figure, panels = plt.subplots(1, len(CORRUPTIONS), figsize=(11, 3), sharey=True)
    for (label, words), (color, line) in zip(regularizers.items(), STYLES, strict=True):
        runs = train([["evaluation.corruptions=true", *words, f"seed={seed}"] for seed in SEEDS])
        summaries = [run.summary for run in runs if run.summary is not None]
        for axes, corruption in zip(panels, CORRUPTIONS, strict=True):
            curves = [[summary["test"]["accuracy"], *summary["corruptions"][corruption]] for summary in summaries]
            means = [100 * statistics.mean(accuracies) for accuracies in zip(*curves, strict=True)]
            axes.plot(range(len(means)), means, line, color=color, label=label)
            axes.set_title(corruption, fontsize=11, loc="left")
            axes.set(xlabel="strength", ylim=(0, 100), xticks=range(len(means)))
    panels[0].set_ylabel("test accuracy (%)")
    panels[0].legend(fontsize=8, loc="lower left")
    figure.tight_layout()
    return figure


def plot_lookahead(train: Train) -> Figure:
    """Plot the validation loss of weights that jump around, with and without slow weights beside them."""
    figure, axes = plt.subplots(figsize=(7.5, 3.6))
    common = ["optimizer.lr=0.01", "normalization=batch", "batch_size=16", "early_stopping=none", "epochs=40"]
    for period, style in zip(("null", "5", "20"), STYLES, strict=False):
        label = "none" if period == "null" else period
        plot_mean_and_range(axes, train, [*common, f"optimizer.lookahead_k={period}"], label, style)
    axes.set(xlabel="epoch", ylabel="validation loss (nats)", ylim=(0.05, 0.4))
    axes.legend(title="steps between slow weights")
    return figure
