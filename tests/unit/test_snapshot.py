"""The snapshot model: canonical bytes, unknown keys, bad input; and the JSON writer below it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut import gojson
from obhut.backup import snapshot as model
from obhut.backup.stamp import Stamp
from obhut.backup.summary import COUNTS, Summary

TREE = "a" * 64
START, END = Stamp.parse("2026-08-01T10:00:00.5+02:00"), Stamp.parse("2026-08-01T10:00:01.75+02:00")


def built(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "time": START, "tree": TREE, "paths": ["/a <b>"], "hostname": "h", "username": "u", "uid": 1000, "gid": 100,
        "parent": None, "excludes": [], "tags": [], "program_version": "obhut 0.1.0",
        "summary": Summary(dict.fromkeys(COUNTS, 0) | {"data_added": 7}, START, END).stored(),
    }  # fmt: skip
    return model.build(**values | changes)


def test_bytes_of_a_snapshot() -> None:
    assert built() == (
        b'{"time":"2026-08-01T10:00:00.5+02:00","tree":"' + TREE.encode() + b'","paths":["/a \\u003cb\\u003e"],'
        b'"hostname":"h","username":"u","uid":1000,"gid":100,"program_version":"obhut 0.1.0","summary":{"backup_start":'
        b'"2026-08-01T10:00:00.5+02:00","backup_end":"2026-08-01T10:00:01.75+02:00","files_new":0,"files_changed":0,'
        b'"files_unmodified":0,"dirs_new":0,"dirs_changed":0,"dirs_unmodified":0,"data_blobs":0,"tree_blobs":0,'
        b'"data_added":7,"data_added_packed":0,"total_files_processed":0,"total_bytes_processed":0}}'
    )


def test_root_and_empty_values_are_left_out() -> None:
    raw = json.loads(built(uid=0, gid=0, username="", tags=["x"], parent="b" * 64))
    assert list(raw) == ["time", "parent", "tree", "paths", "hostname", "tags", "program_version", "summary"]


def test_path_that_is_no_utf8() -> None:
    path = b"/x\xff".decode("utf-8", "surrogateescape")
    data = built(paths=[path])
    assert b'"/x\\ufffd"' in data
    read = model.parse("c" * 64, gojson.loads(data))
    assert read.has_paths([gojson.as_written(path)])


def test_refuses_a_short_tree() -> None:
    with pytest.raises(ValueError, match="full ids"):
        built(tree="abc")


def test_unknown_keys_are_kept_and_shown_last() -> None:
    raw = {"label": "nightly", "time": START.format(), "tree": TREE, "paths": None, "delete": {"After": "x"}, "uid": 0}
    snap = model.parse("c" * 64, raw)
    assert list(model.shown(snap)) == ["time", "tree", "paths", "label", "delete", "id", "short_id"]


@pytest.mark.parametrize(
    "raw",
    [None, [], {}, {"tree": TREE}, {"tree": None, "time": START.format()}, {"tree": TREE, "time": 7},
     {"tree": TREE, "time": START.format(), "paths": "x"}, {"tree": TREE, "time": START.format(), "tags": [1]},
     {"tree": TREE, "time": START.format(), "hostname": {}}],
)  # fmt: skip
def test_bad_snapshot(raw: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        model.parse("c" * 64, raw)


@pytest.mark.parametrize("line", [b"", b"{", b'{"id":"x"}', b"[]", b'{"id":NaN}', b"[" * 100000])
def test_bad_listing_line(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        model.parse_line(line)


def test_tags() -> None:
    snap = model.Snapshot("c" * 64, START, TREE, tags=("a", "b"))
    bare = model.Snapshot("c" * 64, START, TREE)
    assert snap.has_tags(["a"])
    assert not snap.has_tags(["a", "c"])
    assert not snap.has_tags([""])
    assert bare.has_tags([""])
    assert snap.has_tag_list([["c"], ["b"]])
    assert model.split_tags("a, b,") == ("a", "b", "")
    assert model.flatten_tags([("a", ""), ("b",)]) == ("a", "b")


# Go's float form cannot be told apart by Python's; integers of any size and everything else can.
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_json_round_trip(value: gojson.Json) -> None:
    text = gojson.dumps(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029\n") & set(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.5, "1.5"), (1e21, "1e+21"), (1e20, "100000000000000000000"), (1e-7, "1e-07"), (0.000001, "0.000001"),
     (1.25e-9, "1.25e-09"), (123456.789, "123456.789")],
)  # fmt: skip
def test_floats_as_go(value: float, text: str) -> None:
    assert gojson.dumps(value) == text


def test_strings_as_go() -> None:
    assert gojson.quote('a"\\\n\t\x00\x1f\x7f<>&\u2028é\U0001f600\ufffd\udcff') == (
        '"a\\"\\\\\\n\\t\\u0000\\u001f\x7f\\u003c\\u003e\\u0026\\u2028é\U0001f600\ufffd\\ufffd"'
    )


def test_no_number() -> None:
    with pytest.raises(ValueError, match="no such number"):
        gojson.dumps(float("nan"))
