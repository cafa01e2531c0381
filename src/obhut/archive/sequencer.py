"""The only writer of a log: takes leaves, and answers once a signed checkpoint covers them.

Bundles and tiles are durable before the checkpoint that states them. What a stop leaves beyond the checkpoint was never
stated, so the next writer replaces it.

Where no lock keeps others out (a bucket), a batch is staged first: its files and its checkpoint as one object, and then the
pointer ``pending`` is swapped to it. Whoever loses that swap has touched nothing. Whoever finds a staged batch that is not
stated ends it, with the same bytes.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from obhut.archive import canonical
from obhut.archive.lasting import of_handovers
from obhut.archive.record import KEYS, LOG
from obhut.errors import ObhutError
from obhut.log import merkle, note, tiles
from obhut.log.handover import Handover, in_order, line_of
from obhut.world import secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from obhut.archive.store import Store
    from obhut.log.handover import Keys
    from obhut.log.note import Key, Note
    from obhut.world.secret import Signer

CHECKPOINT: Final = "checkpoint"

#: Names the batch that is being written.
PENDING: Final = "pending"


@dataclass(frozen=True, slots=True)
class Stated:
    """A checkpoint whose signature was checked."""

    checkpoint: note.Checkpoint
    note: Note


def stated(data: bytes, keys: Keys, place: str) -> Stated:
    """A checkpoint from its bytes. Raises ``archive-damaged`` unless the key that was in charge signed it for its own log."""
    try:
        return Stated(*keys.checkpoint(data, secret.verify))
    except note.NoteError as error:
        raise ObhutError("archive-damaged", place, str(error)) from None


def handovers(store: Store) -> list[bytes]:
    """The notes by which keys of the log handed over, in order."""
    return [store.get(key) for key in in_order(store.keys(KEYS))]


def first_note(key: Key, signer: Signer) -> bytes:
    """The checkpoint of a log without entries."""
    return _signed(note.Checkpoint(key.name, 0, merkle.EMPTY), key, signer)


def _signed(checkpoint: note.Checkpoint, key: Key, signer: Signer) -> bytes:
    return bytes(note.Note(str(checkpoint), ()).signed(key, signer.sign))


def tidy(store: Store, folder: str, before: int, size: int) -> None:
    """Takes away narrow tiles and bundles whose full one is stated: readers take that one instead."""
    for place in tiles.grown(before, size):
        if place.width == tiles.WIDTH:
            for key in store.keys(f"{folder}/{place.path}.p"):
                store.drop(key)


class Sequencer:
    """Appends to the log below ``folder`` of a store; whoever makes one keeps other writers out meanwhile."""

    def __init__(self, store: Store, folder: str, keys: Keys, signer_of: Callable[[Key], Signer]) -> None:
        """``signer_of`` gives what signs for the key in charge, once it is known; it raises ``archive-key``."""
        self._store = store
        self._folder = folder
        self._keys = keys
        self._pending = self._finished() if store.shared else None
        #: The checkpoint that is stated, letter for letter: only it may be replaced.
        self._note = store.get(f"{folder}/{CHECKPOINT}")
        checkpoint = stated(self._note, self._keys, f"{folder}/{CHECKPOINT}").checkpoint
        self._key = self._keys.at(checkpoint.size)
        self._signer = signer_of(self._key)
        self._keys = self._undone(checkpoint.size)
        self._edge = self._load(checkpoint)
        #: The entries of the bundle that is not full.
        self._open = self._open_entries(checkpoint.size)

    @property
    def size(self) -> int:
        """How many entries are stated."""
        return self._edge.size

    @property
    def keys(self) -> Keys:
        """The keys of the log, as far as they are stated."""
        return self._keys

    def append(
        self, entries: Sequence[bytes], until: int | None = None, successor: tuple[Key, Signer] | None = None
    ) -> bytes:
        """Adds entries, in order; gives the checkpoint, durable, that covers them. Full tiles are locked until then.

        With a ``successor`` that checkpoint is the last one of this key, and signed by the next one, too. After an error nothing is known of what is durable: the sequencer is of no use any more.
        """
        before = self.size
        items: list[tuple[str, bytes]] = []
        for entry in entries:
            self._open.append(entry)
            full = self._edge.append(merkle.leaf_hash(entry))
            if len(self._open) == tiles.WIDTH:
                place = tiles.bundle_of(self.size - 1, self.size)
                items.append((place.path, tiles.encode_bundle(self._open)))
                self._open.clear()
            items += [(place.path, data) for place, data in full]
        if self._open:
            items.append((tiles.bundle_of(self.size - 1, self.size).path, tiles.encode_bundle(self._open)))
        items += [(place.path, data) for place, data in self._edge.partial()]
        checkpoint = self._checkpoint(successor)
        if successor is not None:
            items += self._hand_over(checkpoint)
        staged = self._stage(items, checkpoint, until) if self._store.shared else None
        self._put(items, until)
        self._store.swap(f"{self._folder}/{CHECKPOINT}", checkpoint, self._note)
        self._note = checkpoint
        if staged is not None:
            self._store.drop(staged)
        tidy(self._store, self._folder, before, self.size)
        if successor is not None:
            self._key, self._signer = successor
        return checkpoint

    def _checkpoint(self, successor: tuple[Key, Signer] | None) -> bytes:
        more = () if successor is None else (line_of(self._key, successor[0]),)
        checkpoint = note.Checkpoint(self._key.name, self.size, self._edge.root(), more)
        signed = _signed(checkpoint, self._key, self._signer)
        if successor is None:
            return signed
        return bytes(note.Note.parse(signed).signed(successor[0], successor[1].sign))

    def _hand_over(self, checkpoint: bytes) -> list[tuple[str, bytes]]:
        """The files of a handover: the checkpoint once more, for the next one takes its place; and the new key."""
        change = Handover.read(checkpoint, secret.verify)
        self._keys = self._keys.followed(change)
        base = f"{KEYS.removeprefix(f'{LOG}/')}/{change.name}"
        return [(f"{base}.note", checkpoint), (f"{base}.vkey", f"{change.new}\n".encode())]

    def _undone(self, size: int) -> Keys:
        """A handover that was begun and not stated goes: the old key is in charge. In a bucket its batch was ended instead."""
        if not self._store.shared:
            files = self._store.keys(KEYS)
            for key in set(files) - set(of_handovers(files, size)):
                self._store.drop(key)
        return self._keys.before(size)

    def _stage(self, items: Sequence[tuple[str, bytes]], checkpoint: bytes, until: int | None) -> str:
        """Makes the batch the one that is pending; gives where it lies. Raises ``archive-raced``."""
        files = {path: base64.b64encode(data).decode() for path, data in items}
        batch = {"before": self._note.decode(), "checkpoint": checkpoint.decode(), "files": files, "until": until}
        data = canonical.encode(batch)
        name = f"{self._folder}/staging/{self.size}-{secret.random_bytes(8).hex()}"
        self._store.put_once([(name, data)])
        self._store.swap(f"{self._folder}/{PENDING}", name.encode(), self._pending)
        self._pending = name.encode()
        return name

    def _finished(self) -> bytes | None:
        """Ends a batch that somebody staged and did not state; gives what ``pending`` holds."""
        try:
            pending = self._store.get(f"{self._folder}/{PENDING}")
            batch = canonical.decode(self._store.get(pending.decode()))
        except FileNotFoundError:
            # Never staged; or ended, for a batch goes after its checkpoint is stated.
            return self._read_pending()
        except ValueError as error:
            raise ObhutError("archive-damaged", f"{self._folder}/{PENDING}", str(error)) from None
        self._end(batch)
        self._store.drop(pending.decode())
        return pending

    def _read_pending(self) -> bytes | None:
        try:
            return self._store.get(f"{self._folder}/{PENDING}")
        except FileNotFoundError:
            return None

    def _end(self, batch: dict[str, Any]) -> None:
        place = f"{self._folder}/{CHECKPOINT}"
        before, after = str(batch["before"]).encode(), str(batch["checkpoint"]).encode()
        self._keys = self._keys.followed_by([after], secret.verify)
        then = stated(after, self._keys, place).checkpoint
        if stated(self._store.get(place), self._keys, place).checkpoint.size >= then.size:
            return  # stated already; only the batch had not gone
        self._put([(path, base64.b64decode(data)) for path, data in batch["files"].items()], batch["until"])
        self._store.swap(place, after, before)

    def _put(self, items: Sequence[tuple[str, bytes]], until: int | None) -> None:
        self._store.put_edge([(f"{self._folder}/{path}", data) for path, data in items], until)

    def _load(self, checkpoint: note.Checkpoint) -> tiles.Edge:
        try:
            edge = tiles.Edge.load(checkpoint.size, lambda place: tiles.read_tile(self._fetch, place))
        except (tiles.TileError, FileNotFoundError) as error:
            raise ObhutError("archive-damaged", self._folder, str(error)) from None
        if edge.root() != checkpoint.root:
            raise ObhutError("archive-damaged", self._folder, "its tiles have another root than its checkpoint")
        return edge

    def _open_entries(self, size: int) -> list[bytes]:
        if size % tiles.WIDTH == 0:
            return []
        place = tiles.bundle_of(size - 1, size)
        try:
            entries = tiles.read_bundle(self._fetch, place)
        except (tiles.TileError, FileNotFoundError) as error:
            raise ObhutError("archive-damaged", f"{self._folder}/{place.path}", str(error)) from None
        if [merkle.leaf_hash(entry) for entry in entries] != self._edge.rows[0]:
            raise ObhutError("archive-damaged", f"{self._folder}/{place.path}", "its entries are not those of the tile")
        return entries

    def _fetch(self, path: str) -> bytes:
        return self._store.get(f"{self._folder}/{path}")
