"""What a status means: for everything that is not as it should be the cause, and the next step that harms nothing. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from obhut.sync import seen

if TYPE_CHECKING:
    from obhut.sync.model import Settings

#: The names that are shown of a list; the JSON has all of them.
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that is not as it should be."""

    #: A word for scripts.
    kind: str
    cause: str
    next: str
    #: The folder or device it is about; "" = all.
    folder: str = ""
    device: str = ""


#: By the kind of a doubt: what happened, and what to do. ``{path}`` and ``{text}`` are filled in.
_DOUBTS: Final = {
    "marker-missing": (
        "there is no .stfolder in {path}",
        "see that its disk is mounted; if the folder is really meant to be there, say `obhut sync folder mark {id}`",
    ),
    "root-missing": ("there is no directory at {path}", "mount its disk, or put the directory back"),
    "other-file-system": (
        "{path} lies on another file system than before",
        "see that the right disk is mounted; if the folder lies there for good, remove it and add it again",
    ),
    "emptied": (
        "everything that was in {path} is gone",
        "see that its disk is mounted; nothing was deleted elsewhere. If it is meant, say `obhut sync scan --emptied {id}`",
    ),
    "ignores": ("its ignore file cannot be used: {text}", "correct .stignore; `obhut sync ignore list {id}` shows it"),
}


def remarks(settings: Settings, status: dict[str, Any]) -> list[Remark]:
    """Everything in a status (``obhut/_core.pyi``) that somebody should know, the gravest first."""
    names = {device.id: device.shown for device in settings.devices}
    found = []
    if status.get("misconfigured"):
        found.append(
            Remark("misconfigured", status["misconfigured"], "correct sync.toml; what was configured before goes on")
        )
    for folder in status["folders"]:
        found += _of_folder(settings, folder, names)
    for device in status["devices"]:
        found += _of_device(device, names)
    for offer in status.get("offers", []):
        name = names.get(offer["device"], offer["device"][:7])
        found.append(
            Remark(
                "offered",
                f"{name} offers a folder that is not shared with it here: {offer['label'] or offer['folder']}",
                f"`obhut sync accept {offer['folder']} --into PATH`, if you want it",
                offer["folder"],
                offer["device"],
            )
        )
    for stranger in status.get("strangers", []):
        found.append(
            Remark(
                "stranger",
                f"an unknown device knocked: {stranger['name'] or 'without a name'} from {stranger['address']}",
                f"compare its id; if it is yours: `obhut sync accept {stranger['device']}`",
                device=stranger["device"],
            )
        )
    return found


def _of_folder(settings: Settings, folder: dict[str, Any], names: dict[str, str]) -> list[Remark]:
    ident = folder["id"]
    return [
        *_doubt(settings, folder),
        *_troubles(folder),
        *_missing(folder, names),
        *_others(folder, names),
        *(
            [
                Remark(
                    "unnamed",
                    f"{len(folder['unnamed'])} names are not UTF-8 and stay here: {_few(folder['unnamed'])}",
                    "rename them",
                    ident,
                )
            ]
            if folder["unnamed"]
            else []
        ),
    ]


def _doubt(settings: Settings, folder: dict[str, Any]) -> list[Remark]:
    doubt, ident = folder["doubt"], folder["id"]
    if not doubt:
        return []
    path = next((one.path for one in settings.folders if one.id == ident), ident)
    cause, step = _DOUBTS.get(doubt["kind"], ("{text}", "see to the cause, then `obhut sync scan {id}`"))
    values = {"path": path, "id": ident, "text": doubt.get("text", "")}
    return [Remark(doubt["kind"], f"stopped: {cause.format(**values)}", step.format(**values), ident)]


def _troubles(folder: dict[str, Any]) -> list[Remark]:
    return [
        Remark("trouble", f"{one['name']}: {one['why']}", "see to the cause; it is tried again by itself", folder["id"])
        for one in folder["troubles"]
    ]


def _missing(folder: dict[str, Any], names: dict[str, str]) -> list[Remark]:
    need = folder["need"]
    if not need["items"] or folder["state"] == "paused" or folder["doubt"]:
        return []
    ready = [m for m in folder["members"] if m.get("connected") and not (m.get("completion") or {}).get("items")]
    cause = f"{need['items']} items are still to come here"
    if folder["state"] == "syncing" or ready:
        return [Remark("behind", cause, "wait: they are being fetched", folder["id"])]
    away = [names.get(m["device"], m["device"][:7]) for m in folder["members"] if not m.get("connected")]
    who = f": {', '.join(away)}" if away else ""
    return [Remark("unavailable", f"{cause}, and no device that has them is connected{who}", "start it", folder["id"])]


def _others(folder: dict[str, Any], names: dict[str, str]) -> list[Remark]:
    found = []
    for member in folder["members"]:
        name = names.get(member["device"], member["device"][:7])
        about = {"folder": folder["id"], "device": member["device"]}
        if not member["shares"]:
            if member.get("connected"):
                found.append(
                    Remark(
                        "unshared", f"{name} does not share this folder", "accept it there, or share it there", **about
                    )
                )
            continue
        left = (member.get("completion") or {}).get("items", 0)
        if left:
            step = "wait: it is fetching them" if member.get("connected") else f"start {name}"
            found.append(Remark("other-behind", f"{name} lacks {left} items", step, **about))
    return found


def _of_device(device: dict[str, Any], names: dict[str, str]) -> list[Remark]:
    if device["connected"] or device.get("paused"):
        return []
    name = names.get(device["id"], device["id"][:7])
    if device.get("error"):
        return [
            Remark(
                "unreachable",
                f"{name} is not connected: {device['error']}",
                f"see that it runs and that its address is right; `obhut sync device set {name} --address tcp://HOST:PORT`",
                device=device["id"],
            )
        ]
    return [
        Remark(
            "away",
            f"{name} is not connected",
            "start it; it connects by itself, or give an address",
            device=device["id"],
        )
    ]


def joined(settings: Settings, status: dict[str, Any]) -> dict[str, Any]:
    """A status with what the settings know: paths, directions, who is connected where, remarks. What ``--json`` prints."""
    connected = {device["id"] for device in status["devices"] if device["connected"]}
    known = {folder.id: folder for folder in settings.folders}
    for folder in status["folders"]:
        for member in folder["members"]:
            member["connected"] = member["device"] in connected
        if folder["id"] in known:
            own = known[folder["id"]]
            folder.update(path=own.path, direction=own.direction, versions=str(own.versions), paused=own.paused)
    return {**status, "remarks": [asdict(one) for one in remarks(settings, status)]}


def progress(status: dict[str, Any]) -> list[dict[str, Any]]:
    """What is still to come to each folder that is at it: ``{"id", "label", "items", "bytes"}``."""
    return [
        {"id": one["id"], "label": one["label"], **one["need"]}
        for one in status["folders"]
        if one["need"]["items"] and one["state"] in {"syncing", "scanning"}
    ]


def at_rest(settings: Settings, own: str, last_seen: dict[str, str]) -> dict[str, Any]:
    """What can be said while nothing runs, in the same shape."""
    devices: list[dict[str, Any]] = [
        {"id": d.id, "name": d.name, "addresses": list(d.addresses), "paused": d.paused, "connected": False}
        for d in settings.devices
    ]
    seen.into(devices, last_seen)
    return {
        "id": own,
        "folders": [
            {
                "id": folder.id,
                "label": folder.label,
                "path": folder.path,
                "direction": folder.direction,
                "versions": str(folder.versions),
                "paused": folder.paused,
                "state": "paused" if folder.paused else "stopped",
                "members": [{"device": m.device, "writes": not m.read_only} for m in folder.members],
            }
            for folder in settings.folders
        ],
        "devices": devices,
    }


def _few(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
