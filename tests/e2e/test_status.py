"""Who asks a running operation for its status gets it, and nothing else happens."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tools import Obhut

pytestmark = pytest.mark.slow


def handles(child: subprocess.Popen[bytes], number: int) -> bool:
    """Whether the program has a handler for the signal by now."""
    caught = int(Path(f"/proc/{child.pid}/status").read_text().split("SigCgt:")[1].split()[0], 16)
    return bool(caught & 1 << (number - 1))


def asked(tool: Obhut, *words: str | Path) -> tuple[int, bytes, bytes, int]:
    """Runs a command and asks it all the time from its first act on; gives its code, its output, and how often."""
    verb = words[0]
    line = [os.fsdecode(word) for word in (*tool.command(), verb, "-r", tool.repository, *words[1:])]
    child = subprocess.Popen(line, env={**os.environ, **tool.env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not handles(child, signal.SIGUSR1):
        assert child.poll() is None, "ended before it could be asked"
        time.sleep(0.002)
    times = 0
    while child.poll() is None:
        child.send_signal(signal.SIGUSR1)
        times += 1
        time.sleep(0.02)
    out, err = child.communicate(timeout=60)
    return child.returncode, out, err, times


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("large") / "source"
    root.mkdir()
    dice = random.Random(3)
    for number in range(400):
        (root / f"file{number}").write_bytes(dice.randbytes(100_000))
    return root


def test_the_status_is_told_without_a_terminal_and_the_backup_is_whole(source: Path, tmp_path: Path) -> None:
    ours = Obhut(tmp_path / "repo")
    ours.init()
    code, out, err, times = asked(ours, "run", source)
    assert code == 0, err
    assert times > 3
    lines = err.decode().splitlines()
    assert lines
    assert all(line.startswith("[0:") and "] backup  " in line for line in lines if "no parent" not in line), lines
    assert b"snapshot" in out
    for words in (("check", "--read-data"), ("restore", "latest", "--target", tmp_path / "out"), ("prune",)):
        code, _, err, _ = asked(ours, *words)
        assert code == 0, err


def test_in_json_it_is_a_status_object(source: Path, tmp_path: Path) -> None:
    ours = Obhut(tmp_path / "repo")
    ours.init()
    code, out, err, _ = asked(ours, "run", "--json", source)
    assert (code, err) == (0, b"")
    kinds = [json.loads(line)["message_type"] for line in out.splitlines()]
    assert kinds.count("status") >= 1
    assert kinds[-1] == "summary"


def test_with_quiet_it_is_told_too(source: Path, tmp_path: Path) -> None:
    ours = Obhut(tmp_path / "repo")
    ours.init()
    code, out, err, _ = asked(ours, "run", "--quiet", source)
    assert (code, out) == (0, b"")
    assert b"] backup" in err


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_an_operation_that_is_over_at_once_tells_it_too(tmp_path: Path, words: tuple[str, ...]) -> None:
    ours = Obhut(tmp_path / "repo")
    ours.init()
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_text("little")
    code, out, err, _ = asked(ours, "run", *words, tmp_path / "source")
    assert code == 0
    if words:
        assert "status" in [json.loads(line)["message_type"] for line in out.splitlines()]
    else:
        assert b"] backup" in err
