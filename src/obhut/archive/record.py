"""Records of documents, the leaves that commit to them, and where records and documents lie. Pure.

The record says what is known of a document and stays private; the leaf goes into the log and says nothing personal
(docs/design/archive.md). A record's id is the index of its leaf and 64 random bits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from obhut.archive import canonical
from obhut.log import tiles

#: Where the log of an archive lies.
LOG: Final = "log/1"

#: Where the files lie by which a key of the log handed over to the next one, and that one as a ``.vkey``.
KEYS: Final = f"{LOG}/keys"

#: How a receipt says what it is.
RECEIPT: Final = "obhut-receipt/1"

#: What the commitment of a leaf begins with.
TAG: Final = b"obhut/record/v1\x00"

#: Bytes of a salt.
SALT: Final = 32

#: Bytes of the random part of an id.
RANDOM: Final = 8

VERSION: Final = 1

#: What an id looks like.
ID: Final = re.compile(r"(0|[1-9][0-9]{0,15})-([0-9a-f]{16})")
_HEX: Final = re.compile(r"[0-9a-f]{64}")
#: A leaf as nearly all are: no letter of it is written in another way, so its parts say all of it.
_USUAL_LEAF: Final = re.compile(
    rb'\{"class":(?:null|"([a-z0-9/-]{1,50})"),"commit":"([0-9a-f]{64})","event":(?:null|"([0-9-]{10})"),'
    rb'"prev":(?:null|(0|[1-9][0-9]{0,14})),"type":"([a-z]{1,20})","v":1\}'
)
_CALENDAR_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class RecordError(ValueError):
    """Bytes that are no record or leaf of this version."""


def is_day(value: Any) -> bool:
    """Whether something is a day of the calendar, ``2026-03-01``."""
    return isinstance(value, str) and _CALENDAR_DAY.fullmatch(value) is not None and _is_date(value)


def is_time(value: Any) -> bool:
    """Whether something is a time, RFC 3339 UTC to the second."""
    return isinstance(value, str) and _MOMENT.fullmatch(value) is not None and _is_date(value)


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Envelope:
    """The age file that a document lies in, in an encrypted archive."""

    #: What it is called, 64 hex digits that say nothing of the content.
    name: str
    #: SHA-256 of the file, in hex.
    digest: str
    size: int

    def facts(self) -> dict[str, Any]:
        """As the record says it."""
        return {"digest": f"sha256:{self.digest}", "name": self.name, "size": self.size}

    @staticmethod
    def of(facts: dict[str, Any]) -> Envelope:
        """From a record. Raises ``KeyError``, ``AttributeError``."""
        return Envelope(facts["name"], facts["digest"].removeprefix("sha256:"), facts["size"])


@dataclass(frozen=True, slots=True)
class Document:
    """What is known of a document."""

    id: str
    #: SHA-256 of its bytes, in hex.
    digest: str
    size: int
    #: Its file name at the source; what is no text in it shows as U+FFFD.
    name: str
    #: Its class of retention, ``de/voucher``.
    category: str
    #: The day that the class counts from, ``2026-03-01``; nothing while it has not come.
    event: str | None
    #: Version of the rules when it came in.
    policy: int
    #: When it came in, RFC 3339 UTC.
    received: str
    #: Host and path that it came from.
    source: dict[str, str]
    #: How it is protected against removal, and until when; as a fact of that moment.
    lock: dict[str, str | None]
    salt: bytes
    #: What it is sealed in; nothing in an archive that is not encrypted.
    envelope: Envelope | None = None

    @property
    def key(self) -> str:
        """Where its bytes lie."""
        return object_key(self.envelope.name if self.envelope else self.digest)

    @property
    def stored(self) -> tuple[str, int]:
        """SHA-256 in hex and size of what lies there."""
        return (self.envelope.digest, self.envelope.size) if self.envelope else (self.digest, self.size)

    def encode(self) -> bytes:
        """The record's bytes."""
        return canonical.encode(
            {
                **({"sealed": self.envelope.facts()} if self.envelope else {}),
                "class": self.category,
                "digest": f"sha256:{self.digest}",
                "event": self.event,
                "id": self.id,
                "lock": self.lock,
                "name": self.name,
                "policy": self.policy,
                "received": self.received,
                "salt": self.salt.hex(),
                "size": self.size,
                "source": self.source,
                "type": "document",
                "v": VERSION,
            }
        )

    @staticmethod
    def parse(data: bytes) -> Document:
        """Raises :class:`RecordError` for bytes that :meth:`encode` never gives."""
        try:
            fields = canonical.read(data)
            document = Document(
                id=fields["id"],
                digest=fields["digest"].removeprefix("sha256:"),
                size=fields["size"],
                name=fields["name"],
                category=fields["class"],
                event=fields["event"],
                policy=fields["policy"],
                received=fields["received"],
                source=fields["source"],
                lock=fields["lock"],
                salt=bytes.fromhex(fields["salt"]),
                envelope=Envelope.of(fields["sealed"]) if "sealed" in fields else None,
            )
            sound = (
                document.encode() == data
                and ID.fullmatch(document.id)
                and _HEX.fullmatch(document.digest)
                and (document.event is None or is_day(document.event))
                and is_time(document.received)
                and isinstance(fields["class"], str)
                and document.lock.keys() == {"mode", "until"}
                and (document.lock["until"] is None or is_time(document.lock["until"]))
                and len(document.salt) == SALT
                and document.size >= 0
                and (document.envelope is None or _is_sound(document.envelope))
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordError(f"no record of a document: {error}") from None
        if not sound:
            raise RecordError("no record of a document of this version")
        return document

    @property
    def index(self) -> int:
        """The index of its leaf."""
        return index_of(self.id)


def _is_sound(envelope: Envelope) -> bool:
    return all(_HEX.fullmatch(text) for text in (envelope.name, envelope.digest)) and envelope.size >= 0


def index_of(id: str) -> int:
    """The index of the leaf of a record. Raises ``ValueError`` for what is no id."""
    found = ID.fullmatch(id)
    if found is None:
        raise ValueError("an id is a number, a hyphen and sixteen hex digits, like 1042-9f3a5c7e01b2d4f6")
    return int(found[1])


def commitment(salt: bytes, record: bytes) -> str:
    """What a leaf says of a record, in hex: noise for whoever does not know the salt."""
    return sha256(TAG + salt + sha256(record).digest()).hexdigest()


def kind_of(record: bytes) -> str:
    """What a record is about: ``document``, or a kind of statement. Raises :class:`RecordError`."""
    return str(_fields(record)["type"])


def commitment_of(record: bytes) -> str:
    """The commitment to a record, with the salt that it holds. Raises :class:`RecordError`."""
    try:
        return commitment(bytes.fromhex(_fields(record)["salt"]), record)
    except (ValueError, TypeError) as error:
        raise RecordError(f"no record: {error}") from None


def _fields(record: bytes) -> dict[str, Any]:
    try:
        fields = canonical.decode(record)
    except ValueError as error:
        raise RecordError(f"no record: {error}") from None
    if not {"type", "salt"} <= fields.keys():
        raise RecordError("no record: it has no type and no salt")
    return fields


def leaf(document: Document, record: bytes, previous: int | None = None) -> bytes:
    """The leaf of a document's record; ``previous`` is the leaf that it continues."""
    return leaf_bytes("document", commitment(document.salt, record), previous, document.category, document.event)


def leaf_bytes(
    kind: str, commit: str, previous: int | None, category: str | None = None, event: str | None = None
) -> bytes:
    """A leaf from what it says."""
    fields: dict[str, Any] = {
        "class": category,
        "commit": commit,
        "event": event,
        "prev": previous,
        "type": kind,
        "v": VERSION,
    }
    return canonical.encode(fields)


@dataclass(frozen=True, slots=True)
class Leaf:
    """An entry of the log, as far as everybody may read it."""

    kind: str
    commit: str
    previous: int | None
    category: str | None
    event: str | None

    @staticmethod
    def parse(data: bytes) -> Leaf:
        """Raises :class:`RecordError` for bytes that :func:`leaf_bytes` never gives."""
        if usual := _USUAL_LEAF.fullmatch(data):
            category, commit, event, previous, kind = (part.decode() if part else None for part in usual.groups())
            return Leaf(str(kind), str(commit), int(previous) if previous else None, category, event)
        try:
            fields = canonical.read(data)
            found = Leaf(fields["type"], fields["commit"], fields["prev"], fields["class"], fields["event"])
            same = leaf_bytes(found.kind, found.commit, found.previous, found.category, found.event) == data
            texts = (found.kind, found.commit, found.category or "", found.event or "")
            same = same and all(isinstance(text, str) for text in texts) and type(found.previous) in {int, type(None)}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordError(f"no leaf: {error}") from None
        if not same:
            raise RecordError("no leaf of this version")
        return found


def object_key(name: str) -> str:
    """Where the bytes of a document lie; ``name`` is their SHA-256, or what an encrypted archive calls it."""
    return f"objects/{name[:2]}/{name}"


def is_written_once(key: str) -> bool:
    """Whether what lies under a key never changes: all but the log's narrow tiles, its checkpoint, and marks."""
    if key.startswith(f"{LOG}/tile/"):
        return ".p/" not in key
    return key.startswith(("objects/", "records/", "stamps/", f"{KEYS}/")) or key in {"archive.json", f"{LOG}.vkey"}


def keys_of(document: Document) -> tuple[str, str]:
    """Where a document's record and its bytes lie: they are locked, held and released alike."""
    return record_key(document.id), document.key


def record_folder(index: int) -> str:
    """Where the records of a bundle's leaves lie: the same numbers as in the log."""
    path = tiles.Tile(None, index // tiles.WIDTH).path
    return path.replace("tile/entries", "records")


def record_key(id: str) -> str:
    """Where a record lies. Raises ``ValueError`` for what is no id."""
    index = index_of(id)
    return f"{record_folder(index)}/{index % tiles.WIDTH:03}-{id.rpartition('-')[2]}"


def index_of_key(key: str) -> int | None:
    """The index of the leaf of the record under a key; nothing for a key that no record has."""
    folder, _, name = key.rpartition("/")
    digits = folder.removeprefix("records/").replace("x", "").replace("/", "")
    number, _, random = name.partition("-")
    if not (digits.isdecimal() and number.isdecimal()):
        return None
    index = int(digits) * tiles.WIDTH + int(number)
    try:
        return index if record_key(f"{index}-{random}") == key else None
    except ValueError:
        return None
