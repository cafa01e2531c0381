"""A snapshot as Python sees it: what is decided on (time, host, paths, tags, tree) and every other key untouched.

Formats: restic 9 (keys and their order), 11 (JSON). A snapshot file is never modified; a new one is built by
:func:`build` and written by the core. Unknown keys (rustic writes some) are kept and shown after the known ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from obhut import gojson
from obhut.backup.stamp import Stamp

if TYPE_CHECKING:
    from obhut.gojson import Json

#: Keys in the order in which restic writes them.
KEY_ORDER: Final = (
    "time", "parent", "tree", "paths", "hostname", "username", "uid", "gid", "excludes", "tags", "original",
    "program_version", "summary",
)  # fmt: skip
#: Keys that restic leaves out when they are empty or zero.
OMITTED_WHEN_EMPTY: Final = frozenset(KEY_ORDER) - {"time", "tree", "paths"}
#: Keys of ``summary``, in order; all are always written.
SUMMARY_ORDER: Final = (
    "backup_start", "backup_end", "files_new", "files_changed", "files_unmodified", "dirs_new", "dirs_changed",
    "dirs_unmodified", "data_blobs", "tree_blobs", "data_added", "data_added_packed", "total_files_processed",
    "total_bytes_processed",
)  # fmt: skip

_ID: Final = re.compile(r"[0-9a-f]{64}")


def is_id(text: object) -> bool:
    """Whether this is a full id: 64 lower-case hexadecimal digits."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot. ``raw`` is the stored JSON, in stored order."""

    id: str
    time: Stamp
    tree: str
    paths: tuple[str, ...] = ()
    hostname: str = ""
    username: str = ""
    tags: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    parent: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def short_id(self) -> str:
        """The eight digits that people see."""
        return self.id[:8]

    @property
    def size(self) -> int | None:
        """Bytes that the backup processed, if the snapshot says so."""
        summary = self.raw.get("summary")
        value = summary.get("total_bytes_processed") if isinstance(summary, Mapping) else None
        return value if isinstance(value, int) and value >= 0 else None

    def has_tags(self, wanted: Iterable[str]) -> bool:
        """Whether all tags are there; the empty tag means "has none"."""
        for tag in wanted:
            if tag == "" and not self.tags:
                return True
            if tag not in self.tags:
                return False
        return True

    def has_tag_list(self, lists: Sequence[Sequence[str]]) -> bool:
        """Whether one of the lists fits; no lists fit everything."""
        return not lists or any(self.has_tags(tags) for tags in lists)

    def has_paths(self, wanted: Iterable[str]) -> bool:
        """Whether all paths are among the snapshot's."""
        return set(wanted) <= set(self.paths)

    def has_hostname(self, hosts: Sequence[str]) -> bool:
        """Whether the host is one of these; no hosts fit everything."""
        return not hosts or self.hostname in hosts

    def described(self) -> str:
        """``snapshot 1a2b3c4d of [/home] at 2026-08-01 12:30:00 by u@h``."""
        paths = " ".join(self.paths)
        return f"snapshot {self.short_id} of [{paths}] at {self.time.shown()} by {self.username}@{self.hostname}"


def _strings(raw: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = raw.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{key} is not a list of strings")
    return tuple(value)


def _string(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{key} is not a string")  # noqa: TRY004  (bad data, not a bad call)
    return value


def parse(id: str, raw: Json) -> Snapshot:
    """Reads a stored snapshot; raises ``ValueError`` if it has no time or no tree."""
    if not isinstance(raw, dict):
        raise ValueError("a snapshot is a JSON object")  # noqa: TRY004  (bad data, not a bad call)
    if not is_id(raw.get("tree")):
        raise ValueError("a snapshot without a tree")
    return Snapshot(
        id=id,
        time=Stamp.parse(_string(raw, "time")),
        tree=_string(raw, "tree"),
        paths=_strings(raw, "paths"),
        hostname=_string(raw, "hostname"),
        username=_string(raw, "username"),
        tags=_strings(raw, "tags"),
        excludes=_strings(raw, "excludes"),
        parent=_string(raw, "parent"),
        raw=raw,
    )


def parse_line(line: bytes) -> Snapshot:
    """Reads a line of the core's listing: ``{"id": …, "snapshot": {…}}``."""
    entry = gojson.loads(line)
    if not isinstance(entry, dict) or not is_id(entry.get("id")):
        raise ValueError("not a line of a snapshot listing")
    return parse(entry["id"], entry.get("snapshot"))


def build(
    *,
    time: Stamp,
    tree: str,
    paths: Sequence[str],
    hostname: str,
    username: str,
    uid: int,
    gid: int,
    parent: str | None,
    excludes: Sequence[str],
    tags: Sequence[str],
    program_version: str,
    summary: Mapping[str, Any],
) -> bytes:
    """The bytes of a new snapshot, as restic would write them."""
    if not is_id(tree) or (parent is not None and not is_id(parent)):
        raise ValueError("tree and parent must be full ids")
    values: dict[str, Any] = {
        "time": time.format(),
        "parent": parent,
        "tree": tree,
        "paths": list(paths),
        "hostname": hostname,
        "username": username,
        "uid": uid,
        "gid": gid,
        "excludes": list(excludes),
        "tags": list(tags),
        "program_version": program_version,
        "summary": {key: summary[key] for key in SUMMARY_ORDER},
    }
    return gojson.dumps(ordered(values)).encode("utf-8")


def ordered(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Known keys in restic's order without empty ones, then unknown keys as they came."""
    known = {
        key: raw.get(key)
        for key in KEY_ORDER
        if (key in raw and (key not in OMITTED_WHEN_EMPTY or raw[key])) or key in ("tree", "paths")
    }
    summary = known.get("summary")
    if isinstance(summary, Mapping):
        rest = {key: value for key, value in summary.items() if key not in SUMMARY_ORDER}
        known["summary"] = {key: summary.get(key, 0) for key in SUMMARY_ORDER} | rest
    return known | {key: value for key, value in raw.items() if key not in KEY_ORDER}


def shown(snapshot: Snapshot) -> dict[str, Any]:
    """As ``snapshots --json`` shows it: the keys of the file, then ``id`` and ``short_id``."""
    return ordered(snapshot.raw) | {"id": snapshot.id, "short_id": snapshot.short_id}


def newest_first(snapshots: Iterable[Snapshot]) -> list[Snapshot]:
    """Sorted by time, newest first; equal times keep the order they came in."""
    return sorted(snapshots, key=lambda snapshot: -snapshot.time.ns)


def split_tags(text: str) -> tuple[str, ...]:
    """``a, b`` → ``("a", "b")``: one value of --tag or --keep-tag."""
    return tuple(part.strip() for part in text.split(","))


def flatten_tags(lists: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """All tags of several lists, without empty ones."""
    return tuple(tag for tags in lists for tag in tags if tag)
