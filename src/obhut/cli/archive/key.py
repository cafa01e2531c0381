"""``obhut archive key``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from obhut.cli.archive.desk import writing_desk
from obhut.cli.lazy import ExamplesCommand

if TYPE_CHECKING:
    from obhut.cli.archive.desk import Desk


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def key(**_: Any) -> None:
    """Check that the keys of an archive fit, copy them to another place, and give the log a new one.

    The key of the log signs what is added; an encrypted archive has an identity besides, which opens it. Both lie outside
    the archive, and whoever loses them loses what they are for.
    """


@key.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive key check --store /srv/archive
    obhut archive key check -s /srv/archive --identity /media/stick/example.org_archive.identity.recovery
    """,
)
@writing_desk
def check(desk: Desk) -> None:
    """Check that the key signs this log, and that the identity opens what is sealed: the newest record of all."""
    from obhut.archive.actions.keys import check as try_keys
    from obhut.archive.identity import default_path, recovery_path

    vault = desk.vault()
    found = try_keys(vault, desk.key_path(vault.origin))
    left = recovery_path(default_path(vault.origin, desk.environ))
    if left.exists():
        desk.reporter.warn(
            f"{left} still lies on this machine: what is to help when the machine is lost belongs elsewhere"
        )
    if desk.json:
        desk.reporter.line({"message_type": "keys", "origin": vault.origin, **found})
        return
    desk.reporter.say(f"{desk.key_path(vault.origin)} signs the log")
    if found["opens"] is None:
        desk.reporter.say("the archive is not encrypted")
    else:
        desk.reporter.say(f"{desk.identity_path(vault.origin)} opens it ({found['opens']})")


@key.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive key export --store /srv/archive --to /media/stick
    """,
)
@writing_desk
@click.option("--to", "folder", required=True, metavar="DIR", help="A folder in another place, such as a stick.")
def export(desk: Desk, folder: str) -> None:
    """Copy the keys to another place, durably, and try the copies. Nothing that is there is replaced."""
    from pathlib import Path

    from obhut.archive.actions.keys import export as copy

    vault = desk.vault()
    written = copy(vault, desk.key_path(vault.origin), desk.identity_path(vault.origin), Path(folder))
    if desk.json:
        desk.reporter.line(
            {"message_type": "exported", "origin": vault.origin, "files": [str(path) for path in written]}
        )
        return
    for path in written:
        desk.reporter.say(f"written and tried: {path}")


@key.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive key rotate --store /srv/archive
    """,
)
@writing_desk
def rotate(desk: Desk) -> None:
    """Give the log a new key. The old one signs a last time, to hand over, and then its file is gone.

    Documents, ids and receipts stay as they are: the log goes on under its name. Whoever knows the old key is led to the
    new one, and the other way round; what the old key signs from now on counts for nothing. Copies of the old key are of
    no further use. The identity that opens an encrypted archive stays.
    """
    from obhut.archive.actions.keys import rotate as change

    vault = desk.vault()
    made = change(vault, desk.key_path(vault.origin), desk.who, desk.now)
    if desk.json:
        facts = {"old": str(made.old), "new": str(made.new), "size": made.size, "public": made.public}
        desk.reporter.line({"message_type": "rotated", "origin": vault.origin, **facts})
        return
    desk.reporter.say(f"the log of {vault.origin} has a new key from its entry {made.size} on: {made.new}")
    desk.reporter.say(f"before: {made.old}")
    desk.reporter.say(
        f"it lies in {desk.key_path(vault.origin)}; the old one is gone from there, and its copies are of no use"
    )
    desk.reporter.say(f"others check with {vault.store.location}/{made.public} from now on")
    desk.reporter.say("next: `obhut archive key export`, and have it stamped and witnessed, so that its time is known")
