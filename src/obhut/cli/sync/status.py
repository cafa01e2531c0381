"""``obhut sync status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.sync.desk import desk as with_desk
from obhut.errors import ObhutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from obhut.cli.sync.desk import Desk


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut sync status
    obhut sync status --json
    """,
)
@with_desk
def status(desk: Desk) -> int:
    """Show folders, devices, and everything that is not the same yet: why, and what to do.

    The exit code is 0 if a process runs, and 1 if none does; what is configured is shown all the same.
    """
    from obhut.sync import report, seen

    try:
        found = desk.ask(do="status")
    except ObhutError as error:
        if error.id != "sync-not-running":
            raise
        settings = desk.settings()
        at_rest = {"running": False, **report.at_rest(settings, desk.own_id(), seen.read(desk.home.path))}
        if desk.json:
            desk.reporter.line({"message_type": "status", **at_rest})
        else:
            _show(desk, at_rest)
        raise
    joined = {"running": True, **report.joined(desk.settings_or_none(), found)}
    if desk.json:
        desk.reporter.line({"message_type": "status", **joined})
    else:
        _show(desk, joined)
    return 0


def _show(desk: Desk, found: dict[str, Any]) -> None:
    from obhut.cli.console import safe
    from obhut.cli.table import render

    def out(text: str) -> None:
        desk.console.out(safe(text))

    names = {device["id"]: device.get("name") or device["id"][:7] for device in found["devices"]}
    listening = found.get("listening")
    out(f"this device is {found['id']}" + (f", at {', '.join(listening)}" if listening else ""))
    if found["folders"]:
        out("")
        rows = [_folder_row(folder, names) for folder in found["folders"]]
        for line in render(["Folder", "State", "Here", "To come", "Path", "Shared with"], rows):
            desk.console.out(line)
    if found["devices"]:
        out("")
        rows = [[names[one["id"]], _connection(one), one.get("address") or "", one.get("client") or ""]
                for one in found["devices"]]  # fmt: skip
        for line in render(["Device", "Connection", "Address", "Program"], rows):
            desk.console.out(line)
    _show_remarks(out, found)


def _folder_row(folder: dict[str, Any], names: dict[str, str]) -> list[Any]:
    from obhut.backup.sizes import format_bytes

    local, need = folder.get("local"), folder.get("need")
    here = f"{local['files']} files, {format_bytes(local['bytes'])}" if local else ""
    left = f"{need['items']} items, {format_bytes(need['bytes'])}" if need and need["items"] else ""
    who = [f"{names.get(m['device'], m['device'][:7])}{_lag(m)}" for m in folder["members"]]
    return [folder["label"] or folder["id"], folder["state"], here, left, folder.get("path", ""), who]


def _lag(member: dict[str, Any]) -> str:
    left = (member.get("completion") or {}).get("items", 0)
    return f" (lacks {left})" if left else ""


def _connection(device: dict[str, Any]) -> str:
    if device["connected"]:
        return "connected"
    if device.get("paused"):
        return "paused"
    seen = device.get("last_seen")
    words = f"not since {seen}" if seen else "no"
    return f"{words}: {device['error']}" if device.get("error") else words


def _show_remarks(out: Callable[[str], None], found: dict[str, Any]) -> None:
    remarks = found.get("remarks")
    if remarks is None:
        return
    out("")
    if not remarks:
        out(
            "everything is the same everywhere"
            if found["folders"]
            else "no folder yet: obhut sync folder add PATH --id F"
        )
        return
    for remark in remarks:
        where = f"{remark['folder']}: " if remark["folder"] else ""
        out(f"{where}{remark['cause']}")
        out(f"  next: {remark['next']}")
