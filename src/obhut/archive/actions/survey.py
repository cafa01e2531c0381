"""Reading the whole history of an archive, before anything is decided by it; and adding to it, if the rules allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from obhut.archive.description import DESCRIPTION
from obhut.archive.judge import read_leaves
from obhut.archive.ledger import Ledger, Unlawful
from obhut.archive.record import LOG, Document, Leaf, RecordError, commitment_of, index_of, record_key
from obhut.archive.replay import read_into
from obhut.archive.vault import parsed, parsed_any, record_keys
from obhut.errors import ObhutError
from obhut.world import secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from obhut.archive.replay import Fault
    from obhut.archive.statement import Statement
    from obhut.archive.vault import Draft, Filed, Intake, Vault
    from obhut.log.note import Key
    from obhut.world.secret import Signer


class Survey:
    """An archive's history: its ledger, and the names of its records."""

    def __init__(self, vault: Vault, ledger: Ledger, keys: dict[int, str], spare: Sequence[str] = ()) -> None:
        self.vault = vault
        self.ledger = ledger
        self._keys = keys
        #: Records beside the one that was logged, or of a leaf that is gone: nobody was ever told of them.
        self.spare = spare

    def key(self, index: int) -> str | None:
        """Where the record of a leaf lies; nothing for one that is gone."""
        return self._keys.get(index)

    def id(self, index: int) -> str:
        """The id of a leaf's record, as far as it is known."""
        key = self._keys.get(index)
        return f"{index}-{key.rpartition('-')[2]}" if key else f"{index}"

    def document(self, index: int) -> Document | None:
        """The record of a document; nothing for one that is gone. Raises ``archive-damaged``."""
        key = self._keys.get(index)
        return None if key is None else parsed(key, self.vault.get(key))

    def read(self, index: int) -> Statement | None:
        """An audit record; nothing for one that is gone. Raises ``archive-damaged``."""
        key = self._keys.get(index)
        found = None if key is None else parsed_any(key, self.vault.get(key))
        if isinstance(found, Document):
            raise ObhutError("archive-damaged", found.id, "it is not the record that was logged")
        return found

    def live(self) -> list[int]:
        """All documents that did not go, in order."""
        return [index for index in self.ledger.documents if index not in self.ledger.gone]

    def live_reads(self) -> list[int]:
        """All audit records that did not go, in order."""
        return [index for index in self.ledger.reads if index not in self.ledger.gone]

    def chosen(self, ids: Sequence[str]) -> list[Document]:
        """Documents by their ids. Raises ``document-unknown`` for one that is not there or went."""
        return [self._chosen(name) for name in dict.fromkeys(ids)]

    def _chosen(self, id: str) -> Document:
        try:
            index = index_of(id)
        except ValueError as error:
            raise ObhutError("document-unknown", id, str(error)) from None
        if index in self.ledger.gone:
            raise ObhutError("document-unknown", id, "it was disposed of")
        key = record_key(id)
        if index not in self.ledger.documents or self._keys.get(index) != key:
            raise ObhutError("document-unknown", id)
        return parsed(key, self.vault.get(key))


def survey(vault: Vault) -> Survey:
    """Reads the log, checks it against its checkpoint, and every statement against the rules.

    Raises ``archive-damaged`` where it does not hold: nothing is decided by a history that is not sound.
    """
    faults: list[Fault] = []
    checkpoint = vault.stated().checkpoint
    leaves = list(read_leaves(vault.store.get, LOG, checkpoint, faults))
    several: dict[int, list[str]] = {}
    for index, key in record_keys(vault.store):
        several.setdefault(index, []).append(key)
    keys, spare = {}, []
    for index, found in several.items():
        logged = _logged(vault, found, leaves[index]) if len(found) > 1 and index < len(leaves) else None
        keys[index] = logged or found[0]
        spare += [key for key in found if logged not in {None, key}]
    ledger = Ledger(checkpoint.origin, secret.verify)
    missing: list[int] = []

    def record(index: int) -> bytes | None:
        try:
            return vault.get(keys[index])
        except (KeyError, OSError):
            missing.append(index)
            return None

    faults += read_into(ledger, leaves, record)
    # No rule needs those of reads, and they go before their certificates are logged: like documents, `verify` looks for them.
    missing = [index for index in missing if index not in ledger.reads]
    if missing:
        raise ObhutError("archive-damaged", f"records of leaf {missing[0]}", "it is missing")
    if faults:
        raise ObhutError("archive-damaged", faults[0].object, faults[0].what)
    if vault.described.encode().decode() != ledger.description:
        raise ObhutError("archive-damaged", DESCRIPTION, "it is not what the first record of the log says")
    spare += [key for index in ledger.gone for key in several.get(index, []) if key not in spare]
    return Survey(vault, ledger, keys, spare)


def _logged(vault: Vault, found: Sequence[str], leaf: bytes | None) -> str | None:
    """Of several records for one leaf the one that it commits to: a writer who lost a race has left the other."""
    for key in found:
        try:
            data = vault.get(key)
            # A copy of it under another name is not it: somebody could have the one that counts taken for left over.
            if leaf is not None and Leaf.parse(leaf).commit == commitment_of(data) and _is_at(key, data):
                return key
        except (RecordError, OSError):
            continue
        except ObhutError as error:
            if error.id != "archive-damaged":
                raise
    return None


def _is_at(key: str, data: bytes) -> bool:
    return record_key(parsed_any(key, data).id) == key


def file(
    intake: Intake,
    seen: Survey,
    drafts: Sequence[Draft],
    now: str,
    before: Callable[[], None] | None = None,
    successor: tuple[Key, Signer] | None = None,
) -> list[Filed]:
    """Logs statements, each of which the rules allow after the one before. Raises ``unlawful``, and then nothing is written."""
    filed = intake.drafted(drafts, now)
    for entry in filed:
        try:
            leaf = Leaf.parse(entry.leaf)
            seen.ledger.add(entry.statement.index, leaf, entry.statement, entry.record)
        except Unlawful as error:
            raise ObhutError("unlawful", entry.statement.kind, str(error)) from None
    intake.file(filed, before, successor)
    return filed
