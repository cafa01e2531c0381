"""What must be true on a disk after a power failure."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import peers
import sealing
from power.recorder import Recording, mounted
from power.states import BLOCK, State
from resident import Reply, Resident

#: Content of files by their paths.
Files = dict[str, bytes]


@dataclass(frozen=True)
class Promise:
    """What held at a moment."""

    #: Steps that had ended, and those that had begun and not ended.
    ended: frozenset[str]
    running: frozenset[str]


@dataclass
class Story:
    """What the recorded commands did: which step made or removed which snapshot, which passwords were right."""

    recording: Recording
    #: Snapshot id: the step that made it, what it holds.
    made: dict[str, tuple[str, Files]] = field(default_factory=dict)
    #: Snapshot id: the step that removed it.
    removed: dict[str, str] = field(default_factory=dict)
    #: The step that changed the password, and both.
    change: tuple[str, str, str] = ("", "", "")
    key: sealing.Key | None = None

    def promise(self, at: int) -> Promise:
        steps = self.recording.steps
        ended = frozenset(step.name for step in steps if step.ended <= at)
        return Promise(ended, frozenset(step.name for step in steps if step.begun < at) - ended)

    def required(self, promise: Promise) -> set[str]:
        """Snapshots that must be there."""
        touched = promise.ended | promise.running
        return {i for i, (step, _) in self.made.items() if step in promise.ended and self.removed.get(i) not in touched}

    def forbidden(self, promise: Promise) -> set[str]:
        """Snapshots that must be gone: their removal was acknowledged."""
        return {ident for ident, step in self.removed.items() if step in promise.ended}


@dataclass
class Judge:
    """Mounts states and looks at what is there. Equal ones (same files, same promises) are judged once."""

    place: Path
    story: Story
    obhut: Resident
    options: tuple[str, ...] = ()
    judged: dict[tuple[bytes, Promise], list[str]] = field(default_factory=dict)
    count: Counter[str] = field(default_factory=Counter)

    def __call__(self, state: State, safe: bytearray) -> list[str]:
        """What is wrong."""
        disk = self.place / "state"
        with disk.open("wb") as file:
            file.write(safe)
            for block, data in state.kept.items():
                os.pwrite(file.fileno(), data, block * BLOCK)
        self.count["states"] += 1
        try:
            with mounted(disk, self.place / "found", "loop", *self.options) as found:
                return self._once(found / "repository", self.story.promise(state.at))
        except subprocess.CalledProcessError as error:
            return [f"cannot be mounted: {error.stderr}"]
        except OSError as error:
            # A folder or a block of the file system itself is gone.
            return [f"cannot be read: {error}"]

    def _once(self, repository: Path, promise: Promise) -> list[str]:
        mark = (_digest(repository), promise)
        if mark not in self.judged:
            self.count["different"] += 1
            self.judged[mark] = self._judge(repository, promise)
        return self.judged[mark]

    def _judge(self, repository: Path, promise: Promise) -> list[str]:
        if "init" not in promise.ended and not (repository / "config").exists():
            # Nothing was promised. `init` again makes one, whatever the first left.
            reply = self.obhut("backup", "init", "-r", repository)
            return [] if reply.code == 0 else [reply.err]
        problems = self._passwords(repository, promise)
        if self.story.key is None:
            raise AssertionError
        cheap = repository / "keys" / ("0" * 64)
        cheap.write_bytes(sealing.key_file(self.story.key, "judge"))
        cheap = sealing.replace(cheap, cheap.read_bytes())
        reply = self._obhut("unlock", repository, cheap)
        if reply.code != 0:
            problems.append(f"unlock: {reply.err}")
        problems += self._snapshots(repository, promise, cheap)
        environ = {**os.environ, "RESTIC_PASSWORD": "judge", "RESTIC_KEY_HINT": cheap.name}
        words: list[str | Path] = [peers.need("restic"), "-r", repository, "--no-cache", "check", "--read-data"]
        checked = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
        if checked.returncode != 0:
            problems.append(f"restic check: {checked.stdout}{checked.stderr}")
        return problems

    def _obhut(self, verb: str, repository: Path, cheap: Path, *words: str | Path) -> Reply:
        password = self.place / "judge"
        password.write_text("judge")
        hint = ("--key-hint", cheap.name, "--password-file", password)
        return self.obhut("backup", verb, "-r", repository, *hint, *words)

    def _passwords(self, repository: Path, promise: Promise) -> list[str]:
        """Which password opens: the old one until the change has begun, the new one once it has ended, between one of them."""
        step, old, new = self.story.change
        opens = []
        for password in (old, new):
            file = self.place / "password"
            file.write_text(password)
            words = ("snapshots", "-r", repository, "--no-lock", "--password-file", file)
            opens.append(self.obhut("backup", *words).code == 0)
        lawful = {(True, False), (True, True), (False, True)}
        if step in promise.ended:
            lawful = {(False, True)}
        elif step not in promise.running:
            lawful = {(True, False)}
        return [] if tuple(opens) in lawful else [f"old and new password open: {opens}"]

    def _snapshots(self, repository: Path, promise: Promise, cheap: Path) -> list[str]:
        there = {file.name for file in (repository / "snapshots").iterdir() if len(file.name) == 64}
        problems = [f"snapshot {ident} is lost" for ident in self.story.required(promise) - there]
        problems += [f"snapshot {ident} is back" for ident in self.story.forbidden(promise) & there]
        for ident in there:
            self.count["restored"] += 1
            target = self.place / "target"
            reply = self._obhut("restore", repository, cheap, "--no-lock", "--no-sync", "--target", target, ident)
            found = contents(target) if target.exists() else {}
            shutil.rmtree(target, ignore_errors=True)
            _, held = self.story.made.get(ident, ("", None))
            if reply.code != 0 or found != held:
                problems.append(f"snapshot {ident} does not restore: {reply.said}")
        return problems


def contents(folder: Path) -> Files:
    """Every file below a folder."""
    return {f"/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _digest(folder: Path) -> bytes:
    """Names and contents of all that is below a folder, but the folders of packs that hold nothing."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(json.dumps(str(path.relative_to(folder))).encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.digest()
