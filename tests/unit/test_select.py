"""Which snapshot is meant: prefixes, latest, filters, groups, parents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut.backup.group import GroupBy, GroupKey, group
from obhut.backup.select import Filter, by_prefix, find, find_all, latest, parent
from obhut.backup.snapshot import Snapshot
from obhut.backup.stamp import Stamp
from obhut.errors import ObhutError


def snapshot(
    ident: str, day: int, host: str = "h", paths: tuple[str, ...] = ("/a",), tags: tuple[str, ...] = ()
) -> Snapshot:
    time = Stamp.parse(f"2026-08-{day:02}T00:00:00Z")
    return Snapshot(ident.ljust(64, "0"), time, "0" * 64, paths=paths, hostname=host, tags=tags)


OLD, NEW, OTHER = snapshot("abc1", 1), snapshot("abc2", 2, paths=("/a", "/b")), snapshot("d", 3, "other", tags=("t",))
ALL = [NEW, OTHER, OLD]


def test_prefix() -> None:
    assert by_prefix(ALL, "abc1") is OLD
    assert by_prefix(ALL, OLD.id) is OLD
    with pytest.raises(ObhutError) as ambiguous:
        by_prefix(ALL, "abc")
    assert ambiguous.value.id == "snapshot-ambiguous"
    for name in ("ff", "", "ABC1"):
        with pytest.raises(ObhutError) as missing:
            by_prefix(ALL, name)
        assert missing.value.id == "snapshot-missing"


def test_latest_and_paths() -> None:
    assert find(ALL, "latest", Filter()) == (OTHER, "")
    assert find(ALL, "latest:/x:y", Filter(hosts=("h",))) == (NEW, "/x:y")
    assert find(ALL, "abc1:/x", Filter()) == (OLD, "/x")
    assert find(ALL, "latest", Filter(paths=("/b",))) == (NEW, "")
    with pytest.raises(ObhutError) as missing:
        find(ALL, "latest", Filter(hosts=("nobody",)))
    assert missing.value.id == "snapshot-missing"
    assert "host nobody" in missing.value.object


def test_equal_times_take_the_last_listed() -> None:
    twin = snapshot("e", 3)
    assert latest([OTHER, twin], Filter()) is twin


def test_find_all() -> None:
    assert find_all(ALL, (), Filter(hosts=("h",))) == [NEW, OLD]
    assert find_all(ALL, ("abc1", "latest", "abc1"), Filter()) == [OLD, OTHER]
    for names, wanted in ((("abc1:/x",), Filter()), (("abc1",), Filter(hosts=("h",)))):
        with pytest.raises(ObhutError) as refused:
            find_all(ALL, names, wanted)
        assert refused.value.id == "invalid-argument"


def parent_of(day: int = 30, **changes: object) -> Snapshot | None:
    values = {"explicit": None, "by": GroupBy(host=True, paths=True), "host": "h", "targets": ("/a",), "tags": (),
              "time": Stamp.parse(f"2026-08-{day:02}T00:00:00Z")}  # fmt: skip
    return parent(ALL, **values | changes)  # type: ignore[arg-type]


def test_parent() -> None:
    assert parent_of() is NEW  # its paths are a superset
    assert parent_of(1) is OLD  # never one that is newer than the backup's own time
    assert parent_of(host="x") is None
    assert parent_of(targets=("/a", "/b")) is NEW
    assert parent_of(targets=("/z",)) is None
    assert parent_of(by=GroupBy()) is OTHER
    assert parent_of(by=GroupBy(tags=True), tags=("t",)) is OTHER
    assert parent_of(explicit="abc1") is OLD
    with pytest.raises(ObhutError):
        parent_of(explicit="ff")
    with pytest.raises(ObhutError):
        parent_of(explicit="latest", host="x")


def test_group_by() -> None:
    assert str(GroupBy.parse("tag,host,paths")) == "host,paths,tags"
    assert not GroupBy.parse("")
    with pytest.raises(ValueError, match="unknown grouping"):
        GroupBy.parse("host,user")


def test_groups() -> None:
    swapped = snapshot("f", 4, paths=("/b", "/a"))
    groups = group([*ALL, swapped], GroupBy(host=True, paths=True))
    assert groups == {
        GroupKey("h", ("/a",)): [OLD],
        GroupKey("h", ("/a", "/b")): [NEW, swapped],
        GroupKey("other", ("/a",)): [OTHER],
    }
    assert group(ALL, GroupBy()) == {GroupKey(): ALL}
    assert group([], GroupBy(host=True)) == {}
    assert GroupKey("h", None, ("t",)).described() == "host [h], tags [t]"
    assert GroupKey("h", ("/a",)).shown() == {"hostname": "h", "paths": ["/a"], "tags": None}


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("tu")))))
def test_groups_divide(listed: list[tuple[str, set[str], set[str]]]) -> None:
    snapshots = [
        snapshot(f"{i:04x}", 1, host, tuple(paths), tuple(tags)) for i, (host, paths, tags) in enumerate(listed)
    ]
    for text in ("", "host", "paths", "tags", "host,paths,tags"):
        groups = group(snapshots, GroupBy.parse(text))
        assert sorted(s.id for members in groups.values() for s in members) == [s.id for s in snapshots]
        for members in groups.values():
            assert len({s.hostname for s in members}) == 1 or "host" not in text
            assert len({frozenset(s.paths) for s in members}) == 1 or "paths" not in text
            assert len({frozenset(s.tags) for s in members}) == 1 or "tags" not in text
