"""``obhut archive rule``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.archive.desk import writing_desk
from obhut.cli.lazy import ExamplesCommand

if TYPE_CHECKING:
    from obhut.cli.archive.desk import Desk


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive rule own/research -s /srv/archive --years 15 --from "calendar year" --what "raw data" --why "sponsor"
    obhut archive rule own/research -s /srv/archive --years 20
    obhut archive rule audit/read -s /srv/archive --years 5
    """,
)
@click.argument("name", metavar="CLASS")
@writing_desk
@click.option("--years", type=int, required=True, help="How many years documents of it are kept.")
@click.option(
    "--from",
    "start",
    type=click.Choice(["calendar year", "business year", "event"]),
    help="What the years begin with: the end of the year of the event, that of the business year, or the event.",
)
@click.option("--what", metavar="TEXT", help="What belongs to it.")
@click.option("--why", metavar="TEXT", help="The law, contract or decision that asks for it.")
@click.option("--later", is_flag=True, help="The event comes after the document, like the end of a contract.")
def rule(
    desk: Desk, name: str, years: int, start: str | None, what: str | None, why: str | None, *, later: bool
) -> None:
    """Make a class of your own (own/NAME), or lengthen one. The log keeps it, and verifiers count by it.

    A class only grows: said again with more years, it asks for more from today on, and the locks of its settled documents
    are extended first. Nothing makes it shorter; for that make another class. That of audit records (audit/read, of 3 years)
    is lengthened in the same way.
    """
    from obhut.archive.actions.rules import Wish
    from obhut.archive.actions.rules import rule as act

    vault = desk.vault()
    made = act(vault, desk.key_path(vault.origin), Wish(name, years, start, what, why, later), desk.now)
    if desk.json:
        facts = {"class": made.name, "years": made.years_on(desk.today), "from_end_of": made.start, "law": made.law}
        desk.reporter.line({"message_type": "class", **facts, "what": made.english})
    else:
        desk.reporter.say(f"{made.name}: {made.years_on(desk.today)} years from the end of the {made.start}")
