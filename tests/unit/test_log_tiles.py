"""Tiles and bundles: the published geometry, our own vectors of a large log, and the growing edge of a tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from log_files import grow
from obhut.log import merkle, tiles
from obhut.log.tiles import Tile

#: SHA-256 of files of the log whose entry i is the decimal number i, at 70,000 entries (formats: archive 4).
FILES = {
    "tile/0/000": "b9704a8bfbee2c61185ceb38904a49f3f703c81e194b5b2ccdc254c2bdaaa62b",
    "tile/0/273.p/112": "4d21244557c976993a9a89bf928a46b5a876585228df279878239fd84489e5a5",
    "tile/1/000": "ea7b038bc73489c89c31a27ac355aaca65a4ed73f0dd7484e68deb29d30f10a2",
    "tile/1/001.p/17": "adfaca2731630fe7944a4b98a0f98ef3e98685eafda09e6f81070218fb759ce4",
    "tile/2/000.p/1": "f0113c8bad855b49f9a5dd661d50012cd94f19aae87a45eb8334666835e3caea",
    "tile/entries/000": "94693d5c6d6a0355ec07bac8214516c1ce6a5100b0588f226fd95f26571157d7",
}
ROOTS = {
    255: "32f85bcaa87d7bcd05728f09e9aeba350ba6a2f733830087f0597682848be5cb",
    256: "828515d033c19d8c901f37eccb8aed919667703486f8d2fff1cf7040321c5db1",
    257: "1eda049a4351d86f76252bd7ec0b7746ad75b7fa0316ad5f541dbda458a312c4",
    65535: "74f13a0e1a75689372efb990cf68c664e44c763d9304844955b2eaff624e8df1",
    65536: "f025d06ed804859fd274a1bdacadd6e48ea87634aa91e1edb20143f9498cd02b",
    65537: "dc8795a25fd4bd52a0b84f639fd3139ba160824023d188e428eb5db0f3ce221a",
    70000: "1a4cdfcb66374a0c0dcbef49acbd4976d13ee864fb3cb241fc943cad04f02f7e",
}
LARGE = 70_000


def entry(index: int) -> bytes:
    return str(index).encode()


@cache
def large() -> dict[str, bytes]:
    """All files of the large log."""
    edge, files = grow([entry(index) for index in range(LARGE)])
    assert edge.root().hex() == ROOTS[LARGE]
    return files


def missing_is_no_file(files: dict[str, bytes]) -> tiles.Fetch:
    def fetch(path: str) -> bytes:
        try:
            return files[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    return fetch


def test_the_files_of_a_large_log() -> None:
    assert set(large()) == {place.path for place in tiles.grown(0, LARGE)}
    assert {path: sha256(large()[path]).hexdigest() for path in FILES} == FILES


def test_proofs_of_a_large_log() -> None:
    reader = tiles.Reader(LARGE, missing_is_no_file(large()))
    root = bytes.fromhex(ROOTS[LARGE])
    assert merkle.root(LARGE, reader) == root
    proof = merkle.inclusion(68999, LARGE, reader)
    assert len(proof) == 14
    assert sha256(b"".join(proof)).hexdigest() == "623ef9c8dc36ec75588513400d37b917c4eaed8380e40f450e377f91217c6198"
    merkle.check_inclusion(merkle.leaf_hash(b"68999"), 68999, LARGE, root, proof)
    proof = merkle.consistency(257, LARGE, reader)
    assert len(proof) == 18
    assert sha256(b"".join(proof)).hexdigest() == "cd1f1b65d42cb77a52296e05094bb824fbad15fb6f19c4010e864bcb9d9c8f7c"
    merkle.check_consistency(257, bytes.fromhex(ROOTS[257]), LARGE, root, proof)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65535, 65536, 65537, LARGE])
def test_an_edge_is_loaded_from_the_tiles_of_its_size(size: int) -> None:
    """Also where narrow tiles went once the full ones were there."""
    edge, at_the_time = grow([entry(index) for index in range(size)])
    assert edge.root().hex() == ROOTS.get(size, edge.root().hex())
    for these in (at_the_time, large()):
        loaded = tiles.Edge.load(size, tiles.Reader(size, missing_is_no_file(these)).hashes)
        assert loaded == edge


@given(st.integers(0, 70_000), st.integers(0, 70_000))
def test_what_has_grown_is_what_the_one_has_and_the_other_has_not(one: int, other: int) -> None:
    old, new = sorted((one, other))
    before, after = set(tiles.grown(0, old)), set(tiles.grown(0, new))
    listed = list(tiles.grown(old, new))
    assert len(set(listed)) == len(listed)
    assert set(listed) == after - before
    assert {place for place in before - after if place.width == tiles.WIDTH} == set(), "what is full stays"
    kinds = [place.level is not None for place in listed]
    assert kinds == sorted(kinds), "entries before hashes"


@pytest.mark.parametrize(
    ("place", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 1234), "tile/0/x001/234"),
        (Tile(3, 1234067), "tile/3/x001/x234/067"),
        (Tile(0, 999), "tile/0/999"),
        (Tile(0, 1000, 5), "tile/0/x001/000.p/5"),
        (Tile(None, 67, 255), "tile/entries/067.p/255"),
        (tiles.tile_of(0, 69_999, 70_000), "tile/0/273.p/112"),
        (tiles.tile_of(1, 272, 70_000), "tile/1/001.p/17"),
        (tiles.bundle_of(255, 70_000), "tile/entries/000"),
        (tiles.bundle_of(69_999, 70_000), "tile/entries/273.p/112"),
    ],
)
def test_paths(place: Tile, path: str) -> None:
    assert place.path == path


def test_bundles() -> None:
    entries = [b"alpha", b"beta", b"gamma"]
    data = tiles.encode_bundle(entries)
    assert data.hex() == "0005616c706861000462657461000567616d6d61"
    place = Tile(None, 0, 3)
    assert tiles.decode_bundle(data, place) == entries
    long = [b"", bytes(tiles.ENTRY)]
    assert tiles.decode_bundle(tiles.encode_bundle(long), Tile(None, 0, 2)) == long
    with pytest.raises(tiles.TileError, match="65535"):
        tiles.encode_bundle([bytes(tiles.ENTRY + 1)])
    for wrong in (data[:-1], data + b"\0", data + b"\0\0", data[2:], b"", data + b"\xff\xff"):
        with pytest.raises(tiles.TileError, match=r"tile/entries/000.p/3: not 3 entries"):
            tiles.decode_bundle(wrong, place)


def test_tiles_have_the_width_of_their_name() -> None:
    assert tiles.decode_tile(bytes(64), Tile(0, 0, 2)) == [bytes(32)] * 2
    for length in (0, 32, 63, 65, 96):
        with pytest.raises(tiles.TileError, match=r"tile/0/000.p/2: not 2 hashes"):
            tiles.decode_tile(bytes(length), Tile(0, 0, 2))


def test_strangers_need_nothing_but_python(tmp_path: Path) -> None:
    """The three files that their verifier is made of, without Obhut and without any package."""
    package = tmp_path / "obhut" / "log"
    package.mkdir(parents=True)
    for name in ("__init__", "merkle", "note", "tiles"):
        shutil.copy(Path(tiles.__file__).with_name(f"{name}.py"), package)
    code = f"import sys; sys.path.append({str(tmp_path)!r}); import obhut.log.note, obhut.log.tiles"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_a_full_tile_that_is_gone_is_missing() -> None:
    for read in (tiles.read_tile, tiles.read_bundle):
        for width in (5, tiles.WIDTH):
            with pytest.raises(FileNotFoundError):
                read(missing_is_no_file({}), Tile(0, 0, width))
