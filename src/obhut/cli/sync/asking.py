"""``obhut sync scan``, ``override``, ``revert`` and ``log``: what is asked of the running process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.sync.desk import desk as with_desk
from obhut.errors import ObhutError

if TYPE_CHECKING:
    from obhut.cli.sync.desk import Desk


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync scan
    obhut sync scan photos
    obhut sync scan --emptied photos
    """,
)
@click.argument("folders", metavar="[F]...", nargs=-1)
@click.option(
    "--emptied", is_flag=True, help="Folders that stopped because all in them is gone: it is meant, tell others."
)
@with_desk
def scan(desk: Desk, folders: tuple[str, ...], emptied: bool) -> None:
    """Look at folders now; at all of them, if none is named.

    With --emptied others remove what is gone here; what they remove goes to their versions.
    """
    if emptied and not folders:
        raise click.UsageError("--emptied wants the folders named")
    for folder in folders or [one.id for one in desk.settings().folders]:
        desk.ask(do="emptied" if emptied else "scan", folder=folder)
        desk.done("scan", f"{folder} is looked at", folder=folder)


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync override photos
    """,
)
@click.argument("folder", metavar="F")
@with_desk
def override(desk: Desk, folder: str) -> None:
    """What is here counts, whatever others have changed. Only for a folder that is send-only.

    Others keep what is replaced there among their versions, if they keep any.
    """
    _directed(desk, folder, "override", "send-only")


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync revert photos
    """,
)
@click.argument("folder", metavar="F")
@with_desk
def revert(desk: Desk, folder: str) -> None:
    """What was changed here goes, and what others have comes. Only for a folder that is receive-only.

    What goes is kept among the versions: `obhut sync versions list`.
    """
    _directed(desk, folder, "revert", "receive-only")


def _directed(desk: Desk, folder: str, command: str, direction: str) -> None:
    found = desk.folder(folder)
    if found.direction != direction:
        raise ObhutError("sync-direction", folder, f"it is {found.direction}; {command} is for {direction}")
    desk.ask(do=command, folder=folder)
    desk.done(command, f"{command} of {folder} has begun", folder=folder)


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync log
    obhut sync log --last 50 --json
    """,
)
@with_desk
@click.option("--last", type=click.IntRange(1, 2000), default=2000, help="Only so many.")
def log(desk: Desk, last: int) -> None:
    """Show what has happened since the process started, at most the last 2000 events."""
    from obhut.cli.sync.run import tell

    names = {device.id: device.shown for device in desk.settings_or_none().devices}
    for event in desk.ask(do="log", count=last):
        tell(desk, event, names, always=True)
