"""Which version of a key counts: the oldest one, but for checkpoints.

A checkpoint is the one key of the log that is replaced, so anybody who takes in can write it. The log's keys lie beside it,
written once. A version that the key in charge did not sign counts for nothing, and the one below does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from obhut.archive.record import KEYS, LOG, is_written_once
from obhut.log.handover import Keys, in_order
from obhut.log.note import Key, NoteError
from obhut.world import secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def oldest_counts(key: str) -> bool:
    """What is written once; and staged batches and the log's narrow tiles, for a batch is staged before it is written."""
    return is_written_once(key) or key.startswith((f"{LOG}/tile/", f"{LOG}/staging/"))


def keys_of(get: Callable[[str], bytes], keys: Callable[[str], Sequence[str]]) -> Keys | None:
    """The log's keys as they handed over; nothing where none lies yet, or none that could be one."""
    try:
        first = Key.parse(get(f"{LOG}.vkey").decode())
    except (FileNotFoundError, NoteError, ValueError):
        return None
    return Keys(first).followed_by([get(key) for key in in_order(keys(KEYS))], secret.verify)


def size_of(data: bytes, keys: Keys) -> int | None:
    """How many entries a checkpoint states; nothing if the key in charge of so many did not sign it."""
    try:
        return keys.checkpoint(data, secret.verify)[0].size
    except (NoteError, ValueError):
        return None


def oddity(datas: Iterable[bytes], keys: Keys) -> str | None:
    """What somebody laid over the newest of these checkpoints, newest first."""
    sizes = [size_of(data, keys) for data in datas]
    if sizes and sizes[0] is None:
        return "somebody wrote over it what the log's key did not sign"
    if any(size is not None and sizes[0] is not None and size > sizes[0] for size in sizes):
        return "somebody laid an older one over it"
    return None
