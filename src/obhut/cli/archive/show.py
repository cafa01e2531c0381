"""``obhut archive show``."""

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
    obhut archive show 1042-9f3a5c7e01b2d4f6 --store /srv/archive
    """,
)
@click.argument("id")
@with_desk
def show(desk: Desk, id: str) -> None:
    """Show everything that the archive knows of a document, of a hold, of a proposal, of a certificate.

    Of a document that was disposed of only its certificate is left.
    """
    from obhut.archive.actions.look import show as look
    from obhut.cli.console import safe

    facts = look(desk.vault(), id, desk.today)
    if desk.json:
        desk.reporter.line({"message_type": "record", **facts})
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        for line in _lines(value):
            desk.console.out(f"{name.replace('_', ' '):{width}}  {safe(line)}")


def _lines(value: object) -> list[str]:
    match value:
        case None:
            return ["-"]
        case dict():
            return [f"{key}: {item}" for key, item in value.items()] or ["-"]
        case list():
            return [str(item) for item in value] or ["-"]
        case bool():
            return ["yes" if value else "no"]
        case _:
            return str(value).splitlines() or [""]
