"""A running process: the core's engine, its events, the settings when they change, and answers to other processes."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from obhut.errors import ObhutError, converted
from obhut.gojson import dumps, loads
from obhut.sync import control, seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from obhut.sync.core import Daemon
    from obhut.sync.home import Home

#: Events that ``log`` can still show.
_KEPT: Final = 2000
#: Devices and offers that are remembered: a stranger must not fill the memory.
_STRANGERS: Final = 200
#: Milliseconds after which the settings are looked at again.
_PERIOD: Final = 500
_COMMANDS: Final = ("scan", "emptied", "override", "revert")


class Runner:
    """One life of a process. ``own`` is the device's id, ``host`` the name it has if none is configured.

    ``read`` is the stamp of the settings from before ``core`` got them: what was written since then is not missed.
    """

    def __init__(self, home: Home, core: Daemon, own: str, host: str, stamp: Callable[[], str], read: Any) -> None:
        self._home = home
        self._core = core
        self._own, self._host = own, host
        self._stamp = stamp
        self._log: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._offers: dict[tuple[str, str], str] = {}
        self._strangers: dict[str, dict[str, Any]] = {}
        self._last = seen.read(home.path)
        self._lock = threading.Lock()
        self._seen = read
        self._trouble: str | None = None
        #: Set from a signal: the settings are read again.
        self.reread = False

    def round(self) -> list[dict[str, Any]]:
        """Waits for events up to half a second, takes changed settings over; gives what is to be told."""
        told = self._settings()
        with converted():
            found: Any = loads(self._core.events(_PERIOD))
        for event in found:
            event["time"] = self._stamp()
            with self._lock:
                self._remember(event)
        return [*told, *found]

    def _settings(self) -> list[dict[str, Any]]:
        stamp = self._home.stamp()
        if stamp == self._seen and not self.reread:
            return []
        self._seen, self.reread = stamp, False
        event: dict[str, Any] = {"event": "configured", "time": self._stamp()}
        try:
            self.configure()
            self._trouble = None
        except ObhutError as error:
            # What was running goes on: a slip in a file must not stop a hub.
            self._trouble = error.message
            event = {"event": "misconfigured", "why": error.message, "time": self._stamp()}
        with self._lock:
            self._remember(event)
        return [event]

    def configure(self) -> None:
        """Reads the settings and gives them to the core."""
        settings = self._home.read()
        with converted():
            self._core.configure(dumps(settings.to_core(self._own, self._host)))
        with self._lock:
            known = {device.id for device in settings.devices}
            shared = {(member.device, folder.id) for folder in settings.folders for member in folder.members}
            self._strangers = {who: one for who, one in self._strangers.items() if who not in known}
            self._offers = {key: label for key, label in self._offers.items() if key not in shared}

    def _remember(self, event: dict[str, Any]) -> None:
        self._log.append(event)
        kind = event.get("event")
        if kind in {"connected", "disconnected"}:
            self._last[event["device"]] = event["time"]
            if kind == "disconnected":
                seen.write(self._home.path, self._last)
        if kind == "offered" and len(self._offers) < _STRANGERS:
            self._offers[event["device"], event["folder"]] = event.get("label", "")
        if kind == "stranger" and len(self._strangers) < _STRANGERS:
            self._strangers[event["device"]] = {
                "device": event["device"],
                "name": event.get("name", ""),
                "address": event.get("address", ""),
                "time": event["time"],
            }

    def answer(self, request: dict[str, Any]) -> Any:
        """What another process asks; called in another thread."""
        match request.get("do"):
            case "status":
                return self.status()
            case "log":
                with self._lock:
                    return list(self._log)[-int(request.get("count", _KEPT)) :]
            case str(command) if command in _COMMANDS:
                folder = str(request.get("folder", ""))
                self._home.read().folder(folder)
                with converted():
                    self._core.command(folder, command)
                return {"folder": folder, "command": command}
            case other:
                raise ObhutError("invalid-argument", str(other), "a newer Obhut asks an older one")

    def status(self) -> dict[str, Any]:
        """The core's status, and what it does not know."""
        with converted():
            found: Any = loads(self._core.status())
        with self._lock:
            found["offers"] = [
                {"device": device, "folder": folder, "label": label}
                for (device, folder), label in self._offers.items()
            ]  # fmt: skip
            found["strangers"] = list(self._strangers.values())
            seen.into(found["devices"], self._last)
        found["misconfigured"] = self._trouble
        found["listening"] = self._core.listening()
        return dict(found)

    def end(self) -> None:
        """Remembers who was connected to the last."""
        with converted():
            found: Any = loads(self._core.status())
        now = self._stamp()
        with self._lock:
            self._last |= {device["id"]: now for device in found["devices"] if device["connected"]}
            seen.write(self._home.path, self._last)

    def serve(self) -> control.Server:
        """Begins to answer other processes."""
        return control.Server(self._home.socket_path, self.answer)
