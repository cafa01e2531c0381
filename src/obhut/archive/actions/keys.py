"""The keys of an archive, tried and copied: whoever finds out in time that one does not fit has lost nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from obhut.archive import identity, keyfile, sealing
from obhut.archive.vault import Vault, record_keys
from obhut.errors import ObhutError
from obhut.world import durable, secret

if TYPE_CHECKING:
    from pathlib import Path


def check(vault: Vault, key_path: Path) -> dict[str, Any]:
    """Tries both keys; ``opens`` is the recipient whose identity opened the newest record, nothing where nothing is sealed.

    Raises ``archive-key``, ``archive-identity``, ``archive-damaged``.
    """
    keyfile.read(key_path, vault.key)
    if isinstance(vault.seals, sealing.Sealed):
        vault.get(record_keys(vault.store)[-1][1])
        return {"signs": str(vault.key), "opens": vault.seals.recipient}
    return {"signs": str(vault.key), "opens": None}


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
