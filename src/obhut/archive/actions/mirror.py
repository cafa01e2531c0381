"""A mirror: a second copy of an archive in another place, one way, checked against the log. One copy is no archive.

Order in the mirror: records and objects, with their locks · marks of holds · tiles · stamps · checkpoint · what went, goes.
A stop at any point leaves a mirror of the checkpoint that it had; the next run goes on. A mirror remembers: an archive
whose log was cut or written anew is refused, and the mirror stays as it was.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from obhut.archive import sequencer
from obhut.archive.actions import lasting
from obhut.archive.actions.survey import survey
from obhut.archive.description import DESCRIPTION
from obhut.archive.history import continued
from obhut.archive.record import KEYS, LOG, Document, RecordError, is_written_once
from obhut.archive.stamps import STAMPS, stamp_of
from obhut.archive.vault import Vault, record_keys
from obhut.errors import ObhutError
from obhut.log import tiles
from obhut.log.note import Checkpoint, Key, NoteError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from obhut.archive.actions.survey import Survey
    from obhut.archive.sequencer import Stated
    from obhut.archive.store import Store
    from obhut.job import Reporter

#: Records that are copied together.
GROUP: Final = 256


@dataclass(slots=True)
class Outcome:
    """What was done."""

    #: Entries of the log that the mirror states now, and that it stated before.
    entries: int = 0
    known: int = 0
    #: Records and objects that were copied.
    records: int = 0
    objects: int = 0
    bytes: int = 0
    #: Documents that had gone there and went here.
    disposed: int = 0
    #: Ids of those that had gone there and are still locked here.
    kept: list[str] = field(default_factory=list)


def mirror(vault: Vault, target: Store, now: int, reporter: Reporter) -> Outcome:
    """Brings a mirror up to the newest checkpoint of an archive; ``now`` in Unix seconds.

    Raises ``archive-damaged`` for what the archive cannot give as it was logged, ``log-rolled-back``, ``log-forked`` or
    ``archive-place``; the mirror stays whole.
    """
    seen = survey(vault)
    newest = vault.stated()
    known = _begun(vault, target)
    outcome = Outcome(entries=newest.checkpoint.size)
    with target.one_writer():
        before = _known(vault, target, newest) if known else Checkpoint(vault.origin, 0, b"")
        outcome.known = before.size
        _documents(seen, target, outcome, reporter)
        _holds(seen, target)
        new = _log(vault, target, before.size, newest)
        if not target.exists():
            target.put_once([(DESCRIPTION, vault.store.get(DESCRIPTION))])
        lasting.follow(vault.store, target, newest.checkpoint.size, new)
        _gone(seen, target, now, outcome)
    return outcome


def _begun(vault: Vault, target: Store) -> bool:
    """Makes the place ready; says whether something of this archive is there already. The log's key comes first."""
    if os.path.realpath(vault.store.location) == os.path.realpath(target.location):
        raise ObhutError("archive-place", target.location, "that is the archive itself")
    try:
        key = Key.parse(target.get(f"{LOG}.vkey").decode())
    except FileNotFoundError:
        target.refuse_unless_new()
        target.begin()
        target.put_once([(f"{LOG}.vkey", vault.store.get(f"{LOG}.vkey"))])
        return False
    except (NoteError, ValueError, OSError) as error:
        raise ObhutError("archive-place", target.location, str(error)) from None
    if key != vault.keys.first:
        raise ObhutError("archive-place", target.location, f"it is of another log: {key}")
    return True


def _known(vault: Vault, target: Store, newest: Stated) -> Checkpoint:
    """The checkpoint that the mirror states, after the archive has shown that it goes on from there."""
    place = f"{LOG}/{sequencer.CHECKPOINT}"
    try:
        data = target.get(place)
    except FileNotFoundError:
        return Checkpoint(vault.origin, 0, b"")
    known = sequencer.stated(data, vault.keys, place).checkpoint
    try:
        continued(known, newest.checkpoint, tiles.Reader(newest.checkpoint.size, vault.fetch))
    except (tiles.TileError, FileNotFoundError) as error:
        raise ObhutError("archive-damaged", LOG, str(error)) from None
    return known


def _documents(seen: Survey, target: Store, outcome: Outcome, reporter: Reporter) -> None:
    """Copies records and objects that the mirror has not, and extends its locks to those of the archive."""
    there = {key for _, key in record_keys(target)}
    objects = set(target.keys("objects"))
    size = outcome.entries
    gone = seen.ledger.gone
    wanted = [(index, seen.key(index)) for index in range(size) if index not in gone]
    for at in range(0, len(wanted), GROUP):
        part = [(index, key) for index, key in wanted[at : at + GROUP] if key is not None]
        counters = {"items_done": at, "total_items": len(wanted), "bytes_done": outcome.bytes, "total_bytes": 0}
        reporter.progress("mirror", {**counters, "total_known": 0, "errors": 0}, [])
        documents = [(key, seen.document(index)) for index, key in part if index in seen.ledger.documents]
        keys = [key for _, key in part]
        _copy(seen, target, keys, [key for key in keys if key not in there], documents, objects, outcome)
    reporter.end_progress()


def _copy(
    seen: Survey,
    target: Store,
    part: Sequence[str],
    records: Sequence[str],
    documents: Sequence[tuple[str, Document | None]],
    objects: set[str],
    outcome: Outcome,
) -> None:
    store = seen.vault.store
    whole = [(key, document) for key, document in documents if document is not None]
    new = {document.key: document for _, document in whole if document.key not in objects}
    items = [(key, *document.stored) for key, document in new.items()]
    try:
        target.put_once([(key, store.get(key)) for key in records])
        with store.readable(items) as paths:
            copies = [(key, path, digest, size) for (key, digest, size), path in zip(items, paths, strict=True)]
            target.copy_once(copies, 0)
    except ObhutError as error:
        if error.id not in {"document-changed", "document-missing"}:
            raise
        why = "its bytes are not those that came in, or it is missing"
        raise ObhutError("archive-damaged", error.object, why) from error
    keys = [*part, *(document.key for _, document in whole)]
    locks = [(key, lock[0]) for key, lock in zip(keys, store.locks(keys), strict=True) if lock is not None]
    target.extend(locks)
    objects |= new.keys()
    outcome.records += len(records)
    outcome.objects += len(new)
    outcome.bytes += sum(document.stored[1] for document in new.values())


def _holds(seen: Survey, target: Store) -> None:
    """The same marks as in the archive; those of holds first, so that nothing is free in between."""
    wanted, there = set(seen.vault.store.held()), set(target.held())
    if missing := sorted(wanted - there):
        target.hold(missing)
    target.unhold(sorted(there - wanted))


def _gone(seen: Survey, target: Store, now: int, outcome: Outcome) -> None:
    """What the log certifies as gone goes here, too, as soon as its lock has ended here."""
    keys = dict(record_keys(target))
    left = [(index, keys[index]) for index in sorted(seen.ledger.gone) if index in keys]
    if not left:
        return
    uses: Counter[str] = Counter(_object(seen, target, key) for key in keys.values())
    for index, key in left:
        of = _object(seen, target, key)
        try:
            if of and uses[of] == 1:
                target.remove(of, now)
            target.remove(key, now)
        except ObhutError as error:
            if error.id not in {"document-locked", "disposal-credential"}:
                raise
            outcome.kept.append(f"{index}-{key.rpartition('-')[2]}")
        else:
            uses[of] -= 1
            outcome.disposed += 1


def _object(seen: Survey, target: Store, key: str) -> str:
    """Where the bytes of a document of the mirror lie; nothing for the record of anything else."""
    try:
        return Document.parse(seen.vault.seals.open(key, target.get(key))).key
    except RecordError:
        return ""


def _log(vault: Vault, target: Store, before: int, newest: Stated) -> list[str]:
    """Tiles before stamps before the checkpoint; narrow tiles whose full one is there go. Gives keys of what stays as it is."""
    size = newest.checkpoint.size
    stamps = [key for key in vault.store.keys(STAMPS) if key not in set(target.keys(STAMPS))]
    sizes = {stamp.size for stamp in filter(None, map(stamp_of, stamps)) if stamp.size <= size}
    places = dict.fromkeys([*tiles.grown(before, size), *(place for at in sorted(sizes) for place in _narrow(at))])
    files = [(f"{LOG}/{place.path}", place) for place in places]
    items = [(key, data) for key, place in files if (data := _read(vault, key, place)) is not None]
    for at in range(0, len(items), GROUP):
        target.put_edge(items[at : at + GROUP])
    for at in range(0, len(stamps), GROUP):
        target.put_once([(key, vault.store.get(key)) for key in stamps[at : at + GROUP]])
    changes = _handovers(vault, target, before, size)
    target.put_edge([(f"{LOG}/{sequencer.CHECKPOINT}", bytes(newest.note))])
    sequencer.tidy(target, LOG, before, size)
    return [*(key for key, _ in items if is_written_once(key)), *stamps, *changes]


def _handovers(vault: Vault, target: Store, before: int, size: int) -> list[str]:
    """How keys of the log handed over since the mirror was made last; gives keys of it."""
    new = [change.name for change in vault.keys.handovers if before < change.checkpoint.size <= size]
    keys = [f"{KEYS}/{name}.{end}" for name in new for end in ("note", "vkey")]
    target.put_once([(key, vault.store.get(key)) for key in keys])
    return keys


def _narrow(size: int) -> Iterator[tiles.Tile]:
    """The tiles and the bundle that were not full in a tree of ``size``: proofs under its checkpoint need them."""
    for level in (None, *range(64)):
        count = size >> 8 * (level or 0)
        if not count:
            return
        if count % tiles.WIDTH:
            yield tiles.Tile(level, count // tiles.WIDTH, count % tiles.WIDTH)


def _read(vault: Vault, key: str, place: tiles.Tile) -> bytes | None:
    """A file of the log; nothing for a narrow one that has gone, since the full one is there."""
    try:
        return vault.store.get(key)
    except FileNotFoundError:
        if place.width == tiles.WIDTH:
            raise ObhutError("archive-damaged", key, "it is missing") from None
        return None
