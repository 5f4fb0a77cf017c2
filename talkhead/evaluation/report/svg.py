"""SVG plots: intervals, values by clip, values along a clip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

# Okabe and Ito's colours, which people with any colour vision can tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
GREY = "#777777"
WIDTH = 640
LEFT = 180  # pixels for names
ROW = 26  # pixels per line of names


def colour(number: int, count: int) -> str:
    """Of method `number`; the last of `count` does nothing and is grey."""
    return GREY if number == count - 1 else COLOURS[number % len(COLOURS)]


def ticks(low: float, high: float) -> list[float]:
    """Round numbers from low to high, about five."""
    step = 10 ** math.floor(math.log10((high - low) / 5))
    step *= next(f for f in (1, 2, 5, 10) if (high - low) / (step * f) <= 5)
    first = math.ceil(low / step)
    return [n * step for n in range(first, math.floor(high / step) + 1)]


class Axis:
    """Maps values to pixels, with some room at both ends."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = min(values), max(values)
        room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
        self.low, self.high = low - room, high + room
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        """The place of a value, in pixels."""
        share = (value - self.low) / (self.high - self.low)
        return round(self._start + share * (self._end - self._start), 1)

    def ticks(self) -> list[float]:
        """Round numbers along the axis."""
        return ticks(self.low, self.high)


Dot = tuple[float, float | None, float | None]  # value, and the ends of its interval


def dot_plot(names: Sequence[str], lines: Sequence[Sequence[Dot | None]], title: str) -> str:
    """A line for every name, on it a dot for every method (None leaves it out)."""
    flat = [v for line in lines for dot in line if dot for v in dot if v is not None]
    if not flat:
        return ""
    height = ROW * len(names) + 40
    axis = Axis(flat, LEFT, WIDTH - 20)
    parts = [_grid(axis, height - 30)]
    for number, (name, line) in enumerate(zip(names, lines, strict=True)):
        y = ROW * number + ROW / 2
        parts.append(_text(LEFT - 10, y + 4, name, "end"))
        for place, dot in enumerate(line):
            if dot is None:
                continue
            value, low, high = dot
            shade = colour(place, len(line))
            if low is not None and high is not None:
                parts.append(_stroke([(axis(low), y), (axis(high), y)], shade, 2))
            parts.append(f'<circle cx="{axis(value)}" cy="{y}" r="5" fill="{shade}"/>')
    return _svg(height, title, parts)


Curve = list[tuple[int, float]]  # frame number and value


def line_plot(curves: Sequence[Curve], title: str) -> str:
    """A curve for every method; the last is grey."""
    points = [point for curve in curves for point in curve]
    if not points:
        return ""
    height = 220
    across = Axis([x for x, _ in points], LEFT / 3, WIDTH - 20)
    up = Axis([y for _, y in points], height - 30, 10)
    parts = [_grid(across, height - 30)]
    for tick in up.ticks():
        parts.append(_text(LEFT / 3 - 6, up(tick) + 4, f"{tick:.4g}", "end"))
    for number, curve in enumerate(curves):
        way = [(across(x), up(y)) for x, y in curve]
        shade = colour(number, len(curves))
        parts.append(_stroke(way, shade, 2))
        parts += [f'<circle cx="{x}" cy="{y}" r="2.5" fill="{shade}"/>' for x, y in way]
    parts.append(_text(LEFT / 3 - 6, height - 12, "frame", "end"))
    return _svg(height, title, parts)


def legend(names: Sequence[str]) -> str:
    """Methods and their colours, as HTML."""
    return " ".join(
        f'<span class="key"><i style="background:{colour(number, len(names))}"></i>'
        f"{escape(name)}</span>"
        for number, name in enumerate(names)
    )


def _grid(axis: Axis, height: float) -> str:
    parts = []
    for tick in axis.ticks():
        x = axis(tick)
        parts.append(f'<path d="M{x} 0V{height}" stroke="#ddd"/>')
        parts.append(_text(x, height + 18, f"{tick:.4g}", "middle"))
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    short = text if len(text) <= 20 else f"{text[:9]}…{text[-10:]}"
    full = "" if short == text else f"<title>{escape(text)}</title>"
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(short)}{full}</text>'


def _stroke(points: Sequence[tuple[float, float]], shade: str, width: int) -> str:
    way = "L".join(f"{x} {y}" for x, y in points)
    return f'<path d="M{way}" stroke="{shade}" stroke-width="{width}" fill="none"/>'


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
