r"""Wildcards of ``--files-from``, as Go's ``path/filepath.Glob`` expands them (restic does it by that).

``*`` and ``?`` stand for characters but ``/``, hidden names included; ``[a-z]`` and ``[^a-z]`` for one character;
``\`` takes away a character's meaning. There is no ``**``. Names are bytes; a byte that is no UTF-8 is one character.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_META: Final = re.compile(rb"[*?\[\\]")


class BadPatternError(ValueError):
    """A bracket that is not closed, an empty one, or a backslash at the end."""


def expand(pattern: bytes) -> list[bytes]:
    """The names that fit, sorted folder by folder; nothing fits: none. Raises :class:`BadPatternError`."""
    for part in pattern.split(b"/"):
        _compiled(part)
    return list(_glob(pattern))


def _glob(pattern: bytes) -> Iterator[bytes]:
    if not _META.search(pattern):
        if os.path.lexists(pattern):
            yield pattern
        return
    folder, name = os.path.split(pattern)
    # `split` takes the slashes off, but of the root.
    for place in [folder] if not _META.search(folder) else _glob(folder):
        yield from _inside(place, name)


def _inside(folder: bytes, name: bytes) -> Iterator[bytes]:
    try:
        names = sorted(os.listdir(folder or b"."))  # noqa: PTH208  (bytes)
    except OSError:
        return
    fits = _compiled(name)
    for found in names:
        if fits.fullmatch(os.fsdecode(found)):
            # A folder whose name was a dot stays out of the result, as in Go's clean joining.
            yield os.path.normpath(os.path.join(folder, found)) if folder else found  # noqa: PTH118  (bytes)


@lru_cache(maxsize=64)
def _compiled(part: bytes) -> re.Pattern[str]:
    """One name's pattern."""
    text = part.decode("utf-8", "surrogateescape")
    found, at = "", 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "*":
            found += ".*"
        elif char == "?":
            found += "."
        elif char == "[":
            group, at = _group(text, at)
            found += group
        else:
            if char == "\\":
                char, at = _next(text, at)
            found += re.escape(char)
    return re.compile(found, re.DOTALL)


def _next(text: str, at: int) -> tuple[str, int]:
    """The character at a place, and the place after it."""
    if at >= len(text):
        raise BadPatternError("it ends where a character must follow")
    return text[at], at + 1


def _member(text: str, at: int) -> tuple[str, int]:
    """A character in brackets."""
    char, at = _next(text, at)
    if char in "-]" or "\udc80" <= char <= "\udcff":
        raise BadPatternError("brackets hold a character that must stand behind a backslash")
    return _next(text, at) if char == "\\" else (char, at)


def _group(text: str, at: int) -> tuple[str, int]:
    """``[…]`` as a regular expression, from behind its opening."""
    negated = text[at : at + 1] == "^"
    at += negated
    ranges = ""
    while True:
        if ranges and text[at : at + 1] == "]":
            break
        low, at = _member(text, at)
        high = low
        if text[at : at + 1] == "-":
            high, at = _member(text, at + 1)
        if low <= high:
            ranges += f"{re.escape(low)}-{re.escape(high)}"
        elif not ranges:
            ranges = _NOTHING
    return f"[{'^' if negated else ''}{ranges}]", at + 1


#: A range from Z to A holds no character, and regular expressions do not know it: this one is in no name.
_NOTHING: Final = "\\0"
