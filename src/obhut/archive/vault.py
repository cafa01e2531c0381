"""An opened archive: what it is, where its records and objects lie, and how documents get in.

The order of writes and what a stop at any point leaves is in docs/design/archive.md. Only one process writes at a time.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from obhut.archive import canonical, keyfile, record, sequencer
from obhut.archive.record import LOG, object_key, record_folder, record_key
from obhut.archive.sequencer import Sequencer
from obhut.errors import ObhutError
from obhut.log import tiles
from obhut.log.note import Key, NoteError
from obhut.world import secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from obhut.archive.record import Document
    from obhut.archive.store import LocalStore
    from obhut.log.note import Note

FORMAT: Final = "obhut-archive/1"
DESCRIPTION: Final = "archive.json"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A document that is to be archived: its file, and what the record will say."""

    path: bytes
    digest: str
    size: int
    name: str
    category: str
    event: str
    policy: int
    received: str
    source: dict[str, str]


@dataclass(frozen=True, slots=True)
class Logged:
    """A document that a signed checkpoint covers."""

    document: Document
    record: bytes
    leaf: bytes


def record_keys(store: LocalStore, folder: str = "records") -> list[tuple[int, str]]:
    """The records below a folder by the indexes of their leaves, in order."""
    pairs = [(record.index_of_key(key), key) for key in store.keys(folder)]
    return sorted((index, key) for index, key in pairs if index is not None)


class Vault:
    """An archive that is there. Reading needs nothing else; writing needs the key of its log."""

    def __init__(self, store: LocalStore, origin: str, country: str, key: Key) -> None:
        self.store = store
        self.origin = origin
        self.country = country
        self.key = key

    @staticmethod
    def open(store: LocalStore) -> Vault:
        """Raises ``archive-missing`` or ``archive-damaged``."""
        try:
            data = store.get(DESCRIPTION)
        except OSError as error:
            raise ObhutError("archive-missing", store.location, error.strerror or "") from None
        try:
            described = canonical.decode(data)
            if described["format"] != FORMAT:
                raise ObhutError("archive-unsupported", store.location, str(described["format"]))
            key = Key.parse(store.get(f"{LOG}.vkey").decode())
            origin, country = str(described["origin"]), str(described["country"])
        except (ValueError, KeyError, NoteError) as error:
            raise ObhutError("archive-damaged", DESCRIPTION, str(error)) from None
        except OSError as error:
            raise ObhutError("archive-damaged", f"{LOG}.vkey", error.strerror or "") from None
        if key.name != origin:
            raise ObhutError("archive-damaged", f"{LOG}.vkey", f"it is of {key.name}, not of {origin}")
        return Vault(store, origin, country, key)

    @staticmethod
    def create(store: LocalStore, key_path: Path, origin: str, country: str, created: str) -> Vault:
        """Makes an archive; a beginning that was stopped is ended. The description comes last: without it there is none."""
        store.refuse_unless_new()
        key, signer, data = keyfile.make(origin)
        if key_path.exists():
            # Ours, if the log of a beginning that was stopped names it; anything else is another archive's.
            try:
                key = Key.parse(store.get(f"{LOG}.vkey").decode())
                keyfile.read(key_path, key)
            except (ObhutError, NoteError, OSError):
                raise ObhutError("archive-key-exists", str(key_path)) from None
        else:
            store.begin()
            checkpoint = sequencer.first_note(key, signer)
            store.put_edge([(f"{LOG}.vkey", f"{key}\n".encode()), (f"{LOG}/{sequencer.CHECKPOINT}", checkpoint)])
            keyfile.write(key_path, data)
        described: dict[str, Any] = {"country": country, "created": created, "encryption": "none", "format": FORMAT}
        described |= {"lock": store.lock_mode, "origin": origin}
        store.put_once([(DESCRIPTION, canonical.encode(described))])
        return Vault(store, origin, country, key)

    def stated(self) -> sequencer.Stated:
        """The newest checkpoint, its signature checked."""
        place = f"{LOG}/{sequencer.CHECKPOINT}"
        return sequencer.stated(_read(self.store, place), self.key, place)

    def fetch(self, path: str) -> bytes:
        """A file of the log."""
        return self.store.get(f"{LOG}/{path}")

    def record(self, id: str) -> bytes:
        """The bytes of a record. Raises ``document-unknown``."""
        try:
            return self.store.get(record_key(id))
        except (ValueError, OSError) as error:
            raise ObhutError("document-unknown", id, str(error) if isinstance(error, ValueError) else "") from None

    @contextmanager
    def writing(self, key_path: Path) -> Iterator[Intake]:
        """Keeps other writers out, and ends what a stop may have left, before anything new comes in."""
        signer = keyfile.read(key_path, self.key)
        with self.store.one_writer():
            log = Sequencer(self.store, LOG, self.key, signer)
            self.store.settle([*_next_keys(log.size), *(f"{LOG}/{place.path}" for place in tiles.edge_of(log.size))])
            intake = Intake(self, log)
            intake.recover()
            yield intake


class Intake:
    """Takes documents in; made by :meth:`Vault.writing`."""

    def __init__(self, vault: Vault, log: Sequencer) -> None:
        self._store = vault.store
        self._log = log
        #: What :meth:`recover` found: logged now, and dropped.
        self.recovered: tuple[list[Logged], list[str]] = ([], [])

    def put(self, documents: Sequence[Incoming]) -> tuple[list[Logged], Note]:
        """Archives documents; gives their records, and the checkpoint that covers them all. Nothing is told before."""
        records = [self._record(self._log.size + at, document) for at, document in enumerate(documents)]
        self._store.put_once([(record_key(entry.document.id), entry.record) for entry in records])
        self._store.copy_once(
            [(object_key(new.digest), new.path, new.digest, new.size) for new in _distinct(documents)]
        )
        return records, self._state(records)

    def recover(self) -> None:
        """Records beyond the log: logged if their documents are there, in order; the rest was never answered, and goes."""
        beyond = self._beyond()
        logged: list[Logged] = []
        for document, data in beyond:
            if document.index != self._log.size + len(logged) or not self._holds(document):
                break
            logged.append(Logged(document, data, record.leaf(document, data)))
        if logged:
            # Their writer may not have come to making the names last.
            self._store.put_once([(record_key(entry.document.id), entry.record) for entry in logged])
            found = {object_key(entry.document.digest): entry.document for entry in logged}
            self._store.copy_once(
                [(key, self._store.path_of(key), document.digest, document.size) for key, document in found.items()]
            )
            self._state(logged)
        dropped = [document.id for document, _ in beyond[len(logged) :]]
        for name in dropped:
            self._store.drop(record_key(name))
        self.recovered = (logged, dropped)

    def _record(self, index: int, new: Incoming) -> Logged:
        document = record.Document(
            id=f"{index}-{secret.random_bytes(record.RANDOM).hex()}",
            digest=new.digest,
            size=new.size,
            name=new.name,
            category=new.category,
            event=new.event,
            policy=new.policy,
            received=new.received,
            source=new.source,
            lock={"mode": self._store.lock_mode, "until": None},
            salt=secret.random_bytes(record.SALT),
        )
        data = document.encode()
        return Logged(document, data, record.leaf(document, data))

    def _state(self, records: Sequence[Logged]) -> Note:
        from obhut.log.note import Note

        return Note.parse(self._log.append([entry.leaf for entry in records]))

    def _beyond(self) -> list[tuple[Document, bytes]]:
        """Records whose leaves are not stated, in order. Those of one batch are all there are."""
        found = []
        first = self._log.size
        for folder in (record_folder(first), record_folder(first + tiles.WIDTH)):
            for index, key in record_keys(self._store, folder):
                if index >= first:
                    data = self._store.get(key)
                    found.append((parsed(key, data), data))
        return found

    def _holds(self, document: Document) -> bool:
        key = object_key(document.digest)
        try:
            [found] = self._store.hashes([key])
        except ObhutError as error:
            if error.id != "file-missing":
                raise
            return False
        return found == (document.digest, document.size)


def _next_keys(size: int) -> list[str]:
    """Keys in all folders that records and objects of the next batch may lie in."""
    return [f"{record_folder(index)}/x" for index in (size, size + tiles.WIDTH)] + [object_key("00")]


def parsed(name: str, data: bytes) -> Document:
    """A record from its bytes. Raises ``archive-damaged``."""
    try:
        return record.Document.parse(data)
    except record.RecordError as error:
        raise ObhutError("archive-damaged", name, str(error)) from None


def _distinct(documents: Sequence[Incoming]) -> list[Incoming]:
    """One of each content: the same bytes are one object."""
    return list({document.digest: document for document in documents}.values())


def _read(store: LocalStore, key: str) -> bytes:
    try:
        return store.get(key)
    except OSError as error:
        raise ObhutError("archive-damaged", key, error.strerror or "") from None
