"""Finding snapshots: by id or prefix, ``latest``, filters; and the parent of a new snapshot (formats: restic 16).

Pure: functions of the list of snapshots.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from obhut import gojson
from obhut.errors import ObhutError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from obhut.backup.group import GroupBy
    from obhut.backup.snapshot import Snapshot
    from obhut.backup.stamp import Stamp


@dataclass(frozen=True, slots=True)
class Filter:
    """Which snapshots are meant. Several hosts or tag lists: one must fit. Several paths: all must be there."""

    hosts: tuple[str, ...] = ()
    tags: tuple[tuple[str, ...], ...] = ()
    paths: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.hosts or self.tags or self.paths)

    def matches(self, snapshot: Snapshot) -> bool:
        """Whether the snapshot fits."""
        return (
            snapshot.has_hostname(self.hosts)
            and snapshot.has_tag_list(self.tags)
            and snapshot.has_paths(gojson.as_written(path) for path in self.paths)
        )

    def described(self) -> str:
        """For messages: what was asked for."""
        tags = " ".join(",".join(tags) for tags in self.tags)
        parts = (("host", " ".join(self.hosts)), ("tag", tags), ("path", " ".join(self.paths)))
        return ", ".join(f"{name} {value}" for name, value in parts if value)


def latest(snapshots: Iterable[Snapshot], wanted: Filter, *, not_after: Stamp | None = None) -> Snapshot | None:
    """The newest snapshot that fits and is not newer than ``not_after``; of equal times, the last one listed."""
    best: Snapshot | None = None
    for snapshot in snapshots:
        if not_after is not None and snapshot.time > not_after:
            continue
        if (best is None or not snapshot.time < best.time) and wanted.matches(snapshot):
            best = snapshot
    return best


def by_prefix(snapshots: Iterable[Snapshot], prefix: str) -> Snapshot:
    """The one snapshot whose id begins with ``prefix``."""
    found = {s.id: s for s in snapshots if prefix and s.id.startswith(prefix)}
    if not found:
        raise ObhutError("snapshot-missing", prefix)
    if len(found) > 1:
        raise ObhutError("snapshot-ambiguous", prefix, ", ".join(sorted(short[:12] for short in found)[:5]))
    return next(iter(found.values()))


def split_name(name: str) -> tuple[str, str]:
    """``latest:/home/u`` → ``("latest", "/home/u")``."""
    head, _, path = name.partition(":")
    return head, path


def find(snapshots: Sequence[Snapshot], name: str, wanted: Filter) -> tuple[Snapshot, str]:
    """The snapshot that ``ID``, ``latest``, ``ID:PATH`` or ``latest:PATH`` means, and the path."""
    head, path = split_name(name)
    if head != "latest":
        return by_prefix(snapshots, head), path
    absolute = Filter(wanted.hosts, wanted.tags, tuple(os.path.abspath(p) for p in wanted.paths))  # noqa: PTH100  (links are not followed)
    snapshot = latest(snapshots, absolute)
    if snapshot is None:
        raise ObhutError("snapshot-missing", f"that fits ({described})" if (described := wanted.described()) else "")
    return snapshot, path


def find_all(snapshots: Sequence[Snapshot], names: Sequence[str], wanted: Filter) -> list[Snapshot]:
    """All snapshots that are named; without names, all that fit the filters. A path is refused."""
    if not names:
        return [snapshot for snapshot in snapshots if wanted.matches(snapshot)]
    if wanted and "latest" not in names:
        raise ObhutError("invalid-argument", "--host, --tag, --path", "filters have no effect on explicit snapshot ids")
    found: dict[str, Snapshot] = {}
    for name in names:
        if ":" in name:
            raise ObhutError("invalid-argument", name, "a whole snapshot is needed here, not a path in one")
        snapshot, _ = find(snapshots, name, wanted)
        found[snapshot.id] = snapshot
    return list(found.values())


def parent(
    snapshots: Sequence[Snapshot],
    *,
    explicit: str | None,
    by: GroupBy,
    host: str,
    targets: Sequence[str],
    tags: Sequence[str],
    time: Stamp,
) -> Snapshot | None:
    """The snapshot that a new one is compared with: the newest of its group that is not newer than itself."""
    if explicit and explicit != "latest":
        return by_prefix(snapshots, split_name(explicit)[0])
    wanted = Filter(
        hosts=(host,) if by.host else (),
        tags=(tuple(tags),) if by.tags else (),
        paths=tuple(targets) if by.paths else (),
    )
    found = latest(snapshots, wanted, not_after=time)
    if found is None and explicit:
        raise ObhutError("snapshot-missing", "latest")
    return found
