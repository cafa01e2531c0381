"""The only place that writes to the terminal.

Writes whole pieces straight to the file descriptors, so that nothing is left in a buffer that fails at exit. A reader
that goes away ends a listing quietly, and never an operation that changes something: that goes on without output.
The status line lives on standard error, only if that is a terminal.
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import sys
from typing import Final, TextIO

from obhut.errors import ObhutError

_CLEAR: Final = b"\r\x1b[K"
_ESCAPABLE: Final = 0x80


class OutputClosed(Exception):  # noqa: N818  (not an error of ours)
    """Whoever read our standard output is gone."""


def secure_descriptors() -> None:
    """Opens /dev/null for closed standard streams: or a repository file would become standard output."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def safe(text: str) -> str:
    """Text from a repository or a file system, escaped so that it cannot steer the terminal."""
    return text if text.isprintable() else "".join(map(_safe_char, text))


def _safe_char(char: str) -> str:
    if char.isprintable():
        return char
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def display_width(text: str) -> int:
    """Terminal cells."""
    import unicodedata

    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shorten(text: str, width: int) -> str:
    """Cut to a number of cells, with an ellipsis."""
    if display_width(text) <= width:
        return text
    kept, used = [], 1
    for char in text:
        used += display_width(char)
        if used > width:
            break
        kept.append(char)
    return "".join(kept) + "…" if width > 0 else ""


class Console:
    """Standard output and standard error of this process."""

    def __init__(self) -> None:
        self._out_encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        self._err_encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        self._broken = {1: sys.stdout is None, 2: sys.stderr is None}
        self._status = ""
        self.status_wanted = _is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"

    def out(self, text: str) -> None:
        """A line of a listing or of JSON: if nobody reads it any more the command ends."""
        self.out_bytes(text.encode(self._out_encoding, "backslashreplace") + b"\n")

    def out_bytes(self, data: bytes) -> None:
        """Rendered lines of a listing."""
        self._write(1, data, required=True)

    def tell(self, text: str) -> None:
        """A message about an operation; lost if nobody reads it, and the operation goes on."""
        self.tell_bytes(text.encode(self._out_encoding, "backslashreplace") + b"\n")

    def tell_bytes(self, data: bytes) -> None:
        """Rendered messages."""
        self._write(1, data, required=False)

    def err(self, text: str) -> None:
        """A line for standard error."""
        self._write(2, text.encode(self._err_encoding, "backslashreplace") + b"\n", required=False)

    def status(self, text: str) -> None:
        """Shows or replaces the status line, in one write; "" removes it."""
        if not self.status_wanted:
            return
        text = shorten(text, shutil.get_terminal_size().columns - 1)
        if text == self._status:
            return
        self._status = text
        self._raw(2, b"\r" + text.encode(self._err_encoding, "replace") + b"\x1b[K", required=False)

    def _write(self, fd: int, data: bytes, *, required: bool) -> None:
        if self._status:
            self._status = ""
            self._raw(2, _CLEAR, required=False)
        self._raw(fd, data, required=required)

    def _raw(self, fd: int, data: bytes, *, required: bool) -> None:
        if self._broken[fd]:
            return
        try:
            _write_all(fd, data)
        except BrokenPipeError:
            self._broken[fd] = True
            if required:
                raise OutputClosed from None
        except OSError as error:
            self._broken[fd] = True
            if required:
                code = "no-space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "io"
                raise ObhutError(code, "standard output", error.strerror or "") from None


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [], 1.0)
