"""Where an archive's bytes lie: the contract, and a local folder.

What has a key keeps its bytes. The exceptions are the growing edge of a log and its checkpoint, which the one sequencer
replaces; a record that was never logged, which :meth:`Store.drop` takes away; and :meth:`Store.remove`, the lawful end,
which refuses what is locked or held.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from obhut.errors import ObhutError
from obhut.world import durable, turns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

#: What an ``init`` that was stopped may have left.
_UNFINISHED: Final = re.compile(
    r"log/1\.vkey|log/1/checkpoint|log/1/tile/(0|entries)/000\.p/1|records/000/000-[0-9a-f]{16}"
)

#: Where a mark lies that the file of a key is held.
_HOLDS: Final = "holds"

#: Names of files that are being written (``crates/obhut-core/src/durable.rs``).
_TEMPORARY: Final = re.compile(r"-tmp-[0-9a-f]{16}$")

#: Owner and group read; nobody writes.
_KEPT: Final = 0o440


class Store(Protocol):
    """A place that keeps what it was given once."""

    @property
    def location(self) -> str:
        """For people."""

    @property
    def lock_mode(self) -> str:
        """How a removal is prevented, as records say it."""

    def get(self, key: str) -> bytes:
        """The bytes of a key. Raises :class:`FileNotFoundError`."""

    def keys(self, folder: str) -> list[str]:
        """All keys below a folder, in order; what a stop left half written is none."""

    def any(self, folder: str) -> bool:
        """Whether there is a key below a folder."""

    def put_once(self, items: Sequence[tuple[str, bytes]], until: int | None = None) -> None:
        """Durable when it returns, and locked until then (Unix seconds). Raises ``archive-damaged`` where other bytes lie."""

    def copy_once(self, items: Sequence[tuple[str, bytes, str, int]], until: int) -> None:
        """Copies of files, likewise: key, path, SHA-256 in hex, bytes."""

    def put_edge(self, items: Sequence[tuple[str, bytes]]) -> None:
        """The growing edge of a log: in the place of what was written there and never stated."""

    def drop(self, key: str) -> None:
        """Takes away what nobody was ever told of."""

    def hashes(self, keys: Sequence[str]) -> list[tuple[str, int]]:
        """SHA-256 in hex and size of what lies under each key."""

    def extend(self, items: Sequence[tuple[str, int]]) -> None:
        """Locks last at least until then; those that last longer stay. Raises ``archive-damaged`` where nothing lies."""

    def locks(self, keys: Sequence[str]) -> list[tuple[int, bool] | None]:
        """Until when each is locked, and whether it is held; nothing where nothing lies."""

    def hold(self, keys: Sequence[str]) -> None:
        """They stay, whatever their locks say."""

    def unhold(self, keys: Sequence[str]) -> None:
        """Only their locks count again."""

    def held(self) -> list[str]:
        """Everything that is held."""

    def remove(self, key: str, now: int) -> None:
        """The lawful end, durably. Raises ``document-locked`` while a lock or a hold stands; what is gone already is fine."""


class LocalStore:
    """A folder. Its files are read-only, and locked until their time of last change; whoever is root there can undo both.

    A date that every copy with times takes along (``cp -a``, ``rsync -a``, ``tar``), and that everybody can see.
    """

    lock_mode: Final = "read-only"

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)

    @property
    def location(self) -> str:
        """Its path."""
        return str(self.root)

    def exists(self) -> bool:
        """Whether an archive lies here."""
        return (self.root / "archive.json").is_file()

    def refuse_unless_new(self) -> None:
        """A place that holds anything but the beginnings of an archive is refused."""
        parent = self.root.resolve().parent
        if self.exists():
            raise ObhutError("archive-exists", self.location)
        if not parent.is_dir():
            raise ObhutError("archive-place", self.location, f"there is no folder {parent}")
        try:
            entries = list(self.root.iterdir())
            found = [path for path in self.root.rglob("*") if not path.is_dir()] if entries else []
        except FileNotFoundError:
            found = []
        except OSError as error:
            raise ObhutError("archive-place", self.location, error.strerror or "") from None
        names = [str(path.relative_to(self.root)) for path in found]
        if strange := [name for name in names if not _UNFINISHED.fullmatch(_TEMPORARY.sub("", name))]:
            raise ObhutError("archive-place", self.location, f"it holds other files, {min(strange)} among them")

    def begin(self) -> None:
        """Makes the folder, durably."""
        durable.make_folder(self.root)

    def get(self, key: str) -> bytes:
        """The bytes of a key."""
        return self._path(key).read_bytes()

    def keys(self, folder: str) -> list[str]:
        """All keys below a folder, in order."""
        found = []
        for path, _, files in os.walk(self.root / folder, onerror=_unreadable):
            below = os.path.relpath(path, self.root)
            found += [f"{below}/{name}" for name in files if not _TEMPORARY.search(name)]
        return sorted(found)

    def any(self, folder: str) -> bool:
        """Whether the folder is there: none is made without something in it."""
        return (self.root / folder).is_dir()

    def put_once(self, items: Sequence[tuple[str, bytes]], until: int | None = None) -> None:
        """Bytes under keys that are new, or have these bytes already."""
        with _told():
            durable.put_files(self.root, items, mode=_KEPT, until=until)

    def copy_once(self, items: Sequence[tuple[str, bytes, str, int]], until: int) -> None:
        """Copies of files, likewise."""
        with _told():
            durable.copy_files(self.root, items, mode=_KEPT, until=until)

    def put_edge(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Bytes in the place of what is there."""
        durable.put_files(self.root, items, mode=_KEPT, replace=True)

    def drop(self, key: str) -> None:
        """Takes a file away."""
        durable.remove_file(self._path(key))

    def hashes(self, keys: Sequence[str]) -> list[tuple[str, int]]:
        """SHA-256 in hex and size, on all processors."""
        return durable.hash_files([self.path_of(key) for key in keys])

    def extend(self, items: Sequence[tuple[str, int]]) -> None:
        """Moves times of last change on, never back."""
        try:
            durable.postpone_files(self.root, items)
        except ObhutError as error:
            if error.id != "file-missing":
                raise
            raise ObhutError("archive-damaged", error.object, "it is missing") from error

    def locks(self, keys: Sequence[str]) -> list[tuple[int, bool] | None]:
        """From the files' times, and the marks of holds."""
        return [self._lock(key) for key in keys]

    def _lock(self, key: str) -> tuple[int, bool] | None:
        try:
            until = int(os.lstat(self._path(key)).st_mtime)
        except FileNotFoundError:
            return None
        return until, os.path.lexists(self.root / _HOLDS / key)

    def hold(self, keys: Sequence[str]) -> None:
        """Puts marks."""
        durable.put_files(self.root, [(f"{_HOLDS}/{key}", b"") for key in keys], mode=_KEPT)

    def unhold(self, keys: Sequence[str]) -> None:
        """Takes marks away."""
        for key in keys:
            if os.path.lexists(mark := self.root / _HOLDS / key):
                durable.remove_file(mark)

    def held(self) -> list[str]:
        """The keys with marks."""
        return [key.removeprefix(f"{_HOLDS}/") for key in self.keys(_HOLDS)]

    def remove(self, key: str, now: int) -> None:
        """Removes a file whose lock has ended and that nobody holds."""
        found = self._lock(key)
        if found is None:
            return
        until, held = found
        if held or until > now:
            raise ObhutError("document-locked", key, "it is held" if held else f"its lock lasts until {shown(until)}")
        durable.remove_file(self._path(key))

    def settle(self, keys: Sequence[str]) -> None:
        """Makes the folders above these keys last: a writer that was killed may have made them and not come to it."""
        above = {folder for key in keys for folder in self._path(key).parents if self.root in (folder, *folder.parents)}
        durable.sync_folders(sorted(folder for folder in above if folder.is_dir()))

    def path_of(self, key: str) -> bytes:
        """The file of a key."""
        return os.fsencode(self._path(key))

    def sweep(self) -> int:
        """Removes what writers that were stopped have left half written; gives how many. For the one who writes alone.

        Stamps are written by others meanwhile: theirs stay.
        """
        left = [
            Path(path) / name
            for folder in ("log", "records", "objects", _HOLDS)
            for path, _, files in os.walk(self.root / folder)
            for name in files
            if _TEMPORARY.search(name)
        ]
        for path in left:
            durable.remove_file(path)
        return len(left)

    def one_writer(self) -> AbstractContextManager[None]:
        """Waits until no other process writes, and keeps others out."""
        return turns.alone(self.root / "log")

    def _path(self, key: str) -> Path:
        return self.root / key


def _unreadable(error: OSError) -> None:
    """A folder that is not there holds nothing; one that cannot be read is no reason to believe that."""
    if not isinstance(error, FileNotFoundError):
        raise failed(error)


def failed(error: OSError) -> ObhutError:
    """In the words of an archive."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    return ObhutError("permission-denied" if isinstance(error, PermissionError) else "io", name, error.strerror or "")


def shown(seconds: int) -> str:
    """A time of a lock, RFC 3339 UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(time: str) -> int:
    """A time, RFC 3339 UTC, as Unix seconds."""
    return int(datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())


@contextmanager
def _told() -> Iterator[None]:
    """The core's errors in the words of an archive."""
    words = {"file-exists": "archive-damaged", "source-changed": "document-changed", "file-missing": "document-missing"}
    try:
        yield
    except ObhutError as error:
        if error.id not in words:
            raise
        raise ObhutError(words[error.id], error.object, error.detail) from error


def open_store(place: str) -> LocalStore:
    """The store of a place. Raises ``archive-place`` for one that this version does not know."""
    if place.partition("://")[1]:
        raise ObhutError("archive-place", place, "this version keeps archives in local folders")
    return LocalStore(place)
