"""Listing snapshots: chosen, grouped, limited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from obhut.backup import select
from obhut.backup import snapshot as model
from obhut.backup.group import GroupBy, GroupKey, group
from obhut.backup.session import load_snapshots
from obhut.backup.snapshot import Snapshot, newest_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from obhut import _core
    from obhut.backup.select import Filter
    from obhut.errors import ObhutError
    from obhut.job import Reporter


@dataclass(frozen=True, slots=True)
class Listing:
    """Groups, each oldest first; and how many snapshots could not be read."""

    by: GroupBy
    groups: dict[GroupKey, list[Snapshot]]
    unreadable: int

    def shown(self) -> list[Any]:
        """As ``snapshots --json`` shows it."""
        if self.by:
            return [
                {"group_key": key.shown(), "snapshots": [model.shown(s) for s in members]}
                for key, members in self.groups.items()
            ]
        return [model.shown(snapshot) for members in self.groups.values() for snapshot in members]


def newest(snapshots: Sequence[Snapshot], limit: int, *, grouped: bool) -> list[Snapshot]:
    """The newest ``limit``; without groups, of each host and paths."""
    seen: dict[object, int] = {}
    kept = []
    for snapshot in newest_first(snapshots):
        key = None if grouped else (snapshot.hostname, tuple(sorted(snapshot.paths)))
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= limit:
            kept.append(snapshot)
    return kept


class _Unreadable:
    """Counts the snapshots that cannot be read."""

    def __init__(self, inner: Reporter) -> None:
        self._inner = inner
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def item_error(self, item: bytes, during: str, error: ObhutError) -> None:
        self.count += 1
        self._inner.item_error(item, during, error)


def listed(
    repository: _core.Repository,
    ids: Sequence[str],
    wanted: Filter,
    by: GroupBy,
    limit: int | None,
    reporter: Reporter,
) -> Listing:
    """Chooses, groups, limits."""
    counting: Any = _Unreadable(reporter)
    chosen = select.find_all(load_snapshots(repository, counting, strict=False), ids, wanted)
    groups = group(chosen, by) or ({} if by else {GroupKey(): []})
    for key, members in groups.items():
        kept = newest(members, limit, grouped=bool(by)) if limit and limit > 0 else members
        groups[key] = sorted(kept, key=lambda snapshot: snapshot.time.ns)
    return Listing(by, groups, counting.count)
