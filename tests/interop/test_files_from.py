"""``--files-from``: wildcards mean for us what they mean for restic."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import cheap
from obhut.backup.wildcards import BadPatternError, expand
from tools import Obhut, Restic

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

NAMES = (
    *(b"a", b"b", b"ab", b"abc", b".hidden", b"a*b", b"a?b", b"[x]", b"back\\slash", b"a-b", b"]", b"^", b"new\nline"),
    *("ä".encode(), "äb".encode(), b"\xff", b"\xffb", b"A", b"Z", b"z", b"0", b"d1/a", b"d1/ab", b"d1/.h", b"d2/a"),
    *(b"d2/e/a", b"d[3]/a", b"d*/a", b"\xfe/a"),
)
PATTERNS = (
    *(b"*", b"?", b"??", b"a*", b"*b", b".*", b"a?b", b"a\\*b", b"a\\?b", b"\\[x\\]", b"[[]x[]]", b"[[]x]", b"back\\\\*"),
    *(b"[ab]", b"[^ab]", b"[a-z]", b"[^a-z]", b"[!a]", b"[A-Za-z]", b"[z-a]", b"[^z-a]", b"[a-b-z]", b"[\\]]", b"[\\^]"),
    *(b"[^]", b"[]", b"[]a]", b"[-a]", b"[a-]", b"[a", b"a\\", b"[a\\", b"a[b", b"\\a", b"a", b"nothing", b"*nothing*"),
    *(b"d?/a", b"*/a", b"*/*", b"*/*/a", b"**/a", b"**", b"d[12]/*", b"d\\*/a", b"d\\[3\\]/?", b"d[[]3]/a", b"./a*", b"d1/../b*"),
    *("[ä]*".encode(), b"?b", b"\xff*", b"[\xff]", b"\xfe/*", b"d1/", b"d*/", b"d1//a*", b"*\nline", b"a*/", b"{a,b}", b"~"),
)  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree") / "root"
    for name in NAMES:
        file = os.path.join(os.fsencode(root), name)
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "wb"):
            pass
    return root


def test_every_pattern_finds_what_it_finds_for_restic(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = Restic(tmp_path / "repo")
    cheap.init(theirs.repository)
    monkeypatch.chdir(tree)
    refused = set()
    for number, pattern in enumerate(PATTERNS):
        (tmp_path / "list").write_bytes(pattern.replace(b"\n", b"?") + b"\n")
        words = ("backup", "--no-scan", "--tag", f"p{number}", "--files-from", tmp_path / "list")
        if theirs(*words, expect={0, 1, 3}).code:
            refused.add(pattern)
    found = {int(snapshot["tags"][0][1:]): snapshot["paths"] for snapshot in theirs.snapshots()}
    assert len(found) > 40
    for number, pattern in enumerate(PATTERNS):
        try:
            ours = expand(pattern.replace(b"\n", b"?"))
        except BadPatternError:
            ours = []
        # A path that is no UTF-8 is written into a snapshot as JSON can: with U+FFFD.
        shown = {(os.fsencode(tree) + b"/" + name).decode("utf-8", "replace") for name in map(os.path.normpath, ours)}
        assert shown == set(found.get(number, [])), pattern
        assert (pattern in refused) == (not ours), pattern


@pytest.mark.parametrize(
    "pattern", [p for p in PATTERNS if p in {b"[^]", b"[]", b"[]a]", b"[-a]", b"[a", b"a\\", b"[\xff]"}]
)
def test_a_malformed_pattern_is_refused_and_nothing_is_saved(tree: Path, tmp_path: Path, pattern: bytes) -> None:
    ours, theirs = Obhut(tmp_path / "repo"), Restic(tmp_path / "repo")
    cheap.init(ours.repository)
    (tmp_path / "list").write_bytes(os.fsencode(tree) + b"/a\n" + pattern + b"\n")
    theirs("backup", "--files-from", tmp_path / "list", expect=1)
    ran = ours("run", "--files-from", tmp_path / "list", expect=1)
    assert b"source-list" in ran.err
    assert not os.listdir(ours.repository / "snapshots")
