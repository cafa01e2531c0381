"""Asking others on the web: the one place that does."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Final

#: Bytes of the longest answer that is read.
LONGEST: Final = 1 << 20

#: Seconds that an answer may take.
PATIENCE: Final = 30


class WebError(Exception):
    """Nobody answered, or not so: why, in words."""


def post(url: str, data: bytes, content_type: str) -> bytes:
    """The answer to a POST, by http or https; redirections are followed as the library does. Raises :class:`WebError`."""
    if not url.startswith(("http://", "https://")):
        raise WebError("an address begins with http:// or https://")
    request = urllib.request.Request(url, data, {"Content-Type": content_type})  # noqa: S310  (see above)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
            found: bytes = answer.read(LONGEST + 1)
    except (OSError, ValueError) as error:
        raise WebError(str(error)) from None
    if len(found) > LONGEST:
        raise WebError("the answer is too long")
    return found
