"""Settling: after the time to withdraw has passed, the locks of documents last as long as the law asks.

And the events that come later, such as the end of a contract: then it is known how long that is. Audit records, which
nobody withdraws, are settled like documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from obhut.archive.actions import holds, lasting
from obhut.archive.actions.survey import file, survey
from obhut.archive.record import Document, keys_of
from obhut.archive.store import seconds
from obhut.archive.vault import Draft
from obhut.errors import ObhutError

if TYPE_CHECKING:
    from pathlib import Path

    from obhut.archive.actions.survey import Survey
    from obhut.archive.statement import Statement
    from obhut.archive.vault import Filed, Vault

#: How long two people may withdraw a document that was misfiled.
SETTLING: Final = 14 * 86400

#: Documents whose locks are extended together.
GROUP: Final = 256


@dataclass(frozen=True, slots=True)
class Settled:
    """What was done."""

    #: Documents whose locks last to their full date now.
    documents: int
    #: Audit records likewise.
    reads: int
    #: Documents that two people withdrew in time.
    withdrawn: int
    #: Ids of documents whose class this version does not know: their locks stay as they are.
    unknown: list[str]
    #: Documents whose event has not come: they stay as long as it has not.
    open: int
    #: Documents that are not due yet.
    waiting: int
    #: Files that writers who were stopped had left half written.
    swept: int
    #: What the log says of it; nothing if nothing was due.
    filed: Filed | None


def settle(vault: Vault, key_path: Path, now: str) -> Settled:
    """Extends the locks of documents and audit records that are older than the settling time, then says so in the log.

    A stop between the two leaves longer locks and no statement: the next run says it. Marks of holds are put right, too,
    and what stopped writers left half written goes.
    """
    today = date.fromisoformat(now[:10])
    with vault.writing(key_path) as intake:
        seen = survey(vault)
        found, waiting = _due(seen, seconds(now) - SETTLING)
        through = max((item.index + 1 for item in found), default=0)
        due = [item for item in found if isinstance(item, Document)]
        reads = [item.index for item in found if not isinstance(item, Document)]
        withdrawn = [document for document in due if seen.ledger.withdrawn(document.index)]
        unknown = [document.id for document in due if seen.ledger.category(document.index) is None]
        to_come = sum(seen.ledger.event(document.index) is None for document in due)
        dates = _dates(seen, due, today)
        for at in range(0, len(dates), 2 * GROUP):
            vault.store.extend(dates[at : at + 2 * GROUP])
        locked = _extend_reads(seen, reads, today)
        lasting.extend(seen, max(through, seen.ledger.settled_through()), today)
        filed = None
        if found:
            facts = {"through": through, "documents": len(dates) // 2}
            [filed] = file(intake, seen, [Draft("settled", facts, through - 1)], now)
        holds.align(seen, today)
        swept = vault.store.sweep()
    return Settled(len(dates) // 2, locked, len(withdrawn), unknown, to_come, waiting, swept, filed)


def tell_event(vault: Vault, key_path: Path, id: str, day: date, why: str, now: str) -> tuple[Filed, date | None]:
    """Says that the event of a document has come; gives the statement, and the last day that the law asks for it then.

    A lock of a document that is settled is extended before the log says so. Raises ``document-unknown``, ``unlawful``.
    """
    today = date.fromisoformat(now[:10])
    with vault.writing(key_path) as intake:
        seen = survey(vault)
        [document] = seen.chosen([id])
        category = seen.ledger.category(document.index)
        if day > today + timedelta(days=1) and not (category and category.start == "event"):
            raise ObhutError("invalid-argument", "--date", f"{day} lies in the future")

        def extend() -> None:
            if seen.ledger.settled_on(document.index) is not None:
                vault.store.extend(_dates(seen, [document], today))
                lasting.extend(seen, seen.ledger.settled_through(), today)

        draft = Draft("event", {"day": day.isoformat(), "why": why}, document.index)
        [filed] = file(intake, seen, [draft], now, extend)
        holds.align(seen, today)
    return filed, seen.ledger.end(document.index, today)


def lengthen(seen: Survey, name: str, today: date) -> None:
    """Extends the locks of everything settled in a class, and of the log, to what it asks for now."""
    ledger = seen.ledger
    indexes = [index for index in seen.live() if ledger.documents[index][0] == name and ledger.settled_on(index)]
    for at in range(0, len(indexes), GROUP):
        documents = filter(None, map(seen.document, indexes[at : at + GROUP]))
        seen.vault.store.extend(_dates(seen, list(documents), today))
    reads = [index for index in seen.live_reads() if ledger.reads[index][0] == name and ledger.settled_on(index)]
    _extend_reads(seen, reads, today)
    lasting.extend(seen, ledger.settled_through(), today)


def overdue(seen: Survey, now: str) -> int:
    """How many documents wait for `settle` though their time to withdraw has passed."""
    return sum(isinstance(item, Document) for item in _due(seen, seconds(now) - SETTLING)[0])


def _due(seen: Survey, before: int) -> tuple[list[Document | Statement], int]:
    """Documents and audit records in order of their leaves up to the first one that came in after ``before``.

    And how many documents follow.
    """
    ledger = seen.ledger
    rest = sorted(index for index in (*seen.live(), *seen.live_reads()) if index >= ledger.settled_through())
    due: list[Document | Statement] = []
    for index in rest:
        item = seen.document(index) if index in ledger.documents else seen.read(index)
        if item is None:
            continue  # its disposal was begun
        if seconds(item.received if isinstance(item, Document) else item.at) > before:
            break
        due.append(item)
    documents = sum(index in ledger.documents for index in rest)
    return due, documents - sum(isinstance(item, Document) for item in due)


def _extend_reads(seen: Survey, reads: list[int], today: date) -> int:
    """Locks of audit records last to the day on which they may go; gives of how many that is known."""
    days = [(seen.key(index), seen.ledger.free_from(index, today)) for index in reads]
    dates = [(key, _midnight(day)) for key, day in days if key is not None and day is not None]
    for at in range(0, len(dates), 2 * GROUP):
        seen.vault.store.extend(dates[at : at + 2 * GROUP])
    return len(dates)


def _dates(seen: Survey, due: list[Document], today: date) -> list[tuple[str, int]]:
    """Keys, and until when they have to be locked. Pure."""
    dates = []
    for document in due:
        day = seen.ledger.free_from(document.index, today)
        if day is not None and not seen.ledger.withdrawn(document.index):
            dates += [(key, _midnight(day)) for key in keys_of(document)]
    return dates


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
