"""``obhut sync init`` and ``obhut sync id``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.sync.desk import LISTEN, NAME
from obhut.cli.sync.desk import desk as with_desk
from obhut.errors import ObhutError, converted

if TYPE_CHECKING:
    from obhut.cli.sync.desk import Desk


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync init
    obhut sync init --home /srv/hub --name hub --listen tcp://0.0.0.0:22000
    """,
)
@with_desk
@click.option("--name", type=NAME, help="What others see this device called.  [default: the host's name]")
@click.option("--listen", multiple=True, type=LISTEN, metavar="tcp://HOST:PORT", help="Where `run` takes connections.")
def init(desk: Desk, name: str | None, listen: tuple[str, ...]) -> None:
    """Make this device: a home with its certificate, whose hash is its id.

    The key in it is the device: keep a copy of key.pem and cert.pem, and never run two with the same.
    """
    from dataclasses import replace

    if desk.home.exists:
        raise ObhutError("sync-home-exists", str(desk.home.path))
    desk.home.make()
    with converted():
        own = desk.core.sync_identity(str(desk.home.path))
    with desk.home.editing() as edit:
        edit.settings = replace(edit.settings, name=name or edit.settings.name, listen=listen or edit.settings.listen)
    desk.done("initialized", own, id=own, home=str(desk.home.path))
    desk.reporter.say(f"made in {desk.home.path}; give this id to the other device, and add its id here")


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync id
    """,
)
@with_desk
def show_id(desk: Desk) -> None:
    """Show the id of this device: 56 letters, safe to tell anybody."""
    own = desk.own_id()
    if desk.json:
        desk.reporter.line({"message_type": "id", "id": own})
    else:
        desk.console.out(own)
