"""``obhut backup unlock``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.options import common

if TYPE_CHECKING:
    from obhut.cli.front import Front


@click.command(cls=ExamplesCommand, examples="obhut backup unlock -r /mnt/disk/repo")
@common
@click.option("--remove-all", is_flag=True, help="Also locks of processes that may be running (dangerous).")
def unlock(front: Front, remove_all: bool) -> None:
    """Remove locks that were left behind: older than 30 minutes, or of a process of this machine that is gone."""
    from obhut.backup.actions.unlock import unlock as remove_locks

    with front.repository(lock=False) as repository:
        removed = remove_locks(repository, front.reporter, remove_all=remove_all)
    if removed:
        front.reporter.say(f"successfully removed {removed} locks")
