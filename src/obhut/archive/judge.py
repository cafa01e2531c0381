"""Judges a whole archive: its log, its records, its objects, their locks, and whether it goes on from what was known of it.

Nothing that is stored is believed, and every fault is named. No I/O of its own, and nothing but the standard library:
Obhut and the verifier for strangers judge by the same lines, each with its own way to read and hash.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from obhut.archive import record
from obhut.archive.description import DESCRIPTION
from obhut.archive.ledger import Ledger
from obhut.archive.record import Document, Leaf, RecordError, index_of_key, keys_of, object_key, record_key
from obhut.archive.replay import Fault, read_into
from obhut.archive.stamps import STAMPS, judge_stamps, lines
from obhut.log import merkle, tiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from obhut.archive.sshsig import Check
    from obhut.log.note import Checkpoint

_BEGUN: Final = "its disposal was begun; `dispose` ends it"

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

    def locks(self, keys: Sequence[str]) -> list[tuple[int, bool] | None]:
        """Until when each is locked (Unix seconds), and whether it is held; nothing where nothing lies."""

    def oddities(self) -> list[tuple[str, str]]:
        """Keys over which somebody laid something, and what."""


@dataclass(slots=True)
class Verdict:
    """What was found."""

    size: int = 0
    documents: int = 0
    #: Those that went, lawfully.
    disposed: int = 0
    objects: int = 0
    bytes: int = 0
    #: What each authority says of the newest checkpoint that it stamped.
    stamps: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    #: What is no fault, and yet nobody expects.
    remarks: list[Fault] = field(default_factory=list)


#: Told ``(verdict so far, all objects, all bytes)``.
Progress = Callable[[Verdict, int, int], None]


@dataclass(frozen=True, slots=True)
class Judges:
    """Those whom the judge asks."""

    #: Checks Ed25519 signatures.
    verify: Check
    #: Gives a checkpoint that the log's key signed. Raises ``ValueError``.
    checkpoint: Callable[[bytes], Checkpoint]
    #: Gives the time (Unix seconds) of a stamp over a SHA-256 by the owner of certificates. Raises ``ValueError``.
    stamp: Callable[[bytes, bytes, str], int]


def judge_archive(
    files: Files, log: str, checkpoint: Checkpoint, judges: Judges, today: date, progress: Progress
) -> Verdict:
    """Judges everything below a checkpoint whose signature was checked.

    ``log`` is the folder of the log; ``today`` says which holds stand.
    """
    verdict = Verdict(size=checkpoint.size)
    leaves = list(read_leaves(files.get, log, checkpoint, verdict.faults))
    keys = _keys_by_index(files, verdict)
    ledger = Ledger(checkpoint.origin, judges.verify)
    verdict.faults += read_into(
        ledger, leaves, lambda index: _statement_record(files, keys.get(index, []), leaves[index])
    )
    if early := ledger.later_than(checkpoint.size, today + timedelta(days=1)):  # in the east tomorrow has begun
        verdict.faults.append(Fault(f"leaf {early[0]}", f"it speaks of {early[1]}, which is yet to come"))
    _stamps(files, log, checkpoint, judges, ledger, verdict)
    _description(files, ledger, leaves, verdict)
    kept = _records(files, leaves, keys, ledger, verdict)
    _objects(files, kept, ledger, verdict, progress)
    _locks(files, kept, ledger, today, verdict)
    verdict.faults += [Fault(key, what) for key, what in files.oddities()]
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


def read_leaves(
    get: Callable[[str], bytes], log: str, checkpoint: Checkpoint, faults: list[Fault]
) -> Iterator[bytes | None]:
    """The entries of the log, ``None`` where they are lost. Tiles and root are made anew from them and compared."""
    edge = tiles.Edge()
    whole = True
    for first in range(0, checkpoint.size, tiles.WIDTH):
        place = tiles.bundle_of(first, checkpoint.size)
        try:
            entries = tiles.read_bundle(lambda path: get(f"{log}/{path}"), place)
        except (tiles.TileError, OSError) as error:
            faults.append(Fault(f"{log}/{place.path}", _reason(error)))
            whole = False
            yield from [None] * place.width
            continue
        for entry in entries if whole else ():
            for tile, data in edge.append(merkle.leaf_hash(entry)):
                _compare(get, log, tile, data, faults)
        yield from entries
    if not whole:
        return
    for tile, data in edge.partial():
        _compare(get, log, tile, data, faults)
    if edge.root() != checkpoint.root:
        faults.append(Fault(f"{log}/checkpoint", "its root is not that of the log's entries"))


def _compare(get: Callable[[str], bytes], log: str, tile: tiles.Tile, data: bytes, faults: list[Fault]) -> None:
    try:
        found = b"".join(tiles.read_tile(lambda path: get(f"{log}/{path}"), tile))
    except (tiles.TileError, OSError) as error:
        faults.append(Fault(f"{log}/{tile.path}", _reason(error)))
        return
    if found != data:
        faults.append(Fault(f"{log}/{tile.path}", "its hashes are not those of the log's entries"))


def _keys_by_index(files: Files, verdict: Verdict) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for key in files.keys("records"):
        index = index_of_key(key)
        if index is None:
            verdict.remarks.append(Fault(key, "no record has such a name"))
        else:
            found.setdefault(index, []).append(key)
    return found


def _statement_record(files: Files, keys: Sequence[str], leaf: bytes | None) -> bytes | None:
    """The record of a statement: the one that the leaf commits to, if there are several."""
    datas = []
    for key in keys:
        try:
            datas.append(files.get(key))
        except OSError:
            continue
    matching = [data for data in datas if leaf is not None and _commits(leaf, data)]
    return next(iter(matching or datas), None)


def _commits(leaf: bytes, data: bytes) -> bool:
    try:
        return Leaf.parse(leaf).commit == record.commitment_of(data)
    except RecordError:
        return False


def _stamps(files: Files, log: str, checkpoint: Checkpoint, judges: Judges, ledger: Ledger, verdict: Verdict) -> None:
    """Each stamp is one, over a checkpoint from which the log goes on."""
    continues = continuity(checkpoint, lambda path: files.get(f"{log}/{path}"))
    judged = judge_stamps(files.get, files.keys(STAMPS), judges.checkpoint, judges.stamp, continues, ledger)
    verdict.faults += judged.faults
    verdict.stamps = lines(judged)


def continuity(now: Checkpoint, fetch: Callable[[str], bytes]) -> Callable[[Checkpoint], str | None]:
    """A function that says what speaks against the log of ``now`` going on from a known checkpoint."""
    reader = tiles.Reader(now.size, fetch)

    def continues(known: Checkpoint) -> str | None:
        try:
            found = discontinuity(known, now, reader)
        except (tiles.TileError, OSError) as error:
            return _reason(error)
        return found[1] if found else None

    return continues


def _description(files: Files, ledger: Ledger, leaves: Sequence[bytes | None], verdict: Verdict) -> None:
    """``archive.json`` holds what the log's first record says."""
    if ledger.description is None:
        if leaves and leaves[0] is not None and not verdict.faults:
            verdict.faults.append(Fault("leaf 0", "it does not describe the archive"))
        return
    try:
        same = files.get(DESCRIPTION) == ledger.description.encode()
    except OSError as error:
        verdict.faults.append(Fault(DESCRIPTION, _reason(error)))
        return
    if not same:
        verdict.faults.append(Fault(DESCRIPTION, "it is not what the first record of the log says"))


def _records(
    files: Files,
    leaves: Sequence[bytes | None],
    keys: dict[int, list[str]],
    ledger: Ledger,
    verdict: Verdict,
) -> dict[int, Document]:
    """Each leaf has its record, and each record its leaf. Gives the documents that must be there."""
    kept: dict[int, Document] = {}
    rest = dict(keys)
    for index, leaf in enumerate(leaves):
        found = rest.pop(index, [])
        if index in ledger.gone:
            verdict.disposed += 1
            why = "its document was disposed of, and it is still there"
            verdict.faults += [Fault(key, why) for key in found]
            continue
        matching = [key for key in found if _is_of(files, key, leaf, index, kept)]
        if leaf is not None and not matching:
            _missing(index, found, ledger, verdict)
        verdict.documents += index in kept
        others = [key for key in found if key not in matching[:1]] if matching else found[1:]
        verdict.remarks += [Fault(key, "a second record of one leaf") for key in others]
    why = "a record that was never logged: a run was stopped; the next `put` ends it"
    verdict.remarks += [Fault(key, why) for left in rest.values() for key in left]
    return kept


def _missing(index: int, found: Sequence[str], ledger: Ledger, verdict: Verdict) -> None:
    """A leaf without its record: a fault, unless a disposal that people signed was begun and not ended."""
    if not found and _may_be_going(index, ledger):
        verdict.remarks.append(Fault(f"records of leaf {index}", _BEGUN))
        return
    name = found[0] if found else f"records of leaf {index}"
    verdict.faults.append(Fault(name, "it is not the record that was logged" if found else "there is none"))


def _may_be_going(index: int, ledger: Ledger) -> bool:
    return index in ledger.documents and any(
        ledger.disposable(index, proposal, date.fromisoformat(proposal.statement.facts["clock"][:10])) is None
        for proposal in ledger.proposals.values()
    )


def _is_of(files: Files, key: str, leaf: bytes | None, index: int, kept: dict[int, Document]) -> bool:
    """Whether a record is the one that the leaf commits to. A lost leaf says nothing against it."""
    try:
        data = files.get(key)
    except OSError:
        return False
    try:
        document = Document.parse(data)
    except RecordError:
        # A statement: the ledger has read it.
        return _commits(leaf, data) if leaf is not None else _is_statement(data)
    if record_key(document.id) != key or leaf not in (None, record.leaf(document, data)):
        return False
    kept[index] = document
    return True


def _is_statement(data: bytes) -> bool:
    try:
        return record.kind_of(data) != "document"
    except RecordError:
        return False


def _objects(files: Files, kept: dict[int, Document], ledger: Ledger, verdict: Verdict, progress: Progress) -> None:
    """Each object that a record names is there and has its hash."""
    there = set(files.keys("objects"))
    wanted = {object_key(document.digest): (document.digest, document.size) for document in kept.values()}
    if missing := wanted.keys() - there:
        stays = {object_key(kept[index].digest) for index in kept if not _may_be_going(index, ledger)}
        verdict.faults += [Fault(key, "it is missing") for key in sorted(missing & stays)]
        verdict.remarks += [Fault(key, _BEGUN) for key in sorted(missing - stays)]
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


def _locks(files: Files, kept: dict[int, Document], ledger: Ledger, today: date, verdict: Verdict) -> None:
    """What must be locked is, for as long as it must, and what is held is marked."""
    until: dict[str, int] = {}
    holds: set[str] = set()
    for index, document in kept.items():
        needed = _needed(index, document, ledger)
        held = index in ledger.documents and (bool(ledger.held(index, today)) or ledger.waits(index))
        for key in keys_of(document):
            until[key] = max(needed, until.get(key, 0))
            if held:
                holds.add(key)
    keys = sorted(until)
    for key, found in zip(keys, files.locks(keys), strict=True):
        if found is None:
            continue  # missing, and named as such
        ends, marked = found
        if ends < until[key]:
            verdict.faults.append(Fault(key, f"its lock ends {_shown(ends)}, not {_shown(until[key])}"))
        if marked and key not in holds:
            verdict.remarks.append(Fault(key, "it is marked as held, and no hold stands; `settle` takes the mark away"))
        if key in holds and not marked:
            verdict.faults.append(Fault(key, "it is held, and its mark is gone"))


def _needed(index: int, document: Document, ledger: Ledger) -> int:
    """Until when a document has to be locked: as its record says, and as the law asks once it is settled."""
    first = _seconds(document.lock["until"])
    day = ledger.lock_after_settling(index) if index in ledger.documents else None
    return first if day is None else max(first, int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()))


def _seconds(time: str | None) -> int:
    return 0 if time is None else int(datetime.fromisoformat(time).timestamp())


def _shown(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("on %Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        return f"at {seconds}"


def _reason(error: Exception) -> str:
    return "it is missing" if isinstance(error, FileNotFoundError) else str(error)
