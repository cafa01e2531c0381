"""The keys of an archive, tried and copied: whoever finds out in time that one does not fit has lost nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from obhut.archive import identity, keyfile, sealing
from obhut.archive.actions.survey import file, survey
from obhut.archive.record import KEYS
from obhut.archive.vault import Draft, Vault, record_keys
from obhut.errors import ObhutError
from obhut.world import durable, secret

if TYPE_CHECKING:
    from pathlib import Path

    from obhut.log.note import Key


def check(vault: Vault, key_path: Path) -> dict[str, Any]:
    """Tries both keys; ``opens`` is the recipient whose identity opened the newest record, nothing where nothing is sealed.

    Raises ``archive-key``, ``archive-identity``, ``archive-damaged``.
    """
    keyfile.read(key_path, vault.key)
    if isinstance(vault.seals, sealing.Sealed):
        vault.get(record_keys(vault.store)[-1][1])
        return {"signs": str(vault.key), "opens": vault.seals.recipient}
    return {"signs": str(vault.key), "opens": None}


@dataclass(frozen=True, slots=True)
class Rotated:
    """A change of the log's key."""

    old: Key
    new: Key
    #: Entries of the log that the old key still covers.
    size: int
    #: Where the new key lies in the archive, for those who check.
    public: str


def rotate(vault: Vault, key_path: Path, who: str, now: str) -> Rotated:
    """Makes a new key for the log; the old one's last signature hands over to it, and then its file is gone.

    Order: the new key beside the old one · the statement's record · its leaf, the checkpoint that both sign · the new key in
    the place of the old one. Whoever writes next ends what was stopped after the checkpoint. Raises ``archive-key``.
    """
    with vault.writing(key_path) as intake:
        old = vault.keys.all[-1]
        new, signer, data = keyfile.make(vault.origin)
        keyfile.write_next(key_path, data)
        file(intake, survey(vault), [Draft("key", {"key": str(new), "who": who})], now, successor=(new, signer))
        vault.keys = intake.keys
        keyfile.current(key_path, new)
    change = vault.keys.handovers[-1]
    return Rotated(old, new, change.checkpoint.size, f"{KEYS}/{change.name}.vkey")


def export(vault: Vault, key_path: Path, identity_path: Path, folder: Path) -> list[Path]:
    """Copies the keys, and what checks the log, to a folder; tries the copies. Raises ``output-exists`` for what is there."""
    check(vault, key_path)
    sources = [key_path] if isinstance(vault.seals, sealing.Unsealed) else [key_path, identity_path]
    if not folder.is_dir():
        raise ObhutError("io", str(folder), "there is no such folder")
    targets = [folder / source.name for source in sources]
    for target in targets:
        if os.path.lexists(target):
            raise ObhutError("output-exists", str(target))
    items = [(source.name, source.read_bytes()) for source in sources]
    durable.put_files(folder, items, mode=durable.PRIVATE)
    keyfile.read(targets[0], vault.key)
    for target in targets[1:]:
        if not any(secret.recipient_of(text) in vault.described.recipients for text in identity.read(target)):
            raise ObhutError("archive-identity", str(target), "the copy does not open the archive")
    return targets
