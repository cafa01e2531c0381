"""From the location of a repository to its storage."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from obhut.errors import ObhutError

if TYPE_CHECKING:
    from obhut import _core

#: Kinds of storage that other programs know and this version does not.
_SCHEME: Final = re.compile(r"(rest|sftp|s3|b2|azure|gs|swift|rclone|opendal|https?):")


def local_path(location: str) -> bytes:
    """The folder that ``/path`` or ``local:/path`` means; anything else is refused."""
    path = location.removeprefix("local:")
    scheme = _SCHEME.match(path)
    if scheme is not None:
        raise ObhutError("location-invalid", f"{scheme[1]}:…", "only repositories in a folder are supported yet")
    if not path or "\0" in path:
        raise ObhutError("location-invalid", "", "the path is empty" if not path else "a path holds no zero byte")
    return os.fsencode(path)


def open_location(location: str) -> _core.Store:
    """The storage at a location, without wrappers."""
    from obhut import _core

    return _core.Store.local(local_path(location))
