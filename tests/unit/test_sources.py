"""Lists of sources and patterns: any bytes, comments, variables, wildcards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut.backup.sources import SourceLists, absolute, divide_existing, pattern_lines, raw_names, shown
from obhut.errors import ObhutError


def test_patterns() -> None:
    data = b"\xef\xbb\xbf# comment\n\n *.o \n$HOME/x\n${WHO}a$$b\n$nobody/c\n\\#y\n\xff*\n"
    assert pattern_lines(data, {b"HOME": b"/h", b"WHO": b"w"}) == [
        b"*.o", b"/h/x", b"wa$b", b"/c", b"\\#y", b"\xff*",
    ]  # fmt: skip


@given(st.lists(st.binary(min_size=1).filter(lambda name: b"\0" not in name)))
def test_raw_names(names: list[bytes]) -> None:
    assert raw_names(b"".join(name + b"\0" for name in names)) == names


@pytest.mark.parametrize("data", [b"a", b"a\0b", b"\0", b"a\0\0"])
def test_bad_raw_names(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"byte|empty"):
        raw_names(data)


def test_all_lists(tmp_path: Path) -> None:
    for name in (b"b.txt", b"a.txt", b".hidden", b"odd\xff\n"):
        (tmp_path / os.fsdecode(name)).touch()
    base = os.fsencode(tmp_path)
    (tmp_path / "from").write_bytes(b"# c\n" + base + b"/*.txt\n" + base + b"/*.none\n\n")
    (tmp_path / "verbatim").write_bytes(b"# not a comment\n *.txt\n\n")
    (tmp_path / "raw").write_bytes(base + b"/odd\xff\n\0")
    lists = SourceLists((b"/x",), (str(tmp_path / "from"),), (str(tmp_path / "verbatim"),), (str(tmp_path / "raw"),))
    names, unmatched = lists.names()
    assert names == [
        base + b"/a.txt", base + b"/b.txt", b"# not a comment", b" *.txt", base + b"/odd\xff\n", b"/x",
    ]  # fmt: skip
    assert unmatched == [base + b"/*.none"]
    with pytest.raises(ObhutError) as missing:
        SourceLists(files_from=(str(tmp_path / "nobody"),)).names()
    assert missing.value.id == "source-list"


def test_existing(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to("nowhere")
    base = os.fsencode(tmp_path)
    there, missing = divide_existing([base, base + b"/dangling", base + b"/none", b"a\0b"])
    assert there == [base, base + b"/dangling"]
    assert [name for name, _ in missing] == [base + b"/none", b"a\0b"]


def test_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute(b"a/../b/") == os.fsencode(tmp_path) + b"/b"
    assert absolute(b"//x//y/.") == b"/x/y"


@given(st.binary())
def test_shown_cannot_steer_a_terminal(name: bytes) -> None:
    assert shown(name).isprintable()


def test_shown() -> None:
    assert shown("ä b".encode()) == "ä b"
    assert shown(b"a\x1b[2J\xff\n") == "a\\x1b[2J\\xff\\x0a"
