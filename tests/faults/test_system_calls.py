"""Any single system call that writes fails, or the program dies before it: the real program, judged by the real restic.

``OBHUT_EVERY_CALL=1`` (``make faults``) injects each of three faults at each point of each verb; without it a sample
is drawn from ``OBHUT_SEED``. How a point is the same call in every run: docs/design/faults.md.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import peers
import straced
from fault_worlds import VERBS, Bases, Outcome, World, judge, traced

if TYPE_CHECKING:
    from straced import Point, Trace

#: Read before tests get a clean environment.
EVERY: Final = bool(os.environ.get("OBHUT_EVERY_CALL"))
SEED: Final = os.environ.get("OBHUT_SEED", "1")
#: Runs of a verb in a sample.
SAMPLE: Final = 4
#: More calls alike than this are thinned out.
MANY: Final = 100
#: Cases side by side: much of a case is waiting (200 ms for each lock, the disk).
ABREAST: Final = 3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.interop,
    pytest.mark.timeout(7200 if EVERY else 300),
    pytest.mark.needs("strace"),
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    peers.need("restic")
    return Bases(tmp_path_factory.mktemp("bases"))


def points_of(trace: Trace) -> list[Point]:
    """Where a fault can be injected: the writing thread's calls of the kinds that no other thread issues."""
    (writer,) = trace.writers()
    others = {name for (thread, name) in trace.counts if thread != writer} & set(straced.MUTATING)
    issued = {call.name for call in trace.calls}
    assert not others & issued, f"other threads issue {others & issued} too: ordinals are not stable"
    assert not issued & set(straced.COMMON), "a starting interpreter issues these too"
    points = [call.point for call in trace.calls]
    assert Counter(points).most_common(1)[0][1] == 1
    return points


def thinned(trace: Trace, points: list[Point]) -> list[Point]:
    """Of the hundreds of folders that ``init`` makes alike: the first, the middle and the last."""
    alike: dict[str, list[Point]] = {}
    for point, shape in zip(points, trace.shape(), strict=True):
        alike.setdefault(shape, []).append(point)
    left_out = {point for same in alike.values() if len(same) > MANY for point in same}
    kept = {same[at] for same in alike.values() if len(same) > MANY for at in (0, len(same) // 2, -1)}
    return [point for point in points if point not in left_out or point in kept]


def chosen(points: list[Point], name: str, *, every: bool) -> list[tuple[Point, str]]:
    """Every point with every fault, or a seeded sample that holds each fault."""
    cases = [(point, fault) for point in points for fault in straced.FAULTS]
    if every:
        return cases
    dice = random.Random(f"{SEED} {name}")
    first = [(dice.choice(points), fault) for fault in straced.FAULTS]
    return first + dice.sample([case for case in cases if case not in first], max(0, SAMPLE - len(first)))


def unlocking(trace: Trace, point: Point) -> bool:
    """Whether the point belongs to the removal of the lock."""
    (at,) = (number for number, call in enumerate(trace.calls) if call.point == point)
    removals = [n for n, call in enumerate(trace.calls) if call.name == "unlinkat" and call.paths[0][:6] == "locks/"]
    return at in removals or (at > 0 and at - 1 in removals)


def one(before: World, name: str, trace: Trace, case: tuple[Point, str], place: Path) -> None:
    """One run with one fault, and its judgement."""
    point, fault = case
    print(f"{name}: {fault} in the {point.ordinal}. {point.name}, OBHUT_SEED={SEED}")
    now = before.copy(place / f"{point.name}-{point.ordinal}-{fault}")
    met = traced(now, name, inject=case)
    straced.assert_injected(met, point, fault)
    outcome = Outcome(met.code, met.err, met.killed, at_unlock=unlocking(trace, point))
    judge(VERBS[name], before, now, outcome)
    shutil.rmtree(now.root)


@pytest.mark.parametrize("name", VERBS)
def test_a_fault_in_any_call_loses_nothing(bases: Bases, tmp_path: Path, name: str) -> None:
    before = bases.of(name)
    trace = traced(before.copy(tmp_path / "plain"), name)
    again = traced(before.copy(tmp_path / "again"), name)
    assert trace.code == again.code == 0, trace.err + again.err
    assert trace.shape() == again.shape(), "the sequence of calls is not the same in every run"
    points = points_of(trace)
    assert points == points_of(again)
    points = thinned(trace, points)
    cases = chosen(points, name, every=EVERY)
    with ThreadPoolExecutor(ABREAST) as pool:
        for _ in pool.map(lambda case: one(before, name, trace, case, tmp_path), cases):
            pass
    print(f"{name}: {len(points)} points, {len(cases)} faults")


def test_the_sample_is_seeded_and_the_whole_is_whole() -> None:
    points = [straced.Point("fsync", number) for number in range(1, 11)]
    assert len(set(chosen(points, "a", every=True))) == 30
    sample = chosen(points, "a", every=False)
    assert sample == chosen(points, "a", every=False) != chosen(points, "b", every=False)
    assert {fault for _, fault in sample} == set(straced.FAULTS)
    assert len(set(sample)) == SAMPLE


def test_only_calls_that_are_many_and_alike_are_left_out() -> None:
    calls = [
        straced.Call(1, "mkdirat", number, number, number, (f"data/{number:02x}",), ok=True) for number in range(200)
    ]
    calls += [straced.Call(1, "fsync", number, number, number, ("data",), ok=True) for number in range(1, 21)]
    trace = straced.Trace(place=Path("/r"), calls=calls)
    points = [call.point for call in calls]
    assert [point.ordinal for point in thinned(trace, points)] == [0, 100, 199, *range(1, 21)]
