"""``obhut archive init``."""

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
def init(desk: Desk, name: str, country: str) -> None:
    """Create an archive and the key of its log.

    The key lies outside the archive. Keep a copy of it in another place: without it nothing can be added.
    """
    from obhut.archive.vault import Vault

    store = desk.store
    key_path = desk.key_path(name)
    vault = Vault.create(store, key_path, name, country, desk.now)
    if desk.json:
        made = {"message_type": "initialized", "archive": store.location, "origin": name, "log_key": str(vault.key)}
        desk.reporter.line({**made, "key_file": str(key_path)})
        return
    desk.reporter.say(f"created archive {name} at {store.location}")
    desk.reporter.say(f"its key is {key_path}: keep a copy elsewhere, and let nobody else have it")
    desk.reporter.say(f"others check the log with {store.location}/log/1.vkey: give it to whom receipts will be shown")
    desk.reporter.say(
        "Its files are read-only, which keeps accidents away. Who is root on this machine can still remove them: "
        "that is found by `obhut archive verify`, not prevented."
    )
