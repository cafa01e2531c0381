"""When other devices were last connected: told by the running process, remembered in ``seen.json`` of the home."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from obhut.errors import ObhutError
from obhut.gojson import dumps, loads
from obhut.world import durable

if TYPE_CHECKING:
    from pathlib import Path

_NAME = "seen.json"


def read(home: Path) -> dict[str, str]:
    """Times (RFC 3339) by device id. What cannot be read is not known: it is of no weight."""
    try:
        found: Any = loads((home / _NAME).read_bytes()[: 1 << 20])
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {device: time for device, time in found.items() if isinstance(time, str)}


def write(home: Path, times: dict[str, str]) -> None:
    """Remembers them. That this fails stops nothing."""
    try:
        durable.write_file(home / _NAME, dumps(times).encode() + b"\n")
    except ObhutError:
        return


def into(devices: list[dict[str, Any]], times: dict[str, str]) -> None:
    """Adds ``last_seen`` to those that are not connected and once were."""
    for device in devices:
        if not device["connected"] and device["id"] in times:
            device["last_seen"] = times[device["id"]]
