"""``obhut sync unit``."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.sync.desk import desk as with_desk

if TYPE_CHECKING:
    from obhut.cli.sync.desk import Desk


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync unit > ~/.config/systemd/user/obhut-sync.service
    obhut sync unit --home /srv/hub --user hub > /etc/systemd/system/obhut-sync@hub.service
    """,
)
@with_desk
@click.option("--user", metavar="NAME", help="For the system: a service that runs as NAME. Without: one of your own.")
def unit(desk: Desk, user: str | None) -> None:
    """Print a unit for systemd that runs this home, with the rights that it needs and no others."""
    from obhut.sync.unit import Wish, render

    program = shutil.which("obhut") or f"{sys.executable} -m obhut"
    folders = tuple(folder.path for folder in desk.settings().folders)
    text = render(Wish(program, str(desk.home.path), folders, user))
    if desk.json:
        desk.reporter.line({"message_type": "unit", "text": text})
    else:
        desk.console.out(text.rstrip("\n"))
