"""Holds: reasons to keep documents beyond every end. They are counted: a document is free when its last one has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from obhut.archive.actions.survey import file, survey
from obhut.archive.record import index_of, keys_of
from obhut.archive.vault import Draft
from obhut.errors import ObhutError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date
    from pathlib import Path

    from obhut.archive.actions.survey import Survey
    from obhut.archive.vault import Filed, Vault


def hold(vault: Vault, key_path: Path, ids: Sequence[str], who: str, why: str, until: date | None, now: str) -> Filed:
    """Holds documents. Their marks are durable before the log says so: a stop leaves them held. Raises ``document-unknown``."""
    with vault.writing(key_path) as intake:
        seen = survey(vault)
        documents = seen.chosen(ids)
        facts = {
            "documents": [document.id for document in documents],
            "who": who,
            "why": why,
            "until": until.isoformat() if until else None,
        }
        marked = sorted({key for document in documents for key in keys_of(document)})
        [filed] = file(intake, seen, [Draft("hold", facts)], now, lambda: vault.store.hold(marked))
    return filed


def release(
    vault: Vault, key_path: Path, id: str, who: str, why: str, now: str, today: date
) -> tuple[Filed | None, int]:
    """Ends a hold; gives the statement, and how many documents nothing else holds. Marks go after the log says so.

    One that was released already gives no statement; marks that a stop has left go.
    """
    with vault.writing(key_path) as intake:
        seen = survey(vault)
        index = _index(id)
        if index not in seen.ledger.holds or seen.ledger.holds[index].statement.id != id:
            raise ObhutError("hold-unknown", id)
        filed = None
        if seen.ledger.holds[index].released is None:
            [filed] = file(intake, seen, [Draft("release", {"who": who, "why": why}, index)], now)
        align(seen, today)
        free = [at for at in seen.ledger.holds[index].covers if not seen.ledger.held(at, today)]
    return filed, len(free)


def align(seen: Survey, today: date) -> None:
    """Puts and takes marks, so that just what is held on a day has them: a stop, or the end of a hold, may have left others."""
    store = seen.vault.store
    wanted = set(_keys(seen, today))
    there = set(store.held())
    if missing := sorted(wanted - there):
        store.hold(missing)
    store.unhold(sorted(there - wanted))


def _keys(seen: Survey, today: date) -> Iterable[str]:
    """Records and objects of all documents that are held, or whose event has not come."""
    ledger = seen.ledger
    covered = {index for hold in ledger.holds.values() if hold.stands(today) for index in hold.covers}
    covered |= {index for index, (_, event) in ledger.documents.items() if event is None and ledger.waits(index)}
    for index in sorted(covered - ledger.gone.keys()):
        document = seen.document(index)
        if document is not None:
            yield from keys_of(document)


def _index(id: str) -> int:
    try:
        return index_of(id)
    except ValueError as error:
        raise ObhutError("hold-unknown", id, str(error)) from None
