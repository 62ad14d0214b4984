"""The figures as pictures, told apart without colour."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.timing import Rows

# For the sweep or the runs that share one image stream, and for those that do not.
STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#1b6ca8", "marker": "o", "linestyle": "-"},
    {"color": "#c1440e", "marker": "s", "linestyle": "--", "markerfacecolor": "white"},
)


def draw(measured: Mapping[str, Mapping[str, Rows]], folder: Path) -> None:
    """A PNG for each part measured that has a picture."""
    plt.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True})
    plt.rcParams.update({"grid.color": "#e4e4e4", "legend.frameon": False, "axes.axisbelow": True})
    pictures = {"speed": speed, "width": width, "runs": runs}
    folder.mkdir(parents=True, exist_ok=True)
    print()
    for part, picture in pictures.items():
        if part in measured:
            figure = picture(measured[part])
            figure.savefig(folder / f"sweep_{part}.png", dpi=100, bbox_inches="tight")
            plt.close(figure)
            print(folder / f"sweep_{part}.png")


def speed(figures: Mapping[str, Rows]) -> Figure:
    """Time of the alternatives over that of each sweep trained together."""
    figure, axes = plt.subplots(figsize=(7.5, 2.8))
    names = ("the lesson's loop,\nrun by run", "regexp,\nrun by run", "the floor")
    for i, ((title, rows), style) in enumerate(zip(figures.items(), STYLES, strict=True)):
        floor = rows["times as long as the floor"]
        ratios = [
            rows["times faster than the lesson's loop"],
            rows["times faster than regexp run by run"],
            {"ratio": 1 / floor["ratio"], "lowest": 1 / floor["highest"], "highest": 1 / floor["lowest"]},
        ]
        places = [place + 0.13 - 0.26 * i for place in (2, 1, 0)]
        label = title.partition(";")[0]
        axes.errorbar(**_range("x", ratios), y=places, label=label, **{**style, "linestyle": "none"}, capsize=3)
        for row, place in zip(ratios, places, strict=True):
            _beside(axes, f"{row['ratio']:.3g}", row["highest"], place, va="center")
    axes.axvline(1, color="#777777", linewidth=1)
    _beside(axes, "regexp,\nall together", 1, 2.45, va="top")
    axes.set(xscale="log", xlabel="time of a run and epoch, over that of regexp's 48 runs together", ylim=(-0.5, 2.5))
    axes.set_xticks([0.5, 1, 2, 5, 10, 20, 50], ["0.5", "1", "2", "5", "10", "20", "50"])
    axes.set_xticks([], minor=True)
    axes.set_yticks([2, 1, 0], names)
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.25), ncols=2)
    return figure


def width(figures: Mapping[str, Rows]) -> Figure:
    """How many times faster together, by hidden layers."""
    figure, axes = plt.subplots(figsize=(7.5, 3.2))
    [rows] = figures.values()
    for (label, line), style in zip(_lines(rows, "8 learning rates of one seed", "8 seeds"), STYLES, strict=True):
        axes.errorbar(range(len(line)), **_range("y", line), label=label, **style, capsize=3)
    shapes = [" x ".join(map(str, row["hidden_sizes"])) for row in line]
    axes.axhline(1, color="#777777", linewidth=1)
    axes.set_xticks(range(len(shapes)), shapes)
    axes.set(xlabel="hidden units", ylabel="times faster than\nrun by run, 8 runs", ylim=(0, None))
    axes.legend()
    return figure


def runs(figures: Mapping[str, Rows]) -> Figure:
    """Seconds of a run and epoch, by the number of runs."""
    figure, axes = plt.subplots(figsize=(7.5, 3.2))
    [rows] = figures.values()
    for (label, line), style in zip(_lines(rows, "K learning rates of one seed", "K seeds"), STYLES, strict=True):
        axes.errorbar([row["runs"] for row in line], **_range("y", line), label=label, **style, capsize=3)
    counts = [row["runs"] for row in line]
    axes.axhline(1, color="#777777", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set(xlabel="runs together (K)", ylabel="time of a run and epoch,\nover that of a run alone", ylim=(0, None))
    axes.legend()
    return figure


def _beside(axes: Axes, text: str, x: float, y: float, va: str) -> None:
    axes.annotate(text, (x, y), (6, 0), textcoords="offset points", va=va, fontsize=9)


def _lines(rows: Rows, shared: str, own: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """The rows in two: runs that share one image stream, and runs that each have their own."""
    parts = ([row for name, row in rows.items() if ("one seed" in name) is whole] for whole in (True, False))
    return list(zip((shared, own), parts, strict=True))


def _range(axis: str, rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Medians, and how far lowest and highest are from them."""
    below, above = [r["ratio"] - r["lowest"] for r in rows], [r["highest"] - r["ratio"] for r in rows]
    return {axis: [r["ratio"] for r in rows], f"{axis}err": [below, above]}
