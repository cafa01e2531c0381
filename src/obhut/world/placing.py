"""Giving files of a person's folder other names, on that person's word. No link on the way is followed; nothing is lost.

Where the file system has hard links a name that is taken is never replaced; elsewhere it is looked at before.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from obhut.errors import ObhutError
from obhut.world import durable

if TYPE_CHECKING:
    from pathlib import Path

_VERSIONS: Final = ".stversions"
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})


def _checked(root: Path, name: str) -> Path:
    """The place of a name below ``root``; ``hostile-tree`` if a link or a step upwards is on the way."""
    parts = name.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise ObhutError("hostile-tree", name)
    place = root
    for part in parts[:-1]:
        place = place / part
        if place.is_symlink():
            raise ObhutError("hostile-tree", name, f"{place} is a link")
    return place / parts[-1]


def _link(source: Path, target: Path) -> bool:
    """One more name for a file; ``False`` if the name is taken. Where there are no links: the name instead of the other."""
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            return False
        source.rename(target)
    return True


def _synced(*places: Path) -> None:
    durable.sync_folders(sorted({place.parent for place in places}))


def move(root: Path, source: str, target: str) -> bool:
    """Another name for a file; ``False``, and nothing is done, if it is taken. Raises ``io``."""
    here, there = _checked(root, source), _checked(root, target)
    try:
        if not _link(here, there):
            return False
        if os.path.lexists(here):
            here.unlink()
    except OSError as error:
        raise ObhutError("io", source, error.strerror or "") from None
    _synced(here, there)
    return True


def replace(root: Path, source: str, target: str) -> None:
    """A file takes the place of another one, at once. Raises ``io``."""
    here, there = _checked(root, source), _checked(root, target)
    try:
        here.replace(there)
    except OSError as error:
        raise ObhutError("io", source, error.strerror or "") from None
    _synced(here, there)


def to_versions(root: Path, name: str, tag: str, original: str, *, keep: bool = False) -> str:
    """A file becomes a version of ``original``; gives the name of it, below ``.stversions``. Raises ``io``.

    ``tag`` is the local time, ``20260301-123456``; if that is taken, the next free second of the minute, then letters are
    not invented: ``io``. With ``keep`` the file stays under its own name, too, so that something can take its place at once.
    """
    here = _checked(root, name)
    folder, _, last = original.rpartition("/")
    dot = last.rfind(".")
    stem, end = (last, "") if dot < 0 else (last[:dot], last[dot:])
    try:
        for second in range(int(tag[-2:]), 60):
            version = f"{folder}/{stem}~{tag[:-2]}{second:02}{end}".lstrip("/")
            there = _checked(root, f"{_VERSIONS}/{version}")
            there.parent.mkdir(parents=True, exist_ok=True)
            if _link(here, there):
                # On the medium under its new name before the old one goes.
                _synced(there)
                if not keep and os.path.lexists(here):
                    here.unlink()
                    _synced(here)
                return version
    except OSError as error:
        raise ObhutError("io", name, error.strerror or "") from None
    raise ObhutError("io", name, "there are too many versions of this minute")
