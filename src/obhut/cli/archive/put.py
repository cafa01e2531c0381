"""``obhut archive put``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.archive.desk import DAY, writing_desk
from obhut.cli.lazy import ExamplesCommand
from obhut.cli.options import NAME

if TYPE_CHECKING:
    from datetime import date

    from obhut.cli.archive.desk import Desk


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive put invoice.pdf --store /srv/archive --class voucher --event-date 2026-03-01
    obhut archive put contracts/*.pdf -s /srv/archive --class contract --event-date 2025-12-31 --receipts receipts
    """,
)
@click.argument("files", nargs=-1, required=True, type=NAME, metavar="FILE...")
@writing_desk
@click.option(
    "--class", "category", required=True, metavar="CLASS", help="Class of retention; see `obhut archive classes`."
)
@click.option(
    "--event-date",
    type=DAY,
    metavar="DAY",
    help="The day that the class counts from.  [default: when each file was last written]",
)
@click.option("--event-open", is_flag=True, help="That day has not come: the document stays until it has.")
@click.option("--receipts", metavar="DIR", help="Write each receipt to DIR/ID.receipt; DIR is made if it is not there.")
def put(
    desk: Desk,
    files: tuple[bytes, ...],
    category: str,
    event_date: date | None,
    receipts: str | None,
    *,
    event_open: bool,
) -> None:
    """Archive documents; each gets a receipt.

    A document is in the archive once its line is shown: its bytes, its record and a signed checkpoint of the log that
    covers it are durable. All files are looked at before anything is written.
    """
    from pathlib import Path

    from obhut.archive.actions.put import Wish
    from obhut.archive.actions.put import put as take_in
    from obhut.archive.actions.read import kept_until
    from obhut.archive.actions.rules import find_class
    from obhut.archive.receipt import encode
    from obhut.cli.archive.desk import write_new
    from obhut.cli.console import safe
    from obhut.errors import ObhutError
    from obhut.world import durable

    if receipts is not None and Path(receipts).exists() and not Path(receipts).is_dir():
        raise ObhutError("io", receipts, "it is no folder for receipts")
    vault = desk.vault()
    if event_open and event_date is not None:
        raise click.UsageError("--event-date and --event-open exclude each other")
    wish = Wish(files, category, event_date, desk.host, event_open)
    found = find_class(vault, category)
    ends: dict[str, date | None] = {}
    for entry, receipt in take_in(vault, desk.key_path(vault.origin), wish, desk.now, desk.reporter):
        document = entry.document
        if receipts is not None:
            durable.make_folder(receipts)
            write_new(str(Path(receipts) / f"{document.id}.receipt"), encode(receipt))
        if desk.json:
            desk.reporter.line(
                {"message_type": "archived", "id": document.id, "name": document.name, "receipt": receipt}
            )
        else:
            desk.reporter.say(f"{document.id}  {safe(document.name)}")
        ends[document.id] = kept_until(vault, document, found, desk.now)
    if not desk.json:
        first = min(filter(None, ends.values()), default=None)
        kept = f"until {first} at least" if first else "until their event has come, and then as long as the class says"
        desk.reporter.say(f"archived {len(ends)} documents as {found.name}, kept {kept}")
