"""``obhut archive list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.archive.desk import desk as with_desk
from obhut.cli.lazy import ExamplesCommand

if TYPE_CHECKING:
    from obhut.archive.actions.survey import Survey
    from obhut.cli.archive.desk import Desk


@click.command(
    "list",
    cls=ExamplesCommand,
    examples="""
    obhut archive list --store /srv/archive
    obhut archive list -s /srv/archive --json
    obhut archive list -s /srv/archive --reads
    """,
)
@with_desk
@click.option("--reads", is_flag=True, help="List the audit records instead: who took which document out.")
def list_documents(desk: Desk, *, reads: bool) -> None:
    """List the documents, oldest first, and how long the law in force today asks for each."""
    from obhut.archive.actions.survey import survey

    vault = desk.vault()
    desk.reporter.listing = True
    seen = survey(vault)
    if reads:
        _reads(desk, seen)
    else:
        _documents(desk, seen)


def _documents(desk: Desk, seen: Survey) -> None:
    from obhut.backup.sizes import format_bytes

    rows = []
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
    _print(desk, ["ID", "Received", "Class", "Event", "Keep until", "Size", "Name"], rows, "documents")


def _reads(desk: Desk, seen: Survey) -> None:
    rows = []
    for record in filter(None, map(seen.read, seen.live_reads())):
        end = seen.ledger.end(record.index, desk.today)
        if desk.json:
            kept = {"keep_until": str(end) if end else None}
            desk.reporter.line({"message_type": "read", "id": record.id, "at": record.at, **record.facts, **kept})
        else:
            documents = ", ".join(record.facts["documents"])
            rows.append([record.id, record.at, record.facts["who"], record.facts["action"], documents, str(end or "-")])
    _print(desk, ["ID", "When", "Who", "What", "Documents", "Keep until"], rows, "audit records")


def _print(desk: Desk, header: list[str], rows: list[list[str]], what: str) -> None:
    from obhut.cli.table import render

    if desk.json:
        return
    for line in render(header, rows):
        desk.console.out(line)
    desk.console.out(f"{len(rows)} {what}")
