"""One way to drive the four programs that share a repository: obhut, restic, Debian's restic, rustic."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peers

PASSWORD = "correct horse battery staple"
TIMEOUT = 300


@dataclass
class Ran:
    """A finished child."""

    command: list[str]
    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "replace")

    def lines(self) -> list[dict[str, Any]]:
        """Standard output as JSON, an object a line."""
        return [json.loads(line) for line in self.out.splitlines() if line.strip()]

    def __str__(self) -> str:
        out, err = (part.decode("utf-8", "backslashreplace")[-3000:] for part in (self.out, self.err))
        return f"{' '.join(self.command)}\nexit code {self.code}\n--- out\n{out}\n--- err\n{err}"


def run(
    command: list[str | Path],
    *,
    expect: int | set[int] | None = 0,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes = b"",
) -> Ran:
    """Runs a program without a terminal; fails with all that it said if the exit code is not the expected one."""
    words = [os.fsdecode(word) for word in command]
    child = subprocess.run(
        words,
        input=stdin,
        capture_output=True,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        timeout=TIMEOUT,
        check=False,
    )
    ran = Ran(words, child.returncode, child.stdout, child.stderr)
    wanted = {expect} if isinstance(expect, int) else expect
    assert wanted is None or ran.code in wanted, f"expected exit code {expect}\n{ran}"
    return ran


def obhut_program() -> Path:
    """The ``obhut`` that belongs to this Python."""
    program = Path(sys.executable).with_name("obhut")
    assert program.exists(), f"{program} is missing: run `make setup`"
    return program


class Tool:
    """A program on one repository."""

    name = ""

    def __init__(self, repository: Path, password: str = PASSWORD) -> None:
        self.repository = repository
        self.env = {"RESTIC_PASSWORD": password, "RUSTIC_PASSWORD": password, "OBHUT_PASSWORD": password}

    def __call__(self, *words: str | Path, expect: int | set[int] | None = 0, **more: Any) -> Ran:
        env = {**self.env, **more.pop("env", {})}
        return run([*self.command(), *words], expect=expect, env=env, **more)

    def command(self) -> list[str | Path]:
        raise NotImplementedError

    def init(self) -> None:
        self("init")

    def backup(self, *paths: Path) -> None:
        self("backup", *paths)

    def check(self) -> None:
        self("check", "--read-data")

    def restore(self, target: Path, snapshot: str = "latest") -> None:
        """Restores so that the absolute source paths are below ``target``."""
        self("restore", snapshot, "--target", target)

    def forget_and_prune(self, keep: int = 1) -> None:
        self("forget", "--group-by", "", "--keep-last", str(keep), "--prune", "--max-unused", "0")

    def snapshots(self) -> list[dict[str, Any]]:
        """Oldest first."""
        found: list[dict[str, Any]] = json.loads(self("snapshots", "--json").out or b"[]")
        return sorted(found, key=lambda s: s["time"])

    def listing(self, snapshot: str = "latest") -> list[bytes]:
        """The paths of a snapshot, sorted."""
        return sorted(line for line in self("ls", snapshot, "-q").out.split(b"\n") if line.startswith(b"/"))


class Restic(Tool):
    """The current restic."""

    name = "restic"

    def command(self) -> list[str | Path]:
        return [peers.need("restic"), "-r", self.repository]


class OldRestic(Restic):
    """Debian's restic 0.14."""

    name = "restic-0.14"

    def command(self) -> list[str | Path]:
        return [peers.need_old_restic(), "-r", self.repository]


class Rustic(Tool):
    """rustic; it takes no locks, so it never runs beside another."""

    name = "rustic"

    def command(self) -> list[str | Path]:
        return [peers.need("rustic"), "--no-progress", "--log-level", "warn", "-r", self.repository]

    def restore(self, target: Path, snapshot: str = "latest") -> None:
        self("restore", snapshot, target)

    def forget_and_prune(self, keep: int = 1) -> None:
        self("forget", "--group-by", "", "--keep-last", str(keep))
        self("prune", "--max-unused", "0B", "--max-repack", "unlimited", "--instant-delete", "--keep-pack", "0s")

    def snapshots(self) -> list[dict[str, Any]]:
        groups = json.loads(self("snapshots", "--json").out or b"[]")
        return sorted((s for group in groups for s in group["snapshots"]), key=lambda s: s["time"])

    def listing(self, snapshot: str = "latest") -> list[bytes]:
        return sorted(b"/" + line.strip(b"/") for line in self("ls", snapshot).out.split(b"\n") if line)


class Obhut(Tool):
    """Ours."""

    name = "obhut"

    def command(self) -> list[str | Path]:
        return [obhut_program(), "backup"]

    def __call__(self, *words: str | Path, expect: int | set[int] | None = 0, **more: Any) -> Ran:
        verb = 2 if words[0] == "key" else 1
        return super().__call__(*words[:verb], "-r", self.repository, *words[verb:], expect=expect, **more)

    def backup(self, *paths: Path) -> None:
        self("run", *paths)

    def listing(self, snapshot: str = "latest") -> list[bytes]:
        return sorted(line for line in self("ls", snapshot).out.split(b"\n") if line.startswith(b"/"))


TOOLS: dict[str, type[Tool]] = {tool.name: tool for tool in (Obhut, Restic, OldRestic, Rustic)}


def differences(left: Path, right: Path) -> str:
    """What rsync would have to change to make ``right`` equal to ``left``: nothing, if they are equal.

    Compares content by checksum, owners, modes, times to the nanosecond, links, devices, ACLs and attributes.
    """
    ran = run(
        [
            peers.need("rsync"),
            "-aHAXn",
            "--checksum",
            "--delete",
            "--itemize-changes",
            "--modify-window=-1",
            f"{left}/",
            f"{right}/",
        ],
        env={"LC_ALL": "C"},
    )
    return ran.out.decode("utf-8", "backslashreplace")


def same(left: Path, right: Path) -> None:
    """Asserts that two folders are equal, in both directions."""
    assert differences(left, right) == ""
    assert differences(right, left) == ""


def same_below(left: Path, right: Path) -> None:
    """The same without the two folders' own times and modes: ``restore SNAPSHOT:PATH`` gives contents, as restic does."""
    for lines in (differences(left, right), differences(right, left)):
        assert [line for line in lines.splitlines() if not line.endswith(" ./")] == []


def packs(repository: Path) -> dict[str, int]:
    """Names and sizes of all packs."""
    return {file.name: file.stat().st_size for file in repository.glob("data/??/*")}


def remains_below(target: Path, source: Path) -> Path:
    """Where an absolute source path lies below a restore target."""
    return target / source.relative_to("/")
