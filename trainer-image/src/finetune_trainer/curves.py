"""Curves and bars as the report draws them: places in pixels for a template, with no library and no script. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 480, 200
"""px; about as wide as the page shows a plot, so that its letters keep their size."""
LEFT, RIGHT, TOP, BOTTOM = 70, 16, 14, 34
"""Room around the plot (px): numbers stand to its left and below."""
NUMBER = 50
"""Room that a number below a bar needs (px)."""
MOST_POINTS = 600
"""Points drawn of a long run."""
TICKS = 5
"""Numbers at an axis, about."""
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
"""What a tick may be worth, times a power of ten."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    """A number at an axis."""

    at: float
    """px"""
    text: str


@dataclass(frozen=True)
class Plot:
    """One curve, or several bars, in a frame of `WIDTH` x `HEIGHT` px."""

    title: str
    x_name: str
    line: str
    """Points of an SVG polyline."""
    dots: tuple[Point, ...]
    """Points that are marked: where there are few of them."""
    bars: tuple[tuple[float, float, float, float], ...]
    """x, y, width, height."""
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def curve(title: str, points: Sequence[Point], *, x_name: str = "step") -> Plot | None:
    """A line through `points`, which rise in x; None where fewer than two of them are numbers."""
    known = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(known) < 2:  # noqa: PLR2004 - a line has two ends
        return None
    drawn = _thinned(known)
    x_scale = _Scale.over([x for x, _ in drawn], LEFT, WIDTH - RIGHT)
    y_scale = _Scale.over([y for _, y in drawn], HEIGHT - BOTTOM, TOP)
    placed = [(x_scale.at(x), y_scale.at(y)) for x, y in drawn]
    return Plot(
        title=title, x_name=x_name, line=" ".join(f"{x:.1f},{y:.1f}" for x, y in placed),
        dots=tuple(placed) if len(placed) <= WIDTH // 24 else (), bars=(),
        x_ticks=x_scale.ticks(), y_ticks=y_scale.ticks(),
    )  # fmt: skip


def histogram(title: str, counts: Sequence[tuple[int, int]], *, x_name: str) -> Plot | None:
    """A bar for each (upper bound, count), side by side; None where there is none."""
    if not counts:
        return None
    y_scale = _Scale.over([0.0, *(float(count) for _, count in counts)], HEIGHT - BOTTOM, TOP)
    room = (WIDTH - LEFT - RIGHT) / len(counts)
    every = math.ceil(NUMBER / room)
    bars, ticks = [], []
    for place, (bound, count) in enumerate(counts):
        x, y = LEFT + place * room, y_scale.at(float(count))
        bars.append((x + room * 0.1, y, room * 0.8, HEIGHT - BOTTOM - y))
        if place % every == 0:
            ticks.append(Tick(x + room / 2, _number(float(bound))))
    return Plot(
        title=title, x_name=x_name, line="", dots=(), bars=tuple(bars), x_ticks=tuple(ticks), y_ticks=y_scale.ticks()
    )  # fmt: skip


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most `MOST_POINTS`, the last one among them."""
    every = -(-len(points) // MOST_POINTS)
    drawn = list(points[::every])
    if drawn[-1] != points[-1]:
        drawn[-1] = points[-1]
    return drawn


@dataclass(frozen=True)
class _Scale:
    """From values to pixels."""

    low: float
    high: float
    begin: float
    """Pixel of `low`."""
    end: float
    step: float
    """What a tick is worth."""

    @classmethod
    def over(cls, values: Sequence[float], begin: float, end: float) -> "_Scale":
        """The scale on which all `values` have room, between round numbers."""
        low, high = min(values), max(values)
        if low == high:
            room = abs(low) * 0.5 or 1.0
            low, high = low - room, high + room
        rough = (high - low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(one * power for one in STEPS if one * power >= rough * (1 - 1e-9))
        return cls(math.floor(low / step) * step, math.ceil(high / step) * step, begin, end, step)

    def at(self, value: float) -> float:
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)

    def ticks(self) -> tuple[Tick, ...]:
        count = round((self.high - self.low) / self.step)
        values = (self.low + number * self.step for number in range(count + 1))
        return tuple(Tick(self.at(value), _number(value, self.step)) for value in values)


def _number(value: float, step: float = 1.0) -> str:
    """A number at an axis, with the digits that tell it from its neighbour."""
    if abs(value) < step * 1e-6:
        return "0"
    if 1e-3 <= max(abs(value), step) < 1e6:  # noqa: PLR2004 - beyond, powers of ten are easier to read
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        text = f"{value:,.{digits + 1}f}" if digits else f"{value:,.1f}"
        return text.rstrip("0").rstrip(".")
    return f"{value:.3g}"
