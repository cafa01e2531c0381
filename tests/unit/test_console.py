"""What reaches the terminal: escaped, cut to its width, in one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut.cli.console import display_width, safe, shorten
from obhut.cli.reporter import json_status, status_text
from obhut.cli.table import render

COUNTERS = {
    "phase": 0, "total_items": 300, "total_bytes": 3 << 30, "total_known": 1, "items_done": 120,
    "bytes_done": 1 << 30, "errors": 0, "bytes_written": 5,
}  # fmt: skip


@given(st.text())
def test_safe(text: str) -> None:
    assert safe(text).isprintable()
    assert not text.isprintable() or safe(text) == text


def test_escapes() -> None:
    assert safe("a\x1b[31m\u202eb\n") == "a\\x1b[31m\\u202eb\\n"


@given(st.text(alphabet=st.characters(blacklist_categories=["C"])), st.integers(0, 40))
def test_shorten(text: str, width: int) -> None:
    cut = shorten(text, width)
    assert display_width(cut) <= max(width, 0) or cut == text
    assert cut == text or cut.endswith("…") or width == 0


def test_status() -> None:
    text = status_text("backup", COUNTERS, 65, 100 << 20, ["/home/x"])
    assert text == ("[1:05] backup  33.33%, 120/300, 1.000 GiB of 3.000 GiB, 100.000 MiB/s, 0:20 left  /home/x")
    unknown = COUNTERS | {"total_known": 0, "errors": 2}
    assert "33" not in status_text("backup", unknown, 1, 0, [])
    assert "2 errors" in status_text("backup", unknown, 1, 0, [])


def test_json_status_has_restics_keys() -> None:
    line = json_status("backup", COUNTERS, 2.5, 1 << 30, [b"/b", b"/a\xff"])
    assert line == {
        "message_type": "status", "seconds_elapsed": 2, "seconds_remaining": 2, "percent_done": pytest.approx(1 / 3),
        "total_files": 300, "files_done": 120, "total_bytes": 3 << 30, "bytes_done": 1 << 30,
        "current_files": ["/a\udcff", "/b"],
    }  # fmt: skip
    zero = dict.fromkeys(COUNTERS, 0)
    assert json_status("backup", zero, 0, 0, []) == {"message_type": "status", "percent_done": 0}
    assert json_status("check", COUNTERS, 1, 1, []) is None
    restore = json_status("restore", COUNTERS, 1, 1, [])
    assert restore is not None
    assert restore["files_restored"] == 120


def test_table() -> None:
    assert render(("ID", "Paths"), [("1", ("/a", "/ü\x1b")), ("22", ())]) == [
        "ID  Paths",
        "---------",
        "1   /a",
        "    /ü\\x1b",
        "22",
        "---------",
    ]
