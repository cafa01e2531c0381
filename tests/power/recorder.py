"""A repository on a disk that writes everything down, and the commands that are run there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

#: Of the disk: small, so that a state is copied in milliseconds; the smallest journal.
SIZE: Final = 24 << 20
MAKE: Final = ("mkfs.ext4", "-q", "-F", "-b", "4096", "-N", "1024", "-m", "0", "-J", "size=4",
               "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", "-O", "^resize_inode")  # fmt: skip


def command(*words: str | Path) -> str:
    """Runs a tool of the system; gives its output."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def mounted(device: Path | str, place: Path, *options: str) -> Iterator[Path]:
    """A file system for the time of the block."""
    place.mkdir(exist_ok=True)
    command("mount", "-t", "ext4", "-o", ",".join(("noatime", *options)), device, place)
    try:
        yield place
    finally:
        command("umount", place)


@dataclass
class Step:
    """One command, and where the log was before and after it."""

    name: str
    begun: int
    #: What was promised when it ended with 0 holds from here on.
    ended: int


@dataclass
class Recording:
    """What happened."""

    image: bytes
    log: Path
    steps: list[Step] = field(default_factory=list)

    def position(self) -> int:
        """How long the log is: what is before it has happened."""
        return self.log.stat().st_size

    def step(self, name: str, act: Callable[[], object]) -> None:
        """Carries out one command that must succeed."""
        begun = self.position()
        act()
        self.steps.append(Step(name, begun, self.position()))

    def done(self, name: str, at: int) -> bool:
        """Whether the step had ended."""
        return any(step.name == name and step.ended <= at for step in self.steps)

    def begun(self, name: str, at: int) -> bool:
        """Whether the step had begun."""
        return any(step.name == name and step.begun < at for step in self.steps)


@contextmanager
def recording(place: Path, *options: str) -> Iterator[tuple[Recording, Path]]:
    """The recording, and the folder in which to work meanwhile."""
    image, folder = place / "image", place / "fuse"
    with image.open("wb") as file:
        file.truncate(SIZE)
    command(*MAKE, image)
    folder.mkdir()
    result = Recording(image.read_bytes(), place / "log")
    program = Path(__file__).with_name("device.py")
    device = subprocess.Popen(
        [sys.executable, program, image, result.log, folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(program.parents[1])},
    )
    try:
        _wait_for(device)
        with _loop(folder / "disk") as disk, mounted(disk, place / "disk", *options) as work:
            yield result, work
    finally:
        subprocess.run(["umount", folder], check=False, capture_output=True)
        _, said = device.communicate(timeout=30)
        assert not said, said


def _wait_for(device: subprocess.Popen[str]) -> None:
    assert device.stdout is not None
    if device.stdout.readline() == "ready\n":
        return
    _, said = device.communicate(timeout=30)
    pytest.fail(said)


@contextmanager
def _loop(file: Path) -> Iterator[str]:
    """A block device over a file. Blocks as large as the file system's: a write of one is whole or not there."""
    disk = command("losetup", "--find", "--show", "--sector-size", "4096", file)
    try:
        yield disk
    finally:
        command("losetup", "--detach", disk)
