"""``obhut sync import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.sync.desk import desk as with_desk
from obhut.errors import ObhutError

if TYPE_CHECKING:
    from obhut.cli.sync.desk import Desk
    from obhut.sync.importing import Found


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync import ~/.local/state/syncthing
    obhut sync import /var/lib/syncthing/.config/syncthing --home /srv/hub --dry-run
    """,
)
@click.argument("old", metavar="DIR")
@with_desk
@click.option("--dry-run", is_flag=True, help="Only show what would be taken over.")
def take_over(desk: Desk, old: str, *, dry_run: bool) -> None:
    """Take over a home of Syncthing: its identity, devices, folders. The old home is read and never changed.

    Stop Syncthing first, and do not start it again with this home: two programs with one identity harm each other. Files
    and ignore patterns stay where they are. They are read once, and nothing is transferred again.
    """
    from obhut.sync import importing

    if desk.home.exists or desk.home.settings_path.exists():
        raise ObhutError("sync-home-exists", str(desk.home.path))
    found = importing.read(Path(old), desk.certificate_id, desk.device_id)
    desk.home.check(found.settings)
    if not dry_run:
        _make(desk, found)
    _say(desk, found, old, dry_run=dry_run)


def _make(desk: Desk, found: Found) -> None:
    """The key comes last: with it there is a device."""
    from obhut.sync import file, place
    from obhut.world import durable

    desk.home.make()
    text = file.render(found.settings, None)
    file.parse(text, str(desk.home.settings_path), desk.device_id)
    durable.write_file(desk.home.settings_path, text.encode())
    for folder in found.settings.folders:
        # A missing marker may be a disk that is not mounted: it is not for us to say that it is.
        if place.is_marked(folder.path):
            continue
        desk.reporter.warn(f"{folder.id}: there is no .stfolder in {folder.path}; if it is the right place, say "
                           f"`obhut sync folder mark {folder.id}`")  # fmt: skip
    durable.write_file(desk.home.path / "cert.pem", found.certificate)
    durable.write_file(desk.home.path / "key.pem", found.key)


def _say(desk: Desk, found: Found, old: str, *, dry_run: bool) -> None:
    from obhut.cli.console import safe

    own = desk.certificate_id(found.certificate)
    settings = found.settings
    if desk.json:
        desk.reporter.line({
            "message_type": "imported", "id": own, "from": old, "dry_run": dry_run,
            "devices": [one.id for one in settings.devices],
            "folders": [{"id": one.id, "path": one.path} for one in settings.folders],
            "left": list(found.left),
        })  # fmt: skip
        return
    desk.reporter.say(f"{own} with {len(settings.devices)} devices and {len(settings.folders)} folders"
                      + (" would be taken over" if dry_run else " was taken over"))  # fmt: skip
    for folder in settings.folders:
        desk.reporter.say(safe(f"  {folder.id}: {folder.path}, {folder.direction}, versions {folder.versions}"))
    if found.left:
        desk.reporter.say("not taken over:")
    for what in found.left:
        desk.reporter.say(safe(f"  {what}"))
