"""The files of a log, laid out as a log grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from obhut.log import merkle, tiles

if TYPE_CHECKING:
    from collections.abc import Sequence


def grow(entries: Sequence[bytes]) -> tuple[tiles.Edge, dict[str, bytes]]:
    """The right edge of a log of these entries, and its tiles and bundles by their paths."""
    edge = tiles.Edge()
    files: dict[str, bytes] = {}
    for entry in entries:
        files |= {place.path: data for place, data in edge.append(merkle.leaf_hash(entry))}
    files |= {place.path: data for place, data in edge.partial()}
    for place in tiles.grown(0, len(entries)):
        if place.level is None:
            first = place.index * tiles.WIDTH
            files[place.path] = tiles.encode_bundle(entries[first : first + place.width])
    return edge, files
