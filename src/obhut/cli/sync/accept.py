"""``obhut sync accept``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.sync.desk import NAME
from obhut.cli.sync.desk import desk as with_desk
from obhut.errors import ObhutError

if TYPE_CHECKING:
    from obhut.cli.sync.desk import Desk


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync accept
    obhut sync accept P56IOI7 --name phone
    obhut sync accept photos --into ~/Photos
    """,
)
@click.argument("what", metavar="[ID|F]", required=False)
@with_desk
@click.option("--name", type=NAME, help="Of a device: what it is called here.")
@click.option(
    "--into", "path", metavar="PATH", help="Of a folder: the directory that it becomes; it is made if it is not there."
)
@click.option("--read-only", is_flag=True, help="Of a folder: changes of whoever offers it do not count.")
def accept(desk: Desk, what: str | None, name: str | None, path: str | None, *, read_only: bool) -> None:
    """Accept a device that knocked, or a folder that is offered; without a name, list them. Asks the running process."""
    status = desk.ask(do="status")
    if what is None:
        _listed(desk, status)
        return
    strangers = [one for one in status["strangers"] if one["device"].startswith(what.upper())]
    if len(what) >= 7 and len(strangers) == 1:
        _device(desk, strangers[0], name)
        return
    offers = [one for one in status["offers"] if one["folder"] == what]
    if not offers:
        raise ObhutError("sync-nothing-offered", what)
    _folder(desk, offers, path, read_only=read_only)


def _listed(desk: Desk, status: dict[str, Any]) -> None:
    from obhut.cli.console import safe

    if desk.json:
        for one in status["strangers"]:
            desk.reporter.line({"message_type": "stranger", **one})
        for one in status["offers"]:
            desk.reporter.line({"message_type": "offer", **one})
        return
    for one in status["strangers"]:
        desk.console.out(safe(f"device {one['device']} {one['name']} ({one['address']})"))
    for one in status["offers"]:
        desk.console.out(safe(f"folder {one['folder']} {one['label']} by {one['device']}"))
    if not (status["strangers"] or status["offers"]):
        desk.reporter.say("nobody knocks, and nothing is offered")


def _device(desk: Desk, stranger: dict[str, Any], name: str | None) -> None:
    from obhut.sync.model import Device, check_name

    try:
        called = name if name is not None else check_name(stranger["name"])
    except ValueError:
        called = ""
    with desk.home.editing() as edit:
        made = Device(desk.device_id(stranger["device"]), called)
        edit.settings = edit.settings.with_device(made)
    desk.done("device", f"added {made.shown}", id=made.id, name=made.name)


def _folder(desk: Desk, offers: list[dict[str, Any]], path: str | None, *, read_only: bool) -> None:
    from pathlib import Path

    from obhut.cli.sync.folder import added
    from obhut.sync.model import check_name
    from obhut.world import durable

    if path is None:
        raise click.UsageError("say which directory the folder becomes: --into PATH")
    ident = offers[0]["folder"]
    known = [one.id for one in desk.settings().folders]
    if ident not in known:
        if not Path(path).exists():
            durable.make_folder(path)
        try:
            label = check_name(offers[0]["label"])
        except ValueError:
            label = ""
        added(desk, path, ident, label=label)
    with desk.home.editing() as edit:
        for offer in offers:
            edit.settings = edit.settings.shared(ident, offer["device"], read_only=read_only)
    desk.done(
        "accepted", f"{ident} is shared with {len(offers)} devices", folder=ident, devices=[o["device"] for o in offers]
    )
