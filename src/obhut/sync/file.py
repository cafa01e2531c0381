"""``sync.toml``: read, checked, and written by commands so that what people wrote beside it stays.

It lies in the home of sync and not in ``obhut.toml``: commands write it, one home is one device (a machine may have
several), and ``obhut.toml`` may be in ``/etc`` and belong to somebody else.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from obhut.errors import ObhutError
from obhut.sync.model import (
    COMPRESSIONS,
    DIRECTIONS,
    Device,
    Folder,
    Member,
    Settings,
    Versions,
    check_address,
    check_folder_id,
    check_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tomlkit import TOMLDocument
    from tomlkit.items import Table

#: Bytes of the longest file that is read.
LONGEST: Final = 4 << 20
_HEAD: Final = "Written by `obhut sync`, and by hand; a running `obhut sync run` takes changes over."


class _Reader:
    """Takes a table apart; everything that is wrong is named with its place."""

    def __init__(self, file: str, place: str, table: Any, keys: set[str]) -> None:
        self.file, self.place = file, place
        if not isinstance(table, dict):
            raise self.wrong("", "a table is needed")
        self.table: dict[str, Any] = table
        if unknown := sorted(set(table) - keys):
            raise self.wrong(unknown[0], "unknown key")

    def wrong(self, key: str, why: str) -> ObhutError:
        """An error that names the place."""
        where = ".".join(filter(None, (self.place, key)))
        return ObhutError("sync-settings", self.file, f"{where}: {why}" if where else why)

    def text(self, key: str, default: str | None = None, check: Callable[[str], str] = str) -> str:
        """A text that passes a check."""
        value = self.table.get(key, default)
        if value is None:
            raise self.wrong(key, "is missing")
        if not isinstance(value, str):
            raise self.wrong(key, "a text is needed")
        try:
            return check(value)
        except ValueError as error:
            raise self.wrong(key, str(error)) from None

    def texts(self, key: str, default: tuple[str, ...], check: Callable[[str], str]) -> tuple[str, ...]:
        """A list of texts."""
        value = self.table.get(key, list(default))
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.wrong(key, "a list of texts is needed")
        try:
            return tuple(check(one) for one in value)
        except ValueError as error:
            raise self.wrong(key, str(error)) from None

    def flag(self, key: str) -> bool:
        """``true`` or ``false``; the default is the latter."""
        value = self.table.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false is needed")
        return value

    def number(self, key: str, default: int, low: int) -> int:
        """A number from ``low`` on."""
        value = self.table.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value < 1 << 31:
            raise self.wrong(key, f"a number from {low} on is needed")
        return value

    def tables(self, key: str) -> list[tuple[str, Any]]:
        """A list of tables, each with its place."""
        value = self.table.get(key, [])
        if not isinstance(value, list):
            raise self.wrong(key, f"tables are needed: [[{key}]]")
        prefix = f"{self.place}." if self.place else ""
        return [(f"{prefix}{key}[{number}]", one) for number, one in enumerate(value)]


def one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    """A check for one of some words."""

    def check(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return text

    return check


def parse(text: str, file: str, canonical: Callable[[str], str]) -> Settings:
    """Reads the text of a file. ``canonical`` gives the one form of a device id, or raises :class:`ObhutError`.

    Raises ``sync-settings`` with the place of the mistake.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text).unwrap()
    except (TOMLKitError, RecursionError, ValueError) as error:
        raise ObhutError("sync-settings", file, str(error)) from None

    def device_id(text: str) -> str:
        try:
            return canonical(text)
        except ObhutError as error:
            raise ValueError(error.detail or "this is no device id") from None

    reader = _Reader(file, "", document, {field.name for field in fields(Settings)})
    settings = Settings(
        name=reader.text("name", "", check_name),
        listen=reader.texts("listen", (), lambda one: check_address(one, listen=True)),
        devices=tuple(_device(file, place, table, device_id) for place, table in reader.tables("devices")),
        folders=tuple(_folder(file, place, table, device_id) for place, table in reader.tables("folders")),
    )
    _consistent(settings, reader)
    return settings


def _consistent(settings: Settings, reader: _Reader) -> None:
    ids = {device.id for device in settings.devices}
    if len(ids) != len(settings.devices):
        raise reader.wrong("devices", "a device stands there twice")
    if len({folder.id for folder in settings.folders}) != len(settings.folders):
        raise reader.wrong("folders", "a folder stands there twice")
    for folder in settings.folders:
        members = [member.device for member in folder.members]
        if len(set(members)) != len(members):
            raise reader.wrong("folders", f"{folder.id} is shared with a device twice")
        if strange := set(members) - ids:
            raise reader.wrong("folders", f"{folder.id} is shared with {min(strange)}, which is not among the devices")


def _device(file: str, place: str, table: Any, device_id: Callable[[str], str]) -> Device:
    reader = _Reader(file, place, table, {field.name for field in fields(Device)})
    return Device(
        id=reader.text("id", check=device_id),
        name=reader.text("name", "", check_name),
        addresses=reader.texts("addresses", ("dynamic",), check_address),
        compression=reader.text("compression", "metadata", one_of(COMPRESSIONS)),
        paused=reader.flag("paused"),
    )


def _absolute(text: str) -> str:
    if not text.startswith("/") or "\0" in text:
        raise ValueError("an absolute path is needed")
    return text


def _versions(text: str) -> str:
    Versions.parse(text)
    return text


def _folder(file: str, place: str, table: Any, device_id: Callable[[str], str]) -> Folder:
    reader = _Reader(file, place, table, {field.name for field in fields(Folder)})
    members = []
    for where, member in reader.tables("members"):
        inner = _Reader(file, where, member, {"device", "read_only"})
        members.append(Member(inner.text("device", check=device_id), inner.flag("read_only")))
    direction: Any = reader.text("direction", "both", one_of(DIRECTIONS))
    return Folder(
        id=reader.text("id", check=check_folder_id),
        path=reader.text("path", check=_absolute),
        label=reader.text("label", "", check_name),
        direction=direction,
        versions=Versions.parse(reader.text("versions", "staggered", _versions)),
        members=tuple(members),
        paused=reader.flag("paused"),
        rescan=reader.number("rescan", 3600, 0),
        ignore_modes=reader.flag("ignore_modes"),
        max_conflicts=reader.number("max_conflicts", 10, -1),
    )


def read(path: Path, canonical: Callable[[str], str]) -> Settings:
    """Reads a file; nothing there means nothing configured."""
    text = read_text(path)
    return Settings() if text is None else parse(text, str(path), canonical)


def read_text(path: Path) -> str | None:
    """The text, or nothing if there is no file. Raises ``sync-settings``."""
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ObhutError("sync-settings", str(path), error.strerror or "") from None
    if len(data) > LONGEST:
        raise ObhutError("sync-settings", str(path), "longer than 4 MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ObhutError("sync-settings", str(path), "not UTF-8") from None


def render(settings: Settings, before: str | None) -> str:
    """The text of a file with these settings. Comments, order and what is unchanged stay as in the text before."""
    import tomlkit

    if before is None:
        document = tomlkit.document()
        document.add(tomlkit.comment(_HEAD))
    else:
        document = tomlkit.parse(before)
    _set(document, "name", settings.name, "")
    _set(document, "listen", list(settings.listen), [])
    _set_tables(document, "devices", [_device_table(device) for device in settings.devices])
    _set_tables(document, "folders", [_folder_table(folder) for folder in settings.folders])
    return tomlkit.dumps(document)


def _set(table: TOMLDocument | Table, key: str, value: Any, default: Any) -> None:
    if value == default:
        table.pop(key, None)
    elif key not in table or _plain(table[key]) != value:
        table[key] = value


def _plain(item: Any) -> Any:
    return item.unwrap() if hasattr(item, "unwrap") else item


def _set_tables(document: TOMLDocument, key: str, wanted: list[dict[str, Any]]) -> None:
    import tomlkit

    old = document.get(key)
    if not wanted:
        document.pop(key, None)
        return
    kept = {_plain(table).get("id"): table for table in old} if old is not None else {}
    for values in wanted:
        if values["id"] in kept:
            _update(kept[values["id"]], values)
    if list(kept) == [values["id"] for values in wanted]:
        return
    tables = tomlkit.aot()
    for values in wanted:
        table = kept.get(values["id"])
        if table is None:
            table = tomlkit.table()
            _update(table, values)
        tables.append(table)
    document[key] = tables


def _update(table: Table, values: dict[str, Any]) -> None:
    for name in [name for name in table if name not in values]:
        table.remove(name)
    for name, value in values.items():
        if name not in table or _plain(table[name]) != value:
            table[name] = value


def _differing(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in defaults or value != defaults[name]}


def _device_table(device: Device) -> dict[str, Any]:
    values = {
        "id": device.id,
        "name": device.name,
        "addresses": list(device.addresses),
        "compression": device.compression,
        "paused": device.paused,
    }
    return _differing(values, {"name": "", "compression": "metadata", "paused": False})


def _folder_table(folder: Folder) -> dict[str, Any]:
    values = {
        "id": folder.id,
        "path": folder.path,
        "label": folder.label,
        "direction": folder.direction,
        "versions": str(folder.versions),
        "paused": folder.paused,
        "rescan": folder.rescan,
        "ignore_modes": folder.ignore_modes,
        "max_conflicts": folder.max_conflicts,
        "members": [
            {"device": member.device, **({"read_only": True} if member.read_only else {})} for member in folder.members
        ],
    }
    defaults = {"label": "", "paused": False, "rescan": 3600, "ignore_modes": False, "max_conflicts": 10, "members": []}
    return _differing(values, defaults)
