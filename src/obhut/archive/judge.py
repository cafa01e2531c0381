"""Judges a whole archive: its log, its records, its objects, and whether it goes on from what was known of it.

Nothing that is stored is believed, and every fault is named. No I/O of its own, and nothing but the standard library:
Obhut and the verifier for strangers judge by the same lines, each with its own way to read and hash.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from obhut.archive import record
from obhut.archive.record import Document, RecordError, index_of_key, object_key, record_key
from obhut.log import merkle, tiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from obhut.log.note import Checkpoint

#: Objects that are hashed between two looks at progress.
SLICE: Final = 64


class Files(Protocol):
    """How an archive is read."""

    def get(self, key: str) -> bytes:
        """The bytes of a key. Raises ``OSError``."""

    def keys(self, folder: str) -> list[str]:
        """All keys below a folder."""

    def hashed(self, keys: Sequence[str]) -> list[tuple[str, int] | str]:
        """SHA-256 in hex and size of each, or why there is none."""


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


#: Told ``(verdict so far, all objects, all bytes)``.
Progress = Callable[[Verdict, int, int], None]


def judge_archive(files: Files, log: str, checkpoint: Checkpoint, progress: Progress) -> Verdict:
    """Judges everything below a checkpoint whose signature was checked. ``log`` is the folder of the log."""
    verdict = Verdict(size=checkpoint.size)
    leaves = list(_leaves(files, log, checkpoint, verdict.faults))
    sizes = _records(files, leaves, verdict)
    _objects(files, sizes, verdict, progress)
    return verdict


def discontinuity(known: Checkpoint, now: Checkpoint, subtrees: merkle.Subtrees) -> tuple[str, str] | None:
    """What speaks against the log of ``known`` being the beginning of that of ``now``: an error id and words, or nothing.

    ``subtrees`` are those of ``now``; who gives false ones proves nothing.
    """
    if now.size < known.size:
        return "log-rolled-back", f"it had {known.size} entries and has {now.size}"
    proof = merkle.consistency(known.size, now.size, subtrees)
    try:
        merkle.check_consistency(known.size, known.root, now.size, now.root, proof)
    except merkle.ProofError as error:
        words = f"what it states of {now.size} entries does not go on from the {known.size} that are known: {error}"
        return "log-forked", words
    return None


def _leaves(files: Files, log: str, checkpoint: Checkpoint, faults: list[Fault]) -> Iterator[bytes | None]:
    """The entries of the log, ``None`` where they are lost. Tiles and root are made anew from them and compared."""
    edge = tiles.Edge()
    whole = True
    for first in range(0, checkpoint.size, tiles.WIDTH):
        place = tiles.bundle_of(first, checkpoint.size)
        try:
            entries = tiles.read_bundle(lambda path: files.get(f"{log}/{path}"), place)
        except (tiles.TileError, OSError) as error:
            faults.append(Fault(f"{log}/{place.path}", _reason(error)))
            whole = False
            yield from [None] * place.width
            continue
        for entry in entries if whole else ():
            for tile, data in edge.append(merkle.leaf_hash(entry)):
                _compare(files, log, tile, data, faults)
        yield from entries
    if not whole:
        return
    for tile, data in edge.partial():
        _compare(files, log, tile, data, faults)
    if edge.root() != checkpoint.root:
        faults.append(Fault(f"{log}/checkpoint", "its root is not that of the log's entries"))


def _compare(files: Files, log: str, tile: tiles.Tile, data: bytes, faults: list[Fault]) -> None:
    try:
        found = b"".join(tiles.read_tile(lambda path: files.get(f"{log}/{path}"), tile))
    except (tiles.TileError, OSError) as error:
        faults.append(Fault(f"{log}/{tile.path}", _reason(error)))
        return
    if found != data:
        faults.append(Fault(f"{log}/{tile.path}", "its hashes are not those of the log's entries"))


def _records(files: Files, leaves: Sequence[bytes | None], verdict: Verdict) -> dict[str, int]:
    """Each leaf has its record, and each record its leaf. Gives digests and sizes of what must be there."""
    by_index: dict[int, list[str]] = {}
    for key in files.keys("records"):
        index = index_of_key(key)
        if index is None:
            verdict.remarks.append(Fault(key, "no record has such a name"))
        else:
            by_index.setdefault(index, []).append(key)
    sizes: dict[str, int] = {}
    for index, leaf in enumerate(leaves):
        keys = by_index.pop(index, [])
        matching = [key for key in keys if _is_of(files, key, leaf, sizes)]
        if leaf is not None and not matching:
            name = keys[0] if keys else f"records of leaf {index}"
            verdict.faults.append(Fault(name, "it is not the record that was logged" if keys else "there is none"))
        verdict.documents += bool(matching)
        others = [key for key in keys if key not in matching[:1]] if matching else keys[1:]
        verdict.remarks += [Fault(key, "a second record of one leaf") for key in others]
    why = "a record that was never logged: a run was stopped; the next `put` ends it"
    verdict.remarks += [Fault(key, why) for keys in by_index.values() for key in keys]
    return sizes


def _is_of(files: Files, key: str, leaf: bytes | None, sizes: dict[str, int]) -> bool:
    """Whether a record is the one that the leaf commits to. A lost leaf says nothing against it."""
    try:
        data = files.get(key)
        document = Document.parse(data)
    except (OSError, RecordError):
        return False
    if record_key(document.id) != key or leaf not in (None, record.leaf(document, data)):
        return False
    sizes[document.digest] = document.size
    return True


def _objects(files: Files, sizes: dict[str, int], verdict: Verdict, progress: Progress) -> None:
    """Each object that a record names is there and has its hash."""
    there = set(files.keys("objects"))
    wanted = {object_key(digest): (digest, size) for digest, size in sorted(sizes.items())}
    for key in sorted(wanted.keys() - there):
        verdict.faults.append(Fault(key, "it is missing"))
    for key in sorted(there - wanted.keys()):
        verdict.remarks.append(Fault(key, "no record names it; it is kept, and nobody knows what it is"))
    keys = sorted(wanted.keys() & there)
    total = sum(wanted[key][1] for key in keys)
    for at in range(0, len(keys), SLICE):
        part = keys[at : at + SLICE]
        for key, found in zip(part, files.hashed(part), strict=True):
            if isinstance(found, str):
                verdict.faults.append(Fault(key, found))
                continue
            if found != wanted[key]:
                verdict.faults.append(Fault(key, "its bytes are not those that came in"))
            verdict.bytes += found[1]
        verdict.objects += len(part)
        progress(verdict, len(keys), total)


def _reason(error: Exception) -> str:
    return "it is missing" if isinstance(error, FileNotFoundError) else str(error)
