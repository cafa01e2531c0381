"""The program ``obhut`` in one process that stays: a command costs milliseconds, and is otherwise what a user runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Reply:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


class Resident:
    """Runs command lines one after the other. Use as a context."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._child = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(_HERE), **environ},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.stdin is not None and self._child.stdout is not None:
            self._child.stdin.close()
            self._child.wait(timeout=30)
            self._child.stdout.close()

    def __call__(self, *words: str | Path) -> Reply:
        """Runs ``obhut WORDS…``."""
        if self._child.stdin is None or self._child.stdout is None:
            raise AssertionError
        self._child.stdin.write(json.dumps([os.fsdecode(word) for word in words]).encode() + b"\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline()
        assert answer, f"the process died in {words}: {self._child.poll()}"
        return Reply(**json.loads(answer))


def _serve() -> None:
    from obhut.cli.main import run

    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    streams = [os.memfd_create(name) for name in ("out", "err")]
    os.dup2(streams[0], 1)
    os.dup2(streams[1], 2)
    for line in requests:
        code = run(json.loads(line))
        reply: dict[str, Any] = {"code": code}
        for name, fd in zip(("out", "err"), streams, strict=True):
            os.lseek(fd, 0, os.SEEK_SET)
            reply[name] = os.read(fd, 1 << 24).decode("utf-8", "replace")
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
        answers.write(json.dumps(reply).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
