"""How each tool is told each verb, started, killed, and waited for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soak.model import Action
from tools import Obhut, Restic, Rustic, Tool

PEERS: dict[str, type[Tool]] = {"obhut": Obhut, "restic": Restic, "rustic": Rustic}
#: A program that needs longer hangs.
PATIENCE = 300.0


def words(action: Action, target: Path, new_password: Path) -> list[str | Path]:
    """The verb in the tool's language, without the repository."""
    options = list(action.options)
    if action.verb == "backup":
        verb = "run" if action.tool == "obhut" else "backup"
        return [verb, "--tag", action.tag, action.source, *options]
    if action.verb == "restore":
        place = [target] if action.tool == "rustic" else ["--target", target]
        return ["restore", action.snapshots[0], *place, *options]
    if action.verb == "forget":
        return ["forget", *action.snapshots, *options]
    if action.verb == "passwd":
        verb = "password" if action.tool == "rustic" else "passwd"
        return ["key", verb, "--new-password-file", new_password, *options]
    return [action.verb, *options]


def command(tool: Tool, spoken: list[str | Path]) -> list[str]:
    """The whole command line."""
    if isinstance(tool, Obhut):
        verb = 2 if spoken[0] == "key" else 1
        spoken = [*spoken[:verb], "-r", tool.repository, *spoken[verb:]]
    return [os.fsdecode(word) for word in [*tool.command(), *spoken]]


@dataclass
class Resident:
    """The long-lived process, and what it weighed after each call."""

    process: subprocess.Popen[bytes]
    sizes: list[dict[str, int]] = field(default_factory=list)

    @classmethod
    def start(cls, errors: Path) -> Resident:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with errors.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "soak.resident"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env=environment,
            )
        return cls(process)

    def call(self, request: dict[str, Any]) -> tuple[int, str]:
        """Exit code and what was said."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            return -1, "the long-lived process has ended"
        answer = json.loads(line)
        self.sizes.append({key: answer[key] for key in ("rss", "descriptors", "threads")})
        return answer["code"], answer["said"]

    def end(self) -> None:
        """Closes its standard input and waits."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


@dataclass
class Stage:
    """Where the programs meet."""

    folder: Path
    password: str
    resident: Resident

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    def tool(self, name: str) -> Tool:
        """A peer, or Obhut as a program."""
        return PEERS[name](self.repository, self.password)

    def target(self, action: Action) -> Path:
        """Where a restore writes."""
        return self.folder / "restored" / action.tag

    def perform(self, actions: list[Action], new_password: Path) -> None:
        """Runs all of them, each at its time, and waits for all."""
        threads = [threading.Thread(target=self._one, args=(action, new_password)) for action in actions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _one(self, action: Action, new_password: Path) -> None:
        time.sleep(action.start_after)
        begun = time.monotonic()
        try:
            if action.tool == "api":
                action.code, action.said = self.resident.call(self._request(action))
            else:
                self._program(action, new_password)
        except Exception as error:  # noqa: BLE001 - a thread must not end without a word
            action.code, action.said = -1, repr(error)
        action.seconds = time.monotonic() - begun

    def _request(self, action: Action) -> dict[str, Any]:
        return {
            "repository": str(self.repository),
            "cache": str(self.folder / "api-cache"),
            "password": self.password,
            "verb": action.verb,
            "source": action.source,
            "tag": action.tag,
            "snapshots": list(action.snapshots),
            "options": list(action.options),
            "target": str(self.target(action)),
        }

    def _program(self, action: Action, new_password: Path) -> None:
        tool = self.tool(action.tool)
        line = command(tool, words(action, self.target(action), new_password))
        child = subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **tool.env},
        )
        killer = None
        if action.kill_after is not None:
            killer = threading.Timer(action.kill_after, _kill, (child, action))
            killer.start()
        try:
            out, _ = child.communicate(timeout=PATIENCE)
            action.said = out.decode("utf-8", "replace")[-3000:]
        except subprocess.TimeoutExpired:
            child.kill()
            action.said = f"did not end within {PATIENCE:.0f} seconds"
            child.communicate()
            action.killed = False
        finally:
            if killer is not None:
                killer.cancel()
                killer.join()
        action.code = child.returncode


def _kill(child: subprocess.Popen[bytes], action: Action) -> None:
    if child.poll() is None:
        action.killed = True
        child.send_signal(action.signal)


def ending(action: Action) -> str:
    """How it ended, in a word."""
    if action.code is not None and action.code < 0 and action.killed:
        return signal.Signals(-action.code).name
    return str(action.code)
