"""``obhut sync folder``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.sync.desk import FOLDER_ID, NAME, VERSIONS
from obhut.cli.sync.desk import desk as with_desk
from obhut.errors import ObhutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from obhut.cli.sync.desk import Desk
    from obhut.sync.model import Folder, Versions

_DIRECTION = click.Choice(["both", "send-only", "receive-only"])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def folder() -> None:
    """Add, change, list and remove folders."""


def _facts(one: Folder) -> dict[str, Any]:
    return {
        "id": one.id,
        "path": one.path,
        "label": one.label,
        "direction": one.direction,
        "versions": str(one.versions),
        "paused": one.paused,
        "members": [{"device": m.device, "writes": not m.read_only} for m in one.members],
    }


def _kind(function: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option("--label", type=NAME, help="What people call it."),
        click.option("--direction", type=_DIRECTION, help="Which changes go where.  [default: both]"),
        click.option(
            "--versions",
            type=VERSIONS,
            metavar="KIND",
            help="What is kept of replaced and removed files: none, trash[:DAYS], simple:N[:DAYS], staggered[:DAYS]."
            "  [default: staggered:365]",
        ),
        click.option("--rescan", type=click.IntRange(0), metavar="SECONDS", help="Between two looks at everything; 0 = never."),
        click.option("--ignore-modes/--keep-modes", default=None, help="Whether permissions stay as they are here."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def _with(one: Folder, values: dict[str, Any]) -> Folder:
    return replace(one, **{name: value for name, value in values.items() if value is not None})


@folder.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync folder add ~/Photos --id photos --label Photos
    obhut sync folder add /srv/hub/photos --id photos --versions simple:10
    """,
)
@click.argument("path")
@with_desk
@click.option("--id", "ident", type=FOLDER_ID, required=True, metavar="F", help="What all devices call it.")
@_kind
def add(desk: Desk, path: str, ident: str, versions: Versions | None, **values: Any) -> None:
    """Make a directory a folder that can be shared. What is in it stays, and is merged with what others have.

    A marker, .stfolder, is put into it: where it is missing, a disk is not mounted, and nothing is taken for deleted.
    One that Syncthing made is as good.
    """
    made, new = added(desk, path, ident, versions=versions, **values)
    desk.done("folder", f"added {made.id}: {made.path}", **_facts(made), marked=new)


def added(desk: Desk, path: str, ident: str, **values: Any) -> tuple[Folder, bool]:
    """Adds a folder; whether its marker is new. Raises ``sync-folder-exists``, ``sync-folder-place``."""
    from obhut.sync import place
    from obhut.sync.model import Folder

    desk.home.need()
    made = _with(Folder(ident, place.resolved(path)), values)
    with desk.home.editing() as edit:
        if any(known.id == ident for known in edit.settings.folders):
            raise ObhutError("sync-folder-exists", ident)
        edit.settings = edit.settings.with_folder(made)
        desk.home.check(edit.settings)
        new = place.mark(made.path, ident, desk.now())
    return made, new


@folder.command(
    "set",
    cls=ExamplesCommand,
    examples="""
    obhut sync folder set photos --versions staggered:90
    obhut sync folder set photos --direction send-only
    """,
)
@click.argument("ident", metavar="F")
@with_desk
@_kind
def change(desk: Desk, ident: str, **values: Any) -> None:
    """Change a folder. Its path is changed by removing and adding it."""
    with desk.home.editing() as edit:
        made = _with(edit.settings.folder(ident), values)
        edit.settings = edit.settings.with_folder(made)
    desk.done("folder", f"changed {made.id}", **_facts(made))


@folder.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync folder remove photos
    """,
)
@click.argument("ident", metavar="F")
@with_desk
def remove(desk: Desk, ident: str) -> None:
    """Remove a folder from what is synchronized. Its files stay, here and elsewhere."""
    with desk.home.editing() as edit:
        path = edit.settings.folder(ident).path
        edit.settings = edit.settings.without_folder(ident)
    desk.done("folder-removed", f"removed {ident}; its files stay in {path}", id=ident, path=path)


@folder.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync folder mark photos
    """,
)
@click.argument("ident", metavar="F")
@with_desk
def mark(desk: Desk, ident: str) -> None:
    """Put the marker into a folder where it is missing. Only if you see that the right disk is mounted."""
    from obhut.sync import place

    found = desk.folder(ident)
    new = place.mark(place.resolved(found.path), ident, desk.now())
    desk.done("marked", f"{'marked' if new else 'was marked already:'} {found.path}", id=ident, marked=new)


@folder.command(
    "list",
    cls=ExamplesCommand,
    examples="""
    obhut sync folder list
    """,
)
@with_desk
def list_folders(desk: Desk) -> None:
    """List the folders, and with whom they are shared."""
    from obhut.cli.table import render

    settings = desk.settings()
    if desk.json:
        for one in settings.folders:
            desk.reporter.line({"message_type": "folder", **_facts(one)})
        return
    rows = []
    for one in settings.folders:
        who = [settings.device(m.device).shown + (" (reads only)" if m.read_only else "") for m in one.members]
        rows.append([one.id, one.label, one.path, one.direction, str(one.versions), who])
    for line in render(["ID", "Label", "Path", "Direction", "Versions", "Shared with"], rows):
        desk.console.out(line)
