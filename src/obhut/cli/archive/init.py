"""``obhut archive init``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.archive.desk import writing_desk
from obhut.cli.lazy import ExamplesCommand
from obhut.cli.options import Parsed

if TYPE_CHECKING:
    from obhut.archive.sealing import Encryption
    from obhut.archive.vault import Vault
    from obhut.cli.archive.desk import Desk


def _wanted(desk: Desk, encrypt: bool | None, *, bucket: bool) -> bool:
    """Whether to encrypt: as somebody says, or answers; a folder, or a script that says nothing, gets none."""
    import sys

    if encrypt is not None or not bucket or desk.json or not sys.stdin.isatty():
        return bool(encrypt)
    return click.confirm("Whoever runs the storage can read what lies in it. Encrypt it?", default=True)


def _day_of_year(text: str) -> tuple[int, int]:
    from datetime import date

    try:
        found = date.fromisoformat(f"2024-{text}")
    except ValueError:
        raise ValueError("a day of the year like 06-30") from None
    return found.month, found.day


def _say_sealed(desk: Desk, encryption: Encryption, vault: Vault) -> None:
    from pathlib import Path

    desk.reporter.say(f"everything in it is sealed; {encryption.identity_path} opens it: keep a copy elsewhere")
    if isinstance(encryption.recovery, Path):
        desk.reporter.say(
            f"{encryption.recovery} opens it, too, if all else is lost: take it away from this machine, "
            f"for example to paper and to a safe, and delete it here"
        )
    else:
        desk.reporter.say(f"whoever has the identity of {encryption.recovery} opens it, too")
    desk.reporter.say(f"try both: obhut archive key check --store {vault.store.location} --identity FILE")


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive init --store /srv/archive --name example.org/archive
    obhut archive init --store s3://documents --name example.org/archive --lock compliance --encrypt
    obhut archive init --store /srv/archive --name example.ch/archive --country ch --key-file /etc/obhut/archive.key
    """,
)
@writing_desk
@click.option("--name", required=True, metavar="ORIGIN", help="Name of the log: a domain of yours and a word.")
@click.option(
    "--country",
    type=click.Choice(["de", "ch", "at"]),
    default="de",
    show_default=True,
    help="Whose classes have short names.",
)
@click.option(
    "--business-year-end",
    type=Parsed("day of the year", _day_of_year),
    default="12-31",
    show_default=True,
    metavar="MM-DD",
    help="The last day of a business year, for the classes that count from it (Switzerland).",
)
@click.option(
    "--lock",
    type=click.Choice(["governance", "compliance"]),
    help="In a bucket: who holds a special right can undo governance, nobody compliance.  [default: governance]",
)
@click.option(
    "--encrypt/--no-encrypt",
    default=None,
    help="Seal everything (age) to a key of the archive and to one to recover with.  [default: asked for a bucket, else no]",
)
@click.option(
    "--recovery",
    metavar="RECIPIENT",
    help="To whom everything is sealed as well: age1…, whose identity lies elsewhere.  [default: a new one is made]",
)
@click.option("--audit", is_flag=True, help="Log who takes which document out: `get` and `receipt` then need the key.")
def init(
    desk: Desk,
    name: str,
    country: str,
    business_year_end: tuple[int, int],
    lock: str | None,
    recovery: str | None,
    *,
    encrypt: bool | None,
    audit: bool,
) -> None:
    """Create an archive and the key of its log.

    The key lies outside the archive. Keep a copy of it in another place: without it nothing can be added.

    In an encrypted archive (--encrypt) every record and every document is an age file. What opens it lies outside, too, and
    so does the identity to recover with, which belongs in another place: without one of them nobody reads anything any more.
    """
    from obhut.archive.description import Description
    from obhut.archive.identity import recovery_path
    from obhut.archive.sealing import Encryption
    from obhut.archive.store import LocalStore
    from obhut.archive.vault import Vault

    store = desk.store
    key_path = desk.key_path(name)
    if lock is not None:
        if isinstance(store, LocalStore):
            raise click.UsageError("--lock is for archives in a bucket")
        store.lock_mode = lock
    if recovery is not None and encrypt is False:
        raise click.UsageError("--recovery is for encrypted archives")
    encryption = None
    if recovery is not None or _wanted(desk, encrypt, bucket=not isinstance(store, LocalStore)):
        path = desk.identity_path(name)
        encryption = Encryption(path, recovery or recovery_path(path))
    described = Description(name, country, business_year_end, desk.now, store.lock_mode, audit)
    vault = Vault.create(store, key_path, described, encryption)
    if desk.json:
        made = {"message_type": "initialized", "archive": store.location, "origin": name, "log_key": str(vault.key)}
        sealed = {"recipients": list(vault.described.recipients)} if encryption else {}
        identity = (
            {"identity": str(encryption.identity_path), "recovery": str(encryption.recovery)} if encryption else {}
        )
        desk.reporter.line({**made, "key_file": str(key_path), **sealed, **identity})
        return
    desk.reporter.say(f"created archive {name} at {store.location}")
    desk.reporter.say(f"its key is {key_path}: keep a copy elsewhere, and let nobody else have it")
    desk.reporter.say(f"others check the log with {store.location}/log/1.vkey: give it to whom receipts will be shown")
    if encryption:
        _say_sealed(desk, encryption, vault)
    if not isinstance(store, LocalStore):
        undone = (
            "Nobody can undo a lock, not even you."
            if lock == "compliance"
            else "Who holds the right to bypass can undo it."
        )
        desk.reporter.say(f"Documents are locked by the storage ({store.lock_mode}). {undone}")
        if not encryption:
            desk.reporter.say("They are not encrypted: whoever runs the storage can read them.")
        return
    desk.reporter.say(
        "Its files are read-only, and nothing here removes them before their time, which keeps accidents away. Who is root on this machine can still remove them: "
        "that is found by `obhut archive verify`, not prevented."
    )
