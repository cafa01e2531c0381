"""Holds a lock of a real program for the length of a block."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tools import Obhut, Tool


def locks(repository: Path) -> list[Path]:
    return [file for file in (repository / "locks").iterdir() if len(file.name) == 64]


@contextlib.contextmanager
def stopped_while_locking(tool: Tool, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a command and stops its process as soon as its lock is there; afterwards it goes on."""
    command = [os.fsdecode(word) for word in (*tool.command(), *words)]
    if isinstance(tool, Obhut):
        command += ["-r", str(tool.repository)]
    child = subprocess.Popen(command, env={**os.environ, **tool.env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not locks(tool.repository):
            assert child.poll() is None, (child.stdout and child.stdout.read(), command)
            assert time.monotonic() < deadline
            time.sleep(0.002)
        child.send_signal(signal.SIGSTOP)
        yield child
    finally:
        child.send_signal(signal.SIGCONT)
        child.communicate(timeout=60)


@contextlib.contextmanager
def backing_up_a_stream(tool: Tool, verb: str) -> Iterator[None]:
    """A backup of a stream that does not end until the block does: a shared lock is held."""
    command = [os.fsdecode(word) for word in tool.command()]
    command += [verb, "--stdin"] + (["-r", str(tool.repository)] if isinstance(tool, Obhut) else [])
    child = subprocess.Popen(
        command, env={**os.environ, **tool.env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        deadline = time.monotonic() + 60
        while not locks(tool.repository):
            assert child.poll() is None, (child.stdout and child.stdout.read(), command)
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.5)
        yield
    finally:
        out, _ = child.communicate(b"content\n", timeout=60)
        assert child.returncode == 0, out
