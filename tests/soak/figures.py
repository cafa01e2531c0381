"""What a soak reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from soak.actors import ending
from soak.model import Action, Model

MIB: Final = 1 << 20
#: A share of the calls at the start in which caches, pools and arenas fill.
WARM_UP: Final = 0.25
#: Fewer calls than this say nothing about memory.
ENOUGH: Final = 200


@dataclass
class Count:
    """What was done."""

    rounds: int = 0
    actions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    killed: Counter[tuple[str, str]] = field(default_factory=Counter)
    stale_locks: int = 0
    reused_numbers: int = 0
    compared: int = 0
    compared_bytes: int = 0
    checks: int = 0

    def add(self, action: Action) -> None:
        end = "killed" if action.killed and not action.sure else ending(action)
        self.actions[action.tool, action.verb, end] += 1
        if end == "killed":
            self.killed[action.tool, ending(action)] += 1


def growth(sizes: list[dict[str, int]]) -> list[str]:
    """What grew in the long-lived process after its warm-up: descriptors and threads by none, memory by 10 % and 8 MiB."""
    wrong = []
    settled = sizes[int(len(sizes) * WARM_UP) :]
    if len(settled) < 4:
        return ["the long-lived process made too few calls"]
    fifth = max(2, len(settled) // 5)
    for name in ("descriptors", "threads"):
        first, last = (max(size[name] for size in part) for part in (settled[:fifth], settled[-fifth:]))
        if last > first:
            wrong.append(f"{name} of the long-lived process grew from {first} to {last}")
    first, last = (int(median(size["rss"] for size in part)) for part in (settled[:fifth], settled[-fifth:]))
    if len(sizes) >= ENOUGH and last > first * 1.1 + 8 * MIB:
        wrong.append(f"memory of the long-lived process grew from {first / MIB:.1f} to {last / MIB:.1f} MiB")
    return wrong


def course(sizes: list[dict[str, int]]) -> list[str]:
    """Memory, descriptors and threads in tenths of the run."""
    found = []
    for tenth in range(10):
        part = sizes[len(sizes) * tenth // 10 : len(sizes) * (tenth + 1) // 10]
        if part:
            rss, most = median(size["rss"] for size in part) / MIB, max(size["rss"] for size in part) / MIB
            seen = {name: f"{min(s[name] for s in part)}-{max(s[name] for s in part)}" for name in part[0]}
            found.append(
                f"| {tenth + 1} | {len(part)} | {rss:.1f} | {most:.1f} | {seen['descriptors']} | {seen['threads']} |"
            )
    return found


def lines(count: Count, model: Model, sizes: list[dict[str, int]], seconds: float, seed: int) -> list[str]:
    """The report, in Markdown."""
    ends = sorted({end for *_, end in count.actions}, key=lambda end: (end != "0", end == "killed", end))
    table = [
        "| tool | verb | " + " | ".join(end if end == "killed" else f"exit {end}" for end in ends) + " |",
        "|---|---|" + "---|" * len(ends),
    ]
    for tool, verb in sorted({(tool, verb) for tool, verb, _ in count.actions}):
        figures = " | ".join(str(count.actions[tool, verb, end]) for end in ends)
        table.append(f"| {tool} | {verb} | {figures} |")
    signals = ", ".join(f"{tool} {end}: {times}" for (tool, end), times in sorted(count.killed.items()))
    return [
        f"seed {seed}, {seconds / 60:.1f} minutes, {count.rounds} rounds, {sum(count.actions.values())} actions",
        "",
        *table,
        "",
        f"killed or stopped: {sum(count.killed.values())} ({signals})",
        f"snapshots: {model.made} made ({model.adopted} of them by killed backups), {model.forgotten} forgotten, {len(model.snapshots)} at the end",
        f"restores compared: {count.compared}, {count.compared_bytes / MIB:.0f} MiB; checks with data by the judge: {count.checks}",
        f"stale locks removed: {count.stale_locks}; process numbers met again: {count.reused_numbers}",
        "",
        f"the long-lived process: {len(sizes)} calls",
        "",
        "| tenth | calls | RSS, median MiB | RSS, most MiB | descriptors | threads |",
        "|---|---|---|---|---|---|",
        *course(sizes),
    ]
