"""Verifying a whole archive, with the core's hashing on all processors, and against what was kept elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from obhut.archive import history
from obhut.archive.actions.stamp import judges, openssl_there
from obhut.archive.clocks import Reading, reading
from obhut.archive.judge import judge_archive
from obhut.archive.record import LOG
from obhut.archive.witness import cosigned
from obhut.errors import ObhutError
from obhut.log.note import Key, NoteError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from obhut.archive.judge import Verdict
    from obhut.archive.vault import Vault
    from obhut.job import Reporter

#: Bytes of the longest checkpoint or receipt that is read.
_LONGEST: Final = 1 << 20


def verify(vault: Vault, today: date, reporter: Reporter, *, contents: bool = False) -> Verdict:
    """Verifies everything; ``today`` says which holds stand. Raises only where nothing can be said at all: no archive, no sound checkpoint.

    Sealed objects are compared with the digests that their records have of them; with ``contents`` they are opened, too.
    """

    def progress(so_far: Verdict, objects: int, size: int) -> None:
        counters = {
            "items_done": so_far.objects,
            "total_items": objects,
            "bytes_done": so_far.bytes,
            "total_bytes": size,
        }
        reporter.progress("verify", {**counters, "total_known": 1, "errors": len(so_far.faults)}, [])

    checkpoint = vault.stated().checkpoint
    with openssl_there():
        verdict = judge_archive(_Files(vault, contents), LOG, checkpoint, judges(vault), today, progress)
    reporter.end_progress()
    return verdict


class _Files:
    """An archive as the judge reads it."""

    def __init__(self, vault: Vault, contents: bool) -> None:
        self._vault = vault
        self._contents = contents
        self.expect = vault.store.expect
        self.keys = vault.store.keys
        self.locks = vault.store.locks
        self.oddities = vault.store.oddities

    def get(self, key: str) -> bytes:
        """The bytes of a key; a record is opened."""
        if not key.startswith("records/"):
            return self._vault.store.get(key)
        try:
            return self._vault.get(key)
        except ObhutError as error:
            if error.id != "archive-damaged":
                raise
            raise OSError(error.detail) from None

    def hashed(self, keys: Sequence[str]) -> list[tuple[str, int] | str]:
        """Hash and size of each, or why there is none."""
        return _each(self._vault.store.hashes, keys)

    def opened(self, keys: Sequence[str]) -> list[tuple[str, int] | str]:
        """The same of what each holds, if that is asked for."""
        return _each(lambda part: self._vault.seals.contents(self._vault.store, part), keys) if self._contents else []


def _each(
    work: Callable[[Sequence[str]], Sequence[tuple[str, int]]], keys: Sequence[str]
) -> list[tuple[str, int] | str]:
    """What is found of each key, or why nothing is: one by one, where it fails for one of them."""
    try:
        return list(work(keys))
    except ObhutError as error:
        if len(keys) == 1 and error.id != "archive-identity":
            return [error.detail or error.what]
        if len(keys) == 1:
            raise
    return [found for key in keys for found in _each(work, [key])]


def goes_on(vault: Vault, files: Sequence[str], witness_file: str | None) -> list[str]:
    """Whether the log goes on from checkpoints that were kept elsewhere; gives a line for each.

    Raises ``log-rolled-back``, ``log-forked`` or ``checkpoint-unusable``.
    """
    lines = []
    for name in files:
        known, note = history.known_from(_read(name), vault, name)
        history.continues(vault, known)
        line = f"the log goes on from {name}: {known.size} entries"
        if witness_file is not None:
            key = _witness(witness_file)
            when = datetime.fromtimestamp(cosigned(note, vault.keys.at(known.size), key, name), UTC)
            line += f", signed by {key.name} on {when:%Y-%m-%d %H:%M:%S} UTC"
        lines.append(line)
    return lines


def witnessed(vault: Vault, name: str, witness_file: str) -> Reading:
    """What time it was at least, says a witness: when it signed a checkpoint from which the log goes on. A second clock.

    Raises ``log-rolled-back``, ``log-forked`` or ``checkpoint-unusable``.
    """
    known, note = history.known_from(_read(name), vault, name)
    history.continues(vault, known)
    key = _witness(witness_file)
    return reading(key.name, cosigned(note, vault.keys.at(known.size), key, name))


def _witness(name: str) -> Key:
    try:
        return Key.parse(_read(name).decode())
    except (NoteError, ValueError) as error:
        raise ObhutError("archive-key", name, str(error)) from None


def _read(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            return file.read(_LONGEST)
    except OSError as error:
        raise ObhutError("checkpoint-unusable", name, error.strerror or "") from None
