"""``obhut archive classes``."""

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
    obhut archive classes
    obhut archive classes --language de
    """,
)
@with_desk
@click.option(
    "--language", type=click.Choice(["en", "de"]), default="en", show_default=True, help="Of the descriptions."
)
def classes(desk: Desk, language: str) -> None:
    """Show the classes of retention: what the law asks for today, and those of your own archive. No legal advice."""
    from datetime import date

    from obhut.archive.actions.survey import survey
    from obhut.archive.classes import CLASSES, READ
    from obhut.cli.table import render

    today = date.fromisoformat(desk.now[:10])
    desk.reporter.listing = True
    rows = []
    there = desk.names_store and desk.store.exists()
    own = survey(desk.vault()).ledger.classes if there else {READ.name: READ}
    for entry in [*CLASSES.values(), *own.values()]:
        words = entry.german if language == "de" else entry.english
        years = entry.years_on(today)
        if desk.json:
            facts = {"class": entry.name, "years": years, "from_end_of": entry.start, "law": entry.law, "what": words}
            desk.reporter.line({"message_type": "class", **facts})
        else:
            rows.append([entry.name, str(years), entry.start, entry.law, words])
    if not desk.json:
        for line in render(["Class", "Years", "From the end of the", "Law", "What"], rows):
            desk.console.out(line)
