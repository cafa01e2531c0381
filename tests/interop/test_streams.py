"""Options that choose among files, given with a stream: accepted, recorded and without effect, as in restic."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import Obhut, Restic

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

#: Each would leave the stream out if it were a file found in a folder.
CHOOSING = (
    ("--exclude", "*.sql"),
    ("--exclude", "/dumps"),
    ("--iexclude", "*.SQL"),
    ("--exclude-larger-than", "1"),
    ("--exclude-caches",),
    ("--exclude-if-present", "shop.sql"),
    ("--one-file-system",),
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("streams") / "repo"
    Obhut(repository).init()
    return repository


@pytest.mark.parametrize("options", CHOOSING, ids=" ".join)
def test_a_stream_is_saved_whole_with_excludes(repository: Path, options: tuple[str, ...]) -> None:
    ours, theirs = Obhut(repository), Restic(repository)
    words = ["--stdin", "--stdin-filename", "dumps/shop.sql", *options]
    ran = ours("run", *words, stdin=b"select 1;\n")
    assert b"a stream is saved whole" in ran.err
    assert options[0].encode() in ran.err
    theirs("backup", *words, stdin=b"select 1;\n")
    mine, other = ours.snapshots()[-2:]
    assert mine.get("excludes") == other.get("excludes")
    assert ours.listing(mine["id"]) == theirs.listing(other["id"]) == [b"/dumps", b"/dumps/shop.sql"]
    assert theirs("dump", mine["id"], "/dumps/shop.sql").out == b"select 1;\n"


def test_the_notice_is_not_for_scripts_and_not_without_cause(repository: Path) -> None:
    ours = Obhut(repository)
    assert ours("run", "--stdin", "--json", "--exclude", "a", stdin=b"x").err == b""
    assert b"notice" not in ours("run", "--stdin", stdin=b"x").err
    ran = ours("run", "--stdin-from-command", "--exclude-caches", "--", "printf", "y")
    assert b"without effect: --exclude-caches" in ran.err


@pytest.mark.parametrize(
    "options", [("--exclude", "[a"), ("--exclude-file", "/nowhere/list"), ("--exclude-if-present", ":x")]
)
def test_what_is_wrong_is_refused_with_a_stream_too(repository: Path, options: tuple[str, ...]) -> None:
    ours, theirs = Obhut(repository), Restic(repository)
    before = len(ours.snapshots())
    theirs("backup", "--stdin", *options, stdin=b"x", expect=1)
    ours("run", "--stdin", *options, stdin=b"x", expect=1)
    assert len(ours.snapshots()) == before
