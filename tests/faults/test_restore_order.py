"""The order in which a restore finishes a file, and its one sync: from the system calls."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import straced
from tools import PASSWORD, Obhut

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.needs("strace"),
]
#: What gives a file its owner, attributes, times and mode; strace is asked for these besides what it always shows.
METADATA = ("fchown", "fchownat", "fsetxattr", "setxattr", "lsetxattr", "utimensat")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of a file of another user, with an attribute, that is setuid."""
    place = tmp_path_factory.mktemp("order")
    source = place / "source"
    source.mkdir()
    file = source / "program"
    file.write_bytes(os.urandom(100_000))
    os.setxattr(file, "user.comment", b"hello")
    os.chown(file, 1234, 4321)
    file.chmod(0o6755)
    os.utime(file, ns=(10**18, 10**18))
    ours = Obhut(place / "repo")
    ours.init()
    ours("run", ".", cwd=source)
    return place / "repo"


def restored(repository: Path, tmp_path: Path, *more: str, monkeypatch: pytest.MonkeyPatch) -> straced.Trace:
    monkeypatch.setattr(straced, "MUTATING", (*straced.MUTATING, *METADATA))
    words = ["backup", "restore", "latest", "-r", str(repository), "--target", str(tmp_path / "out"), "--threads", "1"]
    command = [sys.executable, "-m", "obhut", *words, *more]
    trace = straced.run(command, tmp_path / "out", tmp_path / "log", env={**os.environ, "OBHUT_PASSWORD": PASSWORD})
    assert trace.code == 0, trace.err
    return trace


def test_content_owner_attributes_times_and_the_setuid_bit_last(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = restored(repository, tmp_path, monkeypatch=monkeypatch)
    calls = [call for call in trace.calls if call.paths == ("program",)]
    assert all(call.ok for call in calls)
    assert [call.name for call in calls] == ["openat2", "pwrite64", "fchown", "fsetxattr", "utimensat", "fchmod"]
    created = calls[0].arguments
    assert "mode=0600" in created, "nobody else reads what is not finished"
    assert all(flag in created for flag in ("O_EXCL", "O_NOFOLLOW", "RESOLVE_BENEATH", "RESOLVE_NO_SYMLINKS"))
    assert calls[-1].arguments.rstrip().endswith("06755)")


@pytest.mark.parametrize(("more", "syncs"), [((), 1), (("--no-sync",), 0)])
def test_one_sync_at_the_end_unless_not_wanted(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...], syncs: int
) -> None:
    trace = restored(repository, tmp_path, *more, monkeypatch=monkeypatch)
    names = [call.name for call in trace.calls]
    assert names.count("syncfs") == syncs
    assert not {"fsync", "fdatasync", "sync_file_range", "msync"} & set(names), "a sync for each file would be slow"
    if syncs:
        assert names[-1] == "syncfs", "it comes after everything that it is for"
