"""``obhut backup prune``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.options import common
from obhut.cli.prune_options import options_of, prune_options

if TYPE_CHECKING:
    from obhut.cli.front import Front


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut backup prune -r /mnt/disk/repo --dry-run
    obhut backup prune -r /mnt/disk/repo
    obhut backup prune -r /mnt/disk/repo --max-unused unlimited
    obhut backup prune -r /mnt/disk/repo --max-repack-size 10G
    """,
)
@common
@prune_options
@click.option("-n", "--dry-run", is_flag=True, help="Change nothing, show the plan.")
def prune(front: Front, dry_run: bool, **values: Any) -> None:
    """Remove data that no snapshot needs.

    Others may back up meanwhile: the exclusive lock is held only while the index is swapped.
    """
    from obhut.backup.session import open_repository
    from obhut.cli.pruning import prune_and_show

    options = options_of(front, values, dry_run=dry_run)
    lock = front.needs_lock(dry_run=dry_run)
    access = front.access()
    prune_and_show(front, open_repository(access, front.environ, front.reporter), access, options, lock=lock)
