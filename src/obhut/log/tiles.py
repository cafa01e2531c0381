"""Where the hashes and entries of a log lie (C2SP tlog-tiles; formats: archive 1). Paths, bytes, geometry; no I/O.

256 neighbouring hashes of one level make a tile, 256 entries a bundle; level ``L`` hashes subtrees of ``256**L``
entries. What is full never changes. What is not full ends at the right edge of the tree, one tile a level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from obhut.log import merkle
from obhut.log.merkle import HASH

#: Hashes of a full tile, entries of a full bundle.
WIDTH: Final = 256

#: Bytes of the longest entry.
ENTRY: Final = 65535

_LENGTH: Final = 2

#: The bytes of the file of a name; raises if there is none.
Fetch = Callable[[str], bytes]


class TileError(ValueError):
    """A tile or bundle that is not what its place demands; names the place."""


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """The place of a tile of hashes, or (without level) of a bundle of entries."""

    level: int | None
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Below the log's folder, with slashes."""
        groups = f"{self.index:03}"
        groups = groups.zfill(-(-len(groups) // 3) * 3)
        parts = [groups[at : at + 3] for at in range(0, len(groups), 3)]
        number = "/".join([f"x{part}" for part in parts[:-1]] + parts[-1:])
        kind = "entries" if self.level is None else self.level
        part = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{kind}/{number}{part}"

    @property
    def full(self) -> Tile:
        """The full tile of this place."""
        return Tile(self.level, self.index)


def tile_of(level: int, index: int, size: int) -> Tile:
    """The tile that holds hash ``index`` of ``level`` in a tree of ``size`` entries, as wide as it is then."""
    hashes = size >> 8 * level
    number = index // WIDTH
    return Tile(level, number, min(WIDTH, hashes - number * WIDTH))


def bundle_of(index: int, size: int) -> Tile:
    """The bundle that holds entry ``index``."""
    number = index // WIDTH
    return Tile(None, number, min(WIDTH, size - number * WIDTH))


def grown(old: int, new: int) -> Iterator[Tile]:
    """The tiles and bundles that a tree of ``new`` entries has and one of ``old`` has not; bundles first."""
    for level in (None, *range(64)):
        shift = 8 * (level or 0)
        before, after = old >> shift, new >> shift
        if not after:
            return
        if before == after:
            continue
        for index in range(before // WIDTH, -(-after // WIDTH)):
            yield Tile(level, index, min(WIDTH, after - index * WIDTH))


def edge_of(size: int) -> Iterator[Tile]:
    """The places where a tree of ``size`` entries grows next: a bundle, and a tile of each level that it has."""
    yield Tile(None, size // WIDTH)
    level = 0
    while level == 0 or size >> 8 * level:
        yield Tile(level, (size >> 8 * level) // WIDTH)
        level += 1


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """The bytes of a bundle."""
    if any(len(entry) > ENTRY for entry in entries):
        raise TileError(f"an entry of more than {ENTRY} bytes")
    return b"".join(len(entry).to_bytes(_LENGTH, "big") + entry for entry in entries)


def decode_bundle(data: bytes, place: Tile) -> list[bytes]:
    """The entries of the bundle at ``place``; exactly as many as its width."""
    entries = []
    at = 0
    while at < len(data):
        start = at + _LENGTH
        at = start + int.from_bytes(data[at:start], "big")
        entries.append(data[start:at])
    if at != len(data) or len(entries) != place.width:
        raise TileError(f"{place.path}: not {place.width} entries")
    return entries


def decode_tile(data: bytes, place: Tile) -> list[bytes]:
    """The hashes of the tile at ``place``."""
    if len(data) != place.width * HASH:
        raise TileError(f"{place.path}: not {place.width} hashes")
    return [data[at : at + HASH] for at in range(0, len(data), HASH)]


@dataclass(slots=True)
class Edge:
    """A growing tree, of which only the tiles that are not full are in memory: less than 8 KiB a level."""

    size: int = 0
    #: For each level the hashes of the last tile: fewer than 256.
    rows: list[list[bytes]] = field(default_factory=list)

    @staticmethod
    def load(size: int, hashes: Callable[[Tile], list[bytes]]) -> Edge:
        """The right edge of a tree that lies in tiles; whether it is the right one, its root says."""
        edge = Edge(size)
        level = 0
        while count := size >> 8 * level:
            edge.rows.append(hashes(tile_of(level, count - 1, size)) if count % WIDTH else [])
            level += 1
        return edge

    def append(self, leaf: bytes) -> list[tuple[Tile, bytes]]:
        """Takes in a leaf hash; gives the tiles that are full now."""
        full: list[tuple[Tile, bytes]] = []
        self.size += 1
        grown, level = leaf, 0
        while True:
            if level == len(self.rows):
                self.rows.append([])
            row = self.rows[level]
            row.append(grown)
            if len(row) < WIDTH:
                return full
            place = Tile(level, (self.size >> 8 * level) // WIDTH - 1)
            full.append((place, b"".join(row)))
            grown = merkle.fold(row)
            row.clear()
            level += 1

    def partial(self) -> list[tuple[Tile, bytes]]:
        """The tiles of the right edge that are not full."""
        return [
            (Tile(level, (self.size >> 8 * level) // WIDTH, len(row)), b"".join(row))
            for level, row in enumerate(self.rows)
            if row
        ]

    def root(self) -> bytes:
        """The root of the tree."""
        found: list[bytes] = []
        for row in self.rows:
            if row or found:
                found = [merkle.fold([*row, *found])]
        return merkle.fold(found)


class Reader:
    """Roots of subtrees for :mod:`obhut.log.merkle` out of the tiles of a tree of ``size``; each tile is read once."""

    def __init__(self, size: int, fetch: Fetch) -> None:
        self._size = size
        self._fetch = fetch
        self._tiles: dict[Tile, list[bytes]] = {}
        #: Roots of subtrees inside tiles: those who prove many entries need each of them often.
        self._roots: dict[tuple[int, int], bytes] = {}

    def __call__(self, level: int, index: int) -> bytes:
        """The root of subtree ``index`` of ``2**level`` entries."""
        row, inside = divmod(level, 8)
        if not inside:
            return self.hashes(tile_of(row, index, self._size))[index % WIDTH]
        known = self._roots.get((level, index))
        if known is None:
            left, right = self(level - 1, 2 * index), self(level - 1, 2 * index + 1)
            known = self._roots[level, index] = merkle.node_hash(left, right)
        return known

    def hashes(self, place: Tile) -> list[bytes]:
        """The hashes of a tile; where a narrow one is gone, the first of the full one."""
        known = self._tiles.get(place)
        if known is None:
            known = self._tiles[place] = read_tile(self._fetch, place)
        return known


def read_tile(fetch: Fetch, place: Tile) -> list[bytes]:
    """The hashes of a tile. A narrow one may have been removed once the full one was there."""
    return _read(fetch, place, decode_tile)


def read_bundle(fetch: Fetch, place: Tile) -> list[bytes]:
    """The entries of a bundle, likewise."""
    return _read(fetch, place, decode_bundle)


def _read(fetch: Fetch, place: Tile, decode: Callable[[bytes, Tile], list[bytes]]) -> list[bytes]:
    try:
        data = fetch(place.path)
    except FileNotFoundError:
        if place.width == WIDTH:
            raise
        return decode(fetch(place.full.path), place.full)[: place.width]
    return decode(data, place)
