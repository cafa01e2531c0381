"""Looking at an archive: lists, documents, receipts."""

from __future__ import annotations

import base64
from datetime import date
from typing import TYPE_CHECKING, Any

from obhut.archive import clocks, record, sequencer
from obhut.archive.actions.put import receipts
from obhut.archive.actions.stamp import judged
from obhut.archive.actions.survey import file, survey
from obhut.archive.classes import READ
from obhut.archive.stamps import STAMPS, note_key
from obhut.archive.statement import Statement
from obhut.archive.vault import Draft, Logged, parsed, parsed_any, record_keys
from obhut.errors import ObhutError
from obhut.log import tiles
from obhut.log.note import Note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from obhut.archive.classes import Class
    from obhut.archive.record import Document
    from obhut.archive.vault import Filed, Vault


def documents(vault: Vault) -> Iterator[Document]:
    """All documents that the newest checkpoint covers and that are there, oldest first."""
    size = vault.stated().checkpoint.size
    for index, key in record_keys(vault.store):
        if index < size:
            found = parsed_any(key, vault.get(key))
            if not isinstance(found, Statement):
                yield found


def kept_until(vault: Vault, document: Document, category: Class, now: str) -> date | None:
    """The last day on which the law in force asks for a document that comes in now; nothing if its event has not come."""
    if document.event is None:
        return None
    today, year = date.fromisoformat(now[:10]), vault.described.business_year_end
    return category.end(date.fromisoformat(document.event), today, year)


def note_read(vault: Vault, key_path: Path, action: str, id: str, who: str, now: str) -> Filed | None:
    """Says in the log who takes a document out, before it is given, where the archive asks for that: an audit record.

    Raises ``document-unknown``, ``archive-key``: without the log's key nothing is taken out of such an archive.
    """
    if not vault.described.audit:
        return None
    with vault.writing(key_path) as intake:
        seen = survey(vault)
        seen.chosen([id])
        # A clock that was set back does not make the record end sooner: at least so late the log has said it is.
        day = max(now[:10], seen.ledger.days[-1][1])
        facts = {"action": action, "documents": [id], "who": who}
        [filed] = file(intake, seen, [Draft("read", facts, None, READ.name, day)], now)
    return filed


def copy_out(vault: Vault, id: str, target: Path) -> Document:
    """Copies a document to a new file, proving its bytes. Raises ``archive-damaged`` if they are not what came in."""
    document = parsed(id, vault.record(id))
    vault.seals.copy_out(vault.store, document, target)
    return document


def receipt_of(vault: Vault, id: str, *, renew: bool = False) -> dict[str, Any]:
    """The receipt of a document: under the first stamped checkpoint that covers it, or the newest one with ``renew``.

    While there is none, under the newest checkpoint. Raises ``document-unknown``, ``archive-damaged``.
    """
    data = vault.record(id)
    document = parsed(id, data)
    stated = vault.stated()
    if document.index >= stated.checkpoint.size:
        raise ObhutError("document-unknown", id, "it was never logged")
    entry = Logged(document, data, record.leaf(document, data))
    _same_leaf(vault, entry, stated)
    return next(iter(_stamped(vault, entry, renew=renew) or receipts(vault, [entry], stated.note)))


def _stamped(vault: Vault, entry: Logged, *, renew: bool) -> Iterator[dict[str, Any]] | None:
    """The receipt with a stamp, if there is one that covers the leaf."""
    if not vault.store.any(STAMPS):
        return None
    found = judged(survey(vault))
    covering = [proof for proof in found.proved if proof.stamp.size > entry.document.index]
    if not covering:
        return None
    proof = max(covering, key=lambda proof: (proof.time, proof.stamp.size)) if renew else covering[0]
    note, reply = vault.store.get(note_key(proof.stamp.size)), vault.store.get(proof.stamp.key)
    stamp = {
        "authority": proof.stamp.authority,
        "time": clocks.reading("", proof.time).time,
        "reply": base64.b64encode(reply).decode(),
        "certificates": proof.certificates,
    }
    return receipts(vault, [entry], Note.parse(note), stamp)


def _same_leaf(vault: Vault, entry: Logged, stated: sequencer.Stated) -> None:
    """A receipt is for what is in the log, not for what a record says today."""
    place = tiles.bundle_of(entry.document.index, stated.checkpoint.size)
    try:
        leaf = tiles.read_bundle(vault.fetch, place)[entry.document.index % tiles.WIDTH]
    except (tiles.TileError, OSError) as error:
        raise ObhutError("archive-damaged", place.path, str(error)) from None
    if leaf != entry.leaf:
        raise ObhutError("archive-damaged", entry.document.id, "its record is not the one that was logged")
