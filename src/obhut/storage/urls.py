"""Locations of repositories as users write them: ``/path``, ``path``, ``local:path``; restic's other forms are told apart.

A location is text from a command line or a configuration; its file names are bytes (``os.fsencode``: bytes that are
no UTF-8 survive the way through text). Errors name only the kind of storage: the rest may hold credentials.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from obhut.errors import ObhutError

if TYPE_CHECKING:
    from obhut import _core

_SUPPORTED: Final = "supported now: a folder, as PATH or local:PATH"

#: Kinds of storage that restic and rustic know and this version does not, and what works instead today.
_NOT_YET: Final = {
    "sftp": "mount the folder with sshfs and use its path",
    "rest": "on the server itself, use the folder that it serves",
    "s3": "mount the bucket with `rclone mount` and use its path",
    "b2": "mount the bucket with `rclone mount` and use its path",
    "azure": "mount the container with `rclone mount` and use its path",
    "gs": "mount the bucket with `rclone mount` and use its path",
    "swift": "mount the container with `rclone mount` and use its path",
    "rclone": "mount the remote with `rclone mount` and use its path",
    "opendal": "mount the storage with `rclone mount` and use its path",
    "http": "on the server itself, use the folder that it serves",
    "https": "on the server itself, use the folder that it serves",
}

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


@dataclass(frozen=True, slots=True)
class LocalLocation:
    """A repository in a folder."""

    #: The folder as bytes; relative ones are relative to the working directory.
    path: bytes


def parse_location(location: str) -> LocalLocation:
    """What a location means; ``location-invalid`` says what is supported and what to use instead."""
    scheme = _SCHEME.match(location)
    if scheme is None:
        return _local(location)
    kind = scheme[1].lower()
    if kind == "local":
        return _local(location[scheme.end() :])
    if kind in _NOT_YET:
        raise ObhutError(
            "location-invalid", f"{kind}:…", f"{kind} is not supported yet ({_SUPPORTED}); {_NOT_YET[kind]}"
        )
    detail = f"this kind of storage is not known ({_SUPPORTED}); for a folder with a colon in its name write local:PATH"
    raise ObhutError("location-invalid", f"{scheme[1]}:…", detail)


def open_location(location: str) -> _core.Store:
    """The storage at a location, without wrappers."""
    from obhut import _core

    return _core.Store.local(parse_location(location).path)


def _local(path: str) -> LocalLocation:
    if not path:
        raise ObhutError("location-invalid", "", "the path is empty")
    if "\0" in path:
        raise ObhutError("location-invalid", "", "a path holds no zero byte")
    return LocalLocation(os.fsencode(path))
