"""Tables of snapshots and keys for people; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from obhut.backup.sizes import format_bytes
from obhut.cli.console import display_width, safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from obhut.backup.snapshot import Snapshot


def render(header: Sequence[str], rows: Iterable[Sequence[str | Sequence[str]]]) -> list[str]:
    """Columns as wide as needed; a cell may hold several lines."""
    body = [[(cell,) if isinstance(cell, str) else tuple(cell) or ("",) for cell in row] for row in rows]
    escaped = [[tuple(map(safe, cell)) for cell in row] for row in body]
    widths = [
        max([display_width(title), *(display_width(line) for row in escaped for line in row[column])])
        for column, title in enumerate(header)
    ]
    lines = [_line(header, widths)]
    ruler = "-" * len(lines[0])
    lines.append(ruler)
    for row in escaped:
        height = max(len(cell) for cell in row)
        lines += [_line([cell[n] if n < len(cell) else "" for cell in row], widths) for n in range(height)]
    return [*lines, ruler]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(
        cell + " " * (width - display_width(cell)) for cell, width in zip(cells, widths, strict=True)
    ).rstrip()


def of_snapshots(
    snapshots: Iterable[Snapshot], *, compact: bool = False, reasons: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """Oldest first, times in the zone of whoever looks."""
    listed = sorted(snapshots, key=lambda snapshot: snapshot.time.ns)
    sized = any(snapshot.size is not None for snapshot in listed)
    header = ["ID", "Time", "Host", "Tags"]
    if reasons is not None and not compact:
        header.append("Reasons")
    if not compact:
        header.append("Paths")
    if sized:
        header.append("Size")
    rows = []
    for snapshot in listed:
        row: list[str | Sequence[str]] = [snapshot.short_id, snapshot.time.shown(), snapshot.hostname]
        row.append(snapshot.tags if compact else ",".join(snapshot.tags))
        if reasons is not None and not compact:
            row.append(reasons.get(snapshot.id, ()))
        if not compact:
            row.append(snapshot.paths)
        if sized:
            row.append("" if snapshot.size is None else format_bytes(snapshot.size))
        rows.append(row)
    return [*render(header, rows), f"{len(listed)} snapshots (times in local time)"]
