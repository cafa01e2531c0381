"""Tessera's fsck, which nobody here wrote, judges logs that are laid out by ``obhut.log``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import archives
from log_files import grow
from obhut import _core
from obhut.log import note

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.interop


def write(folder: Path, size: int) -> None:
    """A log of so many entries, with its key beside it."""
    signer = _core.Signer.from_seed(bytes(range(32)))
    key = note.Key("example.org/archive", note.ED25519, signer.public)
    edge, files = grow([b"entry %d" % index * (index % 5) for index in range(size)])
    checkpoint = note.Checkpoint(key.name, size, edge.root())
    files["checkpoint"] = bytes(note.Note(str(checkpoint), ()).signed(key, signer.sign))
    for path, data in files.items():
        (folder / "log" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "log" / path).write_bytes(data)
    (folder / "log.vkey").write_text(f"{key}\n")


def accepts(folder: Path) -> bool:
    return archives.accepted(folder / "log", folder / "log.vkey")


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 512, 700, 65_536, 70_000])
def test_a_sound_log_is_accepted(tmp_path: Path, size: int) -> None:
    write(tmp_path, size)
    assert accepts(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["checkpoint", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/44"],
)
def test_a_flipped_bit_is_refused(tmp_path: Path, name: str) -> None:
    """It reads what we mean it to read."""
    write(tmp_path, 300)
    target = tmp_path / "log" / name
    data = bytearray(target.read_bytes())
    data[-3] ^= 1
    target.write_bytes(data)
    assert not accepts(tmp_path)


def test_another_key_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 3)
    other = note.Key("example.org/archive", note.ED25519, _core.Signer.from_seed(bytes(32)).public)
    (tmp_path / "log.vkey").write_text(f"{other}\n")
    assert not accepts(tmp_path)
