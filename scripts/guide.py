"""Draw the pictures of docs/guide.md from runs on digits: uv run scripts/guide.py [NAME ...] [--data-root DIR]."""

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from guide_networks import load_test_images, plot_class_weights, plot_confidences, plot_snapshots
from guide_plots import (
    SEEDS,
    STYLES,
    Train,
    plot_corruptions,
    plot_focal_losses,
    plot_ghost_batches,
    plot_lookahead,
    plot_mean_and_range,
    plot_stopping_rules,
    plot_strengths,
)
from matplotlib.figure import Figure

from regexp import Run, sweep
from regexp.augmentation.corruptions import CORRUPTIONS, NUM_STRENGTHS, corrupt, draw_corruptions
from regexp.augmentation.policies import NUM_MAGNITUDES, OPERATIONS, TrivialAugment, place_operations
from regexp.config.compose import compose_job
from regexp.config.schemas.augmentation import STEPS
from regexp.data.dataset import scale
from regexp.execution.builders import load_dataset
from regexp.execution.building.stream_builders import make_stream

ROOT = Path(__file__).resolve().parent.parent
# The key of each regularizer whose accuracies are plotted against its strength, the values, other overrides, its label.
STRENGTHS: dict[str, tuple[str, Sequence[float | None], list[str], str]] = {
    "mixup": ("mixing.alpha", (0, 0.2, 1, 8), ["mixing=mixup"], "alpha of mixup"),
    "dropout": ("model.dropout", (0, 0.2, 0.4, 0.6, 0.8), [], "dropout probability"),
    "input_dropout": ("model.input_dropout", (0, 0.1, 0.2, 0.4, 0.6), [], "dropout probability of the input"),
    "noise": ("model.noise", (0, 0.3, 1, 2, 4), [], "noise on hidden units"),
    "drop_path": (
        "model.drop_path",
        (0, 0.2, 0.4, 0.6, 0.8),
        ["model.residual=true", "model.hidden_sizes=[64,64,64,64,64]"],
        "probability of the last layer (stochastic depth)",
    ),
    "weight_decay": ("optimizer.weight_decay", (0, 0.1, 0.3, 1, 3), ["optimizer=adamw"], "weight decay (AdamW)"),
    "max_norm": ("optimizer.max_norm", (None, 2, 1, 0.5, 0.25), [], "largest norm of a unit's weights"),
    "bootstrap": ("loss.beta", (1, 0.8, 0.6, 0.5, 0.4), ["loss=hard_bootstrap"], "weight of the label (hard)"),
    "sam": ("optimizer.sam_rho", (0, 0.05, 0.1, 0.2, 0.4), [], "distance (SAM)"),
    "gradient_noise": ("optimizer.gradient_noise", (0, 0.001, 0.01, 0.1, 1), [], "noise on the gradients"),
}


def main() -> None:
    """Train the runs, and save the pictures in docs/pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    data_root = os.environ.get("REGEXP_DATA_ROOT", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--data-root", default=data_root, help="directory that holds MNIST/raw")
    parser.add_argument("names", nargs="*", help="names of pictures; all if none is given")
    arguments = parser.parse_args()
    plt.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True})
    plt.rcParams.update({"grid.color": "#e4e4e4", "legend.frameon": False, "axes.axisbelow": True})
    with tempfile.TemporaryDirectory() as outputs:

        def train(runs: Sequence[Sequence[str]]) -> list[Run]:
            return sweep(runs, outputs, quiet=True)

        pictures: dict[str, Callable[[], Figure]] = {
            "early_stopping": partial(plot_early_stopping, train),
            "stopping_rules": partial(plot_stopping_rules, train),
            "normalization": partial(plot_normalization, train),
            "ghost_batches": partial(plot_ghost_batches, train),
            "augmentation": partial(draw_augmentation, arguments.data_root),
            "policies": partial(draw_policies, arguments.data_root),
            "mixing": partial(draw_mixing, arguments.data_root),
            "label_smoothing": partial(
                plot_confidences, train, "loss.label_smoothing", (0, 0.1, 0.3), "label smoothing"
            ),
            "confidence_penalty": partial(
                plot_confidences, train, "loss.confidence_penalty", (0, 0.1, 0.3), "confidence penalty"
            ),
            "class_weights": partial(plot_class_weights, train, Path(outputs)),
            "focal": plot_focal_losses,
            "averaging": partial(plot_averages, train),
            "snapshots": partial(plot_snapshots, train),
            "lookahead": partial(plot_lookahead, train),
            "adversarial": partial(plot_attacks, train),
            "corruptions": partial(draw_corruption_grid, arguments.data_root),
            "robustness": partial(plot_corruptions, train),
            **{name: partial(plot_strengths, train, *strengths) for name, strengths in STRENGTHS.items()},
        }
        if unknown_names := set(arguments.names) - pictures.keys():
            parser.error(f"no picture is called {', '.join(unknown_names)}; there are {', '.join(pictures)}")
        for name in arguments.names or pictures:
            figure = pictures[name]()
            figure.savefig(ROOT / "docs" / "pictures" / f"{name}.png", dpi=100, bbox_inches="tight")
            plt.close(figure)
            print(f"docs/pictures/{name}.png", flush=True)


def plot_early_stopping(train: Train) -> Figure:
    """Plot the losses of a run that overfits, and where early stopping would end it."""
    patiences = (2, 5, 20)
    common = ["data.label_noise=0.2", "normalization=batch", "model.hidden_sizes=[512]", "epochs=60"]
    full_run, *stopped_runs = train(
        [
            [*common, "early_stopping=none"],
            *([*common, f"early_stopping.patience={patience}"] for patience in patiences),
        ]
    )
    figure, axes = plt.subplots(figsize=(7.5, 3.6))
    epochs = [row["epoch"] for row in full_run.metrics]
    for name, (color, line) in zip(("train_loss", "val_loss"), STYLES, strict=False):
        label = {"train_loss": "training, a fifth of its labels wrong", "val_loss": "validation"}[name]
        axes.plot(epochs, [row[name] for row in full_run.metrics], line, color=color, label=label)
    transform = axes.get_xaxis_transform()  # x in epochs, y as a fraction of the axes' height
    for patience, run in zip(patiences, stopped_runs, strict=True):
        end = run.metrics[-1]["epoch"]
        text = f"patience {patience}"
        axes.axvline(end, color="#777777", linewidth=1)
        axes.text(end + 0.5, 0.55, text, rotation=90, color="#444444", fontsize=9, transform=transform)
    best = min(full_run.metrics, key=lambda row: row["val_loss"])
    axes.plot(best["epoch"], best["val_loss"], "o", color=STYLES[1][0], label=f"best epoch ({best['epoch']:.0f})")
    axes.set(xlabel="epoch", ylabel="loss (nats)")
    axes.legend(loc="upper right")
    return figure


def plot_normalization(train: Train) -> Figure:
    """Plot the validation loss with each normalization: the mean and the range over seeds."""
    options = ("none", "batch", "layer")
    figure, axes = plt.subplots(figsize=(7.5, 3.6))
    for option, style in zip(options, STYLES, strict=False):
        plot_mean_and_range(axes, train, [f"normalization={option}", "early_stopping=none", "epochs=40"], option, style)
    axes.set(xlabel="epoch", ylabel="validation loss (nats)", yscale="log")
    axes.set_yticks([0.15, 0.2, 0.5, 1, 2], ["0.15", "0.2", "0.5", "1", "2"])
    axes.set_yticks([], minor=True)
    axes.legend(title="normalization")
    return figure


def plot_averages(train: Train) -> Figure:
    """Plot the validation loss of weights that jump around, and of their averages."""
    common = ["optimizer.lr=0.01", "normalization=batch", "batch_size=16", "early_stopping=none", "epochs=40"]
    averages = {"none": [], "ema": ["averaging=ema"], "swa": ["averaging=swa", "averaging.start=0.5"]}
    figure, axes = plt.subplots(figsize=(7.5, 3.6))
    for (name, words), style in zip(averages.items(), STYLES, strict=False):
        plot_mean_and_range(axes, train, [*common, *words], name, style)
    axes.set(xlabel="epoch", ylabel="validation loss (nats)", ylim=(0.05, 0.4))
    axes.legend(title="averaging")
    return figure


def plot_attacks(train: Train) -> Figure:
    """Plot the accuracy on test images that are changed by the fast gradient sign method, against the bound."""
    bounds = [i / 50 for i in range(11)]
    test = load_test_images()
    images = scale(test.images, torch.float32)
    figure, axes = plt.subplots(figsize=(7.5, 3.6))
    for option, (color, line) in zip(("none", "fgsm", "pgd"), STYLES, strict=False):
        runs = train([[f"adversarial={option}", "epochs=40", f"seed={seed}"] for seed in SEEDS])
        accuracies_by_run = []
        for model in (run.model() for run in runs):
            originals = images.clone().requires_grad_()
            [gradient] = torch.autograd.grad(
                torch.nn.functional.cross_entropy(model(originals), test.labels), originals
            )
            attacked = [(images + bound * gradient.sign()).clamp(0, 1) for bound in bounds]
            correct = [(model(changed).argmax(1) == test.labels).float().mean().item() for changed in attacked]
            accuracies_by_run.append([100 * share for share in correct])
        accuracies_by_bound = list(zip(*accuracies_by_run, strict=True))
        means = [statistics.mean(accuracies) for accuracies in accuracies_by_bound]
        lowest, highest = [min(each) for each in accuracies_by_bound], [max(each) for each in accuracies_by_bound]
        axes.plot(bounds, means, line, color=color, label=option)
        axes.fill_between(bounds, lowest, highest, color=color, alpha=0.2, linewidth=0)
    axes.set(xlabel="largest change of a pixel of the test images", ylabel="test accuracy (%)", ylim=(0, 100))
    axes.legend(title="adversarial", loc="lower left")
    return figure


def draw_augmentation(root: str) -> Figure:
    """Draw a digit of MNIST and several draws of each augmentation step applied to it."""
    columns, names = 8, list(STEPS)
    figure, grid = plt.subplots(len(names), columns, figsize=(columns * 0.85, len(names) * 0.85))
    for row, name in zip(grid, names, strict=True):
        config = compose_job(["data=mnist", f"data.root={root}", f"+augmentation.{name}={{}}"]).config
        dataset = load_dataset(config)
        pipeline = make_stream(config, dataset).pipeline
        index = int((dataset.train.labels == 5).nonzero()[3])
        image = scale(dataset.train.images[index : index + 1], torch.float32)
        copies = image.expand(columns - 1, -1, -1, -1)
        pictures = [image[0], *pipeline(copies, pipeline.draw(len(copies), seed=0, epoch=1))]
        for axes, picture in zip(row, pictures, strict=True):
            axes.imshow(picture[0], cmap="gray_r", vmin=0, vmax=1)
            axes.set_axis_off()
        row[0].text(-6, 14, name, ha="right", va="center", fontsize=11)
    return figure


def draw_policies(root: str) -> Figure:
    """Draw a digit of MNIST, and each of TrivialAugment's operations applied to it, from weak to strong."""
    strengths, names = torch.arange(0, NUM_MAGNITUDES, 6), OPERATIONS[1:]
    figure, grid = plt.subplots(len(names), len(strengths) + 1, figsize=(len(strengths) + 1, len(names) * 0.85))
    dataset = load_dataset(compose_job(["data=mnist", f"data.root={root}"]).config)
    index = int((dataset.train.labels == 5).nonzero()[3])
    image = scale(dataset.train.images[index : index + 1], torch.float32)
    copies = image.expand(len(strengths), -1, -1, -1)
    for row, name in zip(grid, names, strict=True):
        code = OPERATIONS.index(name)
        magnitudes = TrivialAugment().magnitudes(28, 28)[code, strengths].unsqueeze(1)
        parameters = place_operations(torch.full_like(strengths, code).unsqueeze(1), magnitudes, (28, 28))
        pictures = [image[0], *TrivialAugment(interpolation="bilinear").apply(copies, parameters)]
        for axes, picture in zip(row, pictures, strict=True):
            axes.imshow(picture[0], cmap="gray_r", vmin=0, vmax=1)
            axes.set_axis_off()
        row[0].text(-6, 14, name, ha="right", va="center", fontsize=11)
    return figure


def draw_mixing(root: str) -> Figure:
    """Draw digits of MNIST, and below each its mixtures with the digit to its left."""
    columns, rows = 8, 4
    figure, grid = plt.subplots(2 * rows + 1, columns, figsize=(columns * 0.85, (2 * rows + 1) * 0.85))
    common = ["data=mnist", f"data.root={root}", "mixing.probability=1"]
    configs = {name: compose_job([*common, f"mixing={name}"]).config for name in ("mixup", "cutmix")}
    dataset = load_dataset(configs["mixup"])
    images = scale(dataset.train.images[:columns], torch.float32).unsqueeze(0)
    pictures, names = [images[0]], ["original"]
    for name, config in configs.items():
        stream = make_stream(config, dataset)
        assert stream.mixing is not None
        draws = stream.draw_mixing(rows, epoch=1)
        for i in range(rows):
            mixed, parameters = images.clone(), {key: values[i : i + 1] for key, values in draws.items()}
            stream.mixing.mix(mixed, images.roll(1, 1), parameters)
            pictures.append(mixed[0])
            names.append(f"{name} {parameters['weight'].item():.2f}")
    for row, row_pictures, name in zip(grid, pictures, names, strict=True):
        for axes, picture in zip(row, row_pictures, strict=True):
            axes.imshow(picture[0], cmap="gray_r", vmin=0, vmax=1)
            axes.set_axis_off()
        row[0].text(-6, 14, name, ha="right", va="center", fontsize=11)
    return figure


def draw_corruption_grid(root: str) -> Figure:
    """Draw a digit of MNIST, and each corruption of it, from weak to strong."""
    dataset = load_dataset(compose_job(["data=mnist", f"data.root={root}"]).config)
    index = int((dataset.train.labels == 5).nonzero()[3])
    image = scale(dataset.train.images[index : index + 1], torch.float32)
    draws = draw_corruptions(1, *image.shape[1:])
    figure, grid = plt.subplots(
        len(CORRUPTIONS), NUM_STRENGTHS + 1, figsize=(NUM_STRENGTHS + 1, len(CORRUPTIONS) * 0.85)
    )
    for row, name in zip(grid, CORRUPTIONS, strict=True):
        pictures = [image, *(corrupt(image, name, level, draws) for level in range(NUM_STRENGTHS))]
        for axes, picture in zip(row, pictures, strict=True):
            axes.imshow(picture[0, 0], cmap="gray_r", vmin=0, vmax=1)
            axes.set_axis_off()
        row[0].text(-6, 14, name, ha="right", va="center", fontsize=11)
    return figure


if __name__ == "__main__":
    main()
