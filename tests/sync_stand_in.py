"""A stand-in for what ``obhut sync`` needs of the core, and the program with it.

Functions that the binary has are the binary's; the engine is always the stand-in, which does what a test tells it by a
file. So commands, the run loop and the control socket are tested without a network.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sys
import threading
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from obhut import _core

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def _check(letters: str) -> str:
    total = 0
    for at, letter in enumerate(letters):
        product = ALPHABET.index(letter) * (1 if at % 2 == 0 else 2)
        total += product // 32 + product % 32
    return ALPHABET[-total % 32]


def device_id(text: str) -> str:
    """The one form of a device id, by the rules of the protocol."""
    wrong = _core.CoreError("invalid-argument", text, "this is no device id")
    letters = re.sub("[- ]", "", text.rstrip("=")).upper().translate(str.maketrans("018", "OIB"))
    if len(letters) not in {52, 56} or set(letters) - set(ALPHABET):
        raise wrong
    if len(letters) == 56:
        groups = [letters[at : at + 14] for at in range(0, 56, 14)]
        if any(_check(group[:13]) != group[13] for group in groups):
            raise wrong
        letters = "".join(group[:13] for group in groups)
    checked = "".join(part + _check(part) for part in (letters[at : at + 13] for at in range(0, 52, 13)))
    return "-".join(checked[at : at + 7] for at in range(0, 56, 7))


def id_of(word: str) -> str:
    """Some device's id."""
    return device_id(base64.b32encode(hashlib.sha256(word.encode()).digest()).decode().rstrip("="))


def certificate(der: bytes) -> bytes:
    """What looks like a certificate, as long as nobody looks inside."""
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n".encode()


def identity(home: str) -> str:
    """A certificate by chance, its hash as the id."""
    place = Path(home)
    if not (place / "cert.pem").exists():
        (place / "cert.pem").write_bytes(certificate(os.urandom(200)))
        (place / "key.pem").write_text("a key\n")
    lines = (place / "cert.pem").read_text().splitlines()[1:-1]
    digest = hashlib.sha256(base64.b64decode("".join(lines))).digest()
    return device_id(base64.b32encode(digest).decode().rstrip("="))


def ignore_test(root: bytes, lines: list[str], names: list[str]) -> list[bool]:
    """Plain patterns only; ``[`` alone means nothing."""
    if "[" in lines:
        raise _core.CoreError("invalid-argument", "[", "a set that does not end")
    return [any(fnmatch(name.rsplit("/", 1)[-1], line) for line in lines) for name in names]


def versions_list(root: bytes) -> str:
    """Tagged versions below ``.stversions``."""
    place = Path(os.fsdecode(root)) / ".stversions"
    found = []
    for path in sorted(place.rglob("*")):
        version = path.relative_to(place).as_posix()
        match = re.fullmatch(r"(.*)~(\d{8}-\d{6})(\.[^.]*)?", version)
        if match:
            name = match[1] + (match[3] or "")
            found.append({"name": name, "version": version, "made": match[2], "bytes": path.stat().st_size})
    return json.dumps(found)


def versions_restore(root: bytes, version: str, into: str | None) -> str:
    """Copies it."""
    place = Path(os.fsdecode(root))
    name = into or re.sub(r"~\d{8}-\d{6}", "", version)
    (place / name).write_bytes((place / ".stversions" / version).read_bytes())
    return name


def versions_prune(root: bytes, keep: str) -> str:
    """Keeps nothing."""
    found = [one["version"] for one in json.loads(versions_list(root))]
    for version in found:
        (Path(os.fsdecode(root)) / ".stversions" / version).unlink()
    return json.dumps(found)


class Daemon:
    """An engine that connects nobody. ``stage.json`` in its home may hold a status and events; what it was told is in ``told.json``."""

    def __init__(self, home: str, config: str, listen: list[str]) -> None:
        self.home = Path(home)
        self.listen = listen
        self.told: list[Any] = []
        self.telling = threading.Lock()
        self.staged = 0
        self.configure(config)

    def _tell(self, word: Any) -> None:
        # Commands come from another thread than settings: the last to write has to know of both.
        with self.telling:
            self.told.append(word)
            place = self.home / "told.json"
            place.with_suffix(".new").write_text(json.dumps(self.told))
            place.with_suffix(".new").rename(place)

    def _stage(self) -> dict[str, Any]:
        try:
            staged: dict[str, Any] = json.loads((self.home / "stage.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return staged

    def configure(self, config: str) -> None:
        self.config = json.loads(config)
        self._tell({"configure": self.config})

    def status(self) -> str:
        counts = {"files": 0, "directories": 0, "bytes": 0, "deleted": 0}
        found = {
            "id": self.config["id"],
            "folders": [
                {
                    "id": folder["id"],
                    "label": folder["label"],
                    "state": "paused" if folder["paused"] else "idle",
                    "doubt": None,
                    "local": counts,
                    "global": counts,
                    "need": {"items": 0, "bytes": 0},
                    "troubles": [],
                    "unnamed": [],
                    "members": [
                        {"device": member["device"], "completion": {"items": 0, "bytes": 0}, "shares": True}
                        for member in folder["members"]
                    ],
                }
                for folder in self.config["folders"]
            ],
            "devices": [
                {
                    "id": one["id"],
                    "name": one["name"],
                    "connected": False,
                    "address": None,
                    "error": None,
                    "client": None,
                }
                for one in self.config["devices"]
            ],
        }
        return json.dumps({**found, **self._stage().get("status", {})})

    def events(self, timeout_ms: int) -> str:
        events = self._stage().get("events", [])
        if len(events) <= self.staged:
            time.sleep(min(timeout_ms, 50) / 1000)
            return "[]"
        new, self.staged = events[self.staged :], len(events)
        return json.dumps(new)

    def command(self, folder: str, command: str) -> None:
        self._tell({command: folder})

    def listening(self) -> list[str]:
        return [place.replace(":0", ":45678") if place.endswith(":0") else place for place in self.listen]

    def stop(self) -> None:
        self._tell("stop")


FUNCTIONS = {
    "sync_device_id": device_id,
    "sync_identity": identity,
    "sync_ignore_test": ignore_test,
    "sync_versions_list": versions_list,
    "sync_versions_restore": versions_restore,
    "sync_versions_prune": versions_prune,
}


def main() -> None:
    """The program."""
    from obhut.cli import main as program

    for name, function in FUNCTIONS.items():
        if not hasattr(_core, name):
            setattr(_core, name, function)
    _core.SyncDaemon = Daemon  # type: ignore[assignment,misc]  # that is the point
    program.main()


PROGRAM = [sys.executable, "-c", "import sync_stand_in; sync_stand_in.main()"]
