"""The key that signs a log: a file outside the archive, for its owner alone. The one place that reads and writes it.

Whoever has the key can write another history, which witnesses, stamps and every receipt given out would show; whoever
loses it cannot add to the log. Its form is that of Go's signed notes (formats: archive 3.1).
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from obhut.errors import ObhutError
from obhut.log.note import ED25519, Key, NoteError
from obhut.world import durable, secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obhut.world.secret import Signer

_PREFIX: Final = "PRIVATE+KEY+"
_SEED: Final = 32
_ENCODED: Final = len(base64.b64encode(bytes(_SEED + 1)))
_LONGEST: Final = 4096


def default_path(origin: str, environ: Mapping[str, str]) -> Path:
    """Where the key of an archive lies unless somebody says otherwise."""
    given = environ.get("XDG_DATA_HOME")
    base = Path(given) if given else Path(environ.get("HOME") or "~").expanduser() / ".local" / "share"
    return base / "obhut" / "archive-keys" / f"{origin.replace('/', '_')}.key"


def make(origin: str) -> tuple[Key, Signer, bytes]:
    """A new key: what checks, what signs, and the bytes of its file."""
    seed = secret.random_bytes(_SEED)
    signer = secret.signer(seed)
    try:
        key = Key(origin, ED25519, signer.public)
    except NoteError as error:
        raise ObhutError("invalid-argument", "--name", f"{error}; it is a name like example.org/archive") from None
    encoded = base64.b64encode(bytes([ED25519]) + seed).decode()
    return key, signer, f"{_PREFIX}{origin}+{key.id.hex()}+{encoded}\n".encode()


def write(path: Path, data: bytes) -> None:
    """A new file, mode 0600; one that is there is never replaced."""
    if os.path.lexists(path):
        raise ObhutError("archive-key-exists", str(path))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ObhutError("archive-key", str(path), error.strerror or "") from None
    durable.put_files(path.parent, [(path.name, data)], mode=durable.PRIVATE)


def next_path(path: Path) -> Path:
    """Where the next key lies from when it is made until the log has stated it."""
    return path.with_name(f"{path.name}.next")


def write_next(path: Path, data: bytes) -> None:
    """Puts the next key beside the present one, in the place of one that no log came to state."""
    durable.put_files(path.parent, [(next_path(path).name, data)], mode=durable.PRIVATE, replace=True)


def current(path: Path, expected: Key) -> Signer:
    """The signer for the key in charge. Where a stop came between, the next key takes the place of the one before now.

    Raises ``archive-key``.
    """
    try:
        return read(path, expected)
    except ObhutError:
        beside = next_path(path)
        if not beside.exists():
            raise
        signer = read(beside, expected)
    durable.put_files(path.parent, [(path.name, beside.read_bytes())], mode=durable.PRIVATE, replace=True)
    durable.remove_file(beside)
    return signer


def read(path: Path, expected: Key) -> Signer:
    """The signer of a file. Raises ``archive-key`` unless it is the private half of ``expected``."""
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ObhutError("archive-key", str(path), getattr(error, "strerror", None) or "it is no text") from None
    # A "+" is a digit of base64 as well; so the key, whose length is known, is taken from the end.
    encoded = text[-_ENCODED:] if text.startswith(_PREFIX) else ""
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _SEED + 1 or raw[0] != ED25519:
        raise ObhutError("archive-key", str(path), "it holds no key that signs")
    signer = secret.signer(raw[1:])
    if signer.public != expected.public:
        raise ObhutError("archive-key", str(path), f"it is not the key of {expected.name}")
    return signer
