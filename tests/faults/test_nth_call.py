"""The storage fails at the n-th call, for every n: nothing that was there may be lost, and the next run must go on.

Judged after every single fault by ``restic check --read-data`` on what lies on the disk. The command runs with one
thread, so that the order of its calls is the same each time. Without ``OBHUT_EVERY_CALL=1`` each fault takes another
third of the calls: together they hit every call once.
"""

from __future__ import annotations

import itertools
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

import peers
from obhut import _core
from obhut.backup.actions import forget, prune, run
from obhut.backup.session import locked
from obhut.errors import ObhutError
from tools import PASSWORD, Restic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Read before tests get a clean environment.
STEP: Final = 1 if os.environ.get("OBHUT_EVERY_CALL") else 3
FAULTS: Final = ("fail", "gone", "lost-ack", "stale-list", "tear", "lose")

pytestmark = [pytest.mark.slow, pytest.mark.interop, pytest.mark.timeout(900)]


@dataclass
class Silent:
    """A reporter that only remembers the failed items."""

    verbosity: int = 0
    json: bool = False
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

    retry_lock: float = 0.0


def clock() -> int:
    return 1_790_000_000_000_000_000


def open_repository(store: _core.Store) -> _core.Repository:
    return _core.Repository.open(store, PASSWORD.encode(), username="u", hostname="h", threads=1)


def back_up(store: _core.Store, source: Path) -> None:
    repository, reporter = open_repository(store), Silent()
    options = run.Options(targets=(os.fsencode(source),), host="h", threads=1)
    with locked(repository, cast("Any", Waiting()), reporter):
        # A parent that cannot be read makes the run "incomplete" (exit 3), and every file is read again.
        run.run(repository, options, reporter, clock)


def forget_and_prune(store: _core.Store, source: Path) -> None:
    repository, reporter = open_repository(store), Silent()
    access = cast("Any", Waiting())
    with locked(repository, access, reporter, exclusive=True):
        plan = forget.plan(repository, forget.Options(ids=("latest",)), reporter, cast("Any", None))
        failed = forget.carry_out(repository, plan.remove, reporter)
    if failed:
        raise ObhutError("io", detail="snapshots stay")
    options = prune.Options(max_unused="0", threads=1)
    prune.prune(repository, access, options, reporter, planned=lambda plan: None)


def change_key(store: _core.Store, source: Path) -> None:
    repository = open_repository(store)
    added = repository.add_key(b"other", username="u", hostname="h")
    again = _core.Repository.open(store, b"other", username="u", hostname="h", key_hint=added)
    assert again.key_id == added
    with locked(repository, cast("Any", Waiting()), Silent(), exclusive=True):
        repository.remove_key(added)


OPERATIONS: dict[str, Callable[[_core.Store, Path], None]] = {
    "backup": back_up,
    "prune": forget_and_prune,
    "key": change_key,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two snapshots of a source that changed, and the source, changed again."""
    place = tmp_path_factory.mktemp("nth")
    source, repository = place / "source", place / "repository"
    for number in range(12):
        folder = source / f"folder{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file{number}").write_bytes(os.urandom(2000 + 500 * number))
    store = _core.Store.local(os.fsencode(repository))
    _core.Repository.init(store, PASSWORD.encode(), username="u", hostname="h")
    back_up(store, source)
    for number in (3, 4, 7, 12, 13):
        file = source / f"folder{number % 3}" / f"file{number}"
        file.unlink(missing_ok=True)
        if number != 4:
            file.write_bytes(os.urandom(6000))
    back_up(store, source)
    (source / "folder1" / "newest").write_bytes(os.urandom(5000))
    return place


@dataclass
class Case:
    """One run with one fault."""

    number: int
    #: A fresh copy of the base.
    repository: Path
    #: The error that the command ended with, if it did.
    error: Exception | None

    def judge(self) -> None:
        """The repository is sound, whatever locks the command left."""
        Restic(self.repository)("--no-lock", "check", "--read-data")


def cases(base: Path, tmp_path: Path, operation: str, fault: str, *, retry: float | None = None) -> Iterator[Case]:
    """Runs the operation with the fault at one call after the other, until it is through before the fault."""
    peers.need("restic")
    for number in itertools.count(1 + FAULTS.index(fault) % STEP, 1 if fault == "lose" else STEP):
        repository = tmp_path / f"{number}"
        shutil.copytree(base / "repository", repository)
        faulty = _core.Store.local(os.fsencode(repository)).with_fault(fault, number)
        store = faulty if retry is None else faulty.with_retry(retry)
        error = None
        try:
            OPERATIONS[operation](store, base / "source")
        except (ObhutError, _core.CoreError) as raised:
            error = raised
        yield Case(number, repository, error)
        shutil.rmtree(repository)
        if faulty.fault_calls() < number:
            assert error is None
            assert number > 10, "the operation makes calls"
            return


def snapshots(repository: Path) -> set[str]:
    return {file.name for file in (repository / "snapshots").iterdir()}


@pytest.mark.parametrize("fault", ["fail", "gone", "lost-ack"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_after_any_failed_call_the_repository_is_sound_and_the_next_run_succeeds(
    base: Path, tmp_path: Path, operation: str, fault: str
) -> None:
    before = snapshots(base / "repository")
    failed = 0
    for case in cases(base, tmp_path, operation, fault):
        case.judge()
        failed += case.error is not None
        if operation != "prune":
            assert before <= snapshots(case.repository), f"call {case.number}"
        if case.number % 4 == 0 and case.error is not None:
            Restic(case.repository)("unlock", "--remove-all")
            OPERATIONS[operation](_core.Store.local(os.fsencode(case.repository)), base / "source")
            case.judge()
    assert failed > 3


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_stale_list_harms_nothing(base: Path, tmp_path: Path, operation: str) -> None:
    before = snapshots(base / "repository")
    for case in cases(base, tmp_path, operation, "stale-list"):
        case.judge()
        if operation != "prune":
            assert before <= snapshots(case.repository), f"call {case.number}"


@pytest.mark.parametrize("fault", ["fail", "lost-ack", "tear"])
def test_with_retry_one_failed_call_is_not_noticed(base: Path, tmp_path: Path, fault: str) -> None:
    for case in cases(base, tmp_path, "backup", fault, retry=10):
        assert case.error is None, f"call {case.number}"
        case.judge()
        assert len(snapshots(case.repository)) == 3


def test_a_file_that_the_storage_loses_is_found_out(base: Path, tmp_path: Path) -> None:
    """A storage that acknowledges and forgets cannot be noticed when writing, but by ``check``."""
    lost = {"pack": 0, "snapshot": 0}
    for case in cases(base, tmp_path, "backup", "lose"):
        if case.error is None and len(snapshots(case.repository)) == 2:
            lost["snapshot"] += 1
            case.judge()
        elif case.error is None:
            sound = Restic(case.repository)("--no-lock", "check", "--read-data", expect=None).code == 0
            ours = open_repository(_core.Store.local(os.fsencode(case.repository)))
            job = ours.check(read_data=True, subset="", threads=1)
            while not job.wait(1.0):
                pass
            errors = len(job.errors())
            assert sound == (errors == 0), f"call {case.number}: both programs see the same"
            lost["pack"] += not sound
        else:
            case.judge()
    assert lost["snapshot"] == 1
    assert lost["pack"] >= 2, "packs and the index"
