"""Everything that a command writes is durable before what refers to it: the order of calls of the real program.

A kill cannot show a missing ``fsync``, for the kernel keeps what it was given; so the trace itself is judged, with one
thread and with several, and each judgement is asked whether it would miss a call that is taken away.
"""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest

import peers
import straced
import write_order
from fault_worlds import OTHER, VERBS, Bases, World, fresh, packs_of_indexes, traced

if TYPE_CHECKING:
    from pathlib import Path

    from straced import Call

pytestmark = [
    pytest.mark.slow,
    pytest.mark.interop,
    pytest.mark.timeout(300),
    pytest.mark.needs("strace"),
]

#: Enough for a dozen packs of the least size, and for more than eight that a prune removes, however chunks fall.
LARGE: Final = 64 << 20


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    return Bases(tmp_path_factory.mktemp("bases"))


def judged(world: World, trace: straced.Trace, *, locked: bool) -> None:
    """The order is kept, and no single fsync could be left out unnoticed."""
    assert trace.code == 0, trace.err
    named = packs_of_indexes(world)
    assert write_order.violations(trace.calls, named, locked=locked) == []
    for number, call in enumerate(trace.calls):
        if call.name == "fsync":
            without = trace.calls[:number] + trace.calls[number + 1 :]
            assert write_order.violations(without, named, locked=locked), f"{call} is not missed"


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("name", VERBS)
def test_what_is_referred_to_is_durable_first(bases: Bases, tmp_path: Path, name: str, threads: int) -> None:
    peers.need("restic")
    world = bases.of(name).copy(tmp_path / "world")
    trace = traced(world, name, threads=threads)
    if name == "key-passwd":
        world.password = OTHER
    judged(world, trace, locked=VERBS[name].locked)
    assert len(trace.calls) >= 2
    if threads == 1:
        assert len(trace.writers()) == 1


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A repository that fills several packs at once."""
    world = fresh(tmp_path_factory.mktemp("large") / "world")
    dice = random.Random(5)
    for number in range(16):
        (world.source / f"large{number}").write_bytes(dice.randbytes(LARGE // 16))
    return world


def test_with_many_packs_on_their_way_at_once(large: World, tmp_path: Path) -> None:
    peers.need("restic")
    world = large.copy(tmp_path / "world")
    trace = traced(world, "backup-first", "--pack-size", "4", threads=4)
    judged(world, trace, locked=True)
    order = write_order.read(trace.calls)
    assert len(order.put("pack")) > 8
    assert len({call.thread for call in trace.calls if call.name == "renameat2"}) > 2, "several threads upload"
    (first,) = world.names("snapshots")
    for number in range(0, 16, 2):
        (world.source / f"large{number}").unlink()
    world.back_up("--pack-size", "4")
    world.obhut("forget", first)
    trace = traced(world, "prune", "--pack-size", "4", threads=4)
    judged(world, trace, locked=True)
    order = write_order.read(trace.calls)
    assert len(order.put("pack")) > 2, "packs were repacked"
    assert len(order.removed("pack")) > 8


@pytest.mark.parametrize(("name", "options", "handed_on"), [("prune", (), [1]), ("forget", ("--prune",), [0, 2])])
def test_an_exclusive_lock_becomes_a_shared_one_without_a_gap(
    bases: Bases, tmp_path: Path, name: str, options: tuple[str, ...], handed_on: list[int]
) -> None:
    peers.need("restic")
    world = bases.of(name).copy(tmp_path / "world")
    trace = traced(world, name, *options)
    judged(world, trace, locked=True)
    order = write_order.read(trace.calls)
    locks = sorted(order.put("lock"), key=lambda put: put.named)
    gone = {removal.path: removal for removal in order.removed("lock")}
    assert len(locks) == 2 * len(handed_on) + (name == "prune")
    for number, (lock, following) in enumerate(pairwise(locks)):
        assert following.durable is not None
        if number in handed_on:
            assert following.durable < gone[lock.path].begin
        else:
            assert gone[lock.path].end < following.created
    assert not world.names("locks")


def moved(calls: list[Call], kind: str, before: str) -> list[Call]:
    """The trace as if all calls for files of one kind had happened before the first for another kind."""
    mine = [call for call in calls if of_kind(call, kind)]
    others = [call for call in calls if not of_kind(call, kind)]
    at = next(number for number, call in enumerate(others) if of_kind(call, before))
    changed = [*others[:at], *mine, *others[at:]]
    return [replace(call, begin=2 * number, end=2 * number + 1) for number, call in enumerate(changed)]


def of_kind(call: Call, kind: str) -> bool:
    folder = {"pack": "data/", "index": "index", "snapshot": "snapshots", "key": "keys", "lock": "locks"}[kind]
    return call.paths[0].startswith(folder)


@pytest.mark.parametrize(
    ("name", "kind", "before"),
    [
        ("backup", "index", "pack"),
        ("backup", "snapshot", "index"),
        ("backup", "snapshot", "pack"),
        ("backup", "pack", "lock"),
        ("prune", "pack", "index"),
        ("prune", "index", "lock"),
        ("forget", "snapshot", "lock"),
        ("key-remove", "key", "lock"),
    ],
)
def test_a_doctored_order_is_noticed(bases: Bases, tmp_path: Path, name: str, kind: str, before: str) -> None:
    """A trace in which things happen too early."""
    peers.need("restic")
    world = bases.of(name).copy(tmp_path / "world")
    trace = traced(world, name)
    named = packs_of_indexes(world)
    assert write_order.violations(trace.calls, named) == []
    found = write_order.violations(moved(trace.calls, kind, before), named)
    assert found
    assert any(f"{'data' if kind == 'pack' else kind}" in problem or before in problem for problem in found)


def test_two_changes_at_once_are_in_no_order(bases: Bases, tmp_path: Path) -> None:
    """A snapshot that is begun by another thread while an index file is still being synced."""
    peers.need("restic")
    world = bases.of("backup").copy(tmp_path / "world")
    calls = traced(world, "backup").calls
    synced = max(n for n, call in enumerate(calls) if call.name == "fsync" and call.paths == ("index",))
    begun = next(call for call in calls if call.paths[0].startswith("snapshots/"))
    late = replace(calls[synced], end=begun.begin + 1)
    other = [replace(call, thread=1) if of_kind(call, "snapshot") else call for call in calls]
    assert write_order.violations(other, {}) == []
    other[synced] = late
    assert write_order.violations(other, {}) != []
