"""Reads a log's leaves in order into a ledger. Pure: verifying and acting read the same history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from obhut.archive.ledger import Ledger, Unlawful
from obhut.archive.record import Leaf, commitment
from obhut.archive.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was logged, or as it has to be."""

    object: str
    what: str


#: The bytes of the record of a leaf, as far as there are any.
Records = Callable[[int], bytes | None]


def read_into(ledger: Ledger, leaves: Iterable[bytes | None], records: Records) -> list[Fault]:
    """Adds leaves to a ledger, ``None`` where one is lost; gives what is wrong with them. Documents' records are not read.

    Audit records are, where they are there; without them their leaves will do.
    """
    faults = []
    for index, data in enumerate(leaves):
        if data is None:
            continue
        try:
            leaf = Leaf.parse(data)
            if leaf.kind == "read":
                ledger.note_read(index, leaf)
            record = b"" if leaf.kind == "document" else records(index)
            if record is None:
                continue  # whoever reads the records says so
            ledger.add(index, leaf, _statement(index, leaf, record), record)
        except (ValueError, Unlawful) as error:
            faults.append(Fault(f"leaf {index}", str(error)))
    return faults


def _statement(index: int, leaf: Leaf, record: bytes) -> Statement | None:
    if leaf.kind == "document":
        return None
    statement = Statement.parse(record)
    if (statement.index, statement.kind, commitment(statement.salt, record)) != (index, leaf.kind, leaf.commit):
        raise Unlawful("its record is not the one that was logged")
    return statement
