"""What an archive says of itself as a whole, and of one of its records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from obhut.archive.actions import settle, stamp
from obhut.archive.actions.survey import survey
from obhut.archive.ledger import NEEDED
from obhut.archive.record import index_of, record_key
from obhut.archive.stamps import STAMPS, lines
from obhut.archive.statement import Statement
from obhut.archive.store import shown
from obhut.archive.vault import parsed_any
from obhut.errors import ObhutError

if TYPE_CHECKING:
    from obhut.archive.actions.survey import Survey
    from obhut.archive.ledger import Ledger
    from obhut.archive.record import Document
    from obhut.archive.vault import Vault


@dataclass(frozen=True, slots=True)
class Status:
    """An archive as a whole."""

    entries: int
    documents: int
    disposed: int
    #: Audit records that are there, and those that were disposed of.
    reads: int
    reads_disposed: int
    #: Documents whose locks last as long as the law asks.
    settled: int
    #: Those whose time to withdraw has passed, and that `settle` has not come to.
    overdue: int
    #: When the locks of the storage were probed last, and whether they held.
    probed: dict[str, Any] | None
    #: Documents that a hold keeps.
    held: int
    #: To whom everything is sealed; nobody in an archive that is not encrypted.
    recipients: list[str]
    #: The key that signs the log, and from which size on.
    log_key: str
    log_key_since: int
    #: What each authority says of the newest checkpoint that it stamped.
    stamps: list[str]
    people: list[dict[str, Any]]
    holds: list[dict[str, Any]]
    #: Proposals of which something is left to do.
    proposals: list[dict[str, Any]]
    #: How many documents the law in force releases at the end of which year.
    ends: dict[str, int]


def status(vault: Vault, now: str) -> Status:
    """Reads the history and tells. Raises ``archive-damaged``."""
    today = date.fromisoformat(now[:10])
    seen = survey(vault)
    ledger = seen.ledger
    live = seen.live()
    ends = Counter(str(end.year) if (end := ledger.end(index, today)) else "open" for index in live)
    size = vault.stated().checkpoint.size
    changes = vault.keys.before(size).handovers
    return Status(
        entries=size,
        log_key=str(vault.keys.at(size)),
        log_key_since=changes[-1].checkpoint.size if changes else 0,
        documents=len(live),
        disposed=len(ledger.gone.keys() & ledger.documents.keys()),
        reads=len(seen.live_reads()),
        reads_disposed=len(ledger.gone.keys() & ledger.reads.keys()),
        settled=sum(index < ledger.settled_through() for index in live),
        overdue=settle.overdue(seen, now),
        recipients=list(vault.described.recipients),
        stamps=lines(stamp.judged(seen)) if vault.store.any(STAMPS) else [],
        probed={"at": ledger.probed[0], "held": ledger.probed[2]} if ledger.probed else None,
        held=sum(bool(ledger.held(index, today)) for index in live),
        people=[{"name": person.name, "key": person.key} for person in ledger.people.values()],
        holds=[
            {"id": hold.statement.id, "documents": len(hold.covers), **_said(hold.statement, "who", "why", "until")}
            for hold in ledger.holds.values()
            if hold.stands(today)
        ],
        proposals=_proposals(ledger),
        ends=dict(sorted(ends.items())),
    )


def _proposals(ledger: Ledger) -> list[dict[str, Any]]:
    return [
        {
            "id": proposal.statement.id,
            "documents": len(left),
            "signed": list(proposal.signers),
            "needed": NEEDED,
            **_said(proposal.statement, "action", "why"),
        }
        for proposal in ledger.proposals.values()
        if (left := proposal.covers - ledger.gone.keys())
    ]


def _said(statement: Statement, *names: str) -> dict[str, Any]:
    return {name: statement.facts[name] for name in names}


def show(vault: Vault, id: str, today: date) -> dict[str, Any]:
    """Everything that the archive knows of a record. Raises ``document-unknown``."""
    seen = survey(vault)
    try:
        index = index_of(id)
    except ValueError as error:
        raise ObhutError("document-unknown", id, str(error)) from None
    if index in seen.ledger.gone:
        return _of_gone(seen, index, id)
    if seen.key(index) != record_key(id):
        raise ObhutError("document-unknown", id)
    found = parsed_any(id, vault.record(id))
    if isinstance(found, Statement):
        ends = _ends(seen, index, today) if index in seen.ledger.reads else {}
        return {"id": id, "type": found.kind, "at": found.at, **found.facts, **ends}
    return _of_document(seen, found, today)


def _ends(seen: Survey, index: int, today: date) -> dict[str, Any]:
    """What an audit record has besides what it says."""
    ledger = seen.ledger
    [lock] = seen.vault.store.locks([str(seen.key(index))])
    return {
        "class": ledger.reads[index][0],
        "keep_until": end.isoformat() if (end := ledger.end(index, today)) else None,
        "locked_until": shown(lock[0]) if lock else None,
        "holds": [ledger.holds[leaf].statement.id for leaf in ledger.held(index, today)],
        "proposals": [proposal.statement.id for proposal in ledger.proposals.values() if index in proposal.covers],
    }


def _of_document(seen: Survey, document: Document, today: date) -> dict[str, Any]:
    ledger, index = seen.ledger, document.index
    key = document.key
    [lock] = seen.vault.store.locks([key])
    end = ledger.end(index, today)
    settled = ledger.settled_on(index)
    return {
        "id": document.id,
        "type": "document",
        "name": document.name,
        "size": document.size,
        "sha256": document.digest,
        "class": document.category,
        "event": str(event) if (event := ledger.event(index)) else None,
        "received": document.received,
        "source": document.source,
        "keep_until": end.isoformat() if end else None,
        "locked_until": shown(lock[0]) if lock else None,
        "settled": settled[0].isoformat() if settled else None,
        "withdrawn": ledger.withdrawn(index),
        "holds": [ledger.holds[leaf].statement.id for leaf in ledger.held(index, today)],
        "proposals": [proposal.statement.id for proposal in ledger.proposals.values() if index in proposal.covers],
        "reads": [seen.id(read) for read, of in ledger.read_of.items() if index in of and read not in ledger.gone],
        "object": key,
        "record": record_key(document.id),
    }


def _of_gone(seen: Survey, index: int, id: str) -> dict[str, Any]:
    """What is left of a document, or of an audit record: its certificate."""
    leaf = seen.ledger.gone[index]
    category, event = seen.ledger.classed(index) or (None, None)
    certificate = Statement.parse(seen.vault.record(seen.id(leaf)))
    return {
        "id": id,
        "type": "document" if index in seen.ledger.documents else "read",
        "disposed": certificate.at,
        "class": category,
        "event": event,
        "certificate": certificate.id,
        **certificate.facts,
    }
