"""``obhut backup cat``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.options import common

if TYPE_CHECKING:
    from obhut.cli.front import Front


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut backup cat config -r /mnt/disk/repo
    obhut backup cat snapshot latest -r /mnt/disk/repo
    obhut backup cat tree latest:/home/anna -r /mnt/disk/repo
    """,
)
@click.argument("what", metavar="config|index|snapshot|key|lock|pack|blob|tree")
@click.argument("ident", metavar="[ID]", default="")
@common
def cat(front: Front, what: str, ident: str) -> None:
    """Print an object of the repository, decrypted. The master key is never shown."""
    from obhut.backup.actions.inspect import cat as show

    reporter = front.listing()
    with front.reading() as repository:
        front.console.out_bytes(show(repository, what, ident, reporter))
