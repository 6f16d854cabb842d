"""Panels of a dashboard as one SVG: curves over time, single numbers, bars. Numbers with their units, legends below. Pure.

A place is (x, y, width, height) in px. What a panel shows is a list of (legend, points); a point is (seconds, value).
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax import saxutils

Place = tuple[float, float, float, float]
Points = Sequence[tuple[float, float]]
Shown = Sequence[tuple[str, Points]]

COLOURS = ("#2f6fb2", "#c2571a", "#2e8b57", "#8a4fa3", "#b8860b", "#12a5bd", "#b03060", "#6b6b6b")
INK, FAINT = "#1f2430", "#7a8290"
LETTER = 6.3
"""Width of a letter of 11 px, about (px)."""
LEFT, RIGHT, HEAD, AXIS, LINE, GAP = 62, 14, 34, 20, 16, 14
"""Room (px): numbers at the left, the title above, times below, a line of the legend, between two legends."""
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
CLOCK = (5, 10, 15, 20, 30, 60, 120, 300, 600)
"""Seconds that may lie between two times at the axis."""
MANY = 1000
NO_DATA = "no data here"

STYLE = (
    "text{font:11px system-ui,sans-serif;fill:" + INK + "}"
    ".head{font-size:20px;font-weight:600}.title{font-size:13px;font-weight:600}.faint{fill:" + FAINT + "}"
    ".big{font-size:28px;font-weight:600}.end{text-anchor:end}.middle{text-anchor:middle}"
)


def number(value: float, unit: str) -> str:
    """A value with its unit, which is one of Grafana's."""
    if unit == "percentunit":
        return f"{_plain(value * 100)} %"
    if unit == "s":
        return f"{_plain(value * 1000)} ms" if 0 < abs(value) < 1 else f"{_plain(value)} s"
    if unit == "sci":
        return "0" if value == 0 else f"{value:.1e}".replace("e-0", "e-")
    return _plain(value) + {"ops": "/s", "reqps": " req/s"}.get(unit, "")


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= MANY else f"{value:.3g}"


def text(x: float, y: float, said: str, *classes: str) -> str:
    """A line of text, its left end (or where its class says) at x."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{" ".join(classes)}">{saxutils.escape(said)}</text>'


def page(width: float, height: float, title: str, beneath: str, panels: Sequence[str]) -> str:
    """The whole picture."""
    head = [text(12, 30, title, "head"), text(12, 50, beneath, "faint")]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">',
            f"<title>{saxutils.escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect width="{width:g}" height="{height:g}" fill="#eef0f4"/>',
            *head,
            *panels,
            "</svg>\n",
        ]
    )


@dataclass(frozen=True)
class Panel:
    """What is drawn in one frame; `kind` and `unit` are Grafana's."""

    kind: str
    title: str
    unit: str
    place: Place
    shown: Shown
    span: float
    """Length of a time axis (s)."""
    names: bool = False
    """Names are shown instead of values."""


def panel(one: Panel) -> str:
    """It, framed."""
    x, y, width, height = one.place
    frame = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" fill="#fff" stroke="#d5d9e0"/>'
    known = [
        (legend, finite)
        for legend, points in one.shown
        if (finite := [p for p in points if math.isfinite(p[1])])
    ]
    draw: dict[str, Callable[[str, Place, Shown], list[str]]] = {
        "timeseries": functools.partial(curves, one.span),
        "stat": labels if one.names else stats,
        "bargauge": bars,
    }
    nothing = [text(x + width / 2, y + height / 2, NO_DATA, "middle", "faint")]
    inside = draw[one.kind](one.unit, one.place, known) if known else nothing
    return "\n".join(["<g>", frame, text(x + 10, y + 21, one.title, "title"), *inside, "</g>"])


def stats(unit: str, place: Place, shown: Shown) -> list[str]:
    """The last value of each, large, with its name below."""
    x, y, width, height = place
    across = min(len(shown), max(1, int(width // 110)))
    down = math.ceil(len(shown) / across)
    found = []
    for at, (legend, points) in enumerate(shown):
        middle = x + width * (at % across + 0.5) / across
        level = y + HEAD + (height - HEAD) * (at // across + 0.5) / down
        found.append(text(middle, level + 4, number(points[-1][1], unit), "big", "middle"))
        found.append(text(middle, level + 22, legend, "middle", "faint"))
    return found


def labels(_: str, place: Place, shown: Shown) -> list[str]:
    """The names alone, large."""
    x, y, width, height = place
    said = ", ".join(legend for legend, _ in shown)
    return [text(x + width / 2, y + (height + HEAD) / 2 + 4, said, "big", "middle")]


def bars(unit: str, place: Place, shown: Shown) -> list[str]:
    """The last value of each as a bar, the name above it and the number behind it."""
    x, y, width, height = place
    most = max(points[-1][1] for _, points in shown) or 1.0
    room, each = width - 100, min(44.0, (height - HEAD - 10) / len(shown))
    found = []
    for at, (legend, points) in enumerate(shown):
        value, top = points[-1][1], y + HEAD + at * each
        long = max(1.0, room * max(0.0, value) / most)
        found.append(text(x + 12, top + 12, legend))
        found.append(
            f'<rect x="{x + 12:g}" y="{top + 16:.1f}" width="{long:.1f}" height="{each - 24:.1f}" fill="{_colour(at)}"/>'
        )
        found.append(text(x + 18 + long, top + each / 2 + 8, number(value, unit)))
    return found


def curves(span: float, unit: str, place: Place, shown: Shown) -> list[str]:
    """A line for each over time from 0, numbers at both axes, and a legend."""
    x, y, width, height = place
    keys = legends([legend for legend, _ in shown], width - 20)
    left, right = x + LEFT, x + width - RIGHT
    top, bottom = y + HEAD, y + height - AXIS - LINE * len(keys) - 8
    values = [value for _, points in shown for _, value in points]
    low, high, step = scale(min(values), max(values), (bottom - top) / 28)

    def across(moment: float) -> float:
        return left + moment / span * (right - left)

    def up(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    found = []
    for tick in range(round((high - low) / step) + 1):
        value = low + tick * step
        level = up(value)
        found.append(
            f'<path d="M{left:.1f} {level:.1f}H{right:.1f}" stroke="{"#e6e9ee" if tick else "#9aa1ad"}"/>'
        )
        found.append(
            text(left - 6, level + 4, number(0.0 if abs(value) < step / 1e6 else value, unit), "end", "faint")
        )
    every = next((one for one in CLOCK if (right - left) * one / span > 48), CLOCK[-1])
    found += [
        text(across(moment), bottom + 15, f"{moment // 60}:{moment % 60:02d}", "middle", "faint")
        for moment in range(0, int(span) + 1, every)
    ]
    for at, (_, points) in enumerate(shown):
        line = " ".join(f"{across(moment):.1f},{up(value):.1f}" for moment, value in points)
        if len(points) == 1:
            line = f"{line} {line}"
        found.append(
            f'<polyline points="{line}" fill="none" stroke="{_colour(at)}" stroke-width="1.6" '
            f'stroke-linecap="round" stroke-linejoin="round"/>'
        )
    for row, places in enumerate(keys):
        level = bottom + AXIS + LINE * (row + 1) - 2
        for at, start in places:
            found.append(
                f'<rect x="{x + 10 + start:.1f}" y="{level - 8:.1f}" width="9" height="9" fill="{_colour(at)}"/>'
            )
            found.append(text(x + 23 + start, level, shown[at][0]))
    return found


def legends(names: Sequence[str], room: float) -> list[list[tuple[int, float]]]:
    """Rows of (number of the name, its px from the left)."""
    rows: list[list[tuple[int, float]]] = [[]]
    start = 0.0
    for at, name in enumerate(names):
        wide = 13 + LETTER * len(name) + GAP
        if rows[-1] and start + wide > room:
            rows.append([])
            start = 0.0
        rows[-1].append((at, start))
        start += wide
    return rows


def scale(low: float, high: float, about: float) -> tuple[float, float, float]:
    """Round numbers below and above, and what lies between two ticks, of which there are `about` so many."""
    if low > 0 and low < high / 2:
        low = 0.0
    if low == high:
        low, high = (0.0, high) if high > 0 else (low, low + 1.0)
    rough = (high - low) / max(2.0, about)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(one * power for one in STEPS if one * power >= rough * (1 - 1e-9))
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step


def _colour(at: int) -> str:
    return COLOURS[at % len(COLOURS)]
