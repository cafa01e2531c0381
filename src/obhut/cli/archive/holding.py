"""``obhut archive hold`` and ``obhut archive release``."""

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
    obhut archive hold 1042-9f3a5c7e01b2d4f6 -s /srv/archive --who "tax office" --why "audit of 2026"
    """,
)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@writing_desk
@click.option("--who", required=True, metavar="TEXT", help="Who asks for it.")
@click.option("--why", required=True, metavar="TEXT", help="The reason.")
@click.option("--until", type=DAY, metavar="DAY", help="The last day of the hold.  [default: until it is released]")
def hold(desk: Desk, ids: tuple[str, ...], who: str, why: str, until: date | None) -> None:
    """Keep documents beyond every end: an audit, an appeal, a lawsuit. Nothing that is held is ever disposed of.

    Holds are counted: a document is free when the last hold on it has ended. Audit records of who took it out stay, too.
    """
    from obhut.archive.actions.holds import hold as act

    vault = desk.vault()
    filed = act(vault, desk.key_path(vault.origin), ids, who, why, until, desk.now)
    if desk.json:
        desk.reporter.line({"message_type": "held", "id": filed.statement.id, **filed.statement.facts})
    else:
        count = len(filed.statement.facts["documents"])
        desk.reporter.say(
            f"hold {filed.statement.id} keeps {count} documents {f'until {until}' if until else ''}".rstrip()
        )


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive release 2048-0123456789abcdef -s /srv/archive --who "tax office" --why "the audit has ended"
    """,
)
@click.argument("id", metavar="HOLD")
@writing_desk
@click.option("--who", required=True, metavar="TEXT", help="Who releases it.")
@click.option("--why", required=True, metavar="TEXT", help="The reason.")
def release(desk: Desk, id: str, who: str, why: str) -> None:
    """End a hold. Its documents stay as long as the law, or another hold, asks for them."""
    from obhut.archive.actions.holds import release as act

    vault = desk.vault()
    filed, free = act(vault, desk.key_path(vault.origin), id, who, why, desk.now, desk.today)
    if desk.json:
        made = filed.statement.id if filed else None
        desk.reporter.line({"message_type": "released", "id": made, "hold": id, "free": free})
    else:
        already = "" if filed else " already"
        desk.reporter.say(f"released{already}; no other hold keeps {free} of its documents")
