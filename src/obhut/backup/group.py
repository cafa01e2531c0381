"""Grouping of snapshots by host, paths and tags, as ``--group-by`` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from obhut.backup.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class GroupBy:
    """What snapshots are grouped by."""

    host: bool = False
    paths: bool = False
    tags: bool = False

    @classmethod
    def parse(cls, text: str) -> GroupBy:
        """``host,paths,tags`` in any order (singular or plural); ``""`` = no grouping. Raises ``ValueError``."""
        names = {"host": "host", "hosts": "host", "path": "paths", "paths": "paths", "tag": "tags", "tags": "tags"}
        chosen = [part for part in text.split(",") if part]
        for part in chosen:
            if part not in names:
                raise ValueError(f"unknown grouping {part!r}: use host, paths, tags")
        return cls(**{names[part]: True for part in chosen})

    def __bool__(self) -> bool:
        return self.host or self.paths or self.tags

    def __str__(self) -> str:
        return ",".join(name for name in ("host", "paths", "tags") if getattr(self, name))


@dataclass(frozen=True, slots=True)
class GroupKey:
    """What the snapshots of a group have in common; ``None`` = not grouped by it (or the snapshots have none)."""

    hostname: str = ""
    paths: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None

    def shown(self) -> dict[str, Any]:
        """As ``--json`` shows it."""
        return {
            "hostname": self.hostname,
            "paths": None if self.paths is None else list(self.paths),
            "tags": None if self.tags is None else list(self.tags),
        }

    def described(self) -> str:
        """``host [h], tags [a, b], paths [/x]``; empty if there is nothing in common."""
        parts = [f"host [{self.hostname}]"] if self.hostname else []
        if self.tags is not None:
            parts.append(f"tags [{', '.join(self.tags)}]")
        if self.paths is not None:
            parts.append(f"paths [{', '.join(self.paths)}]")
        return ", ".join(parts)


def key_of(snapshot: Snapshot, by: GroupBy) -> GroupKey:
    """The group that a snapshot belongs to. The order of its paths and tags does not matter.

    Text is sorted by code point, which is the order of Go's bytes.
    """
    return GroupKey(
        hostname=snapshot.hostname if by.host else "",
        paths=tuple(sorted(snapshot.paths)) or None if by.paths else None,
        tags=tuple(sorted(snapshot.tags)) or None if by.tags else None,
    )


def group(snapshots: Iterable[Snapshot], by: GroupBy) -> dict[GroupKey, list[Snapshot]]:
    """Snapshots by group; groups sorted by their key, each group in the order given."""
    groups: dict[GroupKey, list[Snapshot]] = {}
    for snapshot in snapshots:
        groups.setdefault(key_of(snapshot, by), []).append(snapshot)
    order = sorted(groups, key=lambda key: (key.hostname, key.paths or (), key.tags or ()))
    return {key: groups[key] for key in order}
