"""Where an archive's bytes lie: the contract, and a local folder.

What has a key keeps its bytes. The exceptions are the growing edge of a log and its checkpoint, which the one sequencer
replaces; a record that was never logged, which :meth:`Store.drop` takes away; and :meth:`Store.remove`, the lawful end,
which refuses what is locked or held.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, nullcontext, suppress
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

#: Where the bytes of documents lie, and where they wait for their names.
_OBJECTS: Final = "objects"

#: Names of files that are being written (``crates/obhut-core/src/durable.rs``).
_TEMPORARY: Final = re.compile(r"-tmp-[0-9a-f]{16}$")

#: For more keys the marks of holds are listed once.
_FEW: Final = 64

#: Owner and group read; nobody writes.
_KEPT: Final = 0o440


class Store(Protocol):
    """A place that keeps what it was given once."""

    @property
    def location(self) -> str:
        """For people."""

    #: How a removal is prevented, as records say it.
    lock_mode: str

    @property
    def shared(self) -> bool:
        """Whether :meth:`one_writer` cannot keep others out: then batches are staged before they are written."""

    def adopt(self, mode: str) -> None:
        """Locks as the archive says, where it says something that this place knows."""

    @property
    def lock_early(self) -> bool:
        """Whether a record may be locked before its leaf is there: whether :meth:`drop` can still take it away."""

    def exists(self) -> bool:
        """Whether an archive lies here."""

    def refuse_unless_new(self) -> None:
        """A place that holds anything but the beginnings of an archive is refused: ``archive-exists``, ``archive-place``."""

    def begin(self) -> None:
        """Makes the place, durably."""

    def get(self, key: str) -> bytes:
        """The bytes of a key. Raises :class:`FileNotFoundError`."""

    def expect(self, keys: Sequence[str]) -> None:
        """These will be read next, one by one: the place may begin to read them."""

    def keys(self, folder: str) -> list[str]:
        """All keys below a folder, in order; what a stop left half written is none."""

    def any(self, folder: str) -> bool:
        """Whether there is a key below a folder."""

    def put_once(self, items: Sequence[tuple[str, bytes]], until: int | None = None) -> None:
        """Durable when it returns, and locked until then (Unix seconds). Raises ``archive-damaged`` where other bytes lie."""

    def copy_once(self, items: Sequence[tuple[str, bytes, str, int]], until: int) -> None:
        """Copies of files, likewise: key, path, SHA-256 in hex, bytes."""

    def stage(self, paths: Sequence[bytes], until: int) -> durable.Staged | None:
        """Copies of documents without names, durable when it returns; nothing where documents are rather hashed first.

        Raises ``document-missing``, ``document-changed``.
        """

    def name_once(self, staged: durable.Staged, items: Sequence[tuple[int, str]]) -> None:
        """Gives staged copies, by their numbers, their keys; durable when it returns. Raises ``archive-damaged``."""

    def put_edge(self, items: Sequence[tuple[str, bytes]], until: int | None = None) -> None:
        """The growing edge of a log: in the place of what was written there and never stated.

        Where batches are staged, so that a full tile has one content for ever, it is written once, and locked until then.
        """

    def swap(self, key: str, data: bytes, before: bytes | None) -> None:
        """Replaces what was read, or nothing, and else raises ``archive-raced``: two histories are never signed."""

    def drop(self, key: str) -> None:
        """Takes away what nobody was ever told of, where whoever takes in may: in a bucket it stays."""

    def confirm(self, items: Sequence[tuple[str, str, int]]) -> None:
        """Key, SHA-256 in hex, bytes of what an earlier writer has named: it is that, and lasts when this returns."""

    def settle(self, keys: Sequence[str]) -> None:
        """Makes the folders of these keys last."""

    def sweep(self) -> int:
        """Removes what writers that were stopped have left half written; gives how many."""

    def one_writer(self) -> AbstractContextManager[None]:
        """Waits until no other process writes, and keeps others out, where the place can. Whoever waits is the next."""

    def wanted(self) -> bool:
        """Whether another process waits for its turn to write."""

    def copy_out(self, key: str, digest: str, size: int, target: Path) -> None:
        """Copies an object to a new file, proving its bytes. Raises ``archive-damaged``."""

    def readable(self, items: Sequence[tuple[str, str, int]]) -> AbstractContextManager[list[bytes]]:
        """Files that hold these objects, for whoever copies them: key, SHA-256 in hex, bytes."""

    def files(self, keys: Sequence[str]) -> AbstractContextManager[list[bytes]]:
        """Files that hold what lies under keys, whatever it is. Raises ``archive-damaged`` for what is missing, or later."""

    def oddities(self) -> list[tuple[str, str]]:
        """Keys of what is written once, over which somebody laid something, and what."""

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

    def ready_to_remove(self) -> None:
        """Who runs this may remove, where a credential of its own does. Raises if not, or if the intake could, too."""

    def remove(self, key: str, now: int) -> None:
        """The lawful end, durably. Raises ``document-locked`` while a lock or a hold stands; what is gone already is fine."""


class LocalStore:
    """A folder. Its files are read-only, and locked until their time of last change; whoever is root there can undo both.

    A date that every copy with times takes along (``cp -a``, ``rsync -a``, ``tar``), and that everybody can see.
    """

    lock_mode: str = "read-only"
    lock_early: Final = True
    shared: Final = False

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self._base = f"{os.fspath(self.root)}/"

    @property
    def location(self) -> str:
        """Its path."""
        return str(self.root)

    def adopt(self, mode: str) -> None:
        """There is one way only."""

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
        with open(self._base + key, "rb") as file:  # noqa: PTH123  (hundreds of thousands of them: a Path takes as long)
            return file.read()

    def expect(self, keys: Sequence[str]) -> None:
        """The disk reads all of them at once, and whoever reads one does not wait for it."""
        for key in keys:
            with suppress(OSError):  # whoever reads it names what is wrong
                file = os.open(self._base + key, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                try:
                    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_WILLNEED)
                finally:
                    os.close(file)

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

    def stage(self, paths: Sequence[bytes], until: int) -> durable.Staged:
        """Copies below ``objects``, each read once."""
        try:
            return durable.Staged(self.root, _OBJECTS, paths, mode=_KEPT, until=until)
        except ObhutError as error:
            if error.id == "source-changed":
                raise ObhutError("document-changed", error.object, error.detail) from error
            if error.object not in {durable.Staged.shown(path) for path in paths}:
                raise  # it is the archive's place that fails
            raise ObhutError("document-missing", error.object, error.detail) from error

    def name_once(self, staged: durable.Staged, items: Sequence[tuple[int, str]]) -> None:
        """They are moved there."""
        with _told():
            staged.name(items)

    def put_edge(self, items: Sequence[tuple[str, bytes]], until: int | None = None) -> None:  # noqa: ARG002
        """Bytes in the place of what is there; dates come with `settle`."""
        durable.put_files(self.root, items, mode=_KEPT, replace=True)

    def swap(self, key: str, data: bytes, before: bytes | None) -> None:
        """Replaces a file that is still what it was."""
        if (self.get(key) if self._path(key).exists() else None) != before:
            raise ObhutError("archive-raced", self.location)
        self.put_edge([(key, data)])

    def drop(self, key: str) -> None:
        """Takes a file away."""
        durable.remove_file(self._path(key))

    def confirm(self, items: Sequence[tuple[str, str, int]]) -> None:
        """Each is hashed, and its name synced."""
        self.copy_once([(key, self.path_of(key), digest, size) for key, digest, size in items], 0)

    def copy_out(self, key: str, digest: str, size: int, target: Path) -> None:
        """Hashed while it is copied."""
        try:
            durable.copy_files(target.parent, [(target.name, self.path_of(key), digest, size)], mode=0o644)
        except ObhutError as error:
            if error.id not in {"source-changed", "file-missing"}:
                raise
            why = "it is missing" if error.id == "file-missing" else "its bytes are not those that came in"
            raise ObhutError("archive-damaged", key, why) from error

    def readable(self, items: Sequence[tuple[str, str, int]]) -> AbstractContextManager[list[bytes]]:
        """They are files."""
        return self.files([key for key, _, _ in items])

    def files(self, keys: Sequence[str]) -> AbstractContextManager[list[bytes]]:
        """They are files."""
        return nullcontext([self.path_of(key) for key in keys])

    def oddities(self) -> list[tuple[str, str]]:
        """A file hides nothing."""
        return []

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
        if len(keys) <= _FEW:
            return [self._lock(key, None) for key in keys]
        held = set(self.held())
        return [self._lock(key, held) for key in keys]

    def _lock(self, key: str, held: set[str] | None = None) -> tuple[int, bool] | None:
        try:
            until = int(os.lstat(self._base + key).st_mtime)
        except FileNotFoundError:
            return None
        return until, os.path.lexists(f"{self._base}{_HOLDS}/{key}") if held is None else key in held

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

    def ready_to_remove(self) -> None:
        """Whoever owns the files may."""

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
        return os.fsencode(self._base + key)

    def sweep(self) -> int:
        """Removes what writers that were stopped have left half written; gives how many. For the one who writes alone.

        Stamps are written by others meanwhile: theirs stay.
        """
        left = [
            Path(path) / name
            for folder in ("log", "records", _OBJECTS, _HOLDS)
            for path, _, files in os.walk(self.root / folder)
            for name in files
            if _TEMPORARY.search(name)
        ]
        for path in left:
            durable.remove_file(path)
        return len(left)

    def one_writer(self) -> AbstractContextManager[None]:
        """Waits until no other process writes, and keeps others out."""
        return turns.alone(self.root / "log", self.root)

    def wanted(self) -> bool:
        """Whether another process waits for its turn to write."""
        return turns.wanted(self.root)

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


def open_store(place: str) -> Store:
    """The store of a place: a folder, or ``s3://BUCKET`` with a prefix or not. Raises ``archive-place`` for any other."""
    kind, _, rest = place.rpartition("://")
    if not kind:
        return LocalStore(place)
    bucket, _, prefix = rest.partition("/")
    if kind != "s3" or not bucket:
        raise ObhutError("archive-place", place, "an archive lies in a folder or in s3://BUCKET")
    from obhut.archive.s3 import S3Store
    from obhut.archive.s3client import client

    return S3Store(bucket, prefix, client())
