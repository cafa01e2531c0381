"""The one error that people see, and the one conversion from the core's error to it.

An error is a stable id, the object it is about and the technical detail. What the id means (what happened, why,
what to do next, whether another try helps, the exit code) is looked up in :mod:`obhut.catalogue`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from obhut.catalogue import CATALOGUE, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INCOMPLETE: Final = 3
EXIT_NO_REPOSITORY: Final = 10
EXIT_LOCKED: Final = 11
EXIT_WRONG_PASSWORD: Final = 12
EXIT_INTERRUPTED: Final = 130
EXIT_OUTPUT_CLOSED: Final = 141
EXIT_TERMINATED: Final = 143


class ObhutError(Exception):
    """A failure with a stable id. ``object`` holds no raw bytes and no secrets; nor does ``detail``."""

    def __init__(self, id: str, object: str = "", detail: str = "", *, exit_code: int | None = None) -> None:
        super().__init__(id, object, detail)
        self.id = id
        self.object = object
        self.detail = detail
        self._exit_code = exit_code

    @property
    def entry(self) -> Entry:
        """The catalogue's words; an id that this version does not know is shown as a defect of ours."""
        return CATALOGUE.get(self.id, CATALOGUE["internal"])

    @property
    def exit_code(self) -> int:
        """What a command that ends with this error exits with."""
        return self.entry.exit_code if self._exit_code is None else self._exit_code

    @property
    def what(self) -> str:
        """One sentence: what happened, to what."""
        return self.entry.what_about(self.object)

    @property
    def message(self) -> str:
        """One line for logs and JSON: the sentence, the detail, the id."""
        sentence = self.what
        if self.detail:
            sentence = f"{sentence.rstrip('.')}: {self.detail}"
        return f"{sentence} [{self.id}]"

    def __str__(self) -> str:
        return self.message


def core_error(code: str, object: str, detail: str) -> ObhutError:
    """The core's (code, object, detail) as our error; the ids are the same by construction."""
    if code not in CATALOGUE:
        return ObhutError("internal", object, f"unknown error code {code}: {detail}")
    return ObhutError(code, object, detail)


@contextmanager
def converted() -> Iterator[None]:
    """Turns a ``CoreError`` that leaves the block into an :class:`ObhutError`."""
    from obhut._core import CoreError

    try:
        yield
    except CoreError as error:
        raise core_error(error.code, error.object, error.detail) from error
