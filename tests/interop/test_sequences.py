"""Seeded sequences of (tool, verb) over the four programs on one repository; every snapshot that is kept must restore.

Seeds that once failed stay in ``seeds.txt`` beside this file, with the reason. ``OBHUT_SEEDS=100`` runs more.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

import deviations
import peers
import trees
from tools import TOOLS, Obhut, Restic, Tool, differences, remains_below

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(600)]

LENGTH = 6
HERE = Path(__file__).resolve().parent


def seeds() -> list[int]:
    kept = [line.split("#")[0].strip() for line in (HERE / "seeds.txt").read_text().splitlines()]
    return sorted({*range(int(os.environ.get("OBHUT_SEEDS", "20"))), *(int(seed) for seed in kept if seed)})


def change(source: Path, draw: random.Random) -> None:
    """Adds, changes, renames and removes something."""
    files = sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())
    for _ in range(draw.randint(1, 4)):
        path = source / f"folder-{draw.randint(0, 3)}" / f"file-{draw.randint(0, 12)}"
        path.parent.mkdir(exist_ok=True)
        kind = draw.choice(["noise", "text", "append", "remove", "rename", "twin"])
        if kind == "noise":
            path.write_bytes(trees.noise(draw, draw.choice([0, 10, 5000, 600_000, 3_000_000])))
        elif kind == "text":
            path.write_bytes(trees.text(draw, draw.choice([100, 100_000, 2_000_000])))
        elif kind == "append":
            with path.open("ab") as file:
                file.write(trees.noise(draw, 1000))
        elif files:
            victim = draw.choice(files)
            if not victim.exists():
                continue
            if kind == "remove":
                victim.unlink()
            elif kind == "rename":
                victim.rename(path)
            else:
                path.write_bytes(victim.read_bytes())


def equal(left: Path, right: Path, writer: str, reader: str) -> None:
    for lines in (differences(left, right), differences(right, left)):
        assert deviations.unexplained(lines, writer=writer, reader=reader) == []


def step(tool: Tool, verb: str, source: Path, target: Path, draw: random.Random, writer: str) -> None:
    if verb == "backup":
        change(source, draw)
        tool.backup(source)
    elif verb == "check":
        tool.check()
    elif verb == "prune":
        tool.forget_and_prune(keep=draw.randint(1, 3))
    elif verb == "restore":
        tool.restore(target)
        equal(source, remains_below(target, source), writer, tool.name)


@pytest.mark.parametrize("seed", seeds())
def test_any_order_of_tools_keeps_every_snapshot(seed: int, tmp_path: Path) -> None:
    peers.need("restic"), peers.need("rustic"), peers.need_old_restic()
    draw = random.Random(seed)
    source, repository = tmp_path / "source", tmp_path / "repo"
    source.mkdir()
    kept: dict[str, tuple[Path, str]] = {}
    writer = ""
    TOOLS[draw.choice(list(TOOLS))](repository).init()
    plan = [
        (draw.choice(list(TOOLS)), draw.choice(["backup", "backup", "prune", "check", "restore"]))
        for _ in range(LENGTH)
    ]
    # Something to work on first: a sequence without snapshots says nothing.
    plan.insert(0, (draw.choice(list(TOOLS)), "backup"))
    for number, (name, verb) in enumerate(plan):
        print(f"seed {seed} step {number}: {name} {verb}")
        step(TOOLS[name](repository), verb, source, tmp_path / f"out-{number}", draw, writer)
        if verb == "backup":
            writer = name
            copy = tmp_path / f"state-{number}"
            os.system(f"cp -a '{source}' '{copy}'")
            kept[Obhut(repository).snapshots()[-1]["id"]] = (copy, name)
    Restic(repository).check()
    Obhut(repository).check()
    left = [snapshot["id"] for snapshot in Restic(repository).snapshots()]
    assert left
    for reader, snapshot in zip([Obhut, Restic, Obhut, Restic], reversed(left), strict=False):
        target = tmp_path / f"final-{snapshot}"
        reader(repository).restore(target, snapshot)
        state, writer = kept[snapshot]
        equal(state, remains_below(target, source), writer, reader.name)
