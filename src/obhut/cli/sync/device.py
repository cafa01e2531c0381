"""``obhut sync device``."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.sync.desk import ADDRESS, NAME
from obhut.cli.sync.desk import desk as with_desk
from obhut.errors import ObhutError

if TYPE_CHECKING:
    from obhut.cli.sync.desk import Desk
    from obhut.sync.model import Device


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def device() -> None:
    """Add, change, list and remove other devices."""


def _facts(one: Device) -> dict[str, Any]:
    return {**asdict(one), "addresses": list(one.addresses)}


@device.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync device add P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2 --name phone
    obhut sync device add ID --name hub --address tcp://hub.example.org:22000
    """,
)
@click.argument("ident", metavar="ID")
@with_desk
@click.option("--name", type=NAME, default="", help="What it is called here.")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    type=ADDRESS,
    metavar="tcp://HOST:PORT",
    help="Where it is; `dynamic` = found in the local network, the default.",
)
@click.option("--compression", type=click.Choice(["metadata", "always", "never"]), default="metadata", show_default=True,
              help="What is compressed on the way to it.")  # fmt: skip
def add(desk: Desk, ident: str, name: str, addresses: tuple[str, ...], compression: str) -> None:
    """Add a device. It has to add this one, too: an id alone lets nobody in."""
    from obhut.sync.model import Device

    made = Device(desk.device_id(ident), name, addresses or ("dynamic",), compression)
    if made.id == desk.own_id():
        raise ObhutError("invalid-argument", ident, "this is the id of this very device")
    with desk.home.editing() as edit:
        if any(known.id == made.id for known in edit.settings.devices):
            raise ObhutError("sync-device-exists", made.id)
        if name and any(known.name == name for known in edit.settings.devices):
            raise ObhutError("sync-device-exists", name)
        edit.settings = edit.settings.with_device(made)
    desk.done("device", f"added {made.shown}", **_facts(made))


@device.command(
    "set",
    cls=ExamplesCommand,
    examples="""
    obhut sync device set phone --address tcp://192.0.2.7:22000
    """,
)
@click.argument("which", metavar="DEVICE")
@with_desk
@click.option("--name", type=NAME, help="What it is called here.")
@click.option("--address", "addresses", multiple=True, type=ADDRESS, metavar="tcp://HOST:PORT", help="Where it is.")
@click.option("--compression", type=click.Choice(["metadata", "always", "never"]), help="What is compressed.")
def change(
    desk: Desk, which: str, name: str | None, addresses: tuple[str, ...], compression: str | None
) -> None:  # fmt: skip
    """Change a device, given by name or by the beginning of its id."""
    with desk.home.editing() as edit:
        found = edit.settings.find_device(which)
        made = replace(
            found,
            name=found.name if name is None else name,
            addresses=addresses or found.addresses,
            compression=compression or found.compression,
        )
        edit.settings = edit.settings.with_device(made)
    desk.done("device", f"changed {made.shown}", **_facts(made))


@device.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync device remove phone
    """,
)
@click.argument("which", metavar="DEVICE")
@with_desk
def remove(desk: Desk, which: str) -> None:
    """Remove a device; nothing is shared with it any more. Files that it has stay there."""
    with desk.home.editing() as edit:
        found = edit.settings.find_device(which)
        edit.settings = edit.settings.without_device(found.id)
    desk.done("device-removed", f"removed {found.shown}", id=found.id)


@device.command(
    "list",
    cls=ExamplesCommand,
    examples="""
    obhut sync device list
    """,
)
@with_desk
def list_devices(desk: Desk) -> None:
    """List the devices that are known."""
    from obhut.cli.table import render

    settings = desk.settings()
    if desk.json:
        for one in settings.devices:
            desk.reporter.line({"message_type": "device", **_facts(one)})
        return
    rows = [[one.shown, one.id, [*one.addresses], "paused" if one.paused else ""] for one in settings.devices]
    for line in render(["Name", "ID", "Addresses", ""], rows):
        desk.console.out(line)
