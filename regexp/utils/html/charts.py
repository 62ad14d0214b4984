"""Curves as a small SVG picture, made without a plotting library: it is drawn anew after every epoch."""

import math
from collections.abc import Mapping, Sequence

from regexp.utils.html.elements import escape_text

# The size of the picture, and its margins for the texts: left, top, right, bottom.
_WIDTH, _HEIGHT = 400, 210
_LEFT, _TOP, _RIGHT, _BOTTOM = 48, 10, 12, 34
# Colours that can be told apart on a light and on a dark background, also by the colour-blind.
_COLORS = ("#1b7fc4", "#d9640a", "#3f9d3a", "#a05cc8", "#b8860b", "#d0457c", "#4a9a9a", "#8c8c8c")
# The vertical axis is logarithmic where the values differ by more than this factor.
_LOGARITHMIC_FROM = 5
# The most values that are written at an axis.
_MAX_TICKS = 6
# The most points of a line: more cannot be seen.
_MAX_POINTS = 200

Points = Sequence[tuple[float, float]]


def draw_curves(curves: Mapping[str, Points], x_title: str, y_title: str) -> str:
    """Return an SVG picture of curves with a legend, or "" where there is nothing to draw.

    Args:
        curves: the points of each curve, by its name; those that are not finite are left out.
        x_title: the title of the horizontal axis.
        y_title: the title of the vertical axis.
    """
    curves = {
        name: [(x, y) for x, y in points if math.isfinite(y)]
        for name, points in list(curves.items())[: len(_COLORS)]
        if any(math.isfinite(y) for _, y in points)
    }
    if not curves:
        return ""
    x_values = [x for points in curves.values() for x, _ in points]
    y_values = [y for points in curves.values() for _, y in points]
    x_axis = _Axis(min(x_values), max(x_values), _LEFT, _WIDTH - _RIGHT, logarithmic=False)
    lowest, highest = min(y_values), max(y_values)
    logarithmic = lowest > 0 and highest / lowest > _LOGARITHMIC_FROM
    y_axis = _Axis(lowest, highest, _HEIGHT - _BOTTOM, _TOP, logarithmic)
    parts = [*_draw_frame(x_axis, y_axis, x_title, y_title)]
    for (name, points), color in zip(curves.items(), _COLORS, strict=False):
        coordinates = " ".join(f"{x_axis.place(x):.1f},{y_axis.place(y):.1f}" for x, y in _thin_out(points))
        line = f'<polyline fill="none" stroke="{color}" stroke-width="1.8" points="{coordinates}"/>'
        parts.append(f"{line}<title>{escape_text(name)}</title>" if len(curves) == 1 else line)
        if len(points) == 1:
            [(x, y)] = points
            parts.append(f'<circle cx="{x_axis.place(x):.1f}" cy="{y_axis.place(y):.1f}" r="2.5" fill="{color}"/>')
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" style="width: {_WIDTH}px; max-width: 100%;"'
    picture = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-size="11">{"".join(parts)}</svg>'
    legend = " ".join(
        f'<span style="margin-right: 1em; white-space: nowrap;"><span style="color: {color};">&#9644;</span> '
        f"{escape_text(name)}</span>"
        for name, color in zip(curves, _COLORS, strict=False)
    )
    return f'<div style="font-size: .85em;">{picture}<div style="max-width: {_WIDTH}px;">{legend}</div></div>'


class _Axis:
    """An axis: which value is where, and which values are written at it."""

    def __init__(self, low: float, high: float, start: float, end: float, logarithmic: bool) -> None:
        """Make an axis from `low`, at the coordinate `start`, to `high`, at `end`."""
        self.low, self.high, self.start, self.end, self.logarithmic = low, high, start, end, logarithmic

    def place(self, value: float) -> float:
        """Return the coordinate of a value."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        fraction = (value - low) / (high - low) if high > low else 0.5
        return self.start + fraction * (self.end - self.start)

    def list_ticks(self) -> list[float]:
        """Return the round values to be written: some three to six."""
        if self.high <= self.low:
            return [self.low]
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for digits in ((1, 2, 5), (1, 3), (1,)):
                ticks = [digit * 10.0**power for power in powers for digit in digits]
                ticks = [tick for tick in ticks if self.low <= tick <= self.high]
                if len(ticks) <= _MAX_TICKS:
                    return ticks
            return ticks
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / _MAX_TICKS))
        step *= next(factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (step * factor) <= _MAX_TICKS)
        first = math.ceil(self.low / step)
        return [step * i for i in range(first, math.floor(self.high / step) + 1)]


def _draw_frame(x_axis: _Axis, y_axis: _Axis, x_title: str, y_title: str) -> list[str]:
    """Return the grid, the ticks and the titles of the axes."""
    muted = 'fill="currentColor" fill-opacity=".75"'
    parts = []
    for value in y_axis.list_ticks():
        y = y_axis.place(value)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="currentColor" stroke-opacity=".15"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" {muted}>{value:.4g}</text>')
    for value in x_axis.list_ticks():
        x = x_axis.place(value)
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle" {muted}>{value:g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    title = escape_text(f"{x_title}; {y_title}{' (logarithmic)' if y_axis.logarithmic else ''}")
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle" {muted}>{title}</text>')
    return parts


def _thin_out(points: Points) -> Points:
    """Return about as many points of a line as can be seen, the last one among them."""
    step = math.ceil(len(points) / _MAX_POINTS)
    return [*points[:-1:step], points[-1]]
