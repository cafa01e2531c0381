"""``obhut sync versions``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.sync.desk import desk as with_desk
from obhut.errors import ObhutError, converted

if TYPE_CHECKING:
    from obhut.cli.sync.desk import Desk


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def versions() -> None:
    """List, restore and prune what was replaced or removed by other devices' changes."""


def _all(desk: Desk, path: str) -> list[dict[str, Any]]:
    from obhut.gojson import loads

    with converted():
        found: Any = loads(desk.core.sync_versions_list(os.fsencode(path)))
    return list(found)


@versions.command(
    "list",
    cls=ExamplesCommand,
    examples="""
    obhut sync versions list photos
    obhut sync versions list photos 2026/march/cat.jpg
    """,
)
@click.argument("folder", metavar="F")
@click.argument("name", required=False)
@with_desk
def list_versions(desk: Desk, folder: str, name: str | None) -> None:
    """List the versions of a folder, or of one file or directory in it."""
    from obhut.backup.sizes import format_bytes
    from obhut.cli.table import render

    rows = []
    for one in _all(desk, desk.folder(folder).path):
        if name is not None and one["name"] != name and not one["name"].startswith(f"{name.rstrip('/')}/"):
            continue
        if desk.json:
            desk.reporter.line({"message_type": "version", "folder": folder, **one})
        rows.append([one["name"], one["made"] or "", format_bytes(one["bytes"]), one["version"]])
    if not desk.json:
        for line in render(["Name", "Put there", "Size", "Version"], rows):
            desk.console.out(line)


@versions.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync versions restore photos 2026/march/cat.jpg
    obhut sync versions restore photos 2026/march/cat~20260301-123456.jpg --into 2026/march/old-cat.jpg
    """,
)
@click.argument("folder", metavar="F")
@click.argument("which", metavar="NAME|VERSION")
@with_desk
@click.option("--into", metavar="NAME", help="Another name in the folder. One that is taken is refused.")
def restore(desk: Desk, folder: str, which: str, into: str | None) -> None:
    """Bring a version back: the newest one of a file, or the one that is named. What is there becomes a version first."""
    path = desk.folder(folder).path
    found = _all(desk, path)
    named = [one for one in found if one["version"] == which] or [one for one in found if one["name"] == which]
    if not named:
        raise ObhutError("sync-no-version", which)
    chosen = max(named, key=lambda one: one["made"] or "")
    if into is not None and os.path.lexists(os.path.join(path, into)):  # noqa: PTH118  (a name of the tree, not a path)
        raise ObhutError("output-exists", into)
    with converted():
        name = desk.core.sync_versions_restore(os.fsencode(path), chosen["version"], into)
    desk.done("restored", f"{name} is as in {chosen['version']}", folder=folder, name=name, version=chosen["version"])


@versions.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync versions prune photos
    """,
)
@click.argument("folder", metavar="F")
@with_desk
def prune(desk: Desk, folder: str) -> None:
    """Remove the versions that the folder's policy does not keep. A running process does so by itself."""
    from obhut.gojson import dumps, loads

    found = desk.folder(folder)
    with converted():
        gone: Any = loads(desk.core.sync_versions_prune(os.fsencode(found.path), dumps(found.versions.to_core())))
    if desk.json:
        desk.reporter.line({"message_type": "pruned", "folder": folder, "versions": gone})
    else:
        desk.reporter.say(f"{len(gone)} versions removed; kept is {found.versions}")
