"""``obhut archive receipt``."""

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
    obhut archive receipt 1042-9f3a5c7e01b2d4f6 --store /srv/archive -o invoice.receipt
    """,
)
@click.argument("id")
@writing_desk
@click.option("--renew", is_flag=True, help="With the newest time stamp, not the first one.")
@click.option("-o", "--output", metavar="FILE", help="A new file for it.  [default: standard output]")
def receipt(desk: Desk, id: str, output: str | None, *, renew: bool) -> None:
    """Write the receipt of a document: with the first time stamp that covers it, or else under the newest checkpoint.

    Whoever has the receipt and the document can check them without Obhut: see `obhut archive verifier`.
    """
    from obhut.archive.actions.read import note_read, receipt_of
    from obhut.archive.receipt import encode
    from obhut.cli.archive.desk import write_new
    from obhut.cli.console import safe

    vault = desk.vault()
    note_read(vault, desk.key_path(vault.origin), "receipt", id, desk.who, desk.now)
    made = receipt_of(vault, id, renew=renew)
    if output is None:
        desk.console.out_bytes(encode(made))
        return
    write_new(output, encode(made))
    if desk.json:
        desk.reporter.line({"message_type": "receipt", "id": id, "file": output})
    else:
        desk.reporter.say(f"receipt of {safe(made['name'])} written to {safe(output)}")
