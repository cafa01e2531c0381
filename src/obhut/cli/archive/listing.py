"""``obhut archive list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.archive.desk import desk as with_desk
from obhut.cli.lazy import ExamplesCommand

if TYPE_CHECKING:
    from obhut.cli.archive.desk import Desk


@click.command(
    "list",
    cls=ExamplesCommand,
    examples="""
    obhut archive list --store /srv/archive
    obhut archive list -s /srv/archive --json
    """,
)
@with_desk
def list_documents(desk: Desk) -> None:
    """List the documents, oldest first, and how long the law in force today asks for each."""
    from obhut.archive.actions.survey import survey
    from obhut.backup.sizes import format_bytes
    from obhut.cli.table import render

    vault = desk.vault()
    desk.reporter.listing = True
    rows = []
    seen = survey(vault)
    for document in filter(None, map(seen.document, seen.live())):
        end, event = seen.ledger.end(document.index, desk.today), seen.ledger.event(document.index)
        if desk.json:
            facts: dict[str, object] = {
                "id": document.id,
                "name": document.name,
                "class": document.category,
                "event": str(event) if event else None,
            }
            facts |= {
                "received": document.received,
                "size": document.size,
                "sha256": document.digest,
                "keep_until": str(end) if end else None,
            }
            desk.reporter.line({"message_type": "document", **facts})
        else:
            size = format_bytes(document.size)
            rows.append(
                [
                    document.id,
                    document.received[:10],
                    document.category,
                    str(event or "open"),
                    str(end or "open"),
                    size,
                    document.name,
                ]
            )
    if not desk.json:
        for line in render(["ID", "Received", "Class", "Event", "Keep until", "Size", "Name"], rows):
            desk.console.out(line)
        desk.console.out(f"{len(rows)} documents")
