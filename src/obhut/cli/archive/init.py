"""``obhut archive init``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.archive.desk import writing_desk
from obhut.cli.lazy import ExamplesCommand
from obhut.cli.options import Parsed

if TYPE_CHECKING:
    from obhut.cli.archive.desk import Desk


def _day_of_year(text: str) -> tuple[int, int]:
    from datetime import date

    try:
        found = date.fromisoformat(f"2024-{text}")
    except ValueError:
        raise ValueError("a day of the year like 06-30") from None
    return found.month, found.day


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive init --store /srv/archive --name example.org/archive
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
@click.option("--audit", is_flag=True, help="Log who takes which document out: `get` and `receipt` then need the key.")
def init(
    desk: Desk, name: str, country: str, business_year_end: tuple[int, int], lock: str | None, *, audit: bool
) -> None:
    """Create an archive and the key of its log.

    The key lies outside the archive. Keep a copy of it in another place: without it nothing can be added.
    """
    from obhut.archive.description import Description
    from obhut.archive.store import LocalStore
    from obhut.archive.vault import Vault

    store = desk.store
    key_path = desk.key_path(name)
    if lock is not None:
        if isinstance(store, LocalStore):
            raise click.UsageError("--lock is for archives in a bucket")
        store.lock_mode = lock
    described = Description(name, country, business_year_end, desk.now, store.lock_mode, audit)
    vault = Vault.create(store, key_path, described)
    if desk.json:
        made = {"message_type": "initialized", "archive": store.location, "origin": name, "log_key": str(vault.key)}
        desk.reporter.line({**made, "key_file": str(key_path)})
        return
    desk.reporter.say(f"created archive {name} at {store.location}")
    desk.reporter.say(f"its key is {key_path}: keep a copy elsewhere, and let nobody else have it")
    desk.reporter.say(f"others check the log with {store.location}/log/1.vkey: give it to whom receipts will be shown")
    if not isinstance(store, LocalStore):
        undone = (
            "Nobody can undo a lock, not even you."
            if lock == "compliance"
            else "Who holds the right to bypass can undo it."
        )
        desk.reporter.say(f"Documents are locked by the storage ({store.lock_mode}). {undone}")
        return
    desk.reporter.say(
        "Its files are read-only, and nothing here removes them before their time, which keeps accidents away. Who is root on this machine can still remove them: "
        "that is found by `obhut archive verify`, not prevented."
    )
