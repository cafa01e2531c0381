"""Locks on what the log is made of: as long as the last lock of its documents and audit records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from obhut.archive.description import DESCRIPTION
from obhut.archive.lasting import FIRST_FILES, full_tiles, of_handovers, of_sizes
from obhut.archive.record import KEYS
from obhut.archive.stamps import STAMPS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from obhut.archive.actions.survey import Survey
    from obhut.archive.store import Store

#: Keys whose locks are extended together.
GROUP: Final = 512

#: Days that the log lasts at least, while a document waits for its event: nobody knows how long that will be.
_WAITING: Final = 400


def extend(seen: Survey, through: int, today: date) -> None:
    """Extends the locks of everything that the log is made of to the last day of what it proves before leaf ``through``.

    All of it if that day moved on, else what came since the last settling. A stop leaves the archive's description with
    its old lock, and so the next run all of it to do.
    """
    until = _until(seen, through, today)
    if until is None:
        return
    store = seen.vault.store
    [mark] = store.locks([DESCRIPTION])
    first = 0 if mark is None or mark[0] < until else seen.ledger.settled_through()
    size = seen.vault.stated().checkpoint.size
    records = (seen.key(index) for index in range(first, size) if seen.ledger.classed(index) is None)
    keys = [*full_tiles(first, size), *filter(None, records), *of_sizes(store.keys(STAMPS), first, size)]
    keys += of_handovers(store.keys(KEYS), size)
    for at in range(0, len(keys), GROUP):
        store.extend([(key, until) for key in keys[at : at + GROUP]])
    for key in FIRST_FILES:
        store.extend([(key, until)])


def _until(seen: Survey, through: int, today: date) -> int | None:
    """The last day up to which a document or an audit record has to last, as Unix seconds; nothing if none has to."""
    ledger = seen.ledger
    chosen = [index for index in seen.live() if index < through and not ledger.withdrawn(index)]
    ends = [*chosen, *(index for index in seen.live_reads() if index < through)]
    days = [day for index in ends if (day := ledger.free_from(index, today)) is not None]
    if any(ledger.event(index) is None for index in chosen):
        days.append(today + timedelta(days=_WAITING))
    if not days:
        return None
    day = max(days)
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def follow(source: Store, target: Store, size: int, new: Sequence[str]) -> None:
    """Extends locks in a mirror to those of its archive: all, if they moved there, else those of ``new`` keys."""
    ours, theirs = (store.locks([DESCRIPTION])[0] for store in (source, target))
    moved = ours is not None and (theirs is None or theirs[0] < ours[0])
    keys = [*full_tiles(0, size), *source.keys(STAMPS), *of_handovers(source.keys(KEYS), size)] if moved else list(new)
    for at in range(0, len(keys), GROUP):
        _extend(source, target, keys[at : at + GROUP])
    for key in FIRST_FILES:
        _extend(source, target, [key])


def _extend(source: Store, target: Store, keys: Sequence[str]) -> None:
    locks = [(key, lock[0]) for key, lock in zip(keys, source.locks(keys), strict=True) if lock is not None]
    target.extend(locks)
