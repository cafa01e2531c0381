"""What is backed up: names of sets, how each is made, which phases it is for."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import installed, made
from bench.machine import example

PHASES = ("first", "unchanged", "changed", "restore", "check", "check data", "forget+prune")
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class Set:
    """A set: what kind, and how large where that is asked for (``random:4G``, ``files:1000000``)."""

    kind: str
    amount: int = 0

    @property
    def name(self) -> str:
        if not self.amount:
            return self.kind
        for unit, factor in sorted(UNITS.items(), key=lambda item: -item[1]):
            if self.kind in {"random", "compressible"} and self.amount % factor == 0:
                return f"{self.kind}:{self.amount // factor}{unit}"
        return f"{self.kind}:{self.amount}"

    @property
    def phases(self) -> tuple[str, ...]:
        """What is measured with it unless something else is asked for."""
        few: dict[str, tuple[str, ...]] = {
            "random": ("first", "restore", "check data"),
            "compressible": ("first", "restore", "check data"),
            "mixed": ("first",),
            "files": ("first", "unchanged", "restore", "check data"),
            "wide": ("first", "unchanged"),
        }
        return few.get(self.kind, PHASES)

    @property
    def in_turn(self) -> bool:
        """Whether all tools do one phase before the next begins (their repositories lie beside each other)."""
        return self.kind in {"tree", "mixed"}

    def make(self, target: Path, folders: list[Path] | None, *, small: bool) -> list[str]:
        """Writes the set into a new folder; gives lines that say what it is made of."""
        sources = folders or installed.folders()
        makers: dict[str, Callable[[], list[str] | None]] = {
            "tree": lambda: installed.tree(target, sources, fill=not small),
            "mixed": lambda: installed.mixed(target, sources, 0.02 if small else 1),
            "random": lambda: made.large_file(target, self.amount, compressible=False),
            "compressible": lambda: made.large_file(target, self.amount, compressible=True),
            "files": lambda: made.many_files(target, self.amount),
            "wide": lambda: made.wide_folder(target, self.amount),
        }
        return makers[self.kind]() or [f"made by bench/made.py: {self.name}"]


def parse(text: str) -> Set:
    """The set of a name."""
    kind, _, amount = text.partition(":")
    known = {"tree", "mixed", "random", "compressible", "files", "wide"}
    if kind not in known or bool(amount) == (kind in {"tree", "mixed"}):
        raise ValueError(f"{text}: sets are tree, mixed, random:4G, compressible:4G, files:1000000, wide:1000000")
    if not amount:
        return Set(kind)
    factor = UNITS.get(amount[-1].upper(), 1)
    return Set(kind, int(amount[:-1] if factor > 1 else amount) * factor)


def facts(folder: Path, profile: str) -> dict[str, float]:
    """Files, folders, bytes, duplicate share, zstd-3 ratio."""
    line = [str(example("folder_facts", profile)), "describe", str(folder)]
    found: dict[str, float] = json.loads(subprocess.run(line, capture_output=True, check=True).stdout)
    return found


def walk(folder: Path, profile: str) -> float:
    """Seconds that a parallel walk with statx and nothing else takes."""
    line = [str(example("folder_facts", profile)), "walk", str(folder)]
    return float(json.loads(subprocess.run(line, capture_output=True, check=True).stdout)["seconds"])


def change(source: Path, seed: int) -> None:
    """Appends to 1 % of the files and adds one."""
    draw = random.Random(seed)
    files = installed.regular(source)
    for path in draw.sample(files, max(1, len(files) // 100)):
        with path.open("ab") as out:
            out.write(b"\nchanged " + str(seed).encode())
    (source / f"new-{seed}").write_bytes(draw.randbytes(1 << 20))
