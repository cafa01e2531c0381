"""Files that must last, written by the core's one durable-write module."""

from __future__ import annotations

import os

from obhut.errors import converted

#: For the owner alone: what Obhut keeps is nobody else's business unless a caller says so.
PRIVATE = 0o600


def write_file(path: str | bytes | os.PathLike[str], data: bytes, *, mode: int = PRIVATE) -> None:
    """Writes a file atomically and durably; an existing one is replaced, the one behind a symbolic link kept in its place.

    After a crash the file is there as before or whole and new, never in part.
    """
    from obhut import _core

    with converted():
        _core.durable_write(os.path.realpath(os.fsencode(path)), data, mode)
