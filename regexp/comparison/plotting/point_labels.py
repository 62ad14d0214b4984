"""Labels beside the points of a plot, none of which covers another one or a point. Imports no torch."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

_FONT_SIZE = 8
# Distances in points (1/72 inch): of a label from its point, the first that leaves room; and from where a line leads
# from the label to its point.
_DISTANCES = (5, 8, 12, 17, 23, 30, 38, 47, 57, 68, 80, 95, 112, 130)
_LINE_DISTANCE = 9
_DIRECTIONS = 24
# Half the side of the square that a marker takes, and the distance within which points get one label together.
_MARKER, _CLUSTER = 4.5, 5.0


def label_points(figure: Figure, axes: Axes, points: Sequence[tuple[float, float]], labels: Sequence[str]) -> None:
    """Write labels beside points; points that cover each other get one label together, such as "2, 5, 6".

    The plot's limits have to be final.

    Args:
        figure: the figure, whose layout is computed here.
        axes: the axes that hold the points.
        points: the points, in the units of the axes.
        labels: the label of each point.
    """
    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    renderer: Any = canvas.get_renderer()  # type: ignore[no-untyped-call]
    pixels = figure.dpi / 72  # in a point
    positions = [tuple(position) for position in axes.transData.transform(points)]
    frame = axes.get_window_extent(renderer)
    taken = [_square(position, _MARKER * pixels) for position in positions]
    for cluster in _cluster(positions, _CLUSTER * pixels):
        x, y = positions[cluster[0]]
        text = axes.annotate(
            ", ".join(labels[i] for i in cluster),
            points[cluster[0]],
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=_FONT_SIZE,
            ha="center",
            va="center",
            zorder=4,
        )
        text.set_in_layout(False)
        size = text.get_window_extent(renderer)
        box, distance = _find_room((x, y), size.width, size.height, frame, taken, pixels)
        taken.append(box)
        center = (box.x0 + box.width / 2, box.y0 + box.height / 2)
        text.set_position(((center[0] - x) / pixels, (center[1] - y) / pixels))
        if distance > _LINE_DISTANCE:
            edge = (min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1))
            ends = axes.transData.inverted().transform([(x, y), edge])
            axes.plot(*zip(*ends, strict=True), color="0.6", lw=0.6, zorder=2, scalex=False, scaley=False)


def _cluster(positions: Sequence[tuple[float, float]], distance: float) -> Iterator[list[int]]:
    """Yield the indices of points that are closer to the first of them than a distance."""
    left = list(range(len(positions)))
    while left:
        cluster = [i for i in left if math.dist(positions[i], positions[left[0]]) <= distance]
        yield cluster
        left = [i for i in left if i not in cluster]


def _find_room(
    position: tuple[float, float], width: float, height: float, frame: Bbox, taken: Sequence[Bbox], pixels: float
) -> tuple[Bbox, float]:
    """Return the nearest box beside a point that is within the frame and covers nothing, and its distance in points.

    Args:
        position: the point, in pixels like all that follows.
        width: the width of the box.
        height: its height.
        frame: the box within which it has to be.
        taken: the boxes that it may not cover.
        pixels: the number of pixels in a point.
    """
    box = _square(position, 0)
    for distance in _DISTANCES:
        for k in range(_DIRECTIONS):
            angle = 2 * math.pi * k / _DIRECTIONS
            x = position[0] + math.cos(angle) * (distance * pixels + width / 2)
            y = position[1] + math.sin(angle) * (distance * pixels + height / 2)
            box = Bbox.from_bounds(x - width / 2, y - height / 2, width, height)
            is_inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if is_inside and not any(box.overlaps(other) for other in taken):
                return box, distance
    return box, _DISTANCES[-1]


def _square(center: tuple[float, float], half_side: float) -> Bbox:
    x, y = center
    return Bbox.from_extents(x - half_side, y - half_side, x + half_side, y + half_side)
