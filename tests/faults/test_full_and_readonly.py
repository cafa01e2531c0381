"""A full disk and a read-only place: said by name, nothing half done, and it goes on when there is room."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import facilities
from tools import Obhut, Restic, remains_below, run, same, same_below

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


@contextlib.contextmanager
def tmpfs(place: Path, size: str) -> Iterator[Path]:
    """A small file system of its own."""
    facilities.need("mount")
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(10):
        (folder / f"file-{number}").write_bytes(os.urandom(3_000_000))
    return folder


def test_a_full_repository_disk(source: Path, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "20m") as disk:
        ours = Obhut(disk / "repo")
        ours.init()
        ours.backup(source / "file-0")
        for _ in range(2):
            ran = ours("run", source, expect=1)
            assert b"no-space" in ran.err or b"space" in ran.err.lower()
            assert len(ours.snapshots()) == 1
        assert list((disk / "repo" / "locks").iterdir()) == []
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        ours.check()
        ours.backup(source)
        ours("prune")
        ours.check()
        Restic(disk / "repo").check()
        ours.restore(tmp_path / "out")
        same(source, remains_below(tmp_path / "out", source))


def test_a_full_restore_target(source: Path, tmp_path: Path) -> None:
    ours = Obhut(tmp_path / "repo")
    ours.init()
    ours.backup(source)
    with tmpfs(tmp_path / "disk", "10m") as disk:
        ran = ours("restore", f"latest:{source}", "--target", disk / "out", expect=1)
        assert b"space" in ran.err.lower()
        assert b"Traceback" not in ran.err
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        # The same command again finishes what was begun.
        ours("restore", f"latest:{source}", "--target", disk / "out")
        same_below(source, disk / "out")


def test_a_read_only_repository(source: Path, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "100m") as disk:
        ours = Obhut(disk / "repo")
        ours.init()
        ours.backup(source)
        before = sorted(disk.rglob("*"))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for words in (
            ["run", source],
            ["forget", "--keep-last", "1"],
            ["prune"],
            ["key", "add", "--new-password-file", "/etc/hostname"],
        ):
            ran = ours(*words, expect=1)
            assert b"read-only" in ran.err.lower()
            assert b"Traceback" not in ran.err
        assert sorted(disk.rglob("*")) == before
        ours("restore", f"latest:{source}", "--target", tmp_path / "out", "--no-lock")
        same_below(source, tmp_path / "out")


def test_a_read_only_restore_target(source: Path, tmp_path: Path) -> None:
    ours = Obhut(tmp_path / "repo")
    ours.init()
    ours.backup(source)
    with tmpfs(tmp_path / "disk", "1m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ran = ours("restore", "latest", "--target", disk / "out", expect=1)
        assert b"read-only" in ran.err.lower()


def test_init_where_nothing_can_be_made(tmp_path: Path) -> None:
    file = tmp_path / "a-file"
    file.write_text("x")
    ran = Obhut(file / "repo")("init", expect=1)
    assert b"Traceback" not in ran.err
    with tmpfs(tmp_path / "disk", "1m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ran = Obhut(disk / "repo")("init", expect=1)
        assert b"read-only" in ran.err.lower()


def test_the_mounts_of_these_tests_are_gone(tmp_path: Path) -> None:
    assert str(tmp_path.parent) not in run(["findmnt", "-t", "tmpfs", "-n"], expect={0, 1}).text
