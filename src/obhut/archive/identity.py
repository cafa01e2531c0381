"""Identities of age: files outside the archive, for their owners alone, as ``age-keygen`` writes them. The one place that reads and writes them.

Whoever has one reads everything in the archives that were sealed to it; who has lost all of them reads nothing any more.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from obhut.archive.keyfile import default_path as key_path
from obhut.errors import ObhutError
from obhut.world import durable, secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_BEGINNING: Final = "AGE-SECRET-KEY-1"
_LONGEST: Final = 1 << 16


def default_path(origin: str, environ: Mapping[str, str]) -> Path:
    """Where the identity of an archive lies unless somebody says otherwise: beside the key of its log."""
    return key_path(origin, environ).with_suffix(".identity")


def recovery_path(path: Path) -> Path:
    """Where a new identity to recover with is written: beside the archive's own, for its owner to take away."""
    return path.with_name(f"{path.name}.recovery")


def read(path: Path) -> list[str]:
    """The identities in a file. Raises ``archive-identity``."""
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ObhutError("archive-identity", str(path), why) from None
    found = [line.strip() for line in text.splitlines() if line.startswith(_BEGINNING)]
    if not found or not all(secret.recipient_of(line) for line in found):
        raise ObhutError("archive-identity", str(path), "it holds no identity of age")
    return found


def take(path: Path, now: str) -> str:
    """The identity in a file; a new one, written there durably with mode 0600, if there is none. Raises ``archive-identity``."""
    if os.path.lexists(path):
        return read(path)[0]
    made = secret.new_identity()
    text = f"# created: {now}\n# public key: {secret.recipient_of(made)}\n{made}\n"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ObhutError("archive-identity", str(path), error.strerror or "") from None
    durable.put_files(path.parent, [(path.name, text.encode())], mode=durable.PRIVATE)
    return made
