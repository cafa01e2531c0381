"""``obhut backup snapshots``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.options import GROUP, common, snapshot_filter

if TYPE_CHECKING:
    from obhut.backup.group import GroupBy
    from obhut.cli.front import Front


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut backup snapshots -r /mnt/disk/repo
    obhut backup snapshots -r /mnt/disk/repo --latest 1 --group-by host
    obhut backup snapshots -r /mnt/disk/repo --json --tag nightly
    """,
)
@click.argument("ids", nargs=-1, metavar="[SNAPSHOT]...")
@common
@snapshot_filter
@click.option("-c", "--compact", is_flag=True, help="A shorter table.")
@click.option("--latest", type=int, metavar="N", help="Only the newest N for each host and paths (or group; 0: all).")
@click.option("-g", "--group-by", type=GROUP, default="", help="A table for each group: host, paths, tags.")
def snapshots(
    front: Front,
    ids: tuple[str, ...],
    hosts: tuple[str, ...],
    tags: tuple[tuple[str, ...], ...],
    paths: tuple[str, ...],
    compact: bool,
    latest: int | None,
    group_by: GroupBy,
) -> None:
    """List the snapshots."""
    from obhut.backup.actions.snapshots import listed
    from obhut.cli.console import safe
    from obhut.cli.table import of_snapshots
    from obhut.errors import ObhutError

    reporter = front.listing()
    with front.reading() as repository:
        result = listed(repository, ids, front.filter(hosts, tags, paths), group_by, latest, reporter)
    if front.json:
        reporter.line(result.shown())
    else:
        for key, members in result.groups.items():
            if group_by and key.described():
                front.console.out(f"snapshots for ({safe(key.described())}):")
            for line in of_snapshots(members, compact=compact):
                front.console.out(line)
    if result.unreadable:
        raise ObhutError("snapshots-unreadable", f"{result.unreadable} of them")
