"""Curves of cost as small SVG pictures, written by hand: seconds and memory over files and over bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from bench.results import Results
from bench.sets import parse

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 370, 250, 52, 34, 76, 40
#: Colours that stay apart for colour-blind eyes; the others are floors.
COLOURS = {"obhut": "#0072b2", "restic": "#d55e00", "rustic": "#009e73", "kopia": "#aa4499"}
#: The same for steps of one tool.
COLOURS |= {"verify": "#0072b2", "put": "#d55e00", "strangers": "#009e73"}
FLOOR = "#777777"
STYLE = """\
text{font:12px sans-serif;fill:#333}.title{font-weight:bold;font-size:13px}\
.grid{stroke:#e4e4e4}.axis{stroke:#666;fill:none}.name{font-weight:bold}"""
PHASES = ("first", "unchanged", "restore", "check data")
KINDS = {"files": "files of about 1 kB", "random": "one file of random bytes"}

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One diagram: a line a tool."""

    title: str
    unit: str
    lines: dict[str, Points]


def short(value: float, *, binary: bool = False) -> str:
    """A number for an axis."""
    steps = [(1 << 30, " GiB"), (1 << 20, " MiB")] if binary else [(1e6, "M"), (1e3, "k")]
    for factor, suffix in steps:
        if value >= factor:
            return f"{value / factor:g}{suffix}"
    return f"{value:g}"


def ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten, thinned out to at most seven."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    choices = []
    for steps in ((1, 2, 5), (1, 3), (1,)):
        values = [step * 10.0**power for power in powers for step in steps]
        choices.append([value for value in values if low * 0.999 <= value <= high * 1.001])
    return next((choice for choice in choices if len(choice) <= 7), choices[-1])


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Logarithmic; a single value lies in the middle."""
    span = math.log(high / low) or 1.0
    return lambda value: start + (end - start) * (math.log(value / low) / span if high > low else 0.5)


def spread(places: list[tuple[float, str]], gap: float, lowest: float) -> list[tuple[float, str]]:
    """Labels at the ends of lines, moved until none covers another."""
    moved: list[tuple[float, str]] = []
    for place, name in sorted(places):
        moved.append((max(place, moved[-1][0] + gap if moved else place), name))
    over = moved[-1][0] - lowest if moved else 0.0
    return [(place - max(0.0, over), name) for place, name in moved]


def text(x: float, y: float, content: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(content)}</text>'


def panel(one: Panel, *, binary: bool) -> list[str]:
    """The diagram at the origin."""
    points = [point for line in one.lines.values() for point in line]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low, high = min(ys) * 0.8, max(ys) * 1.25
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    to_x, to_y = scale(min(xs), max(xs), LEFT + 8, right - 8), scale(low, high, bottom, TOP)
    out = [text(LEFT, 18, one.title, 'class="title"')]
    for value in ticks(low, high):
        y = to_y(value)
        out.append(f'<path d="M{LEFT} {y:.1f}H{right}" class="grid"/>')
        out.append(text(LEFT - 6, y + 4, short(value), 'text-anchor="end"'))
    for value in sorted(set(xs)):
        out.append(f'<path d="M{to_x(value):.1f} {bottom}v4" class="axis"/>')
        out.append(text(to_x(value), bottom + 17, short(value, binary=binary), 'text-anchor="middle"'))
    out.append(f'<path d="M{LEFT} {TOP}V{bottom}H{right}" class="axis"/>')
    out.append(text(LEFT, bottom + 33, one.unit))
    ends = []
    for name, line in one.lines.items():
        colour = COLOURS.get(name, FLOOR)
        path = "L".join(f"{to_x(x):.1f} {to_y(y):.1f}" for x, y in line)
        width = 3 if name == "obhut" else 1.8
        dashes = "" if name in COLOURS else ' stroke-dasharray="4 3"'
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes}/>')
        out += [f'<circle cx="{to_x(x):.1f}" cy="{to_y(y):.1f}" r="2.5" fill="{colour}"/>' for x, y in line]
        ends.append((to_y(line[-1][1]) + 4, name))
    for y, name in spread(ends, 13, bottom + 4):
        out.append(text(right, y, name, f'fill="{COLOURS.get(name, FLOOR)}" class="name"'))
    return out


def picture(panels: list[Panel], *, binary: bool) -> str:
    """All diagrams of one kind, two a row."""
    rows = (len(panels) + 1) // 2
    width, height = 2 * WIDTH, rows * HEIGHT
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, one in enumerate(panels):
        out.append(f'<g transform="translate({number % 2 * WIDTH} {number // 2 * HEIGHT})">')
        out += [*panel(one, binary=binary), "</g>"]
    return "\n".join([*out, "</svg>"]) + "\n"


def lines(results: Results, kind: str, place: str, value: Callable[[str, str], float | None]) -> dict[str, Points]:
    """A line a tool over the sizes of a kind of set; ``value`` asks for (set, tool)."""
    sizes = {name: one.amount for name in results.sets if (one := parse(name)).kind == kind}
    found: dict[str, Points] = {}
    for name, amount in sorted(sizes.items(), key=lambda item: item[1]):
        for tool in results.tools(set=name, place=place):
            figure = value(name, tool)
            if figure:
                found.setdefault(tool, []).append((amount, figure))
    return found


def panels(results: Results, kind: str, place: str) -> list[Panel]:
    """Time of each phase, and memory of the first backup."""
    found = []
    unit = KINDS[kind]
    for phase in PHASES:

        def seconds(name: str, tool: str, phase: str = phase) -> float | None:
            return results.seconds(set=name, place=place, tool=tool, phase=phase)

        found.append(Panel(f"{phase}, seconds", unit, lines(results, kind, place, seconds)))

    def peak(name: str, tool: str) -> float | None:
        runs = results.select(set=name, place=place, tool=tool, phase="first")
        return max((run.peak_mib for run in runs), default=None)

    found.append(Panel("first, peak memory in MiB", unit, lines(results, kind, place, peak)))
    return [one for one in found if one.lines]


def draw(results: Results, folder: Path) -> list[Path]:
    """Writes ``cost-<kind>-<place>.svg`` for what was measured in at least two sizes."""
    written = []
    for kind in KINDS:
        for place in results.places:
            several = [one for one in panels(results, kind, place) if any(len(line) > 1 for line in one.lines.values())]
            if several:
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / f"cost-{kind}-{place}.svg"
                path.write_text(picture(several, binary=kind == "random"), "utf-8")
                written.append(path)
    return written
