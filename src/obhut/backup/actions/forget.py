"""Removing snapshots: by id, or by policy and group. Only the snapshot files go; ``prune`` removes the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from obhut.backup import retention, select
from obhut.backup import snapshot as model
from obhut.backup.group import GroupBy, GroupKey, group
from obhut.backup.retention import Decision, Policy
from obhut.backup.select import Filter
from obhut.backup.session import load_snapshots
from obhut.errors import ObhutError, converted
from obhut.job import Reporter, watch

if TYPE_CHECKING:
    from obhut import _core
    from obhut.backup.stamp import Stamp


@dataclass(frozen=True, slots=True)
class Options:
    """Which snapshots to remove."""

    ids: tuple[str, ...] = ()
    wanted: Filter = field(default_factory=Filter)
    policy: Policy = field(default_factory=Policy)
    group_by: GroupBy = field(default_factory=lambda: GroupBy(host=True, paths=True))
    dry_run: bool = False
    allow_remove_all: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be kept and removed. ``groups`` is empty if ids were given."""

    groups: tuple[tuple[GroupKey, Decision], ...]
    remove: tuple[str, ...]


def check_options(options: Options) -> None:
    """Refuses what would remove nothing by mistake, or everything."""
    if options.ids or options.policy:
        return
    if not options.allow_remove_all:
        raise ObhutError("policy-empty")
    if not options.wanted:
        raise ObhutError("invalid-argument", "--unsafe-allow-remove-all", "needs a filter: --host, --tag or --path")


def plan(repository: _core.Repository, options: Options, reporter: Reporter, now: Stamp) -> Plan:
    """Decides; changes nothing. A snapshot that cannot be read ends it: a policy must see all of them."""
    check_options(options)
    if repository.store_is_append_only() and not options.dry_run:
        raise ObhutError("append-only")
    chosen = select.find_all(load_snapshots(repository, reporter, strict=True), options.ids, options.wanted)
    if options.ids:
        return Plan((), tuple(snapshot.id for snapshot in chosen))
    groups = []
    for key, members in group(chosen, options.group_by).items():
        decision = retention.apply(members, options.policy, now)
        if options.policy and not decision.keep:
            raise ObhutError("policy-removes-all", key.described())
        groups.append((key, decision))
    return Plan(tuple(groups), tuple(s.id for _, decision in groups for s in decision.remove))


def carry_out(repository: _core.Repository, remove: tuple[str, ...], reporter: Reporter) -> tuple[str, ...]:
    """Deletes the snapshot files; gives the ids that could not be deleted. The caller holds the exclusive lock."""
    with converted():
        job = repository.delete_snapshots(list(remove))
    result = watch(job, reporter, "forget")
    for ident in result.get("removed", ()):
        reporter.say(f"removed snapshot/{ident}", 3)
    return tuple(result.get("failed", ()))


def shown_group(key: GroupKey, decision: Decision) -> dict[str, Any]:
    """As ``forget --json`` shows a group; empty lists are ``null``, as in restic."""
    values = key.shown()
    return {
        "tags": values["tags"],
        "host": key.hostname,
        "paths": values["paths"],
        "keep": [model.shown(s) for s in decision.keep] or None,
        "remove": [model.shown(s) for s in decision.remove] or None,
        "reasons": [{"snapshot": model.shown(r.snapshot), "matches": list(r.matches)} for r in decision.reasons]
        or None,
    }
