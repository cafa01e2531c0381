"""Files that must last, written by the core's one durable-write module."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from obhut.errors import converted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: For the owner alone: what Obhut keeps is nobody else's business unless a caller says so.
PRIVATE = 0o600


def write_file(path: str | bytes | os.PathLike[str], data: bytes, *, mode: int = PRIVATE) -> None:
    """Writes a file atomically and durably; an existing one is replaced, the one behind a symbolic link kept in its place.

    After a crash the file is there as before or whole and new, never in part.
    """
    from obhut import _core

    with converted():
        _core.durable_write(os.path.realpath(os.fsencode(path)), data, mode)


def put_files(
    root: str | os.PathLike[str],
    items: Sequence[tuple[str, bytes]],
    *,
    mode: int,
    replace: bool = False,
    until: int | None = None,
) -> None:
    """Writes many files below ``root``, durably, together: each whole or not there, whatever stops us.

    A file that is there with other bytes is an error (``file-exists``) unless it may be replaced. ``until`` (seconds since
    1970) becomes the time of last change of new files.
    """
    from obhut import _core

    with converted():
        _core.put_files(os.fsencode(root), list(items), mode, replace=replace, until=until)


def copy_files(
    root: str | os.PathLike[str],
    items: Sequence[tuple[str, bytes, str, int]],
    *,
    mode: int,
    until: int | None = None,
) -> None:
    """Copies files below ``root`` likewise: key, path, SHA-256 in hex, bytes. Raises ``source-changed`` if one is not that."""
    from obhut import _core

    with converted():
        _core.copy_files(os.fsencode(root), list(items), mode, until=until)


class Staged:
    """Copies of files that are on the medium and have no names yet; those that get none go when this ends."""

    def __init__(
        self, root: str | os.PathLike[str], folder: str, paths: Sequence[bytes], *, mode: int, until: int | None
    ) -> None:
        """Takes the copies, below a folder of ``root``, each read once. Raises ``source-changed`` if one changes meanwhile."""
        from obhut import _core

        with converted():
            self._files = _core.StagedFiles.take(os.fsencode(root), folder, list(paths), mode, until=until)
        #: SHA-256 in hex and size of each.
        self.hashes = self._files.hashes()

    @staticmethod
    def shown(path: bytes) -> str:
        """How errors name what is copied; those that name anything else are of the place that it is copied to."""
        from obhut import _core

        return _core.display_name(path)

    def name(self, items: Sequence[tuple[int, str]]) -> None:
        """Gives some of them, by their numbers, their keys, durably. Raises ``file-exists`` where other bytes lie already."""
        with converted():
            self._files.name(list(items))

    def __enter__(self) -> Self:
        """Until they have names."""
        return self

    def __exit__(self, *_: object) -> None:
        """Removes those without."""
        self._files.discard()


def postpone_files(root: str | os.PathLike[str], items: Sequence[tuple[str, int]]) -> None:
    """Moves times of last change (seconds since 1970) below ``root`` to later ones, durably; what is later already stays."""
    from obhut import _core

    with converted():
        _core.postpone_files(os.fsencode(root), list(items))


def hash_files(paths: Sequence[bytes], threads: int = 0) -> list[tuple[str, int]]:
    """SHA-256 in hex and size of each file; on all processors, and with as many reads at once as a disk likes, unless told otherwise."""
    from obhut import _core

    with converted():
        return _core.hash_files(list(paths), threads)


def sync_folders(paths: Sequence[str | os.PathLike[str]]) -> None:
    """Makes the names in folders last, whoever gave them."""
    from obhut import _core

    with converted():
        _core.sync_folders([os.fsencode(path) for path in paths])


def remove_file(path: str | os.PathLike[str]) -> None:
    """Removes a file durably."""
    from obhut import _core

    with converted():
        _core.durable_remove(os.fsencode(path))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for what need not last; it goes with its content."""
    with tempfile.TemporaryDirectory(prefix="obhut-") as folder:
        yield Path(folder)


def make_folder(path: str | os.PathLike[str], *, mode: int = 0o750) -> None:
    """Makes a folder, durably, with the parents that are missing; one that is there is fine."""
    from obhut import _core

    with converted():
        _core.make_folder(os.fsencode(Path(path).absolute()), mode)
