"""Whether a log goes on from what was known of it, or was cut or written anew: what witnesses and careful people ask."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from obhut.archive.judge import discontinuity
from obhut.archive.record import LOG
from obhut.archive.sequencer import stated
from obhut.errors import ObhutError
from obhut.log import tiles

if TYPE_CHECKING:
    from obhut.archive.sequencer import Stated
    from obhut.archive.vault import Vault
    from obhut.log.merkle import Subtrees
    from obhut.log.note import Checkpoint, Note


def continued(known: Checkpoint, now: Checkpoint, subtrees: Subtrees) -> None:
    """Raises ``log-rolled-back`` or ``log-forked`` unless the log of ``known`` is the beginning of that of ``now``.

    ``subtrees`` are those of ``now``; who gives false ones proves nothing.
    """
    found = discontinuity(known, now, subtrees)
    if found is not None:
        raise ObhutError(found[0], known.origin, found[1])


def continues(vault: Vault, known: Checkpoint) -> Stated:
    """The newest checkpoint of an archive, after its tiles have shown that it goes on from a known one."""
    newest = vault.stated()
    reader = tiles.Reader(newest.checkpoint.size, vault.fetch)
    try:
        continued(known, newest.checkpoint, reader)
    except (tiles.TileError, FileNotFoundError) as error:
        raise ObhutError("archive-damaged", LOG, str(error)) from None
    return newest


def known_from(data: bytes, vault: Vault, place: str) -> tuple[Checkpoint, Note]:
    """The checkpoint in a file that was kept elsewhere: a signed note, or a receipt. Its signature is checked."""
    if data.lstrip().startswith(b"{"):
        try:
            data = str(json.loads(data)["checkpoint"]).encode()
        except (ValueError, KeyError, TypeError):
            raise ObhutError("checkpoint-unusable", place, "it is neither a checkpoint nor a receipt") from None
    try:
        found = stated(data, vault.keys, place)
    except ObhutError as error:
        raise ObhutError("checkpoint-unusable", place, error.detail) from None
    return found.checkpoint, found.note
