"""Options of ``restore`` beside the real restic: the same files come back with the same metadata."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from tools import Obhut, Restic, remains_below

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

ATTRIBUTES = ("user.keep.a", "user.keep.b", "user.other")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("options") / "source"
    source.mkdir()
    (source / "file").write_text("content")
    for name in ATTRIBUTES:
        os.setxattr(source / "file", name, name.encode())
        os.setxattr(source, name, b"on a folder")
    Obhut(source.parent / "repo").init()
    Obhut(source.parent / "repo").backup(source)
    return source


def attributes(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path) if name.startswith("user.")}


FOREIGN = "user.keep.foreign"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--include-xattr", "user.keep.*"), {"user.keep.a", "user.keep.b"}),
        (("--include-xattr", "user.other", "--include-xattr", "user.*.b"), {"user.other", "user.keep.b", FOREIGN}),
        (("--exclude-xattr", "user.keep.*"), {"user.other", FOREIGN}),
        (("--exclude-xattr", "*"), {FOREIGN}),
        (("--include-xattr", "system.*"), {FOREIGN}),
        ((), set(ATTRIBUTES)),
    ],
)
def test_attributes_by_name(source: Path, tmp_path: Path, options: tuple[str, ...], expected: set[str]) -> None:
    repository = source.parent / "repo"
    found = []
    for tool in (Obhut(repository), Restic(repository)):
        target = tmp_path / tool.name
        there = remains_below(target, source)
        there.mkdir(parents=True)
        # An attribute that the snapshot does not have goes only if it is among those that are restored.
        for path in (there, there / "file"):
            path.touch()
            os.setxattr(path, FOREIGN, b"x")
        tool("restore", "latest", "--target", target, *options)
        found.append([attributes(path) for path in (there, there / "file")])
    assert found[0] == found[1]
    assert [set(names) for names in found[0]] == [expected, expected]


def test_contradictions(source: Path, tmp_path: Path) -> None:
    ours, theirs = Obhut(source.parent / "repo"), Restic(source.parent / "repo")
    words = ["restore", "latest", "--target", str(tmp_path / "t")]
    for more in (["--include-xattr", "a", "--exclude-xattr", "b"], ["--include-xattr", "["], ["--exclude-xattr", "["]):
        theirs(*words, *more, expect=1)
        assert b"invalid-argument" in ours(*words, *more, expect=1).err
    ours(*words, "--no-xattrs", "--exclude-xattr", "user.a", expect=1)
    assert not (tmp_path / "t").exists()


@pytest.mark.root
def test_owners_by_name(tmp_path: Path) -> None:
    """The snapshot's number of a known name is made another one: both programs find the name's own number again."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("x")
    user, group = pwd.getpwuid(1), grp.getgrgid(2)
    os.chown(source / "file", user.pw_uid, group.gr_gid)
    ours, theirs = Obhut(tmp_path / "repo"), Restic(tmp_path / "repo")
    ours.init()
    ours.backup(source)
    for tool in (ours, theirs):
        target = tmp_path / tool.name
        tool("restore", "latest", "--target", target, "--ownership-by-name")
        stat = (remains_below(target, source) / "file").stat()
        assert (stat.st_uid, stat.st_gid) == (user.pw_uid, group.gr_gid)
    # Somebody whom this host does not know keeps the number; restic makes root the owner.
    os.chown(source / "file", 54321, 54322)
    ours.backup(source)
    ran = ours("restore", "latest", "--target", tmp_path / "unknown", "--ownership-by-name")
    stat = (remains_below(tmp_path / "unknown", source) / "file").stat()
    assert (stat.st_uid, stat.st_gid) == (54321, 54322)
    assert b"notice" not in ran.err  # it has no name in the snapshot either
    theirs("restore", "latest", "--target", tmp_path / "theirs", "--ownership-by-name")
    stat = (remains_below(tmp_path / "theirs", source) / "file").stat()
    assert (stat.st_uid, stat.st_gid) == (0, 0)
