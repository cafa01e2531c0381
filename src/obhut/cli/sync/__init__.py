"""``obhut sync``: the table of its verbs."""

from __future__ import annotations

from typing import Any

import click

from obhut.cli.lazy import LazyGroup

_HERE = "obhut.cli.sync"
VERBS = {
    "init": (f"{_HERE}.identity", "init", "Make this device: its certificate and its home."),
    "id": (f"{_HERE}.identity", "show_id", "Show the id that others need to know this device by."),
    "device": (f"{_HERE}.device", "device", "Add, change, list and remove other devices."),
    "folder": (f"{_HERE}.folder", "folder", "Add, change, list and remove folders."),
    "share": (f"{_HERE}.sharing", "share", "Share a folder with a device."),
    "unshare": (f"{_HERE}.sharing", "unshare", "Share it no longer."),
    "accept": (f"{_HERE}.accept", "accept", "Accept a device that knocked, or a folder that is offered."),
    "run": (f"{_HERE}.run", "run", "Keep folders the same, until it is stopped."),
    "status": (f"{_HERE}.status", "status", "Show what is not the same yet, why, and what to do."),
    "conflicts": (f"{_HERE}.conflicts", "conflicts", "List conflicts, and settle them."),
    "versions": (f"{_HERE}.versions", "versions", "List, restore and prune what was replaced or removed."),
    "ignore": (f"{_HERE}.ignore", "ignore", "Say what is not synchronized."),
    "pause": (f"{_HERE}.sharing", "pause", "Let a folder or a device rest."),
    "resume": (f"{_HERE}.sharing", "resume", "Let it go on."),
    "scan": (f"{_HERE}.asking", "scan", "Look at a folder now."),
    "override": (f"{_HERE}.asking", "override", "Send-only: what is here counts, whatever others have."),
    "revert": (f"{_HERE}.asking", "revert", "Receive-only: what was changed here goes, what others have comes."),
    "log": (f"{_HERE}.asking", "log", "Show what has happened since the start."),
    "import": (f"{_HERE}.takeover", "take_over", "Take over a home of Syncthing."),
    "unit": (f"{_HERE}.unit", "unit", "Print a unit for systemd."),
}


@click.command(cls=LazyGroup, lazy=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
def sync(**_: Any) -> None:
    """Keep folders the same on several devices, together with Syncthing on phones and computers.

    \b
    A first folder:
      obhut sync init
      obhut sync device add DEVICE-ID --name phone
      obhut sync folder add ~/Photos --id photos
      obhut sync share photos phone
      obhut sync run
    """  # noqa: D301  (click's mark for a block that keeps its lines)
