"""Ctrl-C, TERM, KILL and a closed output at many moments: what was there stays good, locks are removed."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from pathlib import Path

import pytest

import trees
from tools import Obhut, Restic, remains_below, same

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: Seconds from the signal to the end. Other tests run beside this one, so a single moment may take twice that.
PROMISED = 2

MOMENTS = (0.0, 0.15, 0.3, 0.5, 0.8, 1.2, 1.8, 2.6)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large enough that a backup takes a while."""
    import random

    root = tmp_path_factory.mktemp("large") / "source"
    root.mkdir()
    draw = random.Random(7)
    for number in range(12):
        folder = root / f"folder-{number}"
        folder.mkdir()
        for file in range(250):
            (folder / f"small-{file}").write_bytes(trees.text(draw, 2000))
        (folder / "large").write_bytes(draw.randbytes(12_000_000))
    return root


def start(tool: Obhut, *words: str | Path) -> subprocess.Popen[bytes]:
    # A child of a runner in the background inherits an ignored SIGINT; `env` gives it back.
    line = ("env", "--default-signal=INT", *tool.command(), words[0], "-r", tool.repository, *words[1:])
    command = [os.fsdecode(word) for word in line]
    return subprocess.Popen(
        command,
        env={**os.environ, **tool.env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def interrupt(child: subprocess.Popen[bytes], moment: float, number: signal.Signals) -> tuple[int, float, bytes]:
    """Sends the signal after a while; gives exit code, seconds until the end, and what was said."""
    deadline = time.monotonic() + 60
    # The program is at work once its counters could be asked: wait for Python to be up, then the moment.
    while child.poll() is None and b"_core" not in Path(f"/proc/{child.pid}/maps").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(0.15 + moment)
    child.send_signal(number)
    began = time.monotonic()
    _, err = child.communicate(timeout=60)
    return child.returncode, time.monotonic() - began, err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_backup_stops_at_any_moment(number: signal.Signals, code: int, source: Path, tmp_path: Path) -> None:
    ours = Obhut(tmp_path / "repo")
    ours.init()
    codes, took = [], []
    for moment in MOMENTS:
        got, seconds, err = interrupt(start(ours, "run", source), moment, number)
        codes.append(got)
        assert got in {0, code}, err.decode()
        assert seconds < 4, f"took {seconds:.1f} s to stop after {moment} s"
        took.append(seconds)
        assert b"Traceback" not in err
        assert list((ours.repository / "locks").iterdir()) == []
    assert code in codes
    assert statistics.median(took) < PROMISED, took
    assert len(ours.snapshots()) == codes.count(0)
    ours.backup(source)
    ours.check()
    Restic(ours.repository).check()
    ours.restore(tmp_path / "out")
    same(source, remains_below(tmp_path / "out", source))


@pytest.mark.parametrize("words", [["check", "--read-data"], ["prune", "--max-unused", "0"], ["restore", "latest"]])
def test_other_verbs_stop_at_any_moment(words: list[str], source: Path, tmp_path: Path) -> None:
    ours = Obhut(tmp_path / "repo")
    ours.init()
    ours.backup(source / "folder-1", source / "folder-2")
    ours.backup(source)
    ours("forget", "--group-by", "", "--keep-last", "1")
    took = []
    for moment in MOMENTS[:6]:
        more = ["--target", str(tmp_path / "out")] if words[0] == "restore" else []
        got, seconds, err = interrupt(start(ours, *words, *more), moment, signal.SIGINT)
        assert got in {0, 130}, err.decode()
        assert seconds < 4
        took.append(seconds)
        assert b"Traceback" not in err
        assert list((ours.repository / "locks").iterdir()) == []
    assert statistics.median(took) < PROMISED, took
    Restic(ours.repository).check()
    ours.restore(tmp_path / "out")
    same(source, remains_below(tmp_path / "out", source))


def test_a_killed_backup_leaves_nothing_that_harms(source: Path, tmp_path: Path) -> None:
    ours = Obhut(tmp_path / "repo")
    ours.init()
    for moment in MOMENTS:
        child = start(ours, "run", source)
        time.sleep(0.4 + moment)
        child.kill()
        child.communicate(timeout=30)
    ours("unlock")
    Restic(ours.repository).check()
    ours.backup(source)
    ours("prune")
    Restic(ours.repository).check()
    ours.restore(tmp_path / "out")
    same(source, remains_below(tmp_path / "out", source))


def test_a_killed_prune_leaves_nothing_that_harms(source: Path, tmp_path: Path) -> None:
    ours = Obhut(tmp_path / "repo")
    ours.init()
    ours.backup(source / "folder-0", source / "folder-1")
    ours.backup(source / "folder-2")
    ours.backup(source / "folder-1")
    ours("forget", "--group-by", "", "--keep-last", "1")
    for moment in MOMENTS[:6]:
        child = start(ours, "prune", "--max-unused", "0")
        time.sleep(0.3 + moment / 2)
        child.kill()
        child.communicate(timeout=30)
        ours("unlock")
        Restic(ours.repository).check()
    ours("prune", "--max-unused", "0")
    Restic(ours.repository).check()
    ours.restore(tmp_path / "out")
    same(source / "folder-1", remains_below(tmp_path / "out", source / "folder-1"))


@pytest.mark.parametrize("words", [["ls", "latest"], ["snapshots"], ["ls", "latest", "--json"], ["list", "packs"]])
def test_a_closed_output_is_no_error_of_ours(words: list[str], source: Path, tmp_path: Path) -> None:
    ours = Obhut(tmp_path / "repo")
    ours.init()
    ours.backup(source)
    child = start(ours, *words)
    assert child.stdout
    child.stdout.close()
    child.stdout = None
    _, err = child.communicate(timeout=60)
    assert b"Traceback" not in err
    assert child.returncode in {0, 1, 141}
    assert list((ours.repository / "locks").iterdir()) == []


def test_a_backup_with_a_closed_output_is_finished(source: Path, tmp_path: Path) -> None:
    """Whoever closes the display does not lose the backup."""
    ours = Obhut(tmp_path / "repo")
    ours.init()
    child = start(ours, "run", "--json", source)
    assert child.stdout
    child.stdout.close()
    child.stdout = None
    _, err = child.communicate(timeout=60)
    assert b"Traceback" not in err
    assert list((ours.repository / "locks").iterdir()) == []
    Restic(ours.repository).check()
