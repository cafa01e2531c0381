"""``obhut sync share``, ``unshare``, ``pause`` and ``resume``."""

from __future__ import annotations

from dataclasses import replace
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
    obhut sync share photos phone
    obhut sync share photos tablet --read-only
    """,
)
@click.argument("folder", metavar="F")
@click.argument("device", metavar="DEVICE")
@with_desk
@click.option("--read-only", is_flag=True, help="Its changes do not count: they stay there.")
def share(desk: Desk, folder: str, device: str, *, read_only: bool) -> None:
    """Share a folder with a device, given by name or id. Said again, it changes the device's role.

    A role is complete where devices share with this one alone: what a device may not write here it could still give to
    a third one.
    """
    with desk.home.editing() as edit:
        found = edit.settings.find_device(device)
        edit.settings = edit.settings.shared(folder, found.id, read_only=read_only)
    role = " to read only" if read_only else ""
    desk.done(
        "shared", f"{folder} is shared with {found.shown}{role}", folder=folder, device=found.id, writes=not read_only
    )


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync unshare photos phone
    """,
)
@click.argument("folder", metavar="F")
@click.argument("device", metavar="DEVICE")
@with_desk
def unshare(desk: Desk, folder: str, device: str) -> None:
    """Share a folder with a device no longer. What it has stays there."""
    with desk.home.editing() as edit:
        found = edit.settings.find_device(device)
        edit.settings = edit.settings.unshared(folder, found.id)
    desk.done("unshared", f"{folder} is shared with {found.shown} no longer", folder=folder, device=found.id)


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync pause photos
    """,
)
@click.argument("what", metavar="F|DEVICE")
@with_desk
def pause(desk: Desk, what: str) -> None:
    """Let a folder or a device rest. It is remembered over restarts."""
    _paused(desk, what, paused=True)


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync resume photos
    """,
)
@click.argument("what", metavar="F|DEVICE")
@with_desk
def resume(desk: Desk, what: str) -> None:
    """Let a folder or a device go on."""
    _paused(desk, what, paused=False)


def _paused(desk: Desk, what: str, *, paused: bool) -> None:
    words = "rests" if paused else "goes on"
    with desk.home.editing() as edit:
        folder = next((one for one in edit.settings.folders if one.id == what), None)
        if folder is not None:
            edit.settings = edit.settings.with_folder(replace(folder, paused=paused))
        else:
            try:
                device = edit.settings.find_device(what)
            except ObhutError:
                raise ObhutError("sync-folder-unknown", what, "nor is there such a device") from None
            edit.settings = edit.settings.with_device(replace(device, paused=paused))
    desk.done("paused" if paused else "resumed", f"{what} {words}", what=what)
