"""Locations of repositories, the clock port and durable files from Python."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut.errors import ObhutError
from obhut.storage.urls import LocalLocation, open_location, parse_location
from obhut.world.clock import Clock, FixedClock, SystemClock
from obhut.world.durable import write_file


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/srv/r", b"/srv/r"),
        ("r", b"r"),
        ("./a:b", b"./a:b"),
        ("local:/srv/r", b"/srv/r"),
        ("local:a:b", b"a:b"),
        ("LOCAL:r", b"r"),
        ("/odd\udcff", b"/odd\xff"),
        ("/ä", "/ä".encode()),
    ],
)
def test_folders(location: str, path: bytes) -> None:
    assert parse_location(location) == LocalLocation(path)


@pytest.mark.parametrize(
    ("location", "instead"),
    [
        ("sftp:user:secret@host:/p", "sshfs"),
        ("sftp://user:secret@host/p", "sshfs"),
        ("rest:https://user:secret@host/", "the folder that it serves"),
        ("S3:https://secret@host/bucket", "rclone mount"),
        ("b2:secret:p", "rclone mount"),
        ("rclone:secret:p", "rclone mount"),
        ("foo:secret", "local:PATH"),
    ],
)
def test_other_storage_is_refused_with_a_way_out_and_without_secrets(location: str, instead: str) -> None:
    with pytest.raises(ObhutError) as refused:
        parse_location(location)
    assert refused.value.id == "location-invalid"
    assert instead in refused.value.detail
    assert "supported now" in refused.value.detail
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("location", ["", "local:", "a\0b"])
def test_what_is_no_path_is_refused(location: str) -> None:
    with pytest.raises(ObhutError) as refused:
        parse_location(location)
    assert refused.value.id == "location-invalid"


@given(st.binary(min_size=1).filter(lambda path: b"\0" not in path))
def test_any_path_can_be_written_with_local(path: bytes) -> None:
    assert parse_location("local:" + os.fsdecode(path)).path == path


def test_a_location_opens(tmp_path: Path) -> None:
    store = open_location(str(tmp_path / "r"))
    assert store.is_local()
    assert store.location() == str(tmp_path / "r")


def test_clocks() -> None:
    system: Clock = SystemClock()
    assert abs(system.now_ns() - Path("/proc/self").stat().st_ctime_ns) < 3600e9
    before = system.elapsed()
    system.sleep(0.001)
    assert system.elapsed() > before
    fixed = FixedClock(5_000_000_000)
    fixed.sleep(2.5)
    assert (fixed.now_ns(), fixed.elapsed()) == (7_500_000_000, 2.5)


def test_durable_files(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    write_file(file, b"one")
    assert file.stat().st_mode & 0o777 == 0o600
    link.symlink_to(file)
    write_file(os.fsencode(link), b"two", mode=0o640)
    assert link.is_symlink()
    assert file.read_bytes() == b"two"
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["file", "link"]
    with pytest.raises(ObhutError) as missing:
        write_file(tmp_path / "none" / "file", b"")
    assert missing.value.id == "file-missing"
