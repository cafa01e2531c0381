"""An opened archive: what it is, where its records and objects lie, and how documents get in.

The order of writes and what a stop at any point leaves is in docs/design/archive.md. Only one process writes at a time.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from obhut.archive import keyfile, record, sealing, sequencer
from obhut.archive.description import DESCRIPTION, Description, UnknownFormatError
from obhut.archive.record import KEYS, LOG, Leaf, object_key, record_folder, record_key
from obhut.archive.sequencer import Sequencer
from obhut.archive.statement import Statement
from obhut.archive.store import failed, seconds, shown
from obhut.errors import ObhutError
from obhut.log import merkle, tiles
from obhut.log.handover import Keys
from obhut.log.note import Key, NoteError
from obhut.world import secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from obhut.archive.record import Document, Envelope
    from obhut.archive.sealing import Encryption, Ready, Seals
    from obhut.archive.store import Store
    from obhut.log.note import Note
    from obhut.world.durable import Staged
    from obhut.world.secret import Signer

#: How long a new document is locked at first: time enough to find that it is misfiled, and to settle it.
FIRST_LOCK: Final = 30 * 86400


@dataclass(frozen=True, slots=True)
class Incoming:
    """A document that is to be archived: its file, and what the record will say."""

    path: bytes
    digest: str
    size: int
    name: str
    category: str
    event: str | None
    policy: int
    received: str
    source: dict[str, str]


@dataclass(frozen=True, slots=True)
class Logged:
    """A document that a signed checkpoint covers."""

    document: Document
    record: bytes
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """A statement that is to be logged."""

    kind: str
    facts: dict[str, Any]
    #: The leaf that it continues.
    previous: int | None = None
    #: Its own, if it has an end, or those of what goes.
    category: str | None = None
    event: str | None = None


@dataclass(frozen=True, slots=True)
class Filed:
    """A statement with its record and its leaf."""

    statement: Statement
    record: bytes
    leaf: bytes


def record_keys(store: Store, folder: str = "records") -> list[tuple[int, str]]:
    """The records below a folder by the indexes of their leaves, in order."""
    pairs = [(record.index_of_key(key), key) for key in store.keys(folder)]
    return sorted((index, key) for index, key in pairs if index is not None)


class Vault:
    """An archive that is there. Reading needs nothing else; writing needs the key of its log."""

    def __init__(self, store: Store, described: Description, keys: Keys, seals: Seals) -> None:
        self.store = store
        self.seals = seals
        self.described = described
        self.origin = described.origin
        self.country = described.country
        #: Those that signed the log, one after another; the last one may not be in charge yet.
        self.keys = keys

    @staticmethod
    def open(store: Store, identity: Callable[[str], Path] | None = None) -> Vault:
        """Raises ``archive-missing`` or ``archive-damaged``.

        ``identity`` says where that of an encrypted archive of this name lies; it is read when it is needed.
        """
        try:
            data = store.get(DESCRIPTION)
        except PermissionError as error:
            raise failed(error) from None
        except OSError as error:
            raise ObhutError("archive-missing", store.location, error.strerror or "") from None
        try:
            described = Description.parse(data)
            key = Key.parse(store.get(f"{LOG}.vkey").decode())
        except UnknownFormatError as error:
            raise ObhutError("archive-unsupported", store.location, str(error)) from None
        except (ValueError, NoteError) as error:
            raise ObhutError("archive-damaged", DESCRIPTION, str(error)) from None
        except OSError as error:
            raise ObhutError("archive-damaged", f"{LOG}.vkey", error.strerror or "") from None
        if key.name != described.origin:
            raise ObhutError("archive-damaged", f"{LOG}.vkey", f"it is of {key.name}, not of {described.origin}")
        store.adopt(described.lock)
        path = identity(described.origin) if identity else None
        return Vault(store, described, _keys(store, key), sealing.seals_of(described, path))

    @staticmethod
    def create(store: Store, key_path: Path, described: Description, encryption: Encryption | None = None) -> Vault:
        """Makes an archive; a beginning that was stopped is ended. The description comes last: without it there is none.

        Identities, if it is to be encrypted, come before the key of its log, which shows that the beginning is ours.
        """
        store.refuse_unless_new()
        key, signer, data = keyfile.make(described.origin)
        if key_path.exists():
            # Ours, if the log of a beginning that was stopped names it; anything else is another archive's.
            try:
                key = Key.parse(store.get(f"{LOG}.vkey").decode())
                signer = keyfile.read(key_path, key)
            except (ObhutError, NoteError, OSError):
                raise ObhutError("archive-key-exists", str(key_path)) from None
            described = encryption.begin(described) if encryption else described
        else:
            described = encryption.begin(described) if encryption else described
            store.begin()
            checkpoint = sequencer.first_note(key, signer)
            store.put_edge([(f"{LOG}.vkey", f"{key}\n".encode()), (f"{LOG}/{sequencer.CHECKPOINT}", checkpoint)])
            keyfile.write(key_path, data)
        path = encryption.identity_path if encryption else None
        described = _opened(store, Keys(key), signer, described, sealing.seals_of(described, path))
        vault = Vault(store, described, Keys(key), sealing.seals_of(described, path))
        store.put_once([(DESCRIPTION, vault.described.encode())], seconds(described.created) + FIRST_LOCK)
        return vault

    def stated(self) -> sequencer.Stated:
        """The newest checkpoint, its signature checked."""
        place = f"{LOG}/{sequencer.CHECKPOINT}"
        try:
            return sequencer.stated(_read(self.store, place), self.keys, place)
        except ObhutError:
            # Its key may have been changed since this archive was opened.
            if (keys := _keys(self.store, self.keys.first)) == self.keys:
                raise
        self.keys = keys
        return sequencer.stated(_read(self.store, place), self.keys, place)

    @property
    def key(self) -> Key:
        """The key in charge."""
        size = self.stated().checkpoint.size  # which may find that there are more keys
        return self.keys.at(size)

    def fetch(self, path: str) -> bytes:
        """A file of the log."""
        return self.store.get(f"{LOG}/{path}")

    def get(self, key: str) -> bytes:
        """The bytes of a record, opened. Raises ``OSError``, ``archive-damaged``, ``archive-identity``."""
        return self.seals.open(key, self.store.get(key))

    def record(self, id: str) -> bytes:
        """The bytes of a record. Raises ``document-unknown``."""
        try:
            return self.get(record_key(id))
        except (ValueError, OSError) as error:
            raise ObhutError("document-unknown", id, str(error) if isinstance(error, ValueError) else "") from None

    @contextmanager
    def writing(self, key_path: Path) -> Iterator[Intake]:
        """Keeps other writers out, and ends what a stop may have left, before anything new comes in."""
        keyfile.current(key_path, self.key)
        with self.store.one_writer():
            # While this one waited, another one may have changed the key.
            self.keys = _keys(self.store, self.keys.first)
            log = Sequencer(self.store, LOG, self.keys, lambda key: keyfile.current(key_path, key))
            self.keys = log.keys
            if self.described.recipients:
                self._prove_description(log.size)
            self.store.settle([*_next_keys(log.size), *(f"{LOG}/{place.path}" for place in tiles.edge_of(log.size))])
            intake = Intake(self, log)
            intake.recover()
            yield intake

    def _prove_description(self, size: int) -> None:
        """The recipients are those that the log began with: nobody has put himself among those to whom is sealed.

        Raises ``archive-damaged``.
        """
        try:
            leaf, datas = _first_records(self.store, self.seals, size)
            proof = merkle.inclusion(0, size, tiles.Reader(size, self.fetch))
            merkle.check_inclusion(merkle.leaf_hash(leaf), 0, size, self.stated().checkpoint.root, proof)
            told = [Statement.parse(data).facts.get("description") for data in datas]
        except (tiles.TileError, merkle.ProofError, record.RecordError, OSError) as error:
            raise ObhutError("archive-damaged", LOG, str(error)) from None
        if self.described.encode().decode() not in told:
            raise ObhutError("archive-damaged", DESCRIPTION, "it is not what the first record of the log says")


class Intake:
    """Takes documents in; made by :meth:`Vault.writing`."""

    def __init__(self, vault: Vault, log: Sequencer) -> None:
        self._store = vault.store
        self._seals = vault.seals
        self._sealed = bool(vault.described.recipients)
        self._log = log
        #: The documents of the last :meth:`put`, whatever became of it.
        self.begun: list[Logged] = []
        #: What :meth:`recover` found: logged now, and dropped.
        self.recovered: tuple[list[Logged], list[str]] = ([], [])

    def stage(self, paths: Sequence[bytes], received: str) -> Staged | None:
        """Copies that wait for :meth:`put`, in a folder: nothing of them has a name before their records are durable.

        Sealed documents are not staged: what lies in the open in the archive's place would stay there after a stop.
        """
        return None if self._sealed else self._store.stage(paths, seconds(received) + FIRST_LOCK)

    def put(self, documents: Sequence[Incoming], staged: Staged | None = None) -> tuple[list[Logged], Note]:
        """Archives documents; gives their records, and the checkpoint that covers them all. Nothing is told before.

        All were received at one time. ``staged`` are copies of them, in their order.
        """
        self.begun = []
        until = seconds(documents[0].received) + FIRST_LOCK
        sources = {new.digest: sealing.Source(new.path, new.digest, new.size) for new in documents}
        with self._seals.ready(self._store, list(sources.values())) as ready:
            records = [
                self._record(self._log.size + at, document, until, ready[document.digest].envelope)
                for at, document in enumerate(documents)
            ]
            self.begun = records
            keys = [(record_key(entry.document.id), self._seals.seal(entry.record)) for entry in records]
            early = self._store.lock_early
            self._store.put_once(keys, until if early else None)
            if staged is None:
                self._put_objects({entry.document.digest: entry.document for entry in records}, ready, until)
            else:
                places = {entry.document.key: at for at, entry in enumerate(records)}
                self._store.name_once(staged, [(at, key) for key, at in places.items()])
        # One that was there already may have had a shorter lock.
        objects = dict.fromkeys(entry.document.key for entry in records)
        self._store.extend([(key, until) for key in objects] + ([] if early else [(key, until) for key, _ in keys]))
        return records, self._state([entry.leaf for entry in records], until)

    def logged(self, entries: Sequence[Logged]) -> list[Logged]:
        """Those of a :meth:`put` that failed, which are in the log all the same: the next writer found them whole."""
        return [
            entry
            for entry in entries
            if entry.document.index < self.size and self._leaf(entry.document.index) == entry.leaf
        ]

    def _leaf(self, index: int) -> bytes:
        place = tiles.bundle_of(index, self.size)
        try:
            return tiles.read_bundle(lambda path: self._store.get(f"{LOG}/{path}"), place)[index % tiles.WIDTH]
        except (tiles.TileError, OSError) as error:
            raise ObhutError("archive-damaged", f"{LOG}/{place.path}", str(error)) from None

    def _put_objects(self, documents: dict[str, Document], ready: dict[str, Ready], until: int) -> None:
        """What is new is copied, and locked; what is there lasts."""
        new, there = [], []
        for digest, document in documents.items():
            path = ready[digest].path
            if path is None:
                there.append((document.key, *document.stored))
            else:
                new.append((document.key, path, *document.stored))
        if there:
            self._store.confirm(there)
        try:
            self._store.copy_once(new, until)
        except ObhutError as error:
            # It was not there a moment ago; another writer has sealed the same content to another file.
            if error.id != "archive-damaged" or not any(document.envelope for document in documents.values()):
                raise
            raise ObhutError("archive-raced", self._store.location, error.object) from error

    def file(
        self,
        filed: Sequence[Filed],
        before: Callable[[], None] | None = None,
        successor: tuple[Key, Signer] | None = None,
    ) -> None:
        """Logs drafted statements; ``before`` is done after their records are durable and before their leaves are.

        A ``successor`` of the log's key is in charge after them.
        """
        until = max(seconds(entry.statement.at) for entry in filed) + FIRST_LOCK
        keys = [record_key(entry.statement.id) for entry in filed]
        early = self._store.lock_early
        files = [(key, self._seals.seal(entry.record)) for key, entry in zip(keys, filed, strict=True)]
        self._store.put_once(files, until if early else None)
        if before is not None:
            before()
        self._state([entry.leaf for entry in filed], until, successor)
        if not early:
            # Not before: a record that nobody was told of can be dropped. A stop here leaves it to `settle`.
            self._store.extend([(key, until) for key in keys])

    def drafted(self, drafts: Sequence[Draft], now: str) -> list[Filed]:
        """Statements for the next leaves; nothing is written."""
        return [_filed(self._log.size + at, draft, now) for at, draft in enumerate(drafts)]

    def recover(self) -> None:
        """Records beyond the log: logged if their documents are there, in order; the rest was never answered, and goes."""
        beyond = self._beyond()
        whole: list[_Beyond] = []
        for found in beyond:
            if found.item.index != self._log.size + len(whole) or not self._is_whole(found.item):
                break
            whole.append(found)
        logged = {
            found: Logged(found.item, found.data, record.leaf(found.item, found.data))
            for found in whole
            if isinstance(found.item, record.Document)
        }
        if logged:
            self._make_last([(found.file, entry.document) for found, entry in logged.items()])
        if whole:
            self._state([found.leaf() for found in whole], None)
        dropped = [found.item.id for found in beyond[len(whole) :]]
        for name in dropped:
            self._store.drop(record_key(name))
        self.recovered = (list(logged.values()), dropped)

    def _is_whole(self, item: Document | Statement) -> bool:
        """Whether a record without leaf can be logged: a document that is there, and a hold, since its marks may be."""
        return item.kind == "hold" if isinstance(item, Statement) else self._holds(item)

    def _make_last(self, logged: Sequence[tuple[bytes, Document]]) -> None:
        """Their writer may not have come to making the names last, and to the locks."""
        self._store.put_once([(record_key(document.id), file) for file, document in logged])
        found = {document.key: document for _, document in logged}
        locks = {key: seconds(document.lock["until"] or document.received) for key, document in found.items()}
        self._store.confirm([(key, *document.stored) for key, document in found.items()])
        self._store.extend([*locks.items(), *((record_key(item.id), locks[item.key]) for _, item in logged)])

    def _record(self, index: int, new: Incoming, until: int, envelope: Envelope | None) -> Logged:
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
            lock={"mode": self._store.lock_mode, "until": shown(until)},
            salt=secret.random_bytes(record.SALT),
            envelope=envelope,
        )
        data = document.encode()
        return Logged(document, data, record.leaf(document, data))

    @property
    def size(self) -> int:
        """How many entries are stated."""
        return self._log.size

    @property
    def keys(self) -> Keys:
        """The keys of the log."""
        return self._log.keys

    def _state(self, leaves: Sequence[bytes], until: int | None, successor: tuple[Key, Signer] | None = None) -> Note:
        from obhut.log.note import Note

        return Note.parse(self._log.append(leaves, until, successor))

    def _beyond(self) -> list[_Beyond]:
        """Records whose leaves are not stated, in order. Those of one batch are all there are."""
        found = []
        first = self._log.size
        for folder in (record_folder(first), record_folder(first + tiles.WIDTH)):
            for index, key in record_keys(self._store, folder):
                if index >= first:
                    file = self._store.get(key)
                    try:
                        data = self._seals.open(key, file)
                        found.append(_Beyond(parsed_any(key, data), data, file))
                    except ObhutError as error:
                        # In a bucket nobody can be kept from writing beyond the log, and nobody who takes in deletes it.
                        if error.id != "archive-damaged" or not self._store.shared:
                            raise
        return found

    def _holds(self, document: Document) -> bool:
        try:
            [found] = self._store.hashes([document.key])
        except ObhutError as error:
            if error.id != "file-missing":
                raise
            return False
        return found == document.stored


@dataclass(frozen=True, slots=True, eq=False)
class _Beyond:
    """A record whose leaf is not stated: its bytes, and those of its file."""

    item: Document | Statement
    data: bytes
    file: bytes

    def leaf(self) -> bytes:
        if isinstance(self.item, Statement):
            return self.item.leaf(self.data, None)
        return record.leaf(self.item, self.data)


def _next_keys(size: int) -> list[str]:
    """Keys in all folders that records and objects of the next batch may lie in."""
    return [f"{record_folder(index)}/x" for index in (size, size + tiles.WIDTH)] + [object_key("00")]


def parsed(name: str, data: bytes) -> Document:
    """The record of a document from its bytes. Raises ``archive-damaged``, and ``document-unknown`` for one of something else."""
    found = parsed_any(name, data)
    if isinstance(found, Statement):
        raise ObhutError("document-unknown", found.id, f"it is a statement: {found.kind}")
    return found


def parsed_any(name: str, data: bytes) -> Document | Statement:
    """The record of a document or of anything else. Raises ``archive-damaged``."""
    try:
        return record.Document.parse(data) if record.kind_of(data) == "document" else Statement.parse(data)
    except record.RecordError as error:
        raise ObhutError("archive-damaged", name, str(error)) from None


def _filed(index: int, draft: Draft, now: str) -> Filed:
    statement = Statement(
        id=f"{index}-{secret.random_bytes(record.RANDOM).hex()}",
        kind=draft.kind,
        at=now,
        salt=secret.random_bytes(record.SALT),
        facts=draft.facts,
    )
    data = statement.encode()
    return Filed(statement, data, statement.leaf(data, draft.previous, draft.category, draft.event))


def _keys(store: Store, first: Key) -> Keys:
    """The keys of the log, by what lies in its store. Raises ``archive-damaged``."""
    try:
        return Keys(first).followed_by(sequencer.handovers(store), secret.verify)
    except OSError as error:
        raise ObhutError("archive-damaged", KEYS, error.strerror or "") from None


def _opened(store: Store, keys: Keys, signer: Signer, described: Description, seals: Seals) -> Description:
    """Begins the log with the statement of its archive, or goes on with one that a stop has left; gives what it says."""
    with store.one_writer():
        log = Sequencer(store, LOG, keys, lambda _: signer)
        left = [(name, seals.open(name, store.get(name))) for _, name in record_keys(store, record_folder(0))]
        if log.size:
            texts = [Statement.parse(data).facts["description"] for data in _first_records(store, seals, log.size)[1]]
            begun = Description.parse(str(texts[0]).encode()) if texts else described
            if replace(begun, created=described.created, names=described.names) != described:
                why = f"the beginning of an archive with other settings lies there; it is for {begun.country}"
                raise ObhutError("archive-place", store.location, why)
            return begun
        for name, _ in left:
            store.drop(name)
        filed = _filed(0, Draft("archive", {"description": described.encode().decode()}), described.created)
        until, place = seconds(described.created) + FIRST_LOCK, record_key(filed.statement.id)
        store.put_once([(place, seals.seal(filed.record))], until if store.lock_early else None)
        log.append([filed.leaf], until)
        if not store.lock_early:
            store.extend([(place, until)])
    return described


def _first_records(store: Store, seals: Seals, size: int) -> tuple[bytes, list[bytes]]:
    """Leaf 0, and what it commits to among the records of that place: in a bucket others may lie beside."""
    leaf = tiles.read_bundle(lambda path: store.get(f"{LOG}/{path}"), tiles.bundle_of(0, size))[0]
    found = []
    for key in (key for index, key in record_keys(store, record_folder(0)) if index == 0):
        try:
            data = seals.open(key, store.get(key))
            if record.commitment_of(data) == Leaf.parse(leaf).commit:
                found.append(data)
        except record.RecordError:
            continue
        except ObhutError as error:
            if error.id != "archive-damaged":
                raise
    return leaf, found


def _read(store: Store, key: str) -> bytes:
    try:
        return store.get(key)
    except OSError as error:
        raise ObhutError("archive-damaged", key, error.strerror or "") from None
