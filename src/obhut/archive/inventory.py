"""What lies in an archive against what its log says: records, objects, their locks and holds. Pure.

Records are read in the order of their leaves and not kept, so that memory is some hundred bytes a document: hashes of
leaves, names of records, and of each object what its records ask of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from obhut.archive import record
from obhut.archive.lasting import FIRST_FILES, full_tiles, of_handovers, of_sizes
from obhut.archive.record import KEYS, Document, Leaf, RecordError, index_of_key, record_key
from obhut.archive.replay import Fault
from obhut.archive.stamps import STAMPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from obhut.archive.judge import Files, Progress, Verdict
    from obhut.archive.ledger import Ledger

#: Objects that are hashed between two looks at progress: so many, or of so many bytes.
_SLICE: Final = 256
_SLICE_BYTES: Final = 256 << 20

#: Keys whose locks are asked for together.
_ASKED: Final = 256

_BEGUN: Final = "its disposal was begun; `dispose` ends it"
_OF_DOCUMENT: Final = b'"type":"document"'


class Leaves:
    """The leaves of a log, read once: hashes are kept of documents' leaves, all bytes of the others."""

    def __init__(self, leaves: Iterable[bytes | None]) -> None:
        self._leaves = leaves
        self._hashes = bytearray()
        self._lost: set[int] = set()
        #: Leaves that are not documents', and for a moment the one that was read last.
        self.whole: dict[int, bytes | None] = {}

    def __iter__(self) -> Iterator[bytes | None]:
        for index, leaf in enumerate(self._leaves):
            self._hashes += sha256(leaf or b"").digest()
            if leaf is None:
                self._lost.add(index)
            elif _OF_DOCUMENT not in leaf:
                self.whole[index] = leaf
            yield leaf

    def __len__(self) -> int:
        return len(self._hashes) // 32

    def lost(self, index: int) -> bool:
        """Whether it could not be read."""
        return index in self._lost

    def is_leaf(self, index: int, leaf: bytes) -> bool:
        """Whether it is this one; a lost one speaks against none."""
        return index in self._lost or self._hashes[32 * index : 32 * index + 32] == sha256(leaf).digest()


@dataclass(slots=True)
class Asked:
    """What the records that name an object ask of it."""

    #: SHA-256 of its file, where its name is not that, and its bytes.
    digest: str | None
    size: int
    #: SHA-256 and bytes of what is sealed in it.
    plain: tuple[str, int] | None
    until: int = 0
    held: bool = False
    #: Whether one of its documents is not on the way out.
    stays: bool = False
    there: bool = False

    def stored(self, key: str) -> tuple[str, int]:
        """SHA-256 in hex and size of the file under its key."""
        return self.digest or key.rpartition("/")[2], self.size


@dataclass(slots=True)
class Inventory:
    """What lies there."""

    files: Files
    verdict: Verdict
    #: Keys of records by the indexes of their leaves; of a leaf that has several, all of them.
    _keys: dict[int, str | list[str]] = field(default_factory=dict)
    _objects: dict[str, Asked] = field(default_factory=dict)
    #: Faults of locks: told after all others.
    _locks: list[Fault] = field(default_factory=list)
    #: Leaves of what somebody proposed to let go.
    _proposed: frozenset[int] = frozenset()
    #: The last day to which anything that was settled has to last.
    _lasting: date = date.min

    def __post_init__(self) -> None:
        for key in self.files.keys("records"):
            index = index_of_key(key)
            if index is None:
                self.verdict.remarks.append(Fault(key, "no record has such a name"))
            elif known := self._keys.get(index):
                self._keys[index] = [*([known] if isinstance(known, str) else known), key]
            else:
                self._keys[index] = key

    def _of(self, index: int) -> list[str]:
        found = self._keys.get(index, [])
        return [found] if isinstance(found, str) else found

    def statement(self, index: int, leaf: bytes | None) -> bytes | None:
        """The record of a statement: the one that the leaf commits to, if there are several."""
        datas = []
        for key in self._of(index):
            try:
                datas.append(self.files.get(key))
            except OSError:
                continue
        matching = [data for data in datas if leaf is not None and _commits(leaf, data)]
        return next(iter(matching or datas), None)

    def judge(self, leaves: Leaves, ledger: Ledger, today: date, progress: Progress) -> None:
        """Compares everything; what is wrong is in the verdict then."""
        self._proposed = frozenset().union(*(proposal.covers for proposal in ledger.proposals.values()))
        self._records(leaves, ledger, today)
        self._hash(progress)
        self._ask_locks([(key, asked.until, asked.held) for key, asked in sorted(self._objects.items()) if asked.there])
        self._log_locks(ledger)
        self.verdict.faults += self._locks

    def _records(self, leaves: Leaves, ledger: Ledger, today: date) -> None:
        """Each leaf has its record, and each record its leaf."""
        waiting: list[tuple[str, int, bool]] = []
        for index in range(len(leaves)):
            if index % _ASKED == 0:
                following = range(index, min(index + _ASKED, len(leaves)))
                self.files.expect([key for other in following for key in self._of(other)])
            found = self._of(index)
            if index in ledger.gone:
                self._gone(index, found, ledger)
                continue
            matching = [key for key in found if self._is_of(key, leaves, index, ledger, today, waiting)]
            if not matching and not leaves.lost(index):
                self._missing(index, found, ledger)
            others = [key for key in found if key not in matching[:1]] if matching else found[1:]
            self.verdict.remarks += [Fault(key, "a second record of one leaf") for key in others]
            if len(waiting) >= _ASKED:
                self._ask_locks(waiting)
                waiting.clear()
        self._ask_locks(waiting)
        why = "a record that was never logged: a run was stopped; the next `put` ends it"
        beyond = [index for index in self._keys if index >= len(leaves)]
        self.verdict.remarks += [Fault(key, why) for index in beyond for key in self._of(index)]

    def _gone(self, index: int, found: Sequence[str], ledger: Ledger) -> None:
        """Of what was disposed of nothing is left."""
        if index in ledger.documents:
            self.verdict.disposed += 1
            why = "its document was disposed of, and it is still there"
        else:
            self.verdict.reads_disposed += 1
            why = "it was disposed of, and it is still there"
        self.verdict.faults += [Fault(key, why) for key in found]

    def _is_of(
        self,
        key: str,
        leaves: Leaves,
        index: int,
        ledger: Ledger,
        today: date,
        waiting: list[tuple[str, int, bool]],
    ) -> bool:
        """Whether a record is the one that the leaf commits to; then what it asks of its object is noted."""
        try:
            data = self.files.get(key)
        except OSError:
            return False
        try:
            document = Document.parse(data)
        except RecordError:
            # A statement: the ledger has read it.
            leaf = leaves.whole.get(index)
            if index in ledger.reads and leaf is not None and _commits(leaf, data):
                self.verdict.reads += 1
                waiting.append((key, self._settled(index, ledger), False))
            return _commits(leaf, data) if leaf is not None else leaves.lost(index) and _is_statement(data)
        if record_key(document.id) != key or not leaves.is_leaf(index, record.leaf(document, data)):
            return False
        self.verdict.documents += 1
        until = self._until(index, document, ledger)
        held = index in ledger.documents and (bool(ledger.held(index, today)) or ledger.waits(index))
        waiting.append((key, until, held))
        self._note(key, document, until, held=held, stays=not self._may_be_going(index, ledger))
        return True

    def _until(self, index: int, document: Document, ledger: Ledger) -> int:
        """Until when a document has to be locked: as its record says, and as the law asks once it is settled."""
        first = _seconds(document.lock["until"])
        return max(first, self._settled(index, ledger) if index in ledger.documents else 0)

    def _settled(self, index: int, ledger: Ledger) -> int:
        """Until when what is settled has to be locked, and the log with it; 0 for what is not."""
        day = ledger.lock_after_settling(index)
        if day is None:
            return 0
        self._lasting = max(day, self._lasting)
        return _midnight(day)

    def _note(self, key: str, document: Document, until: int, *, held: bool, stays: bool) -> None:
        digest, size = document.stored
        plain = (document.digest, document.size) if document.envelope else None
        asked = self._objects.setdefault(document.key, Asked(digest if plain else None, size, plain))
        if (asked.stored(document.key), asked.plain) != ((digest, size), plain):
            self.verdict.faults.append(Fault(key, "another record says other things of the same object"))
        asked.until = max(until, asked.until)
        asked.held = asked.held or held
        asked.stays = asked.stays or stays

    def _missing(self, index: int, found: Sequence[str], ledger: Ledger) -> None:
        """A leaf without its record: a fault, unless a disposal that people signed was begun and not ended."""
        if not found and self._may_be_going(index, ledger):
            self.verdict.remarks.append(Fault(f"records of leaf {index}", _BEGUN))
            return
        name = found[0] if found else f"records of leaf {index}"
        self.verdict.faults.append(Fault(name, "it is not the record that was logged" if found else "there is none"))

    def _may_be_going(self, index: int, ledger: Ledger) -> bool:
        return index in self._proposed and any(
            ledger.disposable(index, proposal, date.fromisoformat(proposal.statement.facts["clock"][:10])) is None
            for proposal in ledger.proposals.values()
        )

    def _hash(self, progress: Progress) -> None:
        """Each object that a record names is there and has its hash."""
        keys, strange = [], []
        for key in self.files.keys("objects"):
            asked = self._objects.get(key)
            if asked is None:
                strange.append(key)
            else:
                asked.there = True
                keys.append(key)
        for key, asked in sorted(self._objects.items()):
            if not asked.there:
                why = (self.verdict.faults, "it is missing") if asked.stays else (self.verdict.remarks, _BEGUN)
                why[0].append(Fault(key, why[1]))
        words = "no record names it; it is kept, and nobody knows what it is"
        self.verdict.remarks += [Fault(key, words) for key in strange]
        total = sum(self._objects[key].size for key in keys)
        for part in self._slices(keys):
            self._hash_some(part)
            self.verdict.objects += len(part)
            progress(self.verdict, len(keys), total)

    def _slices(self, keys: Sequence[str]) -> Iterator[Sequence[str]]:
        """All of them, in order, in parts; each part ends with a wait for the slowest."""
        first = size = 0
        for at, key in enumerate(keys):
            if at > first and (at - first == _SLICE or size + self._objects[key].size > _SLICE_BYTES):
                yield keys[first:at]
                first, size = at, 0
            size += self._objects[key].size
        if keys:
            yield keys[first:]

    def _hash_some(self, part: Sequence[str]) -> None:
        for key, found in zip(part, self.files.hashed(part), strict=True):
            if isinstance(found, str):
                self.verdict.faults.append(Fault(key, found))
                continue
            if found != self._objects[key].stored(key):
                self.verdict.faults.append(Fault(key, "its bytes are not those that came in"))
            self.verdict.bytes += found[1]
        sealed = [key for key in part if self._objects[key].plain]
        for key, found in zip(sealed, self.files.opened(sealed), strict=False):
            if isinstance(found, str):
                self.verdict.faults.append(Fault(key, found))
            elif found != self._objects[key].plain:
                self.verdict.faults.append(Fault(key, "what is sealed in it is not what came in"))

    def _ask_locks(self, items: Sequence[tuple[str, int, bool]]) -> None:
        """What must be locked is, for as long as it must, and what is held is marked."""
        for first in range(0, len(items), _ASKED):
            part = items[first : first + _ASKED]
            locks = self.files.locks([key for key, _, _ in part])
            for (key, until, held), found in zip(part, locks, strict=True):
                if found is None:
                    continue  # missing, and named as such
                ends, marked = found
                if ends < until:
                    self._locks.append(Fault(key, f"its lock ends {_shown(ends)}, not {_shown(until)}"))
                if marked and not held:
                    words = "it is marked as held, and no hold stands; `settle` takes the mark away"
                    self.verdict.remarks.append(Fault(key, words))
                if held and not marked:
                    self._locks.append(Fault(key, "it is held, and its mark is gone"))

    def _log_locks(self, ledger: Ledger) -> None:
        """What the log is made of is locked as long as the documents and audit records that were settled have to be."""
        if self._lasting == date.min:
            return
        settled, until = ledger.settled_through(), _midnight(self._lasting)
        statements = [key for index in range(settled) if ledger.classed(index) is None for key in self._of(index)[:1]]
        stamps = of_sizes(self.files.keys(STAMPS), 0, settled)
        changes = of_handovers(self.files.keys(KEYS), settled)
        keys = [*full_tiles(0, settled), *statements, *stamps, *changes, *FIRST_FILES]
        for key, found in zip(keys, self.files.locks(keys), strict=True):
            if found is not None and found[0] < until:
                day = _shown(until).removeprefix("on ")
                words = f"its lock ends {_shown(found[0])}, and documents have to last until {day}"
                self._locks.append(Fault(key, words))


def _commits(leaf: bytes, data: bytes) -> bool:
    try:
        return Leaf.parse(leaf).commit == record.commitment_of(data)
    except RecordError:
        return False


def _is_statement(data: bytes) -> bool:
    try:
        return record.kind_of(data) != "document"
    except RecordError:
        return False


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _seconds(time: str | None) -> int:
    return 0 if time is None else int(datetime.fromisoformat(time).timestamp())


def _shown(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("on %Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        return f"at {seconds}"
