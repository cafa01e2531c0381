"""Grouping of snapshots: what ``--group-by`` reads, what groups have in common, how they are named and sorted."""

from __future__ import annotations

import itertools

import pytest

from obhut.backup.group import GroupBy, GroupKey, group, key_of
from obhut.backup.snapshot import Snapshot
from obhut.backup.stamp import Stamp


def snapshot(number: int, host: str = "h", paths: tuple[str, ...] = ("/a",), tags: tuple[str, ...] = ()) -> Snapshot:
    return Snapshot(f"{number:064x}", Stamp(number), "0" * 64, paths=paths, hostname=host, tags=tags)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("host", GroupBy(host=True)),
        ("hosts", GroupBy(host=True)),
        ("path", GroupBy(paths=True)),
        ("paths", GroupBy(paths=True)),
        ("tag", GroupBy(tags=True)),
        ("tags", GroupBy(tags=True)),
        (",paths,,hosts,", GroupBy(host=True, paths=True)),
    ],
)
def test_what_is_read(text: str, wanted: GroupBy) -> None:
    assert GroupBy.parse(text) == wanted
    assert GroupBy.parse(str(wanted)) == wanted
    assert wanted


def test_nothing_to_group_by() -> None:
    assert (GroupBy.parse(""), str(GroupBy()), bool(GroupBy())) == (GroupBy(), "", False)
    assert str(GroupBy(paths=True)) == "paths"


def test_unknown_groupings_are_named() -> None:
    with pytest.raises(ValueError, match=r"^unknown grouping 'user': use host, paths, tags$"):
        GroupBy.parse("host,user")


def test_keys_hold_what_is_grouped_by_and_no_more() -> None:
    one = snapshot(1, "h", ("/b", "/a"), ("y", "x"))
    assert key_of(one, GroupBy(host=True)) == GroupKey("h")
    assert key_of(one, GroupBy(paths=True)) == GroupKey("", ("/a", "/b"), None)
    assert key_of(one, GroupBy(tags=True)) == GroupKey("", None, ("x", "y"))
    assert key_of(snapshot(2, paths=()), GroupBy(paths=True, tags=True)) == GroupKey()


@pytest.mark.parametrize(
    ("key", "text", "json"),
    [
        (GroupKey(), "", {"hostname": "", "paths": None, "tags": None}),
        (GroupKey("h"), "host [h]", {"hostname": "h", "paths": None, "tags": None}),
        (GroupKey("", ("/a", "/b")), "paths [/a, /b]", {"hostname": "", "paths": ["/a", "/b"], "tags": None}),
        (GroupKey("", None, ("x", "y")), "tags [x, y]", {"hostname": "", "paths": None, "tags": ["x", "y"]}),
        (
            GroupKey("h", ("/a",), ("x",)),
            "host [h], tags [x], paths [/a]",
            {"hostname": "h", "paths": ["/a"], "tags": ["x"]},
        ),
    ],
)
def test_how_groups_are_shown(key: GroupKey, text: str, json: dict[str, object]) -> None:
    assert (key.described(), key.shown()) == (text, json)


def test_groups_come_by_host_then_paths_then_tags() -> None:
    """Whatever the order of the snapshots; those without tags come before those with."""
    wanted = [
        snapshot(9, "a", ("/z",), ("z",)),
        snapshot(8, "b", ("/a",), ()),
        snapshot(7, "b", ("/a",), ("t",)),
        snapshot(6, "b", ("/\uff61",), ()),
        snapshot(5, "b", ("/\U0001f600",), ()),
    ]
    for order in itertools.permutations(wanted):
        groups = group(order, GroupBy(host=True, paths=True, tags=True))
        assert [listed for (listed,) in groups.values()] == wanted


def test_names_that_are_no_text_can_be_grouped() -> None:
    odd = snapshot(1, "\udcff", ("/\udcff", "/a"), ("\udcff",))
    (key,) = group([odd], GroupBy(host=True, paths=True, tags=True))
    assert key == GroupKey("\udcff", ("/a", "/\udcff"), ("\udcff",))
