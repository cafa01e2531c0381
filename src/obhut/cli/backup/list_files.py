"""``obhut backup list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.options import common

if TYPE_CHECKING:
    from obhut.cli.front import Front


@click.command(
    "list",
    cls=ExamplesCommand,
    examples="""
    obhut backup list snapshots -r /mnt/disk/repo
    obhut backup list locks -r /mnt/disk/repo
    """,
)
@click.argument("kind", metavar="blobs|packs|index|snapshots|keys|locks")
@common
def list_files(front: Front, kind: str) -> None:
    """List the ids of objects, a line each."""
    from obhut.backup.actions.inspect import list_files as show

    reporter = front.listing()
    with front.repository(lock=not front.common.no_lock and kind != "locks") as repository:
        show(repository, kind, reporter)
