"""The place of a folder: what may become one, and the marker that tells it from a disk that is not there."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Final

from obhut.errors import ObhutError
from obhut.world import durable

MARKER: Final = ".stfolder"


def resolved(text: str) -> str:
    """The real path of an existing directory. Raises ``sync-folder-place``."""
    try:
        place = Path(text).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise ObhutError("sync-folder-place", text, getattr(error, "strerror", None) or "it cannot be found") from None
    if not place.is_dir():
        raise ObhutError("sync-folder-place", text, "it is no directory")
    name = str(place)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ObhutError("sync-folder-place", repr(os.fsencode(name)), "its path is not UTF-8") from None
    return name


def mark(path: str, folder: str, now: str) -> bool:
    """Makes the marker, with the text file that Syncthing puts in; one that is there stays. Whether it was made.

    ``now``: RFC 3339.
    """
    marker = Path(path) / MARKER
    if marker.is_dir():
        return False
    if os.path.lexists(marker):
        raise ObhutError("sync-folder-place", str(marker), "it is no directory")
    try:
        marker.mkdir(mode=0o755)
    except OSError as error:
        raise ObhutError("sync-folder-place", path, f"nothing can be written there: {error.strerror}") from None
    name = f"syncthing-folder-{sha256(folder.encode()).hexdigest()[:6]}.txt"
    text = (
        "# This directory is a Syncthing folder marker.\n# Do not delete.\n\n"
        f"folderID: {folder}\ncreated: {now}\n"
    )  # fmt: skip
    durable.write_file(marker / name, text.encode(), mode=0o644)
    durable.sync_folders([path])
    return True


def is_marked(path: str) -> bool:
    """Whether the marker is there."""
    return (Path(path) / MARKER).is_dir()
