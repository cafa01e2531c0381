"""Processes that take turns: a lock that the system ends with its holder, however that one ends."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def alone(folder: str | os.PathLike[str], queue: str | os.PathLike[str] | None = None) -> Iterator[None]:
    """Waits until no other process is in such a block for this folder, and keeps others out.

    With a ``queue`` (another folder) whoever waits is the next: one that leaves and comes again lets it in before.
    """
    handle = _opened(folder)
    try:
        if queue is None:
            fcntl.flock(handle, fcntl.LOCK_EX)
        else:
            with _first(queue):
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def wanted(queue: str | os.PathLike[str]) -> bool:
    """Whether somebody waits in a queue."""
    handle = _opened(queue)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def _first(queue: str | os.PathLike[str]) -> Iterator[None]:
    """The first place of a queue: as long as somebody waits for the folder, somebody is there."""
    handle = _opened(queue)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _opened(folder: str | os.PathLike[str]) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
