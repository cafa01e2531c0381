"""``obhut archive witness``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.archive.desk import desk as with_desk
from obhut.cli.lazy import ExamplesCommand

if TYPE_CHECKING:
    from obhut.cli.archive.desk import Desk


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive witness --store /mnt/archive --state /var/lib/witness --name example.net/witness
    obhut archive witness --store /mnt/archive --state /var/lib/witness -o /mnt/usb/archive.checkpoint
    """,
)
@with_desk
@click.option(
    "--state", required=True, metavar="DIR", help="The witness's own folder, in other hands than the log's key."
)
@click.option("--name", metavar="NAME", help="Make a new witness of this name if there is none.")
@click.option("-o", "--output", metavar="FILE", help="Write the checkpoint with both signatures to FILE, replacing it.")
def witness(desk: Desk, state: str, name: str | None, output: str | None) -> None:
    """Look at the log of an archive, and sign its newest checkpoint if it goes on from the last one seen.

    A log that was cut or written anew is refused, and the exit code is 1. Run it from cron, on another host: who has the
    log's key can rewrite the log, but not what the witness remembers. The log's key counts as it was seen first.
    """
    from pathlib import Path

    from obhut.archive.witness import Witness
    from obhut.world import durable

    vault = desk.vault()
    judge = Witness.open(Path(state), name)
    note, checkpoint, known = judge.look(vault, desk.clock() // 1_000_000_000)
    size = checkpoint.size
    if output is not None:
        durable.write_file(output, bytes(note), mode=0o644)
    if desk.json:
        facts = {
            "origin": vault.origin,
            "size": size,
            "known": known.size if known else None,
            "witness": str(judge.key),
        }
        desk.reporter.line({"message_type": "cosigned", **facts, "checkpoint": str(note)})
        return
    if known is None:
        desk.reporter.say(f"first look at {vault.origin}: {size} entries; its key is {vault.key}")
        desk.reporter.say(f"this witness is {judge.key}")
    else:
        desk.reporter.say(
            f"{vault.origin} goes on: {known.size} entries before, {size} now; signed as {judge.key.name}"
        )
