"""``obhut archive status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.archive.desk import desk as with_desk
from obhut.cli.lazy import ExamplesCommand

if TYPE_CHECKING:
    from obhut.cli.archive.desk import Desk

#: Years of ends that are shown.
_YEARS = 12


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive status --store /srv/archive
    """,
)
@with_desk
def status(desk: Desk) -> None:
    """Show the archive as a whole: documents, holds, people, proposals, and when which years end.

    Log and statements are checked on the way; documents are not read: see `obhut archive verify`.
    """
    from dataclasses import asdict

    from obhut.archive.actions.look import status as look
    from obhut.cli.console import safe
    from obhut.cli.table import render

    vault = desk.vault()
    found = look(vault, desk.now)
    if desk.json:
        desk.reporter.line({"message_type": "status", "origin": vault.origin, **asdict(found)})
        return
    out = desk.console.out
    out(f"{vault.origin} at {safe(vault.store.location)}")
    out(
        f"{found.documents} documents, {found.settled} of them settled, {found.held} held; {found.disposed} disposed of"
    )
    if found.reads or found.reads_disposed:
        out(f"{found.reads} audit records of who took documents out; {found.reads_disposed} disposed of")
    since = f" since its entry {found.log_key_since}" if found.log_key_since else ""
    out(f"its log is signed by {found.log_key}{since}")
    if found.recipients:
        own, recovery = found.recipients
        out(f"encrypted: sealed to {own}, and to recover with to {recovery}")
    for line in found.stamps:
        out(f"time stamp: {safe(line)}")
    if found.probed:
        out(f"locks were probed on {found.probed['at'][:10]} and {'held' if found.probed['held'] else 'WERE BROKEN'}")
    if found.overdue:
        out(f"{found.overdue} documents wait for `obhut archive settle`: their locks end after 30 days")
    names = ", ".join(person["name"] for person in found.people) or "nobody"
    out(f"who may sign what is to vanish: {safe(names)}")
    for title, header, rows in (
        ("Holds", ["ID", "Documents", "Who", "Why", "Until"],
         [[h["id"], str(h["documents"]), h["who"], h["why"], h["until"] or "until released"] for h in found.holds]),
        ("Proposals", ["ID", "Left", "What", "Why", "Signed by"],
         [[p["id"], str(p["documents"]), p["action"], p["why"], _signed(p)] for p in found.proposals]),
        ("The law asks for documents until the end of", ["Year", "Documents"],
         [[year, str(count)] for year, count in list(found.ends.items())[:_YEARS]]),
    ):  # fmt: skip
        if rows:
            out("")
            out(f"{title}:")
            for line in render(header, rows):
                out(line)


def _signed(proposal: dict[str, list[str]]) -> str:
    signed = proposal["signed"]
    return f"{', '.join(signed) or 'nobody'} ({len(signed)} of {proposal['needed']})"
