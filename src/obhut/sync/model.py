"""Devices, folders, and who shares what: values, rules, and changes of them. Pure, but for the look at a folder's place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, Final, Literal, TypeVar

from obhut.errors import ObhutError

Direction = Literal["both", "send-only", "receive-only"]
DIRECTIONS: Final = ("both", "send-only", "receive-only")
COMPRESSIONS: Final = ("metadata", "always", "never")
#: Port of Syncthing's protocol.
PORT: Final = 22000
DAY: Final = 24 * 3600
_FOLDER_ID: Final = re.compile(r"[^\s/\\\x00-\x1f\x7f]{1,64}")
_HOST: Final = re.compile(r"\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9._-]*")
LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Versions:
    """What is kept of files that the engine replaces or removes."""

    kind: Literal["none", "trash", "simple", "staggered"] = "staggered"
    #: How many of one file; ``simple`` only.
    count: int = 0
    #: Days; 0 = of any age.
    days: int = 365

    @classmethod
    def parse(cls, text: str) -> Versions:
        """``none``, ``trash[:DAYS]``, ``simple:N[:DAYS]``, ``staggered[:DAYS]``; ``ValueError`` for anything else."""
        kind, *rest = text.split(":")
        numbers = [_number(word) for word in rest]
        if kind == "none" and not numbers:
            return cls("none", 0, 0)
        if kind == "trash" and len(numbers) <= 1:
            return cls("trash", 0, *(numbers or [0]))
        if kind == "simple" and 1 <= len(numbers) <= 2 and numbers[0] > 0:
            return cls("simple", numbers[0], *(numbers[1:] or [0]))
        if kind == "staggered" and len(numbers) <= 1:
            return cls("staggered", 0, *(numbers or [365]))
        raise ValueError("one of none, trash, trash:DAYS, simple:N, simple:N:DAYS, staggered, staggered:DAYS")

    def __str__(self) -> str:
        if self.kind == "none":
            return "none"
        if self.kind == "simple":
            return f"simple:{self.count}" + (f":{self.days}" if self.days else "")
        default = 365 if self.kind == "staggered" else 0
        return self.kind + (f":{self.days}" if self.days != default else "")

    def to_core(self) -> dict[str, Any]:
        """As the core reads it."""
        return {"kind": self.kind, "count": self.count, "max_age": self.days * DAY}


@dataclass(frozen=True, slots=True)
class Device:
    """Another device."""

    id: str
    name: str = ""
    addresses: tuple[str, ...] = ("dynamic",)
    compression: str = "metadata"
    paused: bool = False

    @property
    def shown(self) -> str:
        """Its name, or the beginning of its id."""
        return self.name or self.id[:7]


@dataclass(frozen=True, slots=True)
class Member:
    """A device that shares a folder."""

    device: str
    #: Its changes do not count here.
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """A tree that devices share."""

    id: str
    path: str
    label: str = ""
    direction: Direction = "both"
    versions: Versions = field(default_factory=Versions)
    members: tuple[Member, ...] = ()
    paused: bool = False
    #: Seconds between two looks at everything; 0 = never.
    rescan: int = 3600
    ignore_modes: bool = False
    #: Conflict copies of one file; -1 = any number.
    max_conflicts: int = 10


_T = TypeVar("_T", Device, Folder)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is configured."""

    #: What others see; "" = the host's name.
    name: str = ""
    listen: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    folders: tuple[Folder, ...] = ()

    def device(self, id: str) -> Device:
        """Raises ``sync-device-unknown``."""
        for device in self.devices:
            if device.id == id:
                return device
        raise ObhutError("sync-device-unknown", id)

    def folder(self, id: str) -> Folder:
        """Raises ``sync-folder-unknown``."""
        for folder in self.folders:
            if folder.id == id:
                return folder
        known = ", ".join(folder.id for folder in self.folders) or "none"
        raise ObhutError("sync-folder-unknown", id, f"known: {known}")

    def find_device(self, text: str) -> Device:
        """By name, id, or the beginning of one (at least seven letters)."""
        wanted = text.upper().replace(" ", "")
        found = [d for d in self.devices if text and d.name == text] or [
            d for d in self.devices if d.id == wanted or (len(wanted) >= 7 and d.id.startswith(wanted))
        ]
        if len(found) != 1:
            raise ObhutError("sync-device-unknown", text, "several have this name" if found else "")
        return found[0]

    def with_device(self, device: Device) -> Settings:
        """One more, or another one of the same id."""
        return replace(self, devices=_put(self.devices, device))

    def without_device(self, id: str) -> Settings:
        """It shares nothing any more, either."""
        self.device(id)
        folders = tuple(replace(f, members=tuple(m for m in f.members if m.device != id)) for f in self.folders)
        return replace(self, devices=tuple(d for d in self.devices if d.id != id), folders=folders)

    def with_folder(self, folder: Folder) -> Settings:
        """One more, or another one of the same id."""
        return replace(self, folders=_put(self.folders, folder))

    def without_folder(self, id: str) -> Settings:
        """Its files stay where they are."""
        self.folder(id)
        return replace(self, folders=tuple(f for f in self.folders if f.id != id))

    def shared(self, folder: str, device: str, *, read_only: bool) -> Settings:
        """A folder is shared with a device; said again, its role is another one."""
        self.device(device)
        found = self.folder(folder)
        others = tuple(m for m in found.members if m.device != device)
        return self.with_folder(replace(found, members=(*others, Member(device, read_only))))

    def unshared(self, folder: str, device: str) -> Settings:
        """A folder is shared with a device no longer."""
        found = self.folder(folder)
        return self.with_folder(replace(found, members=tuple(m for m in found.members if m.device != device)))

    def to_core(self, own: str, host: str) -> dict[str, Any]:
        """As ``SyncDaemon`` reads it; times in milliseconds (rescan) and seconds (versions)."""
        return {
            "id": own,
            "name": self.name or host,
            "devices": [
                {
                    "id": d.id,
                    "name": d.name,
                    "addresses": list(d.addresses),
                    "compression": d.compression,
                    "paused": d.paused,
                }
                for d in self.devices
            ],
            "folders": [_folder_to_core(folder) for folder in self.folders],
        }


def _folder_to_core(folder: Folder) -> dict[str, Any]:
    return {
        "id": folder.id,
        "label": folder.label,
        "path": folder.path,
        "direction": folder.direction,
        "versions": folder.versions.to_core(),
        "members": [{"device": m.device, "writes": not m.read_only} for m in folder.members],
        "paused": folder.paused,
        "rescan": folder.rescan * 1000,
        "ignore_modes": folder.ignore_modes,
        "max_conflicts": None if folder.max_conflicts < 0 else folder.max_conflicts,
    }


def _put(known: tuple[_T, ...], one: _T) -> tuple[_T, ...]:
    found = list(known)
    for number, other in enumerate(found):
        if other.id == one.id:
            found[number] = one
            return tuple(found)
    found.append(one)
    return tuple(found)


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 7):
        raise ValueError(f"{word!r} is no number")
    return int(word)


def check_folder_id(text: str) -> str:
    """An id that every Syncthing takes; ``ValueError`` otherwise."""
    if not _FOLDER_ID.fullmatch(text):
        raise ValueError("up to 64 characters without blanks, slashes and control characters")
    return text


def check_name(text: str) -> str:
    """A name for people; ``ValueError`` for one that is too long or steers terminals."""
    if len(text) > LONGEST_NAME or not text.isprintable():
        raise ValueError(f"up to {LONGEST_NAME} printable characters")
    return text


def check_address(text: str, *, listen: bool = False) -> str:
    """``tcp://HOST:PORT`` or, of others, ``dynamic``; without a port it is 22000. ``ValueError`` for anything else."""
    if text == "dynamic" and not listen:
        return text
    form = "tcp://HOST:PORT" if listen else "tcp://HOST:PORT, or dynamic"
    if not text.startswith("tcp://"):
        raise ValueError(f"an address is {form}")
    place = text.removeprefix("tcp://").rstrip("/")
    host, port = place, str(PORT)
    if not place.endswith("]") and ":" in place:
        host, _, port = place.rpartition(":")
    if not _HOST.fullmatch(host) or (not host and not listen):
        raise ValueError(f"an address is {form}; IPv6 stands in brackets")
    if not (port.isascii() and port.isdigit() and (0 if listen else 1) <= int(port) <= 65535):
        raise ValueError("a port is a number from 1 to 65535")
    return f"tcp://{host or '0.0.0.0'}:{int(port)}"  # noqa: S104  (whoever names no host to listen on means all)


def check_places(settings: Settings, home: str) -> None:
    """No folder within another one, none within the home and the home within none. Paths are absolute and resolved.

    Raises ``sync-folder-place``.
    """
    own = PurePosixPath(home)
    for number, folder in enumerate(settings.folders):
        place = PurePosixPath(folder.path)
        if place.is_relative_to(own):
            raise ObhutError("sync-folder-place", folder.path, f"it lies in the home of sync, {home}")
        if own.is_relative_to(place):
            raise ObhutError("sync-folder-place", folder.path, f"the home of sync, {home}, lies in it")
        for other in settings.folders[:number]:
            there = PurePosixPath(other.path)
            if place.is_relative_to(there) or there.is_relative_to(place):
                raise ObhutError(
                    "sync-folder-place", folder.path, f"it overlaps with folder {other.id} at {other.path}"
                )
