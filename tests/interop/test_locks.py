"""restic's locks, taken and honoured, against the real restic that is stopped while it holds one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from holding import backing_up_a_stream, locks, stopped_while_locking
from tools import Obhut, Restic, Tool

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two snapshots."""
    source = tmp_path / "source"
    source.mkdir()
    ours = Obhut(tmp_path / "repo")
    ours.init()
    for number in range(2):
        (source / "file").write_text(str(number))
        ours.backup(source)
    assert locks(tmp_path / "repo") == []
    return tmp_path / "repo"


def held(tool: Tool) -> dict[str, object]:
    """The lock, as restic reads it."""
    theirs = Restic(tool.repository)
    (lock,) = locks(tool.repository)
    found: dict[str, object] = json.loads(theirs("cat", "lock", lock.name, "--no-lock").out)
    return found


def test_a_held_exclusive_lock_of_restic_stops_us(repository: Path, tmp_path: Path) -> None:
    ours, theirs = Obhut(repository), Restic(repository)
    before = sorted(repository.rglob("*"))
    with stopped_while_locking(theirs, "forget", "--keep-last", "2"):
        assert held(theirs)["exclusive"] is True
        for words in (["run", str(tmp_path / "source")], ["forget", "--keep-last", "1"], ["prune"], ["check"]):
            ran = ours(*words, expect=11)
            assert b"lock" in ran.err
        assert len(locks(repository)) == 1
    assert sorted(repository.rglob("*")) == before


def test_our_held_exclusive_lock_stops_restic(repository: Path, tmp_path: Path) -> None:
    ours, theirs = Obhut(repository), Restic(repository)
    with stopped_while_locking(ours, "forget", "--keep-last", "2") as child:
        lock = held(ours)
        assert lock["exclusive"] is True
        assert lock["pid"] == child.pid
        theirs("backup", tmp_path / "source", expect=11)
        theirs("prune", expect=11)
    assert locks(repository) == []
    theirs("prune")


def test_our_shared_lock_stops_pruning_but_no_backup(repository: Path, tmp_path: Path) -> None:
    ours, theirs = Obhut(repository), Restic(repository)
    with backing_up_a_stream(ours, "run"):
        assert held(ours)["exclusive"] is False
        theirs("prune", expect=11)
        theirs("backup", tmp_path / "source")
        ours("run", tmp_path / "source")
        ours("forget", "--keep-last", "1", expect=11)
    assert locks(repository) == []


def test_a_shared_lock_of_restic_stops_our_forget_but_no_backup(repository: Path, tmp_path: Path) -> None:
    ours, theirs = Obhut(repository), Restic(repository)
    with backing_up_a_stream(theirs, "backup"):
        ours("forget", "--keep-last", "1", expect=11)
        ours("run", tmp_path / "source")
    assert locks(repository) == []


def test_a_lock_of_a_dead_process_is_removed_by_unlock(repository: Path, tmp_path: Path) -> None:
    ours, theirs = Obhut(repository), Restic(repository)
    with stopped_while_locking(theirs, "forget", "--keep-last", "2") as child:
        child.kill()
        child.wait(30)
        assert len(locks(repository)) == 1
        ours("run", tmp_path / "source", expect=11)
        ours("unlock")
        assert locks(repository) == []
        ours("run", tmp_path / "source")


def test_restic_removes_our_dead_lock(repository: Path) -> None:
    ours, theirs = Obhut(repository), Restic(repository)
    with stopped_while_locking(ours, "forget", "--keep-last", "2") as child:
        child.kill()
        child.wait(30)
        assert len(locks(repository)) == 1
        theirs("unlock")
        assert locks(repository) == []


def test_a_living_lock_survives_unlock(repository: Path) -> None:
    ours, theirs = Obhut(repository), Restic(repository)
    with stopped_while_locking(theirs, "forget", "--keep-last", "2"):
        ours("unlock")
        assert len(locks(repository)) == 1


def test_waiting_for_a_lock_ends_when_it_is_released(repository: Path, tmp_path: Path) -> None:
    ours, theirs = Obhut(repository), Restic(repository)
    with stopped_while_locking(theirs, "forget", "--keep-last", "2") as child:
        waiting = subprocess.Popen(
            [*map(str, ours.command()), "run", "-r", str(repository), "--retry-lock", "60s", str(tmp_path / "source")],
            env={**os.environ, **ours.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        time.sleep(2)
        assert waiting.poll() is None
        child.send_signal(signal.SIGCONT)
        out, _ = waiting.communicate(timeout=90)
        assert waiting.returncode == 0, out


def test_who_waits_says_for_whom(repository: Path) -> None:
    """People read it on standard error; with --json neither restic nor we say anything."""
    ours, theirs = Obhut(repository), Restic(repository)
    with stopped_while_locking(theirs, "forget", "--keep-last", "2") as child:
        ran = ours("snapshots", "--retry-lock", "1s", expect=11)
        name = held(theirs)["hostname"]
        assert f"locked exclusively by process {child.pid} of ".encode() in ran.err, (ran, name)
        assert b"on this machine (lock of 20" in ran.err
        assert b"); waiting up to 1s for it\n" in ran.err
        assert b"waiting" not in ran.out
        for tool in (ours, theirs):
            ran = tool("snapshots", "--json", "--retry-lock", "1s", expect=11)
            assert b"waiting" not in ran.out + ran.err
        assert b"waiting" not in ours("snapshots", "-q", "--retry-lock", "1s", expect=11).err
        assert b"waiting" not in ours("snapshots", expect=11).err
        child.kill()
        child.wait(30)
        ran = ours("snapshots", "--retry-lock", "1s", expect=11)
        assert b"it looks left behind" in ran.err
