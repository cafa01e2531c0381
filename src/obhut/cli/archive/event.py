"""``obhut archive event``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.archive.desk import DAY, writing_desk
from obhut.cli.lazy import ExamplesCommand

if TYPE_CHECKING:
    from datetime import date

    from obhut.cli.archive.desk import Desk


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive event 1042-9f3a5c7e01b2d4f6 -s /srv/archive --date 2029-06-30 --why "terminated by letter of 2 May"
    """,
)
@click.argument("id")
@writing_desk
@click.option("--date", "day", type=DAY, required=True, metavar="DAY", help="The day that the class counts from.")
@click.option("--why", required=True, metavar="TEXT", help="What happened.")
def event(desk: Desk, id: str, day: date, why: str) -> None:
    """Say that the event of a document has come, such as the end of a contract that was put in with --event-open.

    From then on the years of its class count, and its lock lasts as long. It may be said again, for a later day only.
    """
    from obhut.archive.actions.settle import tell_event

    vault = desk.vault()
    filed, end = tell_event(vault, desk.key_path(vault.origin), id, day, why, desk.now)
    if desk.json:
        kept = str(end) if end else None
        desk.reporter.line({"message_type": "event", "id": filed.statement.id, "document": id, "keep_until": kept})
    else:
        desk.reporter.say(f"the law in force asks for {id} until {end}")
