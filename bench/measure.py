"""Runs the phases: all tools treated alike, in turn, floors beside them."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from bench import sets
from bench.machine import apart, drop_caches, timed, together
from bench.results import Run
from bench.sets import PHASES, Set
from bench.tools import Bench, Line

#: Floors of a phase: what no tool can be much faster than.
FLOORS = {"restore": ("cp -a", "two cp -a"), "unchanged": ("statx walk",)}
PLACES = {"tmpfs": Path("/dev/shm"), "disk": Path("/var/tmp")}


@dataclass(frozen=True)
class Plan:
    """What is asked for."""

    tools: list[str]
    phases: tuple[str, ...] | None
    rounds: int
    place: str
    work: Path
    folders: list[Path] | None
    profile: str
    small: bool

    def cold(self) -> bool:
        """Forgets what the system holds in memory, where a disk is measured; whether that worked."""
        return self.place == "disk" and drop_caches()


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def told(tool: str, output: str) -> dict[str, float]:
    """What Obhut says about its backup: how long the walk took, how many blobs are new."""
    if tool != "obhut":
        return {}
    found = {}
    walk = re.search(r"walk finished in ([\d.]+)s", output)
    if walk:
        found["walk"] = float(walk[1])
    blobs = re.findall(r"(?:Data|Tree) Blobs:\s+(\d+) new", output)
    if blobs:
        found["blobs"] = float(sum(int(count) for count in blobs))
    return found


def halves(folder: Path) -> list[list[Path]]:
    """The entries of the two upper levels in two lists of about the same number of files."""
    entries = [deep for top in sorted(folder.iterdir()) for deep in (sorted(top.iterdir()) if top.is_dir() else [top])]
    weights = {entry: 1 + sum(1 for _ in entry.rglob("*")) if entry.is_dir() else 1 for entry in entries}
    lists: list[list[Path]] = [[], []]
    sums = [0, 0]
    for entry in sorted(entries, key=lambda item: -weights[item]):
        smaller = sums.index(min(sums))
        lists[smaller].append(entry)
        sums[smaller] += weights[entry]
    return [entries for entries in lists if entries]


def two_copies(source: Path, target: Path) -> list[Line]:
    """Command lines that copy a folder, half each."""
    lines = []
    for number, entries in enumerate(halves(source)):
        (target / str(number)).mkdir(parents=True)
        # Names go through a file: they are too many for one command line.
        names = target / f"names-{number}"
        names.write_bytes(b"\0".join(bytes(entry.relative_to(source)) for entry in entries))
        script = 'cd "$1" && xargs -0 -a "$2" cp -a --parents -t "$3"'
        lines.append(["sh", "-c", script, "sh", str(source), str(names), str(target / str(number))])
    return lines


class Measurement:
    """One set at one place, for all tools."""

    def __init__(self, plan: Plan, wanted: Set) -> None:
        self.plan, self.set = plan, wanted
        self.base = Path(tempfile.mkdtemp(prefix="bench-", dir=plan.work))
        self.source = self.base / "source"
        self.benches = {name: Bench(name, self.base, self.source) for name in plan.tools}

    def make(self) -> dict[str, object]:
        say(f"{self.set.name} on {self.plan.place}: making it")
        made_of = apart(self._make)
        return {"made_of": made_of, **sets.facts(self.source, self.plan.profile)}

    def _make(self) -> list[str]:
        return self.set.make(self.source, self.plan.folders, small=self.plan.small)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The folder is removed, whatever happened."""
        shutil.rmtree(self.base)

    def run(self) -> Iterator[Run]:
        """All rounds; who begins changes from one to the next."""
        phases = tuple(phase for phase in PHASES if phase in (self.plan.phases or self.set.phases))
        for number in range(self.plan.rounds):
            first = number % len(self.plan.tools)
            names = self.plan.tools[first:] + self.plan.tools[:first]
            for group in [names] if self.set.in_turn else [[name] for name in names]:
                yield from self._group(group, phases, number)

    def _group(self, names: list[str], phases: tuple[str, ...], number: int) -> Iterator[Run]:
        for name in names:
            timed(self.benches[name].lines("init"), self.benches[name].env)
        first_group = names[0] == self.plan.tools[0] or self.set.in_turn
        for phase in phases:
            if phase == "changed":
                apart(sets.change, self.source, number)
            for name in names:
                yield from self._phase(self.benches[name], phase, number)
            for floor in FLOORS.get(phase, ()) if first_group else ():
                yield replace(self._floor(floor), phase=phase, round=number)
        for name in names:
            self.benches[name].remove()

    def _phase(self, bench: Bench, phase: str, number: int) -> Iterator[Run]:
        verb = "backup" if phase in {"first", "unchanged", "changed"} else phase
        lines = bench.lines(verb)
        if not lines:
            return
        self.plan.cold()
        took = timed(lines, bench.env)
        more = told(bench.name, took.output)
        if self.plan.place == "disk":
            began = time.monotonic()
            drop_caches()
            more["sync"] = time.monotonic() - began
        if phase == "first":
            more["repository"] = float(bench.size())
        shutil.rmtree(bench.target, ignore_errors=True)
        say(f"{self.set.name} on {self.plan.place}: {bench.name} {phase} {took.seconds:.2f} s, {took.peak_mib:.0f} MiB")
        yield Run(
            self.set.name, self.plan.place, bench.name, phase, number, took.seconds, took.cpu, took.peak_mib, more
        )

    def _floor(self, name: str) -> Run:
        self.plan.cold()
        target = self.base / "floor"
        if name == "statx walk":
            seconds, cpu = sets.walk(self.source, self.plan.profile), 0.0
        elif name == "cp -a":
            took = timed([["cp", "-a", f"{self.source}/.", str(target)]])
            seconds, cpu = took.seconds, took.cpu
        else:
            lines = apart(two_copies, self.source, target)
            self.plan.cold()
            took = together(lines)
            seconds, cpu = took.seconds, took.cpu
        shutil.rmtree(target, ignore_errors=True)
        say(f"{self.set.name} on {self.plan.place}: floor {name} {seconds:.2f} s")
        return Run(self.set.name, self.plan.place, name, "", 0, seconds, cpu)
