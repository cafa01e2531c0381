"""``obhut archive get``."""

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
    obhut archive get 1042-9f3a5c7e01b2d4f6 --store /srv/archive -o invoice.pdf
    """,
)
@click.argument("id")
@writing_desk
@click.option("-o", "--output", required=True, metavar="FILE", help="A new file for the document.")
def get(desk: Desk, id: str, output: str) -> None:
    """Copy a document out of the archive; its bytes are proved on the way."""
    from obhut.archive.actions.read import copy_out, note_read
    from obhut.cli.archive.desk import new_file
    from obhut.cli.console import safe

    vault, target = desk.vault(), new_file(output)
    note_read(vault, desk.key_path(vault.origin), "get", id, desk.who, desk.now)
    document = copy_out(vault, id, target)
    if desk.json:
        desk.reporter.line(
            {"message_type": "copied", "id": id, "name": document.name, "size": document.size, "file": output}
        )
    else:
        desk.reporter.say(f"{safe(document.name)} ({document.size} bytes) written to {safe(output)}")
