"""Conflict copies: which are there, and what becomes of them. Nothing that is given up is lost: it goes to the versions."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from obhut.errors import ObhutError
from obhut.world import placing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: As Syncthing and ``obhut-sync`` name them: whose version won stands at the end.
_COPY: Final = re.compile(
    r"(?P<stem>.*)\.sync-conflict-(?P<day>\d{8})-(?P<time>\d{6})-(?P<winner>[A-Z2-7]{7})(?P<end>\.[^.]*)?"
)
_INTERNAL: Final = frozenset({".stfolder", ".stversions", ".stignore"})


@dataclass(frozen=True, slots=True)
class Conflict:
    """A copy beside the file that won. Names are relative to the folder."""

    name: str
    copy: str
    #: When, by the clock of the device that made the copy: ``2026-03-01 12:34:56``.
    when: str
    #: The first seven letters of the device whose version won.
    winner: str
    #: Bytes and time of last change (nanoseconds since 1970) of the file, nothing if it is not there any more.
    size: int | None
    modified: int | None
    copy_size: int
    copy_modified: int


def original(copy: str) -> tuple[str, str, str] | None:
    """Name of the file, time and winner, of the name of a copy; nothing for any other name."""
    folder, _, last = copy.rpartition("/")
    match = _COPY.fullmatch(last)
    if match is None:
        return None
    name = f"{folder}/{match['stem']}{match['end'] or ''}" if folder else f"{match['stem']}{match['end'] or ''}"
    day, time = match["day"], match["time"]
    when = f"{day[:4]}-{day[4:6]}-{day[6:]} {time[:2]}:{time[2:4]}:{time[4:]}"
    return name, when, match["winner"]


def _files(root: Path) -> Iterator[str]:
    for place, folders, files in os.walk(root):
        here = os.path.relpath(place, root)
        if here == ".":
            folders[:] = [name for name in folders if name not in _INTERNAL]
        folders.sort()
        for name in sorted(files):
            if ".sync-conflict-" in name:
                yield name if here == "." else f"{here}/{name}"


def find(root: Path) -> list[Conflict]:
    """All copies below a folder, by name. Links are not followed."""
    found = []
    for copy in _files(root):
        parts = original(copy)
        if parts is None:
            continue
        name, when, winner = parts
        try:
            there = (root / copy).lstat()
        except OSError:
            continue
        size, modified = _facts(root / name)
        found.append(Conflict(name, copy, when, winner, size, modified, there.st_size, there.st_mtime_ns))
    return found


def _facts(path: Path) -> tuple[int | None, int | None]:
    """Size and time of last change; nothing of what is not there."""
    try:
        own = path.lstat()
    except OSError:
        return None, None
    return own.st_size, own.st_mtime_ns


def keep_file(root: Path, conflict: Conflict, tag: str) -> str:
    """The file stays; the copy becomes a version, whose name is given. ``tag``: local time, ``20260301-123456``."""
    return placing.to_versions(root, conflict.copy, tag, conflict.name)


def keep_copy(root: Path, conflict: Conflict, tag: str) -> str | None:
    """The copy gets the name of the file, which becomes a version (its name is given, if there was one)."""
    kept = None
    if os.path.lexists(root / conflict.name):
        kept = placing.to_versions(root, conflict.name, tag, conflict.name, keep=True)
    placing.replace(root, conflict.copy, conflict.name)
    return kept


def keep_both(root: Path, conflict: Conflict) -> str:
    """The copy gets a name of its own, which is given: it is a file like any other from then on."""
    folder, _, last = conflict.name.rpartition("/")
    stem, dot, end = last.rpartition(".")
    if not stem:
        stem, dot, end = last, "", ""
    stamp = conflict.when.replace(":", ".")
    for number in range(1, 1000):
        more = "" if number == 1 else f" {number}"
        name = f"{stem} (conflict {stamp}{more}){dot}{end}"
        target = f"{folder}/{name}" if folder else name
        if placing.move(root, conflict.copy, target):
            return target
    raise ObhutError("file-exists", conflict.name, "a thousand names beside it are taken")


def mine_is_copy(conflict: Conflict, own: str) -> bool:
    """Whether the copy is what this device had: another device's version won. ``own``: this device's id."""
    return not own.startswith(conflict.winner)
