"""Canonical JSON, records, leaves, keys of records: pure parts of the archive."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut.archive import canonical, record
from obhut.archive.record import Document, RecordError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
KEYS = st.text(st.characters(max_codepoint=126, min_codepoint=32))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-canonical.LARGEST, canonical.LARGEST) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.builds(
    Document,
    id=st.builds(
        lambda index, random: f"{index}-{random.hex()}", st.integers(0, 10**12), st.binary(min_size=8, max_size=8)
    ),
    digest=st.binary().map(lambda data: sha256(data).hexdigest()),
    size=st.integers(0, 2**50),
    name=TEXT,
    category=st.sampled_from(["de/voucher", "ch/record"]),
    event=st.dates().map(str),
    policy=st.integers(1, 9),
    received=st.just("2026-11-27T12:00:00Z"),
    source=st.dictionaries(KEYS, TEXT, max_size=3),
    lock=st.just({"mode": "read-only", "until": None}),
    salt=st.binary(min_size=32, max_size=32),
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_canonical_json_is_json_and_has_one_spelling(value: dict[str, object]) -> None:
    data = canonical.encode(value)
    assert json.loads(data) == value
    assert canonical.decode(data) == value
    assert canonical.encode(dict(reversed(value.items()))) == data


def test_the_spelling_is_that_of_rfc_8785() -> None:
    """Its rules for strings (3.2.2.2), with its own example."""
    value = {"€": 1}
    with pytest.raises(ValueError, match="not ASCII"):
        canonical.encode(value)
    text = {"string": '€$\x0f\nA\'B"\\\\"/', "numbers": [333333333, -1, 0], "literals": [None, True, False]}
    assert canonical.encode(text) == (
        '{"literals":[null,true,false],"numbers":[333333333,-1,0],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'.encode()
    )


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": 1}',
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\/"}',
        b"[1]",
        b'{"a":NaN}',
        b'{"a":9007199254740992}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"a":1}\n',
        b"",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_any_other_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        canonical.decode(data)


@given(DOCUMENTS)
def test_a_record_is_read_as_it_was_written(document: Document) -> None:
    data = document.encode()
    assert Document.parse(data) == document
    assert len(record.leaf(document, data, 2**50)) < 1024
    assert record.index_of_key(record.record_key(document.id)) == document.index


@given(DOCUMENTS, st.data())
def test_a_record_with_one_other_byte_has_another_leaf(document: Document, data: st.DataObject) -> None:
    written = document.encode()
    at = data.draw(st.integers(0, len(written) - 1))
    changed = written[:at] + bytes([written[at] ^ data.draw(st.integers(1, 255))]) + written[at + 1 :]
    assert record.commitment(document.salt, changed) != record.commitment(document.salt, written)
    try:
        read = Document.parse(changed)
    except RecordError:
        return
    assert read != document
    assert record.leaf(read, changed) != record.leaf(document, written)


def test_a_leaf_says_nothing_personal() -> None:
    document = Document("7-0011223344556677", sha256(b"x").hexdigest(), 1, "Müller.pdf", "de/voucher", "2026-03-01", 1,
                        "2026-11-27T12:00:00Z", {"host": "desk", "path": "/Kunden/Müller.pdf"},
                        {"mode": "read-only", "until": None}, bytes(32))  # fmt: skip
    leaf = canonical.decode(record.leaf(document, document.encode()))
    assert set(leaf) == {"class", "commit", "event", "prev", "type", "v"}
    expected = sha256(b"obhut/record/v1\x00" + bytes(32) + sha256(document.encode()).digest()).hexdigest()
    assert leaf["commit"] == expected


@pytest.mark.parametrize("id", ["", "7", "7-", "07-0011223344556677", "-1-0011223344556677", "7-001122334455667",
                                "7-001122334455667G", "7-0011223344556677/..", "../7-0011223344556677"])  # fmt: skip
def test_what_is_no_id(id: str) -> None:
    with pytest.raises(ValueError, match="an id is"):
        record.record_key(id)


@pytest.mark.parametrize("key", ["records/000/256-0011223344556677", "records/x/000-0011223344556677", "records/000/x",
                                 "objects/00/000-0011223344556677", "records/000/000-00"])  # fmt: skip
def test_what_is_no_key_of_a_record(key: str) -> None:
    assert record.index_of_key(key) is None


def test_records_lie_where_their_leaves_lie() -> None:
    assert record.record_key("0-0011223344556677") == "records/000/000-0011223344556677"
    assert record.record_key(f"{256 * 1234 + 67}-0011223344556677") == "records/x001/234/067-0011223344556677"


@pytest.mark.parametrize("field", ["class", "digest", "event", "id", "lock", "name", "policy", "received", "salt", "size",
                                   "source", "type", "v"])  # fmt: skip
def test_a_record_without_a_field_or_with_a_wrong_one_is_refused(field: str) -> None:
    document = Document("7-0011223344556677", sha256(b"x").hexdigest(), 1, "x", "de/voucher", "2026-03-01", 1,
                        "2026-11-27T12:00:00Z", {}, {"mode": "read-only", "until": None}, bytes(32))  # fmt: skip
    fields = canonical.decode(document.encode())
    for changed in ({**fields, field: [1]}, {name: value for name, value in fields.items() if name != field}):
        if field in {"name", "policy", "source"} and field in changed:
            continue  # read as it stands; the leaf commits to it
        with pytest.raises(RecordError):
            Document.parse(canonical.encode(changed))
    with pytest.raises(RecordError):
        Document.parse(canonical.encode({**fields, "more": 1}))
