"""The storage fails at the n-th call, for every n: nothing that was there may be lost, and the next run must go on.

Judged after every single fault by ``restic check --read-data`` on what lies on the disk. The command runs with one
thread, so that the order of its calls is the same each time. ``OBHUT_EVERY_CALL=1`` (``make faults``) hits every call
with every fault; without it a sample of a third is drawn from ``OBHUT_SEED``.
"""

from __future__ import annotations

import os
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

import cheap
import peers
from obhut import _core
from obhut.backup.actions import forget, prune, run
from obhut.backup.session import locked
from obhut.errors import ObhutError
from tools import PASSWORD, Restic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Read before tests get a clean environment.
EVERY: Final = bool(os.environ.get("OBHUT_EVERY_CALL"))
SEED: Final = os.environ.get("OBHUT_SEED", "1")
#: One call of so many is in the sample.
ONE_IN: Final = 3
#: Cases side by side: most of a case is waiting (200 ms for each lock, restic, the disk).
ABREAST: Final = 4

pytestmark = [pytest.mark.slow, pytest.mark.interop, pytest.mark.timeout(1800)]


@dataclass
class Silent:
    """A reporter that only remembers the failed items."""

    verbosity: int = 0
    json: bool = False
    watched: bool = False
    failed: list[ObhutError] = field(default_factory=list)

    def say(self, text: str, level: int = 1) -> None: ...
    def warn(self, text: str) -> None: ...
    def progress(self, title: str, counters: dict[str, int], current: list[bytes]) -> None: ...
    def output(self, data: bytes) -> None: ...
    def end_progress(self) -> None: ...
    def item_error(self, item: bytes, during: str, error: ObhutError) -> None:
        self.failed.append(error)


@dataclass
class Waiting:
    """What ``locked`` wants to know of an access."""

    host: str = "h"
    retry_lock: float = 0.0


def local(repository: Path) -> _core.Store:
    return _core.Store.local(os.fsencode(repository))


def snapshots(repository: Path) -> set[str]:
    return {file.name for file in (repository / "snapshots").iterdir()}


def keys(repository: Path) -> set[str]:
    return {file.name for file in (repository / "keys").iterdir()}


@dataclass(frozen=True)
class World:
    """A repository with two snapshots of a source that changed, and the source, changed again."""

    source: Path
    repository: Path
    #: The older and the newer snapshot.
    older: str
    newer: str

    def open(self, store: _core.Store) -> _core.Repository:
        return _core.Repository.open(store, PASSWORD.encode(), username="u", hostname="h", threads=1)

    def back_up(self, store: _core.Store) -> None:
        """A third snapshot."""
        back_up(self.open(store), self.source)

    def backed_up(self, repository: Path) -> bool:
        return len(snapshots(repository)) == 3 and snapshots(repository) >= {self.older, self.newer}

    def forget_and_prune(self, store: _core.Store) -> None:
        """Removes the newer snapshot and what only it used."""
        repository, reporter = self.open(store), Silent()
        access = cast("Any", Waiting())
        with locked(repository, access, reporter, exclusive=True):
            failed = forget.carry_out(repository, (self.newer,), reporter)
        if failed:
            raise ObhutError("io", detail="snapshots stay")
        options = prune.Options(max_unused="0", threads=1)
        prune.prune(repository, access, options, reporter, planned=lambda plan: None)

    def pruned(self, repository: Path) -> bool:
        return snapshots(repository) == {self.older}

    def change_key(self, store: _core.Store) -> None:
        """Adds a password, uses it, withdraws it."""
        repository = self.open(store)
        added = repository.add_key(b"other", username="u", hostname="h")
        again = _core.Repository.open(store, b"other", username="u", hostname="h", key_hint=added)
        assert again.key_id == added
        with locked(repository, cast("Any", Waiting()), Silent(), exclusive=True):
            repository.remove_key(added)

    def key_changed(self, repository: Path) -> bool:
        return keys(repository) == keys(self.repository)


@dataclass(frozen=True)
class Operation:
    """A command, what must be true once it said that it succeeded, and what may never be otherwise."""

    carry_out: Callable[[World, _core.Store], None]
    done: Callable[[World, Path], bool]
    #: Snapshots that must be there whatever happens.
    keeps: Callable[[World], set[str]]


OPERATIONS: Final = {
    "backup": Operation(World.back_up, World.backed_up, lambda world: {world.older, world.newer}),
    "prune": Operation(World.forget_and_prune, World.pruned, lambda world: {world.older}),
    "key": Operation(World.change_key, World.key_changed, lambda world: {world.older, world.newer}),
}


def back_up(repository: _core.Repository, source: Path) -> None:
    reporter = Silent()
    options = run.Options(targets=(os.fsencode(source),), host="h", threads=1)
    with locked(repository, cast("Any", Waiting()), reporter):
        # A parent that cannot be read makes the run "incomplete" (exit 3), and every file is read again.
        run.run(repository, options, reporter, lambda: 1_790_000_000_000_000_000)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    peers.need("restic")
    place = tmp_path_factory.mktemp("nth")
    source, repository = place / "source", place / "repository"
    for number in range(12):
        folder = source / f"folder{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file{number}").write_bytes(os.urandom(2000 + 500 * number))
    cheap.init(repository)
    world = World(source, repository, "", "")
    world.back_up(local(repository))
    (older,) = snapshots(repository)
    for number in (3, 4, 7, 12, 13):
        file = source / f"folder{number % 3}" / f"file{number}"
        file.unlink(missing_ok=True)
        if number != 4:
            file.write_bytes(os.urandom(6000))
    world.back_up(local(repository))
    (newer,) = snapshots(repository) - {older}
    (source / "folder1" / "newest").write_bytes(os.urandom(5000))
    return World(source, repository, older, newer)


@dataclass
class Case:
    """One run with one fault."""

    world: World
    operation: Operation
    number: int
    #: A copy of the world's repository, after the run.
    repository: Path
    #: The error that the command ended with, if it did.
    error: Exception | None

    def sound(self) -> bool:
        """Whether restic reads everything that is there, whatever locks the command left."""
        return Restic(self.repository)("--no-lock", "check", "--read-data", expect=None).code == 0

    def judge(self) -> None:
        """Nothing is lost, and what was said is true."""
        Restic(self.repository)("--no-lock", "check", "--read-data")
        assert self.operation.keeps(self.world) <= snapshots(self.repository), self
        assert keys(self.world.repository) <= keys(self.repository), self
        assert self.error is not None or self.operation.done(self.world, self.repository), self

    def again(self) -> None:
        """The command after the fault, on a storage that works: it succeeds."""
        repository = self.world.open(local(self.repository))
        job = repository.unlock(remove_all=True)
        assert job.wait(60)
        for ident in keys(self.repository) - keys(self.world.repository):
            repository.remove_key(ident)
        for ident in snapshots(self.repository) - {self.world.older, self.world.newer}:
            # The fault came after the third snapshot was there.
            job = repository.delete_snapshots([ident])
            assert job.wait(60)
        if self.operation is OPERATIONS["prune"] and self.world.newer not in snapshots(self.repository):
            Restic(self.repository)("prune", "--max-unused", "0")
        else:
            self.operation.carry_out(self.world, local(self.repository))
        self.error = None
        self.judge()


def attempt(world: World, name: str, fault: str, number: int, place: Path, retry: float | None) -> tuple[Case, int]:
    """Runs the operation on a fresh copy with the fault at call ``number`` (0: none); gives how many calls it made."""
    repository = place / f"{name}-{fault}-{number}"
    shutil.copytree(world.repository, repository)
    faulty = local(repository).with_fault(fault, number)
    store = faulty if retry is None else faulty.with_retry(retry)
    error = None
    try:
        OPERATIONS[name].carry_out(world, store)
    except (ObhutError, _core.CoreError) as raised:
        error = raised
    return Case(world, OPERATIONS[name], number, repository, error), faulty.fault_calls()


def chosen(calls: int, name: str, fault: str, *, every: bool) -> list[int]:
    """The calls to fail: all of them, or a seeded sample."""
    numbers = range(1, calls + 1)
    if every:
        return list(numbers)
    return random.Random(f"{SEED} {name} {fault}").sample(numbers, -(-calls // ONE_IN))


def each_case(
    world: World, place: Path, name: str, fault: str, judge: Callable[[Case], None], *, retry: float | None = None
) -> int:
    """Judges the operation with the fault at each chosen call; gives how many cases there were."""
    place.mkdir(exist_ok=True)
    plain, calls = attempt(world, name, fault, 0, place, retry)
    assert plain.error is None
    assert calls > 10, "the operation makes calls"
    plain.judge()

    def one(number: int) -> None:
        print(f"{name}: {fault} at call {number} of {calls}, OBHUT_SEED={SEED}")
        case, made = attempt(world, name, fault, number, place, retry)
        assert made >= number, "the call was made, and the fault with it"
        judge(case)
        shutil.rmtree(case.repository)

    # What is lost differs much with the call: a sample could miss the few that matter.
    numbers = chosen(calls, name, fault, every=EVERY or fault == "lose")
    with ThreadPoolExecutor(ABREAST) as pool:
        for _ in pool.map(one, numbers):
            pass
    return len(numbers)


@pytest.mark.parametrize("fault", ["fail", "gone", "lost-ack"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_after_any_failed_call_the_repository_is_sound_and_the_next_run_succeeds(
    world: World, tmp_path: Path, operation: str, fault: str
) -> None:
    failed = []

    def judge(case: Case) -> None:
        case.judge()
        if case.error is not None:
            failed.append(case.number)
            case.again()

    count = each_case(world, tmp_path / "cases", operation, fault, judge)
    # How many of a sample are got over is up to the dice.
    assert len(failed) > count / 3 or not EVERY


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_stale_list_harms_nothing(world: World, tmp_path: Path, operation: str) -> None:
    each_case(world, tmp_path / "cases", operation, "stale-list", Case.judge)


@pytest.mark.parametrize("fault", ["fail", "lost-ack", "tear"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_with_retry_one_failed_call_is_not_noticed(world: World, tmp_path: Path, operation: str, fault: str) -> None:
    def judge(case: Case) -> None:
        assert case.error is None, case
        case.judge()

    each_case(world, tmp_path / "cases", operation, fault, judge, retry=10)


def found_by_check(repository: _core.Repository) -> int:
    """How many errors our own check finds."""
    job = repository.check(read_data=True, subset="", threads=1)
    while not job.wait(1.0):
        pass
    return len(job.errors())


def test_a_file_that_the_storage_loses_is_found_out(world: World, tmp_path: Path) -> None:
    """A storage that acknowledges and forgets cannot be noticed when writing, but by ``check``."""
    lost = {"snapshot": 0, "pack": 0}

    def judge(case: Case) -> None:
        if case.error is not None:
            case.judge()
            return
        if len(snapshots(case.repository)) == 2:
            lost["snapshot"] += 1
        sound = case.sound()
        errors = found_by_check(world.open(local(case.repository)))
        assert sound == (errors == 0), f"call {case.number}: both programs see the same"
        lost["pack"] += not sound

    each_case(world, tmp_path / "cases", "backup", "lose", judge)
    assert lost["snapshot"] == 1
    assert lost["pack"] >= 2, "packs and the index"


def test_the_sample_is_seeded_and_the_whole_is_whole() -> None:
    assert chosen(30, "a", "b", every=True) == list(range(1, 31))
    sample = chosen(30, "a", "b", every=False)
    assert sample == chosen(30, "a", "b", every=False)
    assert len(set(sample)) == 10
    assert set(sample) < set(range(1, 31))
    assert sorted(sample) != sorted(chosen(30, "a", "c", every=False))
