"""``obhut archive probe``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.archive.desk import disposing, writing_desk
from obhut.cli.lazy import ExamplesCommand

if TYPE_CHECKING:
    from obhut.cli.archive.desk import Desk


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive probe --store s3://my-archive
    obhut archive probe --store s3://my-archive --twin my-archive-twin
    """,
)
@writing_desk
@click.option(
    "--twin",
    metavar="BUCKET",
    help="A bucket of the same configuration without anything in it: attempts on a whole bucket.",
)
@disposing
def probe(desk: Desk, twin: str | None, disposal_profile: str | None) -> None:
    """Try to break the locks of a bucket, on an object of its own, with the credentials of the intake. Run it every week.

    What the storage says of its configuration is no proof: some answer "yes", and delete all the same. What was tried and
    what was answered goes into the log, with the date. Exit code 1 if anything was not refused that has to be.

    An intake with the least rights is refused for lack of them, and that says little about the lock. With
    --disposal-profile the credential that may delete attacks, too: then only the lock stands in between. Run that on the
    machine that disposes, never on that of the intake.
    """
    from dataclasses import asdict

    from obhut.archive.actions.probe import probe as act
    from obhut.cli.archive.desk import remove_as
    from obhut.cli.console import safe
    from obhut.cli.table import render
    from obhut.errors import ObhutError

    vault = desk.vault()
    remove_as(vault.store, disposal_profile)
    attempts, filed = act(vault, desk.key_path(vault.origin), twin, desk.now)
    broken = [attempt for attempt in attempts if not attempt.held]
    if desk.json:
        facts = {"id": filed.statement.id, "held": not broken, "attempts": [asdict(attempt) for attempt in attempts]}
        desk.reporter.line({"message_type": "probed", **facts})
    else:
        rows = [["holds" if attempt.held else "BROKEN", attempt.name, safe(attempt.answer)] for attempt in attempts]
        for line in render(["", "Attempt", "Answer"], rows):
            desk.console.out(line)
    if broken:
        raise ObhutError("lock-broken", vault.store.location, f"{broken[0].name}: {broken[0].answer}")
    if not desk.json:
        desk.reporter.say(f"the locks of {safe(vault.store.location)} hold; the evidence is {filed.statement.id}")
