"""Time stamps of an archive's checkpoints: where they lie, and what they prove. Pure.

A stamp says that a checkpoint was there at a time, and with it every leaf that it covers. Stamps lie beside the log:
``stamps/<log>/<size>/checkpoint`` is the note that was stamped, letter for letter, and ``<authority>-<time>.tsr`` each answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from obhut.archive.replay import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from obhut.archive.ledger import Ledger
    from obhut.log.note import Checkpoint

#: Where the stamps of the first log lie.
STAMPS: Final = "stamps/1"

#: Clocks of authorities may differ by so much.
APART: Final = 60

_KEY: Final = re.compile(r"stamps/1/(0|[1-9][0-9]{0,15})/([a-z0-9][a-z0-9-]{0,39})-([0-9]{8}T[0-9]{6}Z)\.tsr")


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """An answer of an authority, by its key."""

    size: int
    #: As its name says it, ``20261127T120000Z``.
    time: str
    authority: str

    @property
    def key(self) -> str:
        """Where it lies."""
        return f"{STAMPS}/{self.size}/{self.authority}-{self.time}.tsr"


def note_key(size: int) -> str:
    """Where the note of a stamped checkpoint lies."""
    return f"{STAMPS}/{size}/checkpoint"


def stamp_of(key: str) -> Stamp | None:
    """The stamp under a key; nothing for a key that no stamp has."""
    found = _KEY.fullmatch(key)
    return Stamp(int(found[1]), found[3], found[2]) if found else None


def named(time: int) -> str:
    """A time in the name of a stamp."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y%m%dT%H%M%SZ")


@dataclass(frozen=True, slots=True)
class Proved:
    """What a stamp proves."""

    stamp: Stamp
    #: Unix seconds.
    time: int
    #: Whose it is: PEM.
    certificates: str


@dataclass(slots=True)
class Judged:
    """What all stamps prove, and what is wrong with them."""

    proved: list[Proved]
    faults: list[Fault]


def judge_stamps(
    get: Callable[[str], bytes],
    keys: Iterable[str],
    checkpoint_of: Callable[[bytes], Checkpoint],
    time_of: Callable[[bytes, bytes, str], int],
    continues: Callable[[Checkpoint], str | None],
    ledger: Ledger,
) -> Judged:
    """Judges stamps: each is of an authority that the log names, over a checkpoint of this log from which it goes on.

    ``checkpoint_of`` gives a checkpoint that the log's key signed; ``time_of`` the time of an answer over a SHA-256 by the
    owner of certificates; both raise ``ValueError``. ``continues`` says what speaks against the log going on from it.
    """
    judged = Judged([], [])
    for key in keys:
        stamp = stamp_of(key)
        if stamp is None:
            if key.rpartition("/")[2] != "checkpoint":
                judged.faults.append(Fault(key, "no stamp has such a name"))
            continue
        try:
            judged.proved.append(_proved(get, stamp, checkpoint_of, time_of, continues, ledger))
        except (ValueError, OSError) as error:
            judged.faults.append(Fault(key, str(error) or "it is missing"))
    judged.proved.sort(key=lambda proof: (proof.stamp.size, proof.time))
    _in_order(judged, ledger)
    return judged


def _proved(
    get: Callable[[str], bytes],
    stamp: Stamp,
    checkpoint_of: Callable[[bytes], Checkpoint],
    time_of: Callable[[bytes, bytes, str], int],
    continues: Callable[[Checkpoint], str | None],
    ledger: Ledger,
) -> Proved:
    note = get(note_key(stamp.size))
    checkpoint = checkpoint_of(note)
    if checkpoint.size != stamp.size:
        raise ValueError(f"its checkpoint is of {checkpoint.size} entries")
    if why := continues(checkpoint):
        raise ValueError(why)
    time, certificates = _by_any(
        sha256(note).digest(), get(stamp.key), ledger.certificates.get(stamp.authority, []), time_of
    )
    if named(time) != stamp.time:
        raise ValueError(f"it was made at {named(time)}")
    return Proved(stamp, time, certificates)


def _by_any(
    digest: bytes, reply: bytes, certificates: Iterable[str], time_of: Callable[[bytes, bytes, str], int]
) -> tuple[int, str]:
    """An authority may have had several certificates."""
    why = "the log names no such authority"
    for pem in certificates:
        try:
            return time_of(digest, reply, pem), pem
        except ValueError as error:
            why = str(error)
    raise ValueError(why)


def _in_order(judged: Judged, ledger: Ledger) -> None:
    """A longer log is not older than a shorter one, and nothing in a log speaks of a day after its stamp."""
    newest = 0
    for proof in judged.proved:
        if proof.time < newest - APART:
            judged.faults.append(Fault(proof.stamp.key, "a shorter log was stamped later: one of the clocks is wrong"))
        newest = max(newest, proof.time)
        day = datetime.fromtimestamp(proof.time, UTC).date() + timedelta(days=1)
        if early := ledger.later_than(proof.stamp.size, day):
            judged.faults.append(Fault(f"leaf {early[0]}", f"it speaks of {early[1]}, and was stamped before"))


def lines(judged: Judged) -> list[str]:
    """For people: the newest stamp of each authority."""
    newest = {proof.stamp.authority: proof for proof in sorted(judged.proved, key=lambda proof: proof.time)}
    return [
        f"{name} saw the log of {proof.stamp.size} entries on "
        f"{datetime.fromtimestamp(proof.time, UTC).strftime('%Y-%m-%d at %H:%M:%S UTC')}"
        for name, proof in sorted(newest.items())
    ]
