"""Backends that exist only in Python: what the core asks of them, and a small real one.

``obhut._core.Store.python(backend)`` makes a store of any object with the methods of :class:`Backend`. The core calls
them from several threads at once, one interpreter attachment a call. The contract, which one suite tests for every
backend (``tests/contract``; ``obhut._core`` runs it):

- A file is named by its kind and 64 lower-case hexadecimal digits; ``config`` has the empty name.
- ``put`` is atomic and durable: when it returns, the file is there whole and survives a crash; when it raises, it
  is not there. Files are write-once: an existing name is a ``FileExistsError``, and of several writers of one name
  exactly one succeeds.
- ``get`` and ``get_range`` give exactly the bytes asked for, as any bytes-like object. A range beyond the end may be
  answered with fewer bytes: the core reports the file as damaged.
- ``list`` gives every file of a kind once; other names than 64 hexadecimal digits are ignored.
- What is missing is a ``FileNotFoundError``. ``TimeoutError`` and ``ConnectionError`` mean that another try may help
  (a store ``with_retry`` makes it), ``PermissionError`` and other ``OSError`` by number mean what they say. Anything
  else is a defect and ends the operation as ``internal``.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

type_of_file = Literal["config", "key", "snapshot", "index", "lock", "pack"]
"""The kinds of repository files; ``list`` is never asked for ``config``."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do beyond the minimum; asked once."""

    #: A read of a few bytes costs about as little as from the local disk.
    local: bool = False
    #: ``delete`` is refused for everything but locks.
    append_only: bool = False
    #: Concurrent requests that make sense.
    connections: int = 5


class Backend(Protocol):
    """The methods that the core calls. See the module's text for the contract."""

    def location(self) -> str:
        """The place for messages, without credentials; asked once."""

    def capabilities(self) -> Capabilities:
        """What it can do; asked once."""

    def create(self) -> None:
        """Makes the place ready for a new repository; no error if it is ready."""

    def list(self, kind: type_of_file, /) -> Iterable[tuple[str, int]]:
        """Name and size of every file of a kind."""

    def stat(self, kind: type_of_file, name: str, /) -> int:
        """The size of a file."""

    def get(self, kind: type_of_file, name: str, /) -> bytes | bytearray | memoryview:
        """The whole file."""

    def get_range(self, kind: type_of_file, name: str, offset: int, length: int, /) -> bytes | bytearray | memoryview:
        """``length`` bytes from ``offset``."""

    def put(self, kind: type_of_file, name: str, data: memoryview, /) -> None:
        """Saves a new file. ``data`` is read-only and released after the call: copy what must stay."""

    def delete(self, kind: type_of_file, name: str, /) -> None:
        """Removes a file."""


class MemoryBackend:
    """Files in a dictionary: the smallest backend that keeps the contract, for tests and as an example."""

    def __init__(self) -> None:
        #: The files by kind and name.
        self.files: dict[tuple[str, str], bytes] = {}
        self._lock = threading.Lock()

    def location(self) -> str:
        """The place for messages."""
        return "memory of Python"

    def capabilities(self) -> Capabilities:
        """Everything is near."""
        return Capabilities(local=True, connections=4)

    def create(self) -> None:
        """A dictionary is always ready."""

    def list(self, kind: type_of_file, /) -> list[tuple[str, int]]:
        """Name and size of every file of a kind."""
        with self._lock:
            return [(name, len(data)) for (of, name), data in self.files.items() if of == kind]

    def stat(self, kind: type_of_file, name: str, /) -> int:
        """The size of a file."""
        return len(self.get(kind, name))

    def get(self, kind: type_of_file, name: str, /) -> bytes:
        """The whole file."""
        try:
            return self.files[kind, name]
        except KeyError:
            raise FileNotFoundError(f"{kind} {name}") from None

    def get_range(self, kind: type_of_file, name: str, offset: int, length: int, /) -> memoryview:
        """A part of a file, without copying it."""
        return memoryview(self.get(kind, name))[offset : offset + length]

    def put(self, kind: type_of_file, name: str, data: memoryview, /) -> None:
        """Saves a new file."""
        with self._lock:
            if (kind, name) in self.files:
                raise FileExistsError(f"{kind} {name}")
            self.files[kind, name] = bytes(data)

    def delete(self, kind: type_of_file, name: str, /) -> None:
        """Removes a file."""
        with self._lock:
            if self.files.pop((kind, name), None) is None:
                raise FileNotFoundError(f"{kind} {name}")
