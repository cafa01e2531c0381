"""Taking over a home of Syncthing: who we are, devices, folders. The old home is read and never touched.

Files stay where they are and are the same for everybody: they are hashed anew here, and nothing is transferred again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from obhut.errors import ObhutError
from obhut.sync.model import (
    DAY,
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
    from xml.etree.ElementTree import Element

_LONGEST: Final = 16 << 20
_DIRECTION: Final = {
    "sendreceive": "both", "readwrite": "both", "sendonly": "send-only", "readonly": "send-only",
    "receiveonly": "receive-only",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """What was read."""

    settings: Settings
    certificate: bytes
    key: bytes
    #: What is not taken over, in words.
    left: tuple[str, ...]


class _Old:
    """A ``config.xml``, and what of it cannot be taken over."""

    def __init__(self, root: Element, own: str, canonical: Callable[[str], str], home: Path) -> None:
        self.root, self.own, self.canonical, self.home = root, own, canonical, home
        self.left: list[str] = []

    def leave(self, what: str) -> None:
        """Notes what is not taken over, once."""
        if what not in self.left:
            self.left.append(what)


def _text(element: Element, name: str, default: str = "") -> str:
    return (element.findtext(name) or default).strip()


def _yes(element: Element, name: str) -> bool:
    return _text(element, name) == "true"


def _number(text: str, default: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default


def read(home: Path, identity: Callable[[bytes], str], canonical: Callable[[str], str]) -> Found:
    """Reads a home of Syncthing. ``identity`` gives the device id of a certificate (PEM).

    Raises ``sync-import`` for what is no such home.
    """
    data = _bytes(home / "config.xml")
    certificate, key = _bytes(home / "cert.pem"), _bytes(home / "key.pem")
    own = identity(certificate)
    old = _Old(_parsed(data, home), own, canonical, home)
    devices = tuple(filter(None, (_device(old, one) for one in old.root.findall("device"))))
    known = {device.id for device in devices}
    folders = tuple(filter(None, (_folder(old, one, known) for one in old.root.findall("folder"))))
    listen = _listen(old)
    names = [_text_name(one) for one in old.root.findall("device") if _id(old, one) == own]
    name = names[0] if names else ""
    return Found(Settings(name, listen, devices, folders), certificate, key, tuple(old.left))


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST + 1)
    except OSError as error:
        raise ObhutError("sync-import", str(path), error.strerror or "") from None
    if len(data) > _LONGEST:
        raise ObhutError("sync-import", str(path), "longer than 16 MiB")
    return data


def _parsed(data: bytes, home: Path) -> Element:
    """The root of a document without declarations: those could name other files, or grow without bound."""
    from xml.etree.ElementTree import ParseError, XMLParser
    from xml.parsers import expat

    place = str(home / "config.xml")

    def refuse(*_: object) -> None:
        raise ObhutError("sync-import", place, "it declares entities, which no Syncthing does")

    guard = expat.ParserCreate()
    guard.StartDoctypeDeclHandler = refuse
    guard.EntityDeclHandler = refuse
    try:
        guard.Parse(data, True)
        parser = XMLParser()  # noqa: S314  (what it could be attacked with was refused above)
        parser.feed(data)
        root: Element = parser.close()
    except (expat.ExpatError, ParseError, LookupError, ValueError) as error:
        raise ObhutError("sync-import", place, str(error)) from None
    if root.tag != "configuration":
        raise ObhutError("sync-import", place, f"it holds <{root.tag}>, no configuration of Syncthing")
    return root


def _id(old: _Old, element: Element) -> str | None:
    try:
        return old.canonical(element.get("id") or "")
    except ObhutError:
        return None


def _text_name(element: Element) -> str:
    try:
        return check_name(element.get("name") or "")
    except ValueError:
        return ""


def _addresses(old: _Old, texts: list[str], name: str, *, listen: bool) -> tuple[str, ...]:
    found = []
    for text in texts:
        scheme = text.partition("://")[0]
        if scheme.startswith("tcp") and "://" in text:
            try:
                found.append(check_address(f"tcp://{text.partition('://')[2]}", listen=listen))
            except ValueError:
                old.leave(f"{name}: the address {text}")
        elif text in {"dynamic", "default"}:
            found.append("dynamic")
        else:
            kind = "relays" if scheme.startswith("relay") else "QUIC" if scheme.startswith("quic") else text
            old.leave(f"{name}: {kind} (only TCP is spoken)")
    return tuple(dict.fromkeys(found))


def _listen(old: _Old) -> tuple[str, ...]:
    options = old.root.find("options")
    texts = [(one.text or "").strip() for one in options.findall("listenAddress")] if options is not None else []
    found = _addresses(old, texts, "listening", listen=True)
    if options is not None and _text(options, "relaysEnabled", "true") == "true":
        old.leave("relays (only direct connections are made)")
    if options is not None and _text(options, "globalAnnounceEnabled", "true") == "true":
        old.leave("global discovery (give devices outside of your network an address)")
    if options is not None and _text(options, "natEnabled", "true") == "true":
        old.leave("ports opened in routers (UPnP, NAT-PMP)")
    plain = tuple(one for one in found if one != "dynamic")
    return plain or (("tcp://0.0.0.0:22000",) if "dynamic" in found else ())


def _device(old: _Old, element: Element) -> Device | None:
    ident, name = _id(old, element), _text_name(element)
    if ident is None:
        old.leave(f"a device with the id {(element.get('id') or '')[:80]!r}")
        return None
    if ident == old.own:
        return None
    shown = name or ident[:7]
    for option, what in (("introducer", "introducing others"), ("autoAcceptFolders", "accepting folders unasked"),
                         ("untrusted", "encrypted sharing")):  # fmt: skip
        if _yes(element, option) or element.get(option) == "true":
            old.leave(f"{shown}: {what}")
    if _number(_text(element, "maxSendKbps"), 0) or _number(_text(element, "maxRecvKbps"), 0):
        old.leave(f"{shown}: limits of rates")
    compression = element.get("compression") or "metadata"
    addresses = _addresses(old, [(a.text or "").strip() for a in element.findall("address")], shown, listen=False)
    return Device(
        id=ident,
        name=name,
        addresses=addresses or ("dynamic",),
        compression=compression if compression in {"always", "never"} else "metadata",
        paused=_yes(element, "paused"),
    )


def _folder(old: _Old, element: Element, known: set[str]) -> Folder | None:
    try:
        ident = check_folder_id(element.get("id") or "")
        label = check_name(element.get("label") or "")
    except ValueError:
        old.leave(f"a folder with the id {(element.get('id') or '')[:80]!r}")
        return None
    shown = label or ident
    direction = _DIRECTION.get(element.get("type") or "sendreceive")
    if direction not in DIRECTIONS:
        old.leave(f"folder {shown}: it is {element.get('type')}")
        return None
    if _text(element, "markerName", ".stfolder") != ".stfolder":
        old.leave(f"folder {shown}: a marker of another name; .stfolder is made")
    members = []
    for one in element.findall("device"):
        device = _id(old, one)
        if _text(one, "encryptionPassword"):
            old.leave(f"folder {shown}: encrypted sharing with {(device or '')[:7]}; it is not shared with it")
        elif device in known and device is not None:
            members.append(Member(device))
    rescan = _number(element.get("rescanIntervalS") or "", 3600)
    return Folder(
        id=ident,
        path=_path(old, element.get("path") or ""),
        label=label,
        direction=direction,  # type: ignore[arg-type]  # one of them, as was seen
        versions=_versions(old, element, shown),
        members=tuple(members),
        paused=_yes(element, "paused"),
        rescan=rescan,
        ignore_modes=_yes(element, "ignorePerms") or element.get("ignorePerms") == "true",
        max_conflicts=10
        if (text := _text(element, "maxConflicts")) == ""
        else -1
        if text == "-1"
        else _number(text, 10),
    )


def _path(old: _Old, text: str) -> str:
    """``~`` is the home of whoever owns the old home: as a rule that of whoever calls."""
    expanded = os.path.expanduser(text)  # noqa: PTH111  (Path.expanduser raises for users that are none)
    return os.path.realpath(old.home / expanded)


def _versions(old: _Old, element: Element, shown: str) -> Versions:
    """What is kept; a folder without gets the default, which keeps more."""
    found = element.find("versioning")
    kind = found.get("type") if found is not None else ""
    if found is None or not kind:
        return Versions()
    values = {one.get("key"): one.get("val") or "" for one in found.findall("param")}
    if values.get("fsPath") or _text(found, "fsPath"):
        old.leave(f"folder {shown}: versions in another place; they are kept in .stversions from now on")
    days = _number(values.get("cleanoutDays", ""), 0)
    if kind == "simple":
        return Versions("simple", max(1, _number(values.get("keep", ""), 5)), days)
    if kind == "trashcan":
        return Versions("trash", 0, days)
    if kind == "staggered":
        return Versions("staggered", 0, _number(values.get("maxAge", ""), 365 * DAY) // DAY)
    old.leave(f"folder {shown}: versions by a command ({kind}); staggered ones are kept")
    return Versions()
