"""The lawful end: proposed by the rules, signed by two people, done in one place, and certified in the log.

Order: what goes is removed, durably; that it is gone is looked at; then the log says so. After a stop in between the next
run finds it gone and certifies it; meanwhile :mod:`obhut.archive.judge` says that a disposal was begun.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from obhut.archive.actions import holds
from obhut.archive.actions.survey import file, survey
from obhut.archive.classes import POLICY
from obhut.archive.probe import CANARIES
from obhut.archive.record import LOG, index_of
from obhut.archive.statement import approval_text
from obhut.archive.store import seconds, shown
from obhut.archive.vault import Draft
from obhut.errors import ObhutError
from obhut.log import tiles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from obhut.archive.actions.people import Signatory
    from obhut.archive.actions.survey import Survey
    from obhut.archive.clocks import Agreed
    from obhut.archive.ledger import Proposal
    from obhut.archive.vault import Filed, Intake, Vault
    from obhut.job import Reporter

#: Documents and audit records that are disposed of before the log says so.
GROUP: Final = 64

_STAGED: Final = re.compile(r"staging/([0-9]{1,18})-[0-9a-f]+")
_NARROW: Final = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/)*[0-9]{3})\.p/[0-9]{1,3}")


@dataclass(slots=True)
class Outcome:
    """What a disposal did."""

    #: The certificates of what went.
    certificates: list[Filed] = field(default_factory=list)
    #: Ids of those that did not, and why.
    kept: list[tuple[str, str]] = field(default_factory=list)


def candidates(seen: Survey, agreed: Agreed) -> list[int]:
    """What the law has released, nobody holds, and nobody has proposed to dispose of yet: documents, audit records. Pure.

    A withdrawal that came to nothing is no such proposal: its document ends like any other.
    """
    ledger = seen.ledger
    named = {
        index for proposal in ledger.proposals.values() if proposal.action == "dispose" for index in proposal.covers
    }
    found = []
    for index in sorted((*seen.live(), *seen.live_reads())):
        free = ledger.free_from(index, agreed.day)
        if index not in named and free is not None and free <= agreed.day and not ledger.held(index, agreed.day):
            found.append(index)
    return found


def propose(vault: Vault, key_path: Path, agreed: Agreed, why: str, now: str) -> Filed | None:
    """Proposes everything that may go; nothing if there is nothing."""
    with vault.writing(key_path) as intake:
        seen = survey(vault)
        ids = [seen.id(index) for index in candidates(seen, agreed) if seen.key(index)]
        if not ids:
            return None
        facts = {"action": "dispose", "documents": ids, "why": why, "clock": agreed.time}
        [filed] = file(intake, seen, [Draft("proposal", facts)], now)
    return filed


def withdraw(vault: Vault, key_path: Path, ids: Sequence[str], why: str, now: str) -> Filed:
    """Proposes that documents were misfiled: signed in time, they go when their first lock ends."""
    with vault.writing(key_path) as intake:
        seen = survey(vault)
        documents = [document.id for document in seen.chosen(ids)]
        facts = {"action": "withdraw", "documents": documents, "why": why, "clock": now}
        [filed] = file(intake, seen, [Draft("proposal", facts)], now)
    return filed


def approval_of(vault: Vault, id: str) -> bytes:
    """What a person has to sign to approve a proposal: for people who sign elsewhere."""
    proposal = found(survey(vault), id)
    return approval_text(vault.origin, id, proposal.digest)


def approve(vault: Vault, key_path: Path, id: str, person: Signatory, now: str) -> Proposal:
    """Adds somebody's signature to a proposal; gives it with all its signatures. Raises ``proposal-unknown``, ``unlawful``."""
    with vault.writing(key_path) as intake:
        seen = survey(vault)
        proposal = found(seen, id)
        signature = person.sign(approval_text(vault.origin, id, proposal.digest))
        facts = {"name": person.name, "signature": signature}
        file(intake, seen, [Draft("approval", facts, index_of(id))], now)
    return proposal


def found(seen: Survey, id: str) -> Proposal:
    """A proposal by its id. Raises ``proposal-unknown``."""
    try:
        proposal = seen.ledger.proposals.get(index_of(id))
    except ValueError as error:
        raise ObhutError("proposal-unknown", id, str(error)) from None
    if proposal is None or proposal.statement.id != id:
        raise ObhutError("proposal-unknown", id)
    return proposal


def dispose(
    vault: Vault, key_path: Path, id: str, agreed: Agreed, now: str, reporter: Reporter, copies: Sequence[str] = ()
) -> Outcome:
    """Carries out a proposal as far as the law, the holds and the locks allow on the agreed day.

    ``copies`` are the places where copies remain, for the certificates.
    Raises ``proposal-unapproved`` while signatures are missing, and in a bucket ``disposal-credential``,
    ``intake-deletes`` or ``disposal-refused`` before anything goes. What stays is reported with its reason; another run goes on.
    """
    outcome = Outcome()
    with vault.writing(key_path) as intake:
        seen = survey(vault)
        proposal = found(seen, id)
        if proposal.approved is None:
            signed = ", ".join(proposal.signers) or "nobody"
            raise ObhutError("proposal-unapproved", id, f"{signed} has signed it; two people have to")
        vault.store.ready_to_remove()
        holds.align(seen, agreed.day)
        tidy(seen, seconds(agreed.time))
        left = sorted(proposal.covers - seen.ledger.gone.keys())
        uses = _uses(seen)
        for at in range(0, len(left), GROUP):
            counters = {"items_done": at, "total_items": len(left), "bytes_done": 0, "total_bytes": 0}
            reporter.progress("dispose", {**counters, "total_known": 1, "errors": len(outcome.kept)}, [])
            _group(intake, seen, proposal, left[at : at + GROUP], uses, agreed, now, outcome, copies)
        reporter.end_progress()
    return outcome


def tidy(seen: Survey, now: int) -> int:
    """Removes what the intake leaves in a bucket because it may delete nothing; gives how many files. ``now`` is Unix seconds.

    The signed size of the log says what that is: batches that are stated, narrow tiles whose full one is, records beside
    the one that was logged; and canaries of the probe. What is locked stays until a later run.
    """
    store = seen.vault.store
    if not store.shared:
        return 0
    size = seen.vault.stated().checkpoint.size
    served = [key for key in store.keys(LOG) if _is_over(key.removeprefix(f"{LOG}/"), size)]
    gone = 0
    for key in [*served, *seen.spare, *store.keys(CANARIES)]:
        try:
            store.remove(key, now)
        except ObhutError as error:
            if error.id != "document-locked":
                raise
        else:
            gone += 1
    return gone


def _is_over(path: str, size: int) -> bool:
    """Whether a file of the log has served: a batch that is stated, a narrow tile whose full one is stated. Pure."""
    if batch := _STAGED.fullmatch(path):
        return int(batch[1]) <= size
    if not (narrow := _NARROW.fullmatch(path)):
        return False
    level = 0 if narrow[1] == "entries" else int(narrow[1])
    index = int(narrow[2].replace("/", "").replace("x", ""))
    return (index + 1) * tiles.WIDTH <= size >> 8 * level


def _uses(seen: Survey) -> Counter[str]:
    """How many records name each object."""
    documents = (seen.document(index) for index in seen.live())
    return Counter(document.key for document in documents if document is not None)


def _group(
    intake: Intake,
    seen: Survey,
    proposal: Proposal,
    indexes: Sequence[int],
    uses: Counter[str],
    agreed: Agreed,
    now: str,
    outcome: Outcome,
    copies: Sequence[str],
) -> None:
    drafts = []
    for index in indexes:
        why = seen.ledger.disposable(index, proposal, agreed.day)
        if why is None:
            try:
                what = _remove(seen, index, uses, seconds(agreed.time))
            except ObhutError as error:
                if error.id != "document-locked":
                    raise
                why = error.detail
            else:
                drafts.append(_certificate(seen, proposal, index, agreed, what, copies))
                continue
        outcome.kept.append((seen.id(index), why))
    if drafts:
        outcome.certificates += file(intake, seen, drafts, now)


def _remove(seen: Survey, index: int, uses: Counter[str], now: int) -> str:
    """Removes one document, or audit record: the only place where Obhut does. Gives what became of its bytes.

    Nothing is removed unless all of it may be: locks of both are looked at before.
    """
    store, record = seen.vault.store, seen.key(index)
    if record is None:
        return "gone"
    document = seen.document(index) if index in seen.ledger.documents else None
    last = document is None or uses[document.key] == 1
    keys = [document.key, record] if document and last else [record]
    for key, lock in zip(keys, store.locks(keys), strict=True):
        if lock is not None and (lock[1] or lock[0] > now):
            raise ObhutError("document-locked", key, "it is held" if lock[1] else f"locked until {shown(lock[0])}")
    for key in keys:
        store.remove(key, now)
    if any(lock is not None for lock in store.locks(keys)):
        raise ObhutError("archive-damaged", keys[0], "it was removed, and is still there")
    if document is not None:
        uses[document.key] -= 1
    return "removed" if last else "kept"


def _certificate(
    seen: Survey, proposal: Proposal, index: int, agreed: Agreed, what: str, copies: Sequence[str]
) -> Draft:
    """What the log says of what went: nothing of what it was, everything of why it might go."""
    ledger = seen.ledger
    category = ledger.category(index)
    end = ledger.end(index, agreed.day) if proposal.action == "dispose" else None
    name, event = ledger.classed(index) or (None, None)
    facts = {
        "proposal": proposal.statement.id,
        "clock": agreed.time,
        "clocks": agreed.facts(),
        "end": end.isoformat() if end else None,
        "law": category.law if category and end else None,
        "policy": POLICY,
        "object": what,
        "copies": list(copies),
    }
    return Draft("disposal", facts, index, name, event)
