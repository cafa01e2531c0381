"""Running the program as a user does: a process of its own, its streams, its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PASSWORD = "c4n4ry-Passwort"
PROGRAM = [sys.executable, "-m", "obhut"]


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str

    def json(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    def errors(self) -> list[Any]:
        return [json.loads(line) for line in self.err.splitlines()]


class Obhut:
    """A user with an own home, a repository and a password in the environment."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.program = PROGRAM
        self.home = base / "home"
        self.home.mkdir(exist_ok=True)
        self.repository = base / "repository"
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "OBHUT_REPOSITORY": str(self.repository),
            "OBHUT_PASSWORD": PASSWORD,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def environment(self, changes: dict[str, str | None]) -> dict[str, str]:
        merged: dict[str, str | None] = {**self.environ, **changes}
        return {name: value for name, value in merged.items() if value is not None}

    def __call__(self, *arguments: str | bytes, stdin: bytes = b"", **changes: str | None) -> Run:
        run = subprocess.run(
            [*self.program, *arguments],
            input=stdin,
            capture_output=True,
            env=self.environment(changes),
            check=False,
            timeout=50,
            cwd=self.base,
        )
        return Run(run.returncode, run.stdout.decode("utf-8", "replace"), run.stderr.decode("utf-8", "replace"))

    def backup(self, *arguments: str | bytes, **changes: Any) -> Run:
        return self("backup", *arguments, **changes)

    def start(self, *arguments: str, **changes: str | None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self.program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(changes),
            cwd=self.base,
        )

    def locks(self) -> list[str]:
        return os.listdir(self.repository / "locks")


def make_tree(root: Path) -> Path:
    """A small source with odd names."""
    (root / "docs" / "deep").mkdir(parents=True)
    (root / "docs" / "a.txt").write_text("eins\n")
    (root / "docs" / "deep" / "b.bin").write_bytes(os.urandom(300_000))
    (root / "empty").mkdir()
    with open(os.fsencode(root / "docs") + b"/odd\xff\x1b[31m\n", "wb") as file:
        file.write(b"odd")
    (root / "link").symlink_to("docs/a.txt")
    return root
