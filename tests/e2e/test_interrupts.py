"""Ctrl-C, TERM, KILL and a closed output at many moments: what was there stays good, locks are removed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import trees
from tools import Obhut, Restic, remains_below, same

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: Seconds from the signal to the end of the process, each single time.
PROMISED = 2.0
#: At so many moments a verb is interrupted, spread evenly over its whole run.
MOMENTS = 10
#: Seconds after which a process is killed; that promises nothing but soundness.
KILLS = (0.0, 0.15, 0.3, 0.5, 0.8, 1.2, 1.8, 2.6)


@dataclass
class Stop:
    """How a process ended after a signal."""

    moment: float
    code: int
    seconds: float
    said: bytes

    def judge(self, code: int) -> None:
        assert self.code in {0, code}, f"{self}"
        assert b"Traceback" not in self.said, f"{self}"
        assert self.seconds < PROMISED, f"{self}"


def stop(child: subprocess.Popen[bytes], moment: float, number: signal.Signals) -> Stop:
    """Sends the signal after so many seconds of work."""
    wait_for_handlers(child)
    time.sleep(moment)
    child.send_signal(number)
    began = time.monotonic()
    _, said = child.communicate(timeout=120)
    stopped = Stop(moment, child.returncode, time.monotonic() - began, said)
    print(f"{number.name} after {moment:.2f} s: {stopped.code} in {stopped.seconds:.2f} s")
    return stopped


def wait_for_handlers(child: subprocess.Popen[bytes]) -> None:
    """Until the program handles SIGTERM: its first act. Before, Python itself answers, and nothing has begun."""
    deadline = time.monotonic() + 60
    bit = 1 << (signal.SIGTERM - 1)
    while child.poll() is None:
        status = Path(f"/proc/{child.pid}/status").read_text()
        if int(status.split("SigCgt:")[1].split()[0], 16) & bit:
            return
        assert time.monotonic() < deadline
        time.sleep(0.002)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes beside that want a processor all the time."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large enough that a backup takes a while."""
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


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository without snapshots."""
    ours = Obhut(tmp_path_factory.mktemp("empty") / "repo")
    ours.init()
    return ours.repository


@pytest.fixture(scope="module")
def grown(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which check, prune and restore have something to do."""
    ours = Obhut(tmp_path_factory.mktemp("grown") / "repo")
    ours.init()
    ours.backup(source / "folder-1", source / "folder-2")
    ours.backup(source)
    ours.backup(source / "folder-3", source / "folder-4", source / "folder-5")
    ours("forget", "--group-by", "", "--keep-last", "1")
    return ours.repository


def copied(repository: Path, to: Path) -> Obhut:
    """A copy that shares its files: no program writes into one that is there."""
    shutil.copytree(repository, to, copy_function=os.link)
    return Obhut(to)


def start(tool: Obhut, *words: str | Path) -> subprocess.Popen[bytes]:
    # A child of a runner in the background inherits an ignored SIGINT; `env` gives it back.
    verb = 2 if words[0] == "key" else 1
    line = ("env", "--default-signal=INT", *tool.command(), *words[:verb], "-r", tool.repository, *words[verb:])
    return subprocess.Popen(
        [os.fsdecode(word) for word in line],
        env={**os.environ, **tool.env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def moments(seconds: float) -> list[float]:
    return [seconds * number / MOMENTS for number in range(MOMENTS)]


def duration(tool: Obhut, *words: str | Path) -> float:
    """How long a command takes from its handlers to its end."""
    child = start(tool, *words)
    wait_for_handlers(child)
    began = time.monotonic()
    _, said = child.communicate(timeout=120)
    assert child.returncode == 0, said.decode()
    return time.monotonic() - began


def nothing_is_left_open(tool: Obhut) -> bool:
    """No lock, and no upload that was begun: each was ended or taken back."""
    no_locks = not any((tool.repository / "locks").iterdir())
    return no_locks and not any("-tmp-" in path.name for path in tool.repository.rglob("*"))


@pytest.mark.parametrize(
    ("number", "code", "load"), [(signal.SIGINT, 130, 0), (signal.SIGTERM, 143, 0), (signal.SIGINT, 130, 4)]
)
def test_a_backup_stops_within_two_seconds(
    number: signal.Signals, code: int, load: int, source: Path, empty: Path, tmp_path: Path
) -> None:
    codes = []
    ours = copied(empty, tmp_path / "repo")
    with busy(load):
        whole = duration(copied(empty, tmp_path / "whole"), "run", source)
        for moment in moments(whole):
            ours = copied(empty, tmp_path / f"repo-{moment:.3f}")
            stopped = stop(start(ours, "run", source), moment, number)
            stopped.judge(code)
            codes.append(stopped.code)
            assert nothing_is_left_open(ours)
    assert codes.count(code) > MOMENTS / 2
    Restic(ours.repository).check()
    ours.backup(source)
    ours.check()
    Restic(ours.repository).check()
    ours.restore(tmp_path / "out")
    same(source, remains_below(tmp_path / "out", source))


@pytest.mark.parametrize(
    ("words", "load"),
    [
        (["check", "--read-data"], 0),
        (["prune", "--max-unused", "0"], 0),
        (["restore", "latest"], 0),
        (["restore", "latest"], 4),
        (["key", "add"], 0),
    ],
)
def test_other_verbs_stop_within_two_seconds(
    words: list[str], load: int, source: Path, grown: Path, tmp_path: Path
) -> None:
    def all_words(name: str) -> list[str]:
        if words[0] == "restore":
            return [*words, "--target", str(tmp_path / name)]
        return [*words, "--new-password-file", str(password)] if words[0] == "key" else words

    password = tmp_path / "password"
    password.write_text("another password\n")
    codes = []
    ours = copied(grown, tmp_path / "repo")
    with busy(load):
        whole = duration(copied(grown, tmp_path / "whole"), *all_words("whole-out"))
        for moment in moments(whole):
            ours = copied(grown, tmp_path / f"repo-{moment:.3f}")
            stopped = stop(start(ours, *all_words("out")), moment, signal.SIGINT)
            stopped.judge(130)
            codes.append(stopped.code)
            assert nothing_is_left_open(ours)
            Restic(ours.repository)("check")
    assert codes.count(130) > MOMENTS / 2
    ours.restore(tmp_path / "out")
    for folder in ("folder-3", "folder-4", "folder-5"):
        same(source / folder, remains_below(tmp_path / "out", source / folder))


def test_a_signal_while_python_loads_the_program_has_its_exit_code() -> None:
    """The first import after the handlers were installed sends the signal."""
    program = """
import os, signal, sys
class Sender:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Sender())
signal.signal(signal.SIGINT, signal.default_int_handler)
from obhut.__main__ import main
sys.argv = ["obhut", "--version"]
main()
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, b"", b"")


def test_a_signal_where_python_cannot_raise_is_not_lost() -> None:
    """While modules are loaded, Python runs callbacks of weak references, and destructors at any time."""
    program = """
import os, signal, sys, time, weakref
from obhut import signals
class Thing:
    pass
def callback(_):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0)
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    signals.install()
    thing = Thing()
    reference = weakref.ref(thing, callback)
    del thing
    time.sleep(20)
except signals.Interrupted as told:
    sys.exit(told.exit_code)
"""
    began = time.monotonic()
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, b"", b"")
    assert time.monotonic() - began < PROMISED


def test_a_killed_backup_leaves_nothing_that_harms(source: Path, tmp_path: Path) -> None:
    ours = Obhut(tmp_path / "repo")
    ours.init()
    for moment in KILLS:
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
    for moment in KILLS[:6]:
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
