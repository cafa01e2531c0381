"""``obhut archive mirror``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.archive.desk import desk as with_desk
from obhut.cli.archive.desk import disposing
from obhut.cli.lazy import ExamplesCommand

if TYPE_CHECKING:
    from obhut.cli.archive.desk import Desk


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive mirror --store /srv/archive --to /mnt/other-building/archive
    obhut archive mirror --store /srv/archive --to s3://my-mirror --lock compliance
    """,
)
@with_desk
@click.option("--to", required=True, metavar="PLACE", help="A folder, which is made if it is new, or s3://BUCKET.")
@click.option(
    "--lock",
    type=click.Choice(["governance", "compliance"]),
    help="How a mirror in a bucket locks from now on, if its archive lies in a folder.  [default: governance]",
)
@disposing
def mirror(desk: Desk, to: str, lock: str | None, disposal_profile: str | None) -> None:
    """Keep a second copy of an archive in another place: one copy is no archive. Run it every day.

    One way, without any key. What is copied is checked against the log; locks and holds are the same there, and what was
    disposed of here goes there when its lock has ended. An archive whose log was cut or written anew is refused, and the
    mirror stays as it was. `verify`, `get` and `receipt` work on a mirror as on the archive.

    A mirror in a bucket lets go only with a credential that deletes (--disposal-profile); without it the rest is done,
    and what would have gone is named.
    """
    from dataclasses import asdict

    from obhut.archive.actions.mirror import mirror as act
    from obhut.archive.store import LocalStore, open_store
    from obhut.backup.sizes import format_bytes
    from obhut.cli.archive.desk import remove_as
    from obhut.cli.console import safe

    vault, target = desk.vault(), open_store(to)
    if lock is not None:
        if isinstance(target, LocalStore):
            raise click.UsageError("--lock is for mirrors in a bucket")
        target.lock_mode = lock
    target.adopt(vault.described.lock)
    remove_as(target, disposal_profile)
    done = act(vault, target, desk.clock() // 1_000_000_000, desk.reporter)
    if desk.json:
        desk.reporter.line({"message_type": "mirrored", "to": to, **asdict(done)})
        return
    bucket = not isinstance(target, LocalStore) and not disposal_profile
    until = "a run with --disposal-profile" if bucket else "a run after its lock has ended there"
    for kept in done.kept:
        desk.reporter.warn(f"{kept} was disposed of and stays in the mirror until {until}")
    gone = f", {done.disposed} went" if done.disposed else ""
    desk.reporter.say(
        f"{safe(to)} states {done.entries} entries ({done.entries - done.known} new): "
        f"{done.objects} objects copied ({format_bytes(done.bytes)}){gone}"
    )
