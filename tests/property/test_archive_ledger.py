"""The ledger against plain reference models: counted holds, and what may go when."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archives import ORIGIN, described
from obhut.archive import canonical
from obhut.archive.ledger import Ledger, Unlawful
from obhut.archive.record import Leaf as Entry
from obhut.archive.record import RecordError, commitment_of, leaf_bytes
from obhut.archive.replay import read_into
from obhut.archive.statement import SHAPES, Statement

DOCUMENTS = 4
BEGIN = date(2026, 1, 1)
HEX = "0011223344556677"


def certain(_public: bytes, _message: bytes, _signature: bytes) -> bool:
    return True


class Log:
    """A ledger that grows; statements get the index that comes next."""

    def __init__(self) -> None:
        self.ledger = Ledger(ORIGIN, certain)
        self.size = 0
        self.say("archive", description=described().encode().decode())
        for number in range(DOCUMENTS):
            event = str(BEGIN - timedelta(days=365 * (6 + number)))
            data = leaf_bytes("document", "0" * 64, None, "de/letter", event)
            self.ledger.add(self.size, Entry.parse(data), None, b"")
            self.size += 1

    def say(self, kind: str, previous: int | None = None, **facts: Any) -> int:
        statement = Statement(f"{self.size}-{HEX}", kind, "2026-01-01T00:00:00Z", bytes(32), facts)
        record = statement.encode()
        assert Statement.parse(record) == statement
        self.ledger.add(self.size, Entry.parse(statement.leaf(record, previous)), statement, record)
        self.size += 1
        return self.size - 1


def names(indexes: set[int]) -> list[str]:
    return [f"{index}-{HEX}" for index in sorted(indexes)]


def test_no_document_passes_for_an_audit_record() -> None:
    """Its class is shorter than most."""
    log = Log()
    data = leaf_bytes("document", "0" * 64, None, "audit/read", "2001-01-01")
    with pytest.raises(Unlawful, match="no document has the class"):
        log.ledger.add(log.size, Entry.parse(data), None, b"")


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("hold"),
            st.sets(st.integers(1, DOCUMENTS), min_size=1),
            st.none() | st.dates(BEGIN, BEGIN + timedelta(days=40)),
        ),
        st.tuples(st.just("release"), st.integers(0, 20), st.none()),
    ),
    max_size=12,
)


@given(STEPS, st.dates(BEGIN, BEGIN + timedelta(days=60)))
def test_a_document_is_held_as_long_as_one_hold_stands(steps: list[tuple[str, Any, date | None]], today: date) -> None:
    log = Log()
    # The reference: a list of holds, and what each keeps until when.
    standing: dict[int, tuple[set[int], date | None]] = {}
    ever: list[int] = []
    for what, value, until in steps:
        if what == "hold":
            made = log.say("hold", documents=names(value), who="x", why="x", until=str(until) if until else None)
            standing[made] = (value, until)
            ever.append(made)
        elif value < len(ever):
            try:
                log.say("release", ever[value], who="x", why="x")
            except Unlawful:
                assert ever[value] not in standing
            else:
                del standing[ever[value]]
    for index in range(1, DOCUMENTS + 1):
        expected = {
            hold for hold, (covers, until) in standing.items() if index in covers and (until is None or today <= until)
        }
        assert set(log.ledger.held(index, today)) == expected


@given(st.dates(BEGIN, BEGIN + timedelta(days=365 * 8)), st.sets(st.integers(1, DOCUMENTS), min_size=1))
def test_nothing_is_proposed_before_its_end(today: date, chosen: set[int]) -> None:
    """Six years from the end of the year of the event, and a day for all time zones."""
    log = Log()
    years = {index: BEGIN - timedelta(days=365 * (6 + index - 1)) for index in range(1, DOCUMENTS + 1)}
    lawful = all(today >= date(years[index].year + 7, 1, 2) for index in chosen)
    try:
        log.say("proposal", action="dispose", documents=names(chosen), why="x", clock=f"{today}T00:00:00Z")
    except Unlawful:
        assert not lawful
    else:
        assert lawful


@given(
    st.dictionaries(
        st.sampled_from(["documents", "who", "why", "until", "more"]), st.none() | st.text() | st.lists(st.text())
    )
)
def test_facts_of_another_shape_are_refused(facts: dict[str, Any]) -> None:
    good = {"documents": [f"1-{HEX}"], "who": "x", "why": "x", "until": None}
    statement = Statement(f"9-{HEX}", "hold", "2026-01-01T00:00:00Z", bytes(32), {**good, **facts})
    changed = {**good, **facts}
    sound = (
        changed.keys() == good.keys()
        and changed["documents"] == good["documents"]
        and all(isinstance(changed[name], str) and changed[name] for name in ("who", "why"))
        and changed["until"] is None
    )
    try:
        Statement.parse(statement.encode())
    except (RecordError, ValueError):
        assert not sound
    else:
        assert sound


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 300)
    | st.text(max_size=12)
    | st.sampled_from(
        [
            "2026-99-99T00:00:00Z",
            "2026-01-01T00:00:00Z",
            "2026-02-30",
            "9999-12-31",
            "dispose",
            f"2-{HEX}",
            "anna",
            "add",
        ]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2),
    max_leaves=6,
)


@given(st.data())
def test_whatever_somebody_with_the_key_writes_is_refused_and_never_a_crash(data: st.DataObject) -> None:
    log = Log()
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from([*sorted(SHAPES), "document", "nonsense"]))
        shape = SHAPES.get(kind, {"x": None})
        facts = {name: data.draw(ANYTHING) for name in shape}
        fields = {
            "at": data.draw(ANYTHING),
            "facts": facts,
            "id": f"{log.size}-{HEX}",
            "salt": "00" * 32,
            "type": kind,
            "v": 1,
        }
        try:
            record = canonical.encode(fields)
            fields = {"class": data.draw(ANYTHING), "commit": commitment_of(record), "event": data.draw(ANYTHING)}
            leaf = canonical.encode({**fields, "prev": data.draw(ANYTHING), "type": kind, "v": 1})
        except ValueError:
            continue
        records = {log.size: record}
        faults = read_into(log.ledger, [None] * log.size + [leaf], records.get)
        assert all(fault.object == f"leaf {log.size}" for fault in faults)
        log.size += 1
        today = BEGIN + timedelta(days=9)
        for index in [*log.ledger.documents, *log.ledger.reads]:
            log.ledger.lock_after_settling(index)
            log.ledger.held(index, today)
            log.ledger.end(index, today)
        log.ledger.later_than(log.size, today)
