"""Removing locks that were left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from obhut.errors import converted
from obhut.job import Reporter, watch

if TYPE_CHECKING:
    from obhut import _core


def unlock(repository: _core.Repository, reporter: Reporter, *, remove_all: bool) -> int:
    """Removes stale locks (or all of them); gives their number."""
    with converted():
        job = repository.unlock(remove_all=remove_all)
    return int(watch(job, reporter)["removed"])
