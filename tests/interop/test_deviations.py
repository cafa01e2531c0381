"""Every deviation that our tests excuse is the peer's own: it shows on a repository that we never touched.

A tool that *restores* something otherwise does so with a repository of the current restic; what a tool *writes*
otherwise is missing when the current restic restores from it. When a deviation is gone (a newer peer), its test fails:
then the excuse has to go from ``tests/deviations.py`` and the documentation.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import deviations
import trees
from deviations import KNOWN, Deviation
from holding import stopped_while_locking
from tools import TOOLS, Restic, Rustic, differences, remains_below

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(600)]

COMPATIBILITY = Path(__file__).resolve().parents[2] / "docs" / "reference" / "compatibility.md"
LABELS = {"rustic": "rustic 0.11.4", "restic-0.14": "restic 0.14"}
#: Rows of the documentation that no comparison of restored files can show, and the test that proves each.
OTHERS = {
    ("rustic 0.11.4", "takes no locks"): "test_rustic_takes_no_locks",
    (
        "restic (all)",
        "cannot set times after the year 2262 (nanoseconds in 64 bits since 1970); Obhut and rustic can",
    ): "test_times_beyond_64_bits_of_nanoseconds",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with everything in ``source``."""
    place = tmp_path_factory.mktemp("deviations")
    trees.everything(place / "source", trees.Options(wide=20))
    return place


def lines(place: Path, writer: str, reader: str) -> list[str]:
    """What differs after one tool has backed the tree up and another has restored it, both ways of comparing."""
    source, repository, target = place / "source", place / f"by-{writer}", place / f"{writer}-{reader}"
    if not repository.exists():
        theirs = TOOLS[writer](repository)
        theirs.init()
        theirs.backup(source)
    if not target.exists():
        TOOLS[reader](repository).restore(target)
    restored = remains_below(target, source)
    return [line for pair in ((source, restored), (restored, source)) for line in differences(*pair).splitlines()]


@pytest.mark.parametrize("deviation", KNOWN, ids=lambda d: f"{d.program} {d.said}")
def test_what_is_excused_is_the_peers_own(deviation: Deviation, place: Path) -> None:
    pair = ("restic", deviation.program) if deviation.when == "restores" else (deviation.program, "restic")
    seen = [line for line in lines(place, *pair) if deviation.excuses(line)]
    assert len(seen) == 2, f"{' -> '.join(pair)}: once in each direction, and nothing else"


@pytest.mark.parametrize("reader", ["restic", "rustic", "restic-0.14"])
@pytest.mark.parametrize("writer", ["restic", "rustic", "restic-0.14"])
def test_the_peers_differ_in_nothing_that_is_not_listed(writer: str, reader: str, place: Path) -> None:
    """A peer that does more otherwise among its like would hide behind no excuse: the list is complete."""
    assert deviations.unexplained("\n".join(lines(place, writer, reader)), writer=writer, reader=reader) == []


def test_rustic_takes_no_locks(place: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(100_000))
    restic = Restic(tmp_path / "repo")
    restic.init()
    restic.backup(source)
    with stopped_while_locking(restic, "check"):
        restic("prune", expect=11)
        (source / "more").write_bytes(os.urandom(100_000))
        Rustic(tmp_path / "repo").backup(source)
    assert len(restic.snapshots()) == 2


@pytest.mark.parametrize(("program", "can"), [("restic", False), ("restic-0.14", False), ("rustic", True)])
def test_times_beyond_64_bits_of_nanoseconds(program: str, can: bool, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "far-future").write_text("x")
    os.utime(source / "far-future", ns=(trees.TIMES["far-future"],) * 2)
    tool = TOOLS[program](tmp_path / "repo")
    tool.init()
    tool.backup(source)
    tool.restore(tmp_path / "out")
    restored = os.stat(remains_below(tmp_path / "out", source) / "far-future").st_mtime_ns
    assert (restored == trees.TIMES["far-future"]) is can


def test_the_documentation_lists_exactly_these() -> None:
    section = COMPATIBILITY.read_text("utf-8").split("## What peers do otherwise", 1)[1].split("\n## ", 1)[0]
    rows = set(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", section, re.MULTILINE)) - {("program", "what")}
    proven = {(LABELS[deviation.program], deviation.said) for deviation in KNOWN} | set(OTHERS)
    assert rows == proven
    for name in OTHERS.values():
        assert name in globals(), name
