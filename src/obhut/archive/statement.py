"""Records of what happens to an archive and its documents: people, holds, proposals, approvals, disposals. Pure.

Each is a record and a leaf like those of a document (docs/design/archive.md). What the facts of each kind are is here;
whether they are lawful where they stand is for :mod:`obhut.archive.ledger`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from obhut.archive import canonical
from obhut.archive.classes import READ, STARTS
from obhut.archive.record import ID, SALT, VERSION, RecordError, commitment, is_day, is_time, leaf_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

#: What an authority may be called: its stamps are files of that name.
AUTHORITY: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


#: What a class of one's own may be called.
OWN_CLASS: Final = re.compile(r"own/[a-z0-9][a-z0-9-]{0,39}")

#: No lock lasts longer than so many years: storage ends there (S3 Object Lock), and typing errors begin.
LONGEST: Final = 100


def _is_own_class(value: Any) -> bool:
    return isinstance(value, str) and (OWN_CLASS.fullmatch(value) is not None or value == READ.name)


def _is_years(value: Any) -> bool:
    return _is_number(value) and 0 < value <= LONGEST


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_person(value: Any) -> bool:
    return _is_text(value) and value.isprintable() and len(value) <= 200


def _is_person_or_nothing(value: Any) -> bool:
    return value is None or _is_person(value)


def _is_authority(value: Any) -> bool:
    return isinstance(value, str) and AUTHORITY.fullmatch(value) is not None


def _is_text_or_nothing(value: Any) -> bool:
    return value is None or _is_text(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_day_or_nothing(value: Any) -> bool:
    return value is None or is_day(value)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and ID.fullmatch(value) is not None


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_id, value)) and 0 < len(set(value)) == len(value)


def _one_of(*words: str) -> Callable[[Any], bool]:
    return lambda value: value in words


#: The facts of each kind of statement.
SHAPES: Final[dict[str, dict[str, Callable[[Any], bool]]]] = {
    # The beginning of every log: what ``archive.json`` holds, letter for letter.
    "archive": {"description": _is_text},
    # Somebody may approve from now on, or no longer: an SSH key, and who vouched with what signature.
    "person": {
        "action": _one_of("enrol", "dismiss"),
        "name": _is_person,
        "key": _is_text,
        "voucher": _is_person_or_nothing,
        "signature": _is_text_or_nothing,
    },
    # The log's next key, as a ``vkey`` line: it signs from the next leaf on.
    "key": {"key": _is_text, "who": _is_text},
    # Stamps of this authority count from now on (or no longer): its certificates in PEM.
    "authority": {
        "action": _one_of("add", "remove"),
        "name": _is_authority,
        "url": _is_text_or_nothing,
        "certificates": _is_text_or_nothing,
    },
    # A class of one's own, or that of audit records; said again, it lasts longer from that day on.
    "class": {
        "name": _is_own_class,
        "what": _is_text,
        "law": _is_text,
        "start": _one_of(*STARTS),
        "years": _is_years,
        "later": lambda value: isinstance(value, bool),
    },
    # These documents stay, whatever else is said; to a day, or until it is released.
    "hold": {"documents": _are_ids, "who": _is_text, "why": _is_text, "until": _is_day_or_nothing},
    "release": {"who": _is_text, "why": _is_text},
    # Somebody took a document, or its receipt, out: an audit record. Its leaf has a class and the day that it counts from.
    "read": {"action": _one_of("get", "receipt"), "documents": _are_ids, "who": _is_text},
    # Somebody tried to break the locks: what, what was answered, and whether all of it held.
    "probe": {
        "mode": _is_text,
        "held": lambda value: isinstance(value, bool),
        "attempts": lambda value: isinstance(value, list) and all(isinstance(item, dict) for item in value),
    },
    # The day that a document's class counts from has come; it may be said again for a later day.
    "event": {"day": is_day, "why": _is_text},
    # The time to withdraw has passed for all leaves before this one: their locks last as long as the law asks.
    "settled": {"through": _is_number, "documents": _is_number},
    # These may go, says somebody; ``clock`` is the earlier of two.
    "proposal": {"action": _one_of("dispose", "withdraw"), "documents": _are_ids, "why": _is_text, "clock": is_time},
    "approval": {"name": _is_person, "signature": _is_text},
    # One document, or audit record, went. This is the certificate; ``prev`` of its leaf is that of what went.
    "disposal": {
        "proposal": _is_id,
        "clock": is_time,
        "clocks": lambda value: isinstance(value, dict) and all(map(is_time, value.values())),
        "end": _is_day_or_nothing,
        "law": _is_text_or_nothing,
        "policy": _is_number,
        "object": _one_of("removed", "kept", "gone"),
        # Where copies remain, as far as somebody said so.
        "copies": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    },
}


@dataclass(frozen=True, slots=True)
class Statement:
    """A record that is no document."""

    id: str
    kind: str
    #: When, by the host's clock: RFC 3339 UTC.
    at: str
    salt: bytes
    facts: dict[str, Any]

    def encode(self) -> bytes:
        """The record's bytes."""
        fields = {"at": self.at, "facts": self.facts, "id": self.id, "salt": self.salt.hex(), "type": self.kind}
        return canonical.encode({**fields, "v": VERSION})

    @staticmethod
    def parse(data: bytes) -> Statement:
        """Raises :class:`RecordError` for bytes that :meth:`encode` never gives, and for facts of another shape."""
        try:
            fields = canonical.read(data)
            found = Statement(
                id=fields["id"],
                kind=fields["type"],
                at=fields["at"],
                salt=bytes.fromhex(fields["salt"]),
                facts=fields["facts"],
            )
            shape = SHAPES[found.kind]
            sound = (
                found.encode() == data
                and ID.fullmatch(found.id)
                and is_time(found.at)
                and len(found.salt) == SALT
                and found.facts.keys() == shape.keys()
                and all(fits(found.facts[name]) for name, fits in shape.items())
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordError(f"no statement: {error}") from None
        if not sound:
            raise RecordError("no statement of this version")
        return found

    @property
    def index(self) -> int:
        """The index of its leaf."""
        return int(self.id.partition("-")[0])

    def leaf(self, record: bytes, previous: int | None, category: str | None = None, event: str | None = None) -> bytes:
        """Its leaf; ``previous`` is the one that it continues. What has a class and an event hands them on to its disposal."""
        return leaf_bytes(self.kind, commitment(self.salt, record), previous, category, event)


def approval_text(origin: str, id: str, digest: str) -> bytes:
    """What a person signs to approve a proposal: its id, and the SHA-256 of its record in hex."""
    return f"obhut archive approval v1\n{origin}\n{id}\n{digest}\n".encode()


def person_text(origin: str, action: str, name: str, key: str, after: int | None) -> bytes:
    """What a person signs to vouch for another one; ``after`` is the leaf of the last change of people, so it counts once."""
    return f"obhut archive person v1\n{origin}\n{action}\n{name}\n{key}\n{'-' if after is None else after}\n".encode()
