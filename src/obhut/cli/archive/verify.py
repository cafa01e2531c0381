"""``obhut archive verify``."""

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
    obhut archive verify --store /srv/archive
    obhut archive verify -s /srv/archive --against /mnt/usb/archive.checkpoint --witness witness.vkey
    """,
)
@with_desk
@click.option(
    "--against",
    multiple=True,
    metavar="FILE",
    help="A checkpoint or receipt that was kept elsewhere: the log must go on from there.",
)
@click.option(
    "--witness", metavar="FILE", help="The witness's .vkey: it must have signed each checkpoint of --against."
)
@click.option("--contents", is_flag=True, help="In an encrypted archive: open each document, too.")
def verify(desk: Desk, against: tuple[str, ...], witness: str | None, *, contents: bool) -> None:
    """Verify log, records and documents: everything is read and hashed, and every fault is named.

    Whoever holds the log's key could have written another history: that shows only against a checkpoint or a receipt
    that lies elsewhere: name it with --against.

    In an encrypted archive all records are opened, and the files of documents are compared with what their records say.
    """
    from dataclasses import asdict

    from obhut.archive.actions.verify import goes_on
    from obhut.archive.actions.verify import verify as judge
    from obhut.backup.sizes import format_bytes
    from obhut.cli.console import safe
    from obhut.errors import ObhutError

    if witness is not None and not against:
        raise click.UsageError("--witness needs --against FILE: the checkpoint that it signed")
    vault = desk.vault()
    kept = goes_on(vault, against, witness)
    verdict = judge(vault, desk.today, desk.reporter, contents=contents)
    if desk.json:
        desk.reporter.line({"message_type": "verdict", "origin": vault.origin, **asdict(verdict)})
    else:
        for remark in verdict.remarks:
            desk.reporter.warn(f"note: {safe(remark.object)}: {remark.what}")
        for fault in verdict.faults:
            desk.reporter.warn(f"fault: {safe(fault.object)}: {safe(fault.what)}")
        amount = f"{verdict.documents} documents in {verdict.objects} objects, {format_bytes(verdict.bytes)}"
        if verdict.reads or verdict.reads_disposed:
            desk.reporter.say(f"{verdict.reads} audit records; {verdict.reads_disposed} were disposed of")
        for line in verdict.stamps:
            desk.reporter.say(f"time stamp: {line}")
        gone = f"; {verdict.disposed} were disposed of" if verdict.disposed else ""
        desk.reporter.say(f"log of {verdict.size} entries, {amount}{gone}")
    if verdict.faults:
        raise ObhutError("archive-faulty", f"{len(verdict.faults)} faults, the first in {verdict.faults[0].object}")
    if not desk.json:
        for line in kept:
            desk.reporter.say(line)
        desk.reporter.say("everything is as it was logged")
