"""Signed notes and the checkpoints in them (C2SP signed-note, tlog-checkpoint, tlog-cosignature; formats: archive 3).

A note is a text and signatures under it, in a form that people can read and send by mail. Pure: who signs and who
checks a signature is passed in, so that this file serves Obhut and the verifier that runs without it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

#: Signature types (formats: archive 3.1).
ED25519: Final = 1
COSIGNATURE: Final = 4

#: More are refused: an honest note has a handful.
SIGNATURES: Final = 100

_DASH: Final = "\N{EM DASH} "
_PUBLIC: Final = 32
_SIGNATURE: Final = 64
_TIME: Final = 8

#: ``(public key, message, signature)``, all bytes, Ed25519: whether it is one.
Verify = Callable[[bytes, bytes, bytes], bool]

#: An Ed25519 signature of a message.
Sign = Callable[[bytes], bytes]


class NoteError(ValueError):
    """What is no signed note, or none that the keys given vouch for."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key that checks signatures: an Ed25519 one of a log, or of a witness."""

    name: str
    kind: int
    public: bytes

    def __post_init__(self) -> None:
        if not _is_name(self.name):
            raise NoteError(f"no name of a key: {self.name!r}")
        if self.kind not in {ED25519, COSIGNATURE} or len(self.public) != _PUBLIC:
            raise NoteError(f"{self.name}: not an Ed25519 key")

    @property
    def id(self) -> bytes:
        """Four bytes that tell keys of one name apart; a hint, nothing to rely on."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def __str__(self) -> str:
        """The ``vkey`` line."""
        return f"{self.name}+{self.id.hex()}+{_encode(bytes([self.kind]) + self.public)}"

    @staticmethod
    def parse(text: str) -> Key:
        """From a ``vkey`` line."""
        name, _, rest = text.strip().partition("+")
        ident, _, encoded = rest.partition("+")
        raw = _decode(encoded)
        if not raw:
            raise NoteError(f"no key: {text!r}")
        key = Key(name, raw[0], raw[1:])
        if ident != key.id.hex():
            raise NoteError(f"{name}: its key says another id than {key.id.hex()}")
        return key


@dataclass(frozen=True, slots=True)
class Signature:
    """A line under a note: whose it says it is, and the bytes after the key's id."""

    name: str
    key_id: bytes
    blob: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {_encode(self.key_id + self.blob)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text, which ends with a line feed, and its signatures."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"

    def __bytes__(self) -> bytes:
        return str(self).encode()

    @staticmethod
    def parse(data: bytes) -> Note:
        """Raises :class:`NoteError` for what is no note. Nothing is said about the signatures yet."""
        try:
            whole = data.decode()
        except UnicodeDecodeError:
            raise NoteError("a note is UTF-8") from None
        if any(character < " " and character != "\n" for character in whole):
            raise NoteError("control characters in a note")
        head, gap, below = whole.rpartition("\n\n")
        if not gap or not below.endswith("\n"):
            raise NoteError("a note is a text, an empty line and signatures")
        lines = below[:-1].split("\n")
        if len(lines) > SIGNATURES:
            raise NoteError(f"more than {SIGNATURES} signatures")
        return Note(head + "\n", tuple(map(_signature, lines)))

    def signers(self, keys: Iterable[Key], verify: Verify) -> dict[Key, int | None]:
        """The keys that signed; to a witness's belongs the time at which it did (Unix seconds).

        Lines of other keys are ignored. Raises :class:`NoteError` if a line of one of these keys is false, or if none
        of them signed.
        """
        by_id = {(key.name, key.id): key for key in keys}
        found: dict[Key, int | None] = {}
        for line in self.signatures:
            key = by_id.get((line.name, line.key_id))
            if key is None or key in found:
                continue
            time, signature = _taken_apart(key, line.blob)
            if not verify(key.public, _message(self.text, time), signature):
                raise NoteError(f"a false signature of {key.name}")
            found[key] = time
        if not found:
            raise NoteError("no signature of a known key")
        return found

    def signed(self, key: Key, sign: Sign, time: int | None = None) -> Note:
        """With one more signature; ``time`` for a witness's key and no other."""
        if (time is None) != (key.kind == ED25519):
            raise NoteError(f"{key.name}: a witness signs a time, and nobody else does")
        blob = sign(_message(self.text, time))
        if time is not None:
            blob = time.to_bytes(_TIME, "big") + blob
        return Note(self.text, (*self.signatures, Signature(key.name, key.id, blob)))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: whose, how many entries, and their root."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The text of its note."""
        lines = (self.origin, str(self.size), _encode(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @staticmethod
    def parse(text: str) -> Checkpoint:
        """Raises :class:`NoteError` for any other text."""
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() or "" in lines:
            raise NoteError("a checkpoint is an origin, a size and a root, a line each")
        origin, size, root, *extensions = lines
        if not re.fullmatch(r"0|[1-9][0-9]{0,18}", size):
            raise NoteError(f"no size: {size!r}")
        hashed = _decode(root)
        if len(hashed) != 32:
            raise NoteError(f"no root: {root!r}")
        return Checkpoint(origin, int(size), hashed, tuple(extensions))


def _signature(line: str) -> Signature:
    dash, name, encoded = line[: len(_DASH)], *line[len(_DASH) :].partition(" ")[::2]
    raw = _decode(encoded)
    if dash != _DASH or not _is_name(name) or len(raw) < 5:
        raise NoteError(f"no signature: {line!r}")
    return Signature(name, raw[:4], raw[4:])


def _taken_apart(key: Key, blob: bytes) -> tuple[int | None, bytes]:
    if key.kind == ED25519:
        time, signature = None, blob
    else:
        time, signature = int.from_bytes(blob[:_TIME], "big"), blob[_TIME:]
    if len(signature) != _SIGNATURE:
        raise NoteError(f"a signature of {key.name} that is not {_SIGNATURE} bytes long")
    return time, signature


def _message(text: str, time: int | None) -> bytes:
    head = "" if time is None else f"cosignature/v1\ntime {time}\n"
    return (head + text).encode()


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(character.isspace() for character in name)


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decode(text: str) -> bytes:
    """Standard base64 with padding, and only the spelling that encoding it again gives; else nothing."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw if _encode(raw) == text else b""
