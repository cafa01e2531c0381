"""What is left at the end of a run that did its work, and what killed runs left: said, and cleaned up."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from obhut import _core
from obhut.backup.actions import forget, prune, run
from obhut.backup.session import locked
from obhut.errors import ObhutError
from tools import PASSWORD, Obhut, packs

pytestmark = pytest.mark.slow


class Told:
    """A reporter that remembers."""

    verbosity = 2
    json = False
    watched = False

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.warnings: list[str] = []
        self.failed: list[str] = []

    def say(self, text: str, level: int = 1) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def item_error(self, item: bytes, during: str, error: ObhutError) -> None:
        self.failed.append(os.fsdecode(item))

    def progress(self, title: str, counters: dict[str, int], current: list[bytes]) -> None: ...
    def output(self, data: bytes) -> None: ...
    def end_progress(self) -> None: ...


class Waiting:
    """What ``locked`` wants to know of an access."""

    retry_lock = 0.0
    host = "h"


ACCESS = cast("Any", Waiting())


def clock() -> int:
    return 1_790_000_000_000_000_000


def opened(
    folder: Path, fault: str = "fail", call: int = 0, *, twice: bool = False
) -> tuple[_core.Store, _core.Repository]:
    """``twice``: the call after it fails likewise, as the second try of a removal is."""
    store = _core.Store.local(os.fsencode(folder)).with_fault(fault, call)
    if twice:  # A call that fails outside does not reach the inside, whose count is one behind from then on.
        store = store.with_fault(fault, call)
    return store, _core.Repository.open(store, PASSWORD.encode(), username="u", hostname="h", threads=1)


def back_up(repository: _core.Repository, source: Path, told: Told) -> run.Result:
    options = run.Options(targets=(os.fsencode(source),), host="h", threads=1)
    with locked(repository, ACCESS, told):
        return run.run(repository, options, told, clock)


def prune_all(repository: _core.Repository, told: Told) -> None:
    options = prune.Options(max_unused="0", threads=1)
    prune.prune(repository, ACCESS, options, told, planned=lambda plan: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with one snapshot."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(os.urandom(5000))
    place = tmp_path / "repository"
    store = _core.Store.local(os.fsencode(place))
    _core.Repository.init(store, PASSWORD.encode(), username="u", hostname="h")
    back_up(opened(place)[1], tmp_path / "source", Told())
    return place


def calls_of(folder: Path, work: Callable[[_core.Repository], object]) -> int:
    """How many calls it makes, on a copy."""
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    counted, repository = opened(copy)
    work(repository)
    return counted.fault_calls()


def forget_all(folder: Path) -> None:
    _, repository = opened(folder)
    with locked(repository, ACCESS, Told(), exclusive=True):
        (snapshot,) = os.listdir(folder / "snapshots")
        assert forget.carry_out(repository, (snapshot,), Told()) == ()


def test_a_lock_that_cannot_be_removed_is_a_warning_and_the_backup_counts(folder: Path, tmp_path: Path) -> None:
    calls = calls_of(folder, lambda repository: back_up(repository, tmp_path / "source", Told()))
    told = Told()
    _, repository = opened(folder, "fail", calls, twice=True)
    done = back_up(repository, tmp_path / "source", told)
    assert done.snapshot_id in os.listdir(folder / "snapshots")
    assert len(os.listdir(folder / "locks")) == 1, "the fault met the removal of the lock"
    (warning,) = told.warnings
    assert "lock" in warning
    assert "obhut backup unlock" in warning


def test_a_removal_that_fails_once_is_tried_again(folder: Path, tmp_path: Path) -> None:
    calls = calls_of(folder, lambda repository: back_up(repository, tmp_path / "source", Told()))
    told = Told()
    _, repository = opened(folder, "fail", calls)
    back_up(repository, tmp_path / "source", told)
    assert os.listdir(folder / "locks") == []
    assert told.warnings == []


def test_a_lock_that_cannot_be_removed_does_not_hide_why_a_run_failed(folder: Path, tmp_path: Path) -> None:
    calls = calls_of(folder, lambda repository: back_up(repository, tmp_path / "source", Told()))
    told = Told()
    # From the call that saves the snapshot on nothing works any more.
    _, repository = opened(folder, "gone", calls - 1)
    with pytest.raises(ObhutError) as raised:
        back_up(repository, tmp_path / "source", told)
    assert "snapshot" in str(raised.value)
    assert len(told.warnings) == 1


def test_a_pack_that_cannot_be_removed_makes_the_prune_incomplete(folder: Path) -> None:
    forget_all(folder)
    calls = calls_of(folder, lambda repository: prune_all(repository, Told()))
    told = Told()
    _, repository = opened(folder, "fail", calls - 1)
    with pytest.raises(ObhutError) as raised:
        prune_all(repository, told)
    assert (raised.value.id, raised.value.exit_code) == ("prune-incomplete", 3)
    (stays,) = packs(folder)
    assert any(stays in item for item in told.failed)
    assert os.listdir(folder / "locks") == []
    prune_all(opened(folder)[1], Told())
    assert packs(folder) == {}


def test_a_lock_that_stays_between_the_steps_ends_the_prune(folder: Path) -> None:
    """Our own shared lock would make the exclusive one wait for us."""
    forget_all(folder)
    before = set(packs(folder))
    ended: list[str] = []
    for call in range(opened(folder)[0].fault_calls() + 1, calls_of(folder, lambda r: prune_all(r, Told()))):
        _, repository = opened(folder, "fail", call, twice=True)
        with pytest.raises(ObhutError) as raised:
            prune_all(repository, Told())
        left = os.listdir(folder / "locks")
        if set(packs(folder)) != before:
            break
        ended += [raised.value.id] * len(left)
        for name in left:
            os.unlink(folder / "locks" / name)
    assert ended, "the fault met the removal of a lock"
    assert set(ended) == {"unavailable"}, "the storage is to blame, not a lock of somebody"


def test_prune_removes_what_killed_writers_left(tmp_path: Path) -> None:
    ours = Obhut(tmp_path / "repository")
    ours.init()
    hour = 3600
    name = "0" * 64
    old = [
        ours.repository / "data" / "00" / f"{name}-tmp-0123456789abcdef",
        ours.repository / "index" / f"{name}-tmp-0123456789abcdef",
        ours.repository / "locks" / f"{name}-tmp-123456789",
        ours.repository / "config-tmp-0123456789abcdef",
    ]
    young = ours.repository / "snapshots" / f"{name}-tmp-0123456789abcdef"
    foreign = ours.repository / "data" / "00" / "notes-tmp-0123"
    for file in (*old, young, foreign):
        file.write_bytes(b"half")
        age = 0.5 * hour if file == young else 2 * hour
        os.utime(file, (time.time() - age, time.time() - age))
    ran = ours("prune", "-v")
    assert b"removed 4 temporary files" in ran.out
    assert not any(file.exists() for file in old)
    assert young.exists(), "its writer may be at work"
    assert foreign.exists(), "not ours"
