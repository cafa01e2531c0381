"""Receipts: one file that proves a document, without Obhut and without the archive. Pure.

A receipt is a JSON object. Record, leaf and checkpoint are in it as they are, letter for letter, for it is their bytes
that were hashed and signed.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from obhut.archive.record import RECEIPT
from obhut.log import merkle, tiles

if TYPE_CHECKING:
    from obhut.archive.vault import Logged
    from obhut.log.handover import Keys
    from obhut.log.note import Checkpoint, Key, Note
    from obhut.log.tiles import Fetch

#: What a receipt says of time stamps while the archive has no authority, and until one has answered.
NO_STAMP: Final = "none configured"
PENDING: Final = "pending"


def hops(keys: Keys, size: int, fetch: Fetch) -> list[dict[str, Any]]:
    """How the keys of the log handed over, for a receipt under a checkpoint of ``size`` entries.

    For those who know another key than the one that signed it: an older one vouches for the next. A newer one vouches for
    the tree that it took over, so such hops prove that it goes on from the receipt's.
    """
    return [
        {"note": str(change.note), "proof": _encoded(_goes_on(size, change.checkpoint.size, fetch))}
        for change in keys.handovers
    ]


def _goes_on(size: int, later: int, fetch: Fetch) -> list[bytes]:
    return merkle.consistency(size, later, tiles.Reader(later, fetch)) if size < later else []


def _encoded(proof: list[bytes]) -> list[str]:
    return [base64.b64encode(part).decode() for part in proof]


def make(
    entry: Logged,
    checkpoint: Checkpoint,
    note: Note,
    key: Key,
    subtrees: merkle.Subtrees,
    stamp: str | dict[str, str],
    hops: list[dict[str, Any]],
) -> dict[str, Any]:
    """The receipt of a document under a checkpoint that covers it; ``stamp`` is of that checkpoint, or says why there is none."""
    document = entry.document
    proof = merkle.inclusion(document.index, checkpoint.size, subtrees)
    return {
        "format": RECEIPT,
        "id": document.id,
        "name": document.name,
        "sha256": document.digest,
        "size": document.size,
        "record": entry.record.decode(),
        "leaf": entry.leaf.decode(),
        "index": document.index,
        "proof": _encoded(proof),
        "checkpoint": str(note),
        "log_key": str(key),
        **({"hops": hops} if hops else {}),
        "lock": document.lock,
        "stamp": stamp,
    }


def encode(receipt: dict[str, Any]) -> bytes:
    """The file: for people to look at as well."""
    return (json.dumps(receipt, indent=1, ensure_ascii=False) + "\n").encode()
