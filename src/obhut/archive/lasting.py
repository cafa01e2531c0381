"""What a log is made of: it has to last as long as the documents and audit records that it proves. Pure.

Full tiles and bundles, statements (but for audit records, which have an end of their own), stamps, what the archive says of itself, the key that checks the log. Narrow tiles and
the checkpoint are replaced as the log grows, so they have no lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from obhut.archive.description import DESCRIPTION
from obhut.archive.record import LOG
from obhut.log import tiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Written when an archive begins. Their locks are extended last, so that they say how far a run has come.
FIRST_FILES: Final = (f"{LOG}.vkey", DESCRIPTION)


def full_tiles(first: int, size: int) -> Iterator[str]:
    """Keys of the tiles and bundles that were full at ``size`` and not at ``first``."""
    for place in tiles.grown(first, size):
        if place.width == tiles.WIDTH:
            yield f"{LOG}/{place.path}"


def of_handovers(keys: Iterable[str], size: int) -> Iterator[str]:
    """Of the keys of files by which the log's key changed, those that are not of a later size; strange ones are not."""
    for key in keys:
        first = key.rpartition("/")[2].partition("-")[0]
        if not first.isdecimal() or int(first) <= size:
            yield key


def of_sizes(stamps: Iterable[str], first: int, size: int) -> Iterator[str]:
    """Keys of stamps, and of the notes under them, over more than ``first`` entries and at most ``size``."""
    for key in stamps:
        parts = key.split("/")
        if len(parts) == 4 and parts[2].isdecimal() and first < int(parts[2]) <= size:
            yield key
