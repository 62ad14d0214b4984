"""The pictures of docs/guide.md, from runs on digits: uv run scripts/guide.py [--data-root DIR]."""

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from regexp import Run, sweep
from regexp.config.augmentation_schema import STEPS
from regexp.config.compose import compose_job
from regexp.data.dataset import scale
from regexp.execution.builders import load_dataset, make_stream

ROOT = Path(__file__).resolve().parent.parent
SEEDS = range(5)
# Told apart without colour, too.
STYLES = [("#1b6ca8", "-"), ("#c1440e", "--"), ("#3f7d20", "-."), ("#6b4c9a", ":")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    shared = ROOT.parent / "shared" / "data"
    parser.add_argument("--data-root", default=os.environ.get("REGEXP_DATA_ROOT", str(shared)), help="holds MNIST/raw")
    arguments = parser.parse_args()
    plt.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True})
    plt.rcParams.update({"grid.color": "#e4e4e4", "legend.frameon": False, "axes.axisbelow": True})
    with tempfile.TemporaryDirectory() as outputs:

        def train(runs: Sequence[Sequence[str]]) -> list[Run]:
            return sweep(runs, outputs, quiet=True)

        pictures = {
            "early_stopping": early_stopping(train),
            "normalization": normalization(train),
            "augmentation": augmentation(arguments.data_root),
            "dropout": strength(train, "model.dropout", (0, 0.2, 0.4, 0.6, 0.8), [], "dropout probability"),
            "weight_decay": strength(
                train, "optimizer.weight_decay", (0, 0.1, 0.3, 1, 3), ["optimizer=adamw"], "weight decay (AdamW)"
            ),
            "label_smoothing": label_smoothing(train),
        }
    for name, figure in pictures.items():
        figure.savefig(ROOT / "docs" / "pictures" / f"{name}.png", dpi=100, bbox_inches="tight")
        print(f"docs/pictures/{name}.png")


Train = Callable[[Sequence[Sequence[str]]], list[Run]]


def early_stopping(train: Train) -> Figure:
    patiences = (2, 5, 20)
    noisy = ["data.label_noise=0.2", "normalization=batch", "model.hidden_sizes=[512]", "epochs=60"]
    whole, *stopped = train(
        [[*noisy, "early_stopping=none"], *([*noisy, f"early_stopping.patience={patience}"] for patience in patiences)]
    )
    figure, axes = plt.subplots(figsize=(7.5, 3.6))
    epochs = [row["epoch"] for row in whole.metrics]
    for name, (color, line) in zip(("train_loss", "val_loss"), STYLES, strict=False):
        label = {"train_loss": "training, a fifth of its labels wrong", "val_loss": "validation"}[name]
        axes.plot(epochs, [row[name] for row in whole.metrics], line, color=color, label=label)
    below = axes.get_xaxis_transform()
    for patience, run in zip(patiences, stopped, strict=True):
        end = run.metrics[-1]["epoch"]
        axes.axvline(end, color="#777777", linewidth=1)
        axes.text(end + 0.5, 0.55, f"patience {patience}", rotation=90, color="#444444", fontsize=9, transform=below)
    best = min(whole.metrics, key=lambda row: row["val_loss"])
    axes.plot(best["epoch"], best["val_loss"], "o", color=STYLES[1][0], label=f"best epoch ({best['epoch']:.0f})")
    axes.set(xlabel="epoch", ylabel="loss (nats)")
    axes.legend(loc="upper right")
    return figure


def normalization(train: Train) -> Figure:
    options = ("none", "batch", "layer")
    figure, axes = plt.subplots(figsize=(7.5, 3.6))
    for option, (color, line) in zip(options, STYLES, strict=False):
        runs = train([[f"normalization={option}", "early_stopping=none", "epochs=40", f"seed={s}"] for s in SEEDS])
        curves = [[row["val_loss"] for row in run.metrics] for run in runs]
        epochs = range(1, len(curves[0]) + 1)
        columns = list(zip(*curves, strict=True))
        axes.plot(epochs, [statistics.mean(column) for column in columns], line, color=color, label=option)
        lowest, highest = [min(column) for column in columns], [max(column) for column in columns]
        axes.fill_between(epochs, lowest, highest, color=color, alpha=0.2, linewidth=0)
    axes.set(xlabel="epoch", ylabel="validation loss (nats)", yscale="log")
    axes.set_yticks([0.15, 0.2, 0.5, 1, 2], ["0.15", "0.2", "0.5", "1", "2"])
    axes.set_yticks([], minor=True)
    axes.legend(title="normalization")
    return figure


def augmentation(root: str) -> Figure:
    columns, names = 8, list(STEPS)
    figure, grid = plt.subplots(len(names), columns, figsize=(columns * 0.85, len(names) * 0.85))
    for row, name in zip(grid, names, strict=True):
        config = compose_job(["data=mnist", f"data.root={root}", f"+augmentation.{name}={{}}"]).config
        dataset = load_dataset(config)
        pipeline = make_stream(config, dataset).pipeline
        index = int((dataset.train.labels == 5).nonzero()[3])
        image = scale(dataset.train.images[index : index + 1], torch.float32)
        copies = image.expand(columns - 1, -1, -1, -1)
        shown = [image[0], *pipeline(copies, pipeline.draw(len(copies), seed=0, epoch=1))]
        for axes, picture in zip(row, shown, strict=True):
            axes.imshow(picture[0], cmap="gray_r", vmin=0, vmax=1)
            axes.set_axis_off()
        row[0].text(-6, 14, name, ha="right", va="center", fontsize=11)
    return figure


def strength(train: Train, key: str, values: Sequence[float], others: Sequence[str], label: str) -> Figure:
    noisy = ["data.label_noise=0.2", "early_stopping=none", "epochs=100", *others]
    runs = train([[*noisy, f"{key}={value}", f"seed={seed}"] for value in values for seed in SEEDS])
    figure, panels = plt.subplots(1, 2, figsize=(7.5, 3.2))
    places = range(len(values))
    trained, tested = [], []
    for run in runs:
        summary = run.summary
        assert summary is not None
        trained.append(100 * summary["last"]["train_accuracy"])
        tested.append(100 * summary["test_last"]["accuracy"])
    for axes, figures, name, (color, line) in zip(
        panels,
        (trained, tested),
        ("training accuracy (%)", "test accuracy (%)"),
        STYLES,
        strict=False,
    ):
        groups = [figures[i * len(SEEDS) : (i + 1) * len(SEEDS)] for i in places]
        axes.plot(places, [statistics.mean(group) for group in groups], line, color=color, marker="o")
        for place, group in zip(places, groups, strict=True):
            axes.plot([place] * len(group), group, ".", color="#777777", markersize=4, zorder=0)
        axes.set_xticks(list(places), [f"{value:g}" for value in values])
        axes.set(xlabel=label)
        axes.set_title(name, fontsize=11, loc="left")
    figure.tight_layout()
    return figure


def label_smoothing(train: Train) -> Figure:
    amounts = (0, 0.1, 0.3)
    runs = train([[f"loss.label_smoothing={amount}", "early_stopping=none", "epochs=60"] for amount in amounts])
    test = load_dataset(compose_job([]).config).test
    assert test is not None
    figure, axes = plt.subplots(figsize=(7.5, 3.2))
    for amount, run, (color, line) in zip(amounts, runs, STYLES, strict=False):
        with torch.no_grad():
            sure = run.model("last")(scale(test.images, torch.float32)).softmax(-1).amax(-1)
        axes.hist(
            sure.tolist(),
            bins=[i / 25 for i in range(26)],
            histtype="step",
            linewidth=1.8,
            color=color,
            linestyle=line,
            label=f"{amount:g}",
        )
    axes.set(xlabel="probability of the predicted class", ylabel="test images")
    axes.legend(title="label smoothing", loc="upper left")
    return figure


if __name__ == "__main__":
    main()
