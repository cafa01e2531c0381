"""``obhut archive settle``."""

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
    obhut archive settle --store /srv/archive
    """,
)
@writing_desk
def settle(desk: Desk) -> None:
    """Lock documents for as long as the law asks, once the time to withdraw them has passed. For every day, from cron.

    A new document is locked for 30 days. In the first 14 days two people may withdraw it (`obhut archive propose
    --withdraw`); then this command extends its lock to the end that the law sets. Locks are never shortened.
    """
    from dataclasses import asdict

    from obhut.archive.actions.settle import settle as act

    vault = desk.vault()
    done = act(vault, desk.key_path(vault.origin), desk.now)
    if desk.json:
        facts = {name: value for name, value in asdict(done).items() if name != "filed"}
        name = done.filed.statement.id if done.filed else None
        desk.reporter.line({"message_type": "settled", "id": name, **facts})
        return
    for unknown in done.unknown:
        desk.reporter.warn(f"this version does not know the class of {unknown}: its lock stays as it is")
    if done.withdrawn:
        desk.reporter.say(f"{done.withdrawn} documents were withdrawn in time: their locks stay short")
    if done.open:
        desk.reporter.say(f"{done.open} documents stay until their event has come: `obhut archive event ID --date DAY`")
    if done.reads:
        desk.reporter.say(f"{done.reads} audit records are locked to their own end")
    desk.reporter.say(f"{done.documents} documents are locked for as long as the law asks; {done.waiting} wait")
