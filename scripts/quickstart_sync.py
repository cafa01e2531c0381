"""The part of the quickstart that synchronizes: a copy of the folder to a second device on the same machine, and back from versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

OBHUT = Path(sys.executable).with_name("obhut")
#: Seconds for what should take one.
PATIENCE = 60


class Device:
    """A device with a home and a folder."""

    def __init__(self, place: Path, name: str, say: Callable[[list[str], str], None]) -> None:
        self.home, self.folder, self.name, self._say = place / f"{name}-home", place / name, name, say
        self.folder.mkdir(parents=True)
        self.run("init", "--name", name)
        self.run("folder", "add", str(self.folder), "--id", "quickstart")
        self.id = self.run("id").strip()

    def run(self, *words: str) -> str:
        """A command of it, as a person would type it."""
        line = ["obhut", "sync", *words, "--home", str(self.home)]
        child = subprocess.run([OBHUT, *line[1:]], text=True, capture_output=True, check=False)
        if child.returncode:
            sys.exit(f"quickstart: this failed with exit code {child.returncode}: {line}\n{child.stdout}{child.stderr}")
        self._say(line, child.stdout)
        return child.stdout

    def knows(self, other: Device, address: str = "dynamic") -> None:
        """The other one shares the folder."""
        self.run("device", "add", other.id, "--name", other.name, "--address", address)
        self.run("share", "quickstart", other.id)

    @contextmanager
    def running(self) -> Iterator[str]:
        """Its process; gives where it listens."""
        line = ["obhut", "sync", "run", "--listen", "tcp://127.0.0.1:0", "--json", "--home", str(self.home)]
        self._say(line, "")
        with (
            (self.home / "events").open("wb") as events,
            subprocess.Popen([OBHUT, *line[1:]], stdout=events) as process,
        ):
            try:
                until("the start of a device", lambda: (self.home / "events").read_bytes().count(b"\n") > 0)
                first = (self.home / "events").read_text("utf-8").splitlines()[0]
                yield json.loads(first)["listening"][0]
            finally:
                process.terminate()


def until(what: str, check: Callable[[], bool]) -> None:
    """Waits."""
    deadline = time.monotonic() + PATIENCE
    while not check():
        if time.monotonic() > deadline:
            sys.exit(f"quickstart: waited in vain for {what}")
        time.sleep(0.02)


def synchronize(place: Path, files: list[Path], say: Callable[[list[str], str], None]) -> tuple[float, int]:
    """Two devices share copies of some files; seconds until the second has all, and how many came."""
    first, second = Device(place, "first", say), Device(place, "second", say)
    names = []
    for number, path in enumerate(files):
        name = f"{number:04}-{path.name}"
        shutil.copy2(path, first.folder / name)
        names.append(name)
    with first.running() as address:
        first.knows(second)
        second.knows(first, address)
        began = time.monotonic()
        with second.running():
            until("the files on the second device", lambda: all(same(first, second, name) for name in names))
            taken = time.monotonic() - began
            say([], f"the second device has all {len(names)} files, {taken:.1f} s after its start")
            _bring_back(first, second, names, say)
    return taken, len(names)


def same(first: Device, second: Device, name: str) -> bool:
    """Whether a file is the same on both."""
    try:
        return (first.folder / name).read_bytes() == (second.folder / name).read_bytes()
    except FileNotFoundError:
        return False


def _bring_back(first: Device, second: Device, names: list[str], say: Callable[[list[str], str], None]) -> None:
    """On the second device a file is overwritten and one removed; on the first one both come back."""
    overwritten, removed = names[0], names[-1]
    before = {name: (first.folder / name).read_bytes() for name in (overwritten, removed)}
    (second.folder / overwritten).write_text("overwritten on the second device\n", "utf-8")
    (second.folder / removed).unlink()
    until(
        "both changes on the first device",
        lambda: same(first, second, overwritten) and not (first.folder / removed).exists(),
    )
    say(
        [],
        f"on the second device {overwritten} was overwritten and {removed} removed; the first one followed, and kept both",
    )
    first.run("versions", "list", "quickstart")
    for name in (overwritten, removed):
        first.run("versions", "restore", "quickstart", name)
    until("both on the second device", lambda: all(_has(second, name, content) for name, content in before.items()))
    say([], "both are back, on both devices")
    first.run("status")


def _has(device: Device, name: str, content: bytes) -> bool:
    path = device.folder / name
    return os.path.exists(path) and path.read_bytes() == content
