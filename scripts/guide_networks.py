"""Plots of the guide that look into trained networks: snapshots, confidences, and classes with few images."""

import statistics
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from guide_plots import SEEDS, STYLES, Train
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from regexp.config.compose import compose_job
from regexp.data.dataset import Images, scale
from regexp.execution.builders import load_dataset
from regexp.execution.building.optimizer_builders import make_schedule


def load_test_images(overrides: Sequence[str] = ()) -> Images:
    """Return the test images of a configuration."""
    test = load_dataset(compose_job(list(overrides)).config).test
    assert test is not None
    return test


def plot_snapshots(train: Train) -> Figure:
    """Plot the learning rate of five cycles, and the test loss of each snapshot and of the ensembles so far."""
    common = ["averaging=snapshots", "optimizer.lr=0.01", "epochs=50"]
    runs = train([[*common, f"seed={seed}"] for seed in SEEDS])
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.2))
    steps_per_epoch = 18  # 1,150 images in batches of 64
    config = compose_job(common).config
    schedule, num_steps = make_schedule(config, steps_per_epoch), config.epochs * steps_per_epoch
    rates = [config.optimizer.lr * schedule(step) for step in range(num_steps)]
    left.plot([step / steps_per_epoch for step in range(num_steps)], rates, color=STYLES[0][0])
    left.set(xlabel="epoch")
    left.set_title("learning rate", fontsize=11, loc="left")
    test = load_test_images()
    images = scale(test.images, torch.float32)
    single_losses, ensemble_losses = [], []
    for run in runs:
        snapshots = run.model("last").get_submodule("snapshots")
        assert isinstance(snapshots, nn.ModuleList)
        with torch.no_grad():
            probabilities = torch.stack([network(images).softmax(-1) for network in snapshots])
        means = probabilities.cumsum(0) / torch.arange(1, len(snapshots) + 1).view(-1, 1, 1)
        single_losses.append([F.nll_loss(each.log(), test.labels).item() for each in probabilities])
        ensemble_losses.append([F.nll_loss(mean.log(), test.labels).item() for mean in means])
    for losses, label, style in zip((single_losses, ensemble_losses), ("alone", "together"), STYLES, strict=False):
        _plot_range(right, losses, label, style)
    right.set(xlabel="snapshot")
    right.set_xticks(range(1, len(single_losses[0]) + 1))
    right.set_title("test loss (nats)", fontsize=11, loc="left")
    right.legend()
    figure.tight_layout()
    return figure


def _plot_range(axes: Axes, values_by_run: Sequence[Sequence[float]], label: str, style: tuple[str, str]) -> None:
    """Plot the mean and the range over runs of values that are counted from 1."""
    color, line = style
    columns = list(zip(*values_by_run, strict=True))
    positions = range(1, len(columns) + 1)
    axes.plot(positions, [statistics.mean(column) for column in columns], line, color=color, marker="o", label=label)
    axes.fill_between(positions, list(map(min, columns)), list(map(max, columns)), color=color, alpha=0.2, linewidth=0)


def plot_confidences(train: Train, key: str, amounts: Sequence[float], title: str) -> Figure:
    """Plot how sure runs with different amounts of a regularizer are of their predictions on the test set.

    Args:
        train: trains a sweep.
        key: the key that sets the amount.
        amounts: the amounts.
        title: the title of the legend.
    """
    runs = train([[f"{key}={amount}", "early_stopping=none", "epochs=60"] for amount in amounts])
    images = scale(load_test_images().images, torch.float32)
    figure, axes = plt.subplots(figsize=(7.5, 3.2))
    for amount, run, (color, line) in zip(amounts, runs, STYLES, strict=False):
        with torch.no_grad():
            probabilities = run.model("last")(images).softmax(-1).amax(-1)
        axes.hist(
            probabilities.tolist(),
            bins=[i / 25 for i in range(26)],
            histtype="step",
            linewidth=1.8,
            color=color,
            linestyle=line,
            label=f"{amount:g}",
        )
    axes.set(xlabel="probability of the predicted class", ylabel="test images")
    axes.legend(title=title, loc="upper left")
    return figure


def plot_class_weights(train: Train, directory: Path) -> Figure:
    """Plot the test accuracy of each digit where half of the digits have a twentieth of their training images.

    Args:
        train: trains a sweep.
        directory: where the images are written.
    """
    dataset = load_dataset(compose_job(["data.validation=test"]).config)
    assert dataset.test is None
    train_images, test_images = dataset.train, dataset.validation
    labels = train_images.labels.numpy()
    ranks = np.array([(labels[:i] == label).sum() for i, label in enumerate(labels)])  # among those of the digit
    kept = (labels < 5) | (ranks % 20 == 0)
    arrays = {"images": train_images.images.numpy()[kept], "labels": labels[kept]}
    arrays |= {"test_images": test_images.images.numpy(), "test_labels": test_images.labels.numpy()}
    np.savez(directory / "rare_digits.npz", **arrays)
    common = ["data=arrays", f"data.path={directory / 'rare_digits.npz'}", "early_stopping=none", "epochs=60"]
    figure, axes = plt.subplots(figsize=(7.5, 3.2))
    for option, (color, _), offset in zip(("none", "balanced"), STYLES, (-0.2, 0.2), strict=False):
        runs = train([[*common, f"loss.class_weights={option}", f"seed={seed}"] for seed in SEEDS])
        accuracies = [[100 * value for value in run.summary["class_accuracy"].values()] for run in runs]  # type: ignore[index]
        columns = list(zip(*accuracies, strict=True))
        positions = [i + offset for i in range(len(columns))]
        axes.bar(positions, [statistics.mean(column) for column in columns], 0.4, color=color, label=option)
        for position, column in zip(positions, columns, strict=True):
            axes.plot([position] * len(column), column, ".", color="#444444", markersize=4)
    axes.set(xlabel="digit; those from 5 have a twentieth of their training images", ylabel="test accuracy (%)")
    axes.set_xticks(range(len(columns)))
    axes.legend(title="class weights", loc="upper right", ncols=2, bbox_to_anchor=(1, 1.25))
    return figure
