"""Verifying a whole archive: log, records, objects. Nothing that is stored is believed; every fault is named."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from obhut.archive import history, record
from obhut.archive.vault import object_key, record_key, record_keys
from obhut.archive.witness import cosigned
from obhut.errors import ObhutError
from obhut.log import merkle, tiles
from obhut.log.note import Key, NoteError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from obhut.archive.vault import Vault
    from obhut.job import Reporter
    from obhut.log.note import Checkpoint

#: Bytes of the longest checkpoint or receipt that is read.
_LONGEST: Final = 1 << 20

#: Objects that are hashed between two looks at signals and progress.
SLICE: Final = 64


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was logged."""

    object: str
    what: str


@dataclass(slots=True)
class Verdict:
    """What was found."""

    size: int = 0
    documents: int = 0
    objects: int = 0
    bytes: int = 0
    faults: list[Fault] = field(default_factory=list)
    #: What is no fault, and yet nobody expects.
    remarks: list[Fault] = field(default_factory=list)


def verify(vault: Vault, reporter: Reporter) -> Verdict:
    """Verifies everything. Raises only where nothing can be said at all: no archive, no sound checkpoint."""
    verdict = Verdict()
    checkpoint = vault.stated().checkpoint
    verdict.size = checkpoint.size
    leaves = list(_leaves(vault, checkpoint, verdict.faults))
    sizes = _records(vault, leaves, verdict)
    _objects(vault, sizes, verdict, reporter)
    reporter.end_progress()
    return verdict


def goes_on(vault: Vault, files: Sequence[str], witness_file: str | None) -> list[str]:
    """Whether the log goes on from checkpoints that were kept elsewhere; gives a line for each.

    Raises ``log-rolled-back``, ``log-forked`` or ``checkpoint-unusable``.
    """
    lines = []
    for name in files:
        known, note = history.known_from(_read(name), vault, name)
        history.continues(vault, known)
        line = f"the log goes on from {name}: {known.size} entries"
        if witness_file is not None:
            try:
                key = Key.parse(_read(witness_file).decode())
            except (NoteError, ValueError) as error:
                raise ObhutError("archive-key", witness_file, str(error)) from None
            when = datetime.fromtimestamp(cosigned(note, vault.key, key, name), UTC)
            line += f", signed by {key.name} on {when:%Y-%m-%d %H:%M:%S} UTC"
        lines.append(line)
    return lines


def _read(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            return file.read(_LONGEST)
    except OSError as error:
        raise ObhutError("checkpoint-unusable", name, error.strerror or "") from None


def _leaves(vault: Vault, checkpoint: Checkpoint, faults: list[Fault]) -> Iterator[bytes | None]:
    """The entries of the log, ``None`` where they are lost. Tiles and root are made anew from them and compared."""
    edge = tiles.Edge()
    whole = True
    for first in range(0, checkpoint.size, tiles.WIDTH):
        place = tiles.bundle_of(first, checkpoint.size)
        try:
            entries = tiles.read_bundle(vault.fetch, place)
        except (tiles.TileError, OSError) as error:
            faults.append(Fault(f"log/1/{place.path}", _reason(error)))
            whole = False
            yield from [None] * place.width
            continue
        if whole:
            for entry in entries:
                for tile, data in edge.append(merkle.leaf_hash(entry)):
                    _compare(vault, tile, data, faults)
        yield from entries
    if not whole:
        return
    for tile, data in edge.partial():
        _compare(vault, tile, data, faults)
    if edge.root() != checkpoint.root:
        faults.append(Fault("log/1/checkpoint", "its root is not that of the log's entries"))


def _compare(vault: Vault, tile: tiles.Tile, data: bytes, faults: list[Fault]) -> None:
    try:
        found = b"".join(tiles.read_tile(vault.fetch, tile))
    except (tiles.TileError, OSError) as error:
        faults.append(Fault(f"log/1/{tile.path}", _reason(error)))
        return
    if found != data:
        faults.append(Fault(f"log/1/{tile.path}", "its hashes are not those of the log's entries"))


def _records(vault: Vault, leaves: Sequence[bytes | None], verdict: Verdict) -> dict[str, int]:
    """Each leaf has its record, and each record its leaf. Gives digests and sizes of what must be there."""
    by_index: dict[int, list[str]] = {}
    records, strange = record_keys(vault.store)
    verdict.remarks += [Fault(key, "no record has such a name") for key in strange]
    for index, key in records:
        by_index.setdefault(index, []).append(key)
    sizes: dict[str, int] = {}
    for index, leaf in enumerate(leaves):
        keys = by_index.pop(index, [])
        matching = [key for key in keys if _is_of(vault, key, leaf, sizes)]
        if leaf is not None and not matching:
            name = keys[0] if keys else f"records of leaf {index}"
            why = "it is not the record that was logged" if keys else "there is none"
            verdict.faults.append(Fault(name, why))
        verdict.documents += bool(matching)
        strange = [key for key in keys if key not in matching] if matching else keys[1:]
        verdict.remarks += [Fault(key, "a second record of one leaf") for key in strange]
    for keys in by_index.values():
        why = "a record that was never logged: a run was stopped; the next `put` ends it"
        verdict.remarks += [Fault(key, why) for key in keys]
    return sizes


def _is_of(vault: Vault, key: str, leaf: bytes | None, sizes: dict[str, int]) -> bool:
    """Whether a record is the one that the leaf commits to. A lost leaf says nothing against it."""
    try:
        data = vault.store.get(key)
        document = record.Document.parse(data)
    except (OSError, record.RecordError):
        return False
    if record_key(document.id) != key or leaf not in (None, record.leaf(document, data)):
        return False
    sizes[document.digest] = document.size
    return True


def _objects(vault: Vault, sizes: dict[str, int], verdict: Verdict, reporter: Reporter) -> None:
    """Each object that a record names is there and has its hash; all processors hash."""
    there = set(vault.store.keys("objects"))
    wanted = {object_key(digest): (digest, size) for digest, size in sorted(sizes.items())}
    for key in sorted(wanted.keys() - there):
        verdict.faults.append(Fault(key, "it is missing"))
    for key in sorted(there - wanted.keys()):
        verdict.remarks.append(Fault(key, "no record names it; it is kept, and nobody knows what it is"))
    keys = sorted(wanted.keys() & there)
    total = sum(wanted[key][1] for key in keys)
    for at in range(0, len(keys), SLICE):
        part = keys[at : at + SLICE]
        for key, found in zip(part, _hashed(vault, part), strict=True):
            if isinstance(found, str):
                verdict.faults.append(Fault(key, found))
                continue
            if found != wanted[key]:
                verdict.faults.append(Fault(key, "its bytes are not those that came in"))
            verdict.bytes += found[1]
        verdict.objects += len(part)
        counters = {"items_done": verdict.objects, "total_items": len(keys), "bytes_done": verdict.bytes}
        reporter.progress(
            "verify", {**counters, "total_bytes": total, "total_known": 1, "errors": len(verdict.faults)}, []
        )


def _hashed(vault: Vault, keys: Sequence[str]) -> list[tuple[str, int] | str]:
    """Hash and size of each, or why there is none."""
    try:
        return list(vault.store.hashes(keys))
    except ObhutError as error:
        if len(keys) == 1:
            return [error.detail or error.what]
    return [found for key in keys for found in _hashed(vault, [key])]


def _reason(error: Exception) -> str:
    return "it is missing" if isinstance(error, FileNotFoundError) else str(error)
