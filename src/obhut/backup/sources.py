"""Lists of sources and patterns: ``--files-from*``, ``--exclude-file`` and the paths of the command line.

Names are bytes throughout. Pure but for reading the named files.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from obhut.backup import wildcards
from obhut.errors import ObhutError
from obhut.passwords import decode_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: A list of names is never larger.
MAX_BYTES: Final = 256 << 20
_VARIABLE: Final = re.compile(rb"\$(?:\$|\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def _read(name: str) -> bytes:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1) if sys.stdin is not None else b""
        else:
            with open(name, "rb") as file:  # noqa: PTH123  (a name of any bytes)
                data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ObhutError("source-list", shown(os.fsencode(name)), error.strerror or "") from None
    if len(data) > MAX_BYTES:
        raise ObhutError("source-list", shown(os.fsencode(name)), "longer than 256 MiB")
    return data


def shown(name: bytes) -> str:
    """A name for messages, escaped; pure, so that it works without the core."""
    text = name.decode("utf-8", "surrogateescape")
    return text if text.isprintable() else "".join(map(_shown_char, text))


def _shown_char(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def pattern_lines(data: bytes, environ: Mapping[bytes, bytes]) -> list[bytes]:
    """Patterns of an exclude file: trimmed lines without empty ones and comments, variables replaced, ``$$`` = ``$``."""

    def value(match: re.Match[bytes]) -> bytes:
        return b"$" if match[0] == b"$$" else environ.get(match[1] or match[2], b"")

    lines = (line.strip() for line in decode_text(data).splitlines())
    return [_VARIABLE.sub(value, line) for line in lines if line and not line.startswith(b"#")]


def read_patterns(files: Iterable[str], environ: Mapping[bytes, bytes]) -> list[bytes]:
    """All patterns of several files."""
    return [pattern for name in files for pattern in pattern_lines(_read(name), environ)]


def raw_names(data: bytes) -> list[bytes]:
    """Names that each end with a zero byte; raises ``ValueError``."""
    if not data:
        return []
    if not data.endswith(b"\0"):
        raise ValueError("the zero byte after the last name is missing")
    names = data[:-1].split(b"\0")
    if b"" in names:
        raise ValueError("an empty name")
    return names


@dataclass(frozen=True, slots=True)
class SourceLists:
    """Where the sources of a backup are named."""

    arguments: tuple[bytes, ...] = ()
    files_from: tuple[str, ...] = ()
    files_from_verbatim: tuple[str, ...] = ()
    files_from_raw: tuple[str, ...] = ()

    def names(self) -> tuple[list[bytes], list[bytes]]:
        """All names in order, and the patterns that fit nothing."""
        found: list[bytes] = []
        unmatched: list[bytes] = []
        for name in self.files_from:
            for line in decode_text(_read(name)).splitlines():
                pattern = line.strip()
                if pattern and not pattern.startswith(b"#"):
                    try:
                        matches = wildcards.expand(pattern)
                    except wildcards.BadPatternError as error:
                        raise ObhutError("source-list", shown(pattern), f"{error}") from None
                    found += matches
                    unmatched += [] if matches else [pattern]
        for name in self.files_from_verbatim:
            found += [line for line in decode_text(_read(name)).splitlines() if line]
        for name in self.files_from_raw:
            try:
                found += raw_names(_read(name))
            except ValueError as error:
                raise ObhutError("source-list", shown(os.fsencode(name)), str(error)) from None
        return [*found, *self.arguments], unmatched


def divide_existing(names: Iterable[bytes]) -> tuple[list[bytes], list[tuple[bytes, str]]]:
    """Names that exist, and those that do not (or cannot be looked at) with the reason."""
    there: list[bytes] = []
    missing: list[tuple[bytes, str]] = []
    for name in names:
        try:
            os.lstat(name)
        except (OSError, ValueError) as error:
            missing.append((name, getattr(error, "strerror", None) or "not a file name"))
        else:
            there.append(name)
    return there, missing


def absolute(name: bytes) -> bytes:
    """Absolute and clean, as restic records it; links are not followed."""
    path = os.path.abspath(name)  # noqa: PTH100  (links are not followed)
    return path[1:] if path.startswith(b"//") else path


def as_text(name: bytes) -> str:
    """For JSON: bytes that are no UTF-8 become surrogates, which the writer turns into U+FFFD."""
    return name.decode("utf-8", "surrogateescape")
