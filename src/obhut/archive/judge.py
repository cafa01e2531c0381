"""Judges a whole archive: its log, its records, its objects, their locks, and whether it goes on from what was known of it.

Nothing that is stored is believed, and every fault is named. No I/O of its own, and nothing but the standard library:
Obhut and the verifier for strangers judge by the same lines, each with its own way to read and hash.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Protocol

from obhut.archive.description import DESCRIPTION
from obhut.archive.inventory import Inventory, Leaves
from obhut.archive.lasting import of_handovers
from obhut.archive.ledger import Ledger
from obhut.archive.record import KEYS
from obhut.archive.replay import Fault, read_into
from obhut.archive.stamps import STAMPS, judge_stamps, lines
from obhut.log import merkle, tiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from obhut.archive.sshsig import Check
    from obhut.log.handover import Keys
    from obhut.log.note import Checkpoint


class Files(Protocol):
    """How an archive is read."""

    def get(self, key: str) -> bytes:
        """The bytes of a key. Raises ``OSError``."""

    def expect(self, keys: Sequence[str]) -> None:
        """These will be asked for next, one by one: whoever can has them at hand then."""

    def keys(self, folder: str) -> list[str]:
        """All keys below a folder."""

    def hashed(self, keys: Sequence[str]) -> list[tuple[str, int] | str]:
        """SHA-256 in hex and size of each, or why there is none."""

    def opened(self, keys: Sequence[str]) -> list[tuple[str, int] | str]:
        """SHA-256 in hex and size of what each sealed object holds, or why there is none; no list where nobody asks for it."""

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
    #: Audit records that are there, and that went, lawfully.
    reads: int = 0
    reads_disposed: int = 0
    objects: int = 0
    bytes: int = 0
    #: What each authority says of the newest checkpoint that it stamped.
    stamps: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    #: What is no fault, and yet nobody expects.
    remarks: list[Fault] = field(default_factory=list)


#: Says what speaks against the log going on from a checkpoint; nothing if it does.
Continues = Callable[["Checkpoint"], "str | None"]

#: Told ``(verdict so far, all objects, all bytes)``.
Progress = Callable[[Verdict, int, int], None]


@dataclass(frozen=True, slots=True)
class Judges:
    """Those whom the judge asks."""

    #: Checks Ed25519 signatures.
    verify: Check
    #: The keys of the log, as they handed over in the archive.
    keys: Keys
    #: Gives a checkpoint that the log's key in charge signed. Raises ``ValueError``.
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
    leaves = Leaves(read_leaves(files.get, log, checkpoint, verdict.faults))
    inventory = Inventory(files, verdict)
    ledger = Ledger(checkpoint.origin, judges.verify)
    verdict.faults += read_into(ledger, leaves, lambda index: inventory.statement(index, leaves.whole.get(index)))
    if early := ledger.later_than(checkpoint.size, today + timedelta(days=1)):  # in the east tomorrow has begun
        verdict.faults.append(Fault(f"leaf {early[0]}", f"it speaks of {early[1]}, which is yet to come"))
    continues = continuity(checkpoint, lambda path: files.get(f"{log}/{path}"))
    _stamps(files, continues, judges, ledger, verdict)
    _keys(files, continues, judges.keys, checkpoint.size, ledger, verdict)
    _description(files, ledger, leaves, verdict)
    inventory.judge(leaves, ledger, today, progress)
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


def _stamps(files: Files, continues: Continues, judges: Judges, ledger: Ledger, verdict: Verdict) -> None:
    """Each stamp is one, over a checkpoint from which the log goes on."""
    judged = judge_stamps(files.get, files.keys(STAMPS), judges.checkpoint, judges.stamp, continues, ledger)
    verdict.faults += judged.faults
    verdict.stamps = lines(judged)


def _keys(files: Files, continues: Continues, keys: Keys, size: int, ledger: Ledger, verdict: Verdict) -> None:
    """The keys handed over where the log says so, to whom it says, and nowhere else; and the log goes on from there."""
    there = {f"{KEYS}/{change.name}.{end}" for change in keys.handovers for end in ("note", "vkey")}
    every = files.keys(KEYS)
    stated = set(of_handovers(every, size))
    for key in every:
        if key not in stated:
            words = "a change of keys that was begun and not ended; the next writer takes it away"
            verdict.remarks.append(Fault(key, words))
        elif key not in there:
            verdict.faults.append(Fault(key, "it does not hand over from the key in charge"))
    said = dict(ledger.keys)
    for change in keys.before(size).handovers:
        note, public = (f"{KEYS}/{change.name}.{end}" for end in ("note", "vkey"))
        if said.pop(change.checkpoint.size - 1, None) != str(change.new):
            verdict.faults.append(Fault(note, "the log does not say that its key was changed to this one"))
        if why := continues(change.checkpoint):
            verdict.faults.append(Fault(note, why))
        try:
            same = files.get(public).decode().strip() == str(change.new)
        except (OSError, UnicodeDecodeError):
            same = False
        if not same:
            verdict.faults.append(Fault(public, "it is missing, or not the key that was handed over to"))
    for index in said:
        verdict.faults.append(Fault(f"leaf {index}", "it names a new key, and the key before did not hand over to it"))


def continuity(now: Checkpoint, fetch: Callable[[str], bytes]) -> Continues:
    """A function that says what speaks against the log of ``now`` going on from a known checkpoint."""
    reader = tiles.Reader(now.size, fetch)

    def continues(known: Checkpoint) -> str | None:
        try:
            found = discontinuity(known, now, reader)
        except (tiles.TileError, OSError) as error:
            return _reason(error)
        return found[1] if found else None

    return continues


def _description(files: Files, ledger: Ledger, leaves: Leaves, verdict: Verdict) -> None:
    """``archive.json`` holds what the log's first record says."""
    if ledger.description is None:
        if 0 in leaves.whole and not verdict.faults:
            verdict.faults.append(Fault("leaf 0", "it does not describe the archive"))
        return
    try:
        same = files.get(DESCRIPTION) == ledger.description.encode()
    except OSError as error:
        verdict.faults.append(Fault(DESCRIPTION, _reason(error)))
        return
    if not same:
        verdict.faults.append(Fault(DESCRIPTION, "it is not what the first record of the log says"))


def _reason(error: Exception) -> str:
    return "it is missing" if isinstance(error, FileNotFoundError) else str(error)
