"""Which version of a checkpoint counts: it is the one key of the log that is replaced, so anybody who takes in can write it.

Its key lies beside it, written once. A version that the log's key did not sign counts for nothing, and the one below does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from obhut.log import note
from obhut.log.note import Key, Note, NoteError
from obhut.world import secret

if TYPE_CHECKING:
    from collections.abc import Iterable


def size_of(data: bytes, vkey: bytes) -> int | None:
    """How many entries a checkpoint states; nothing if the log's key did not sign it."""
    try:
        key = Key.parse(vkey.decode())
        signed = Note.parse(data)
        signed.signers([key], secret.verify)
        found = note.Checkpoint.parse(signed.text)
    except (NoteError, ValueError):
        return None
    return found.size if found.origin == key.name else None


def oddity(datas: Iterable[bytes], vkey: bytes) -> str | None:
    """What somebody laid over the newest of these checkpoints, newest first."""
    sizes = [size_of(data, vkey) for data in datas]
    if sizes and sizes[0] is None:
        return "somebody wrote over it what the log's key did not sign"
    if any(size is not None and sizes[0] is not None and size > sizes[0] for size in sizes):
        return "somebody laid an older one over it"
    return None
