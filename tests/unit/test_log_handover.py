"""Changes of keys, as text: who is in charge of which size, and what is no change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut.log.handover import Handover, Keys, in_order, keys_in, line_of
from obhut.log.note import COSIGNATURE, ED25519, Checkpoint, Key, Note, NoteError
from obhut.world import secret

NAME = "example.org/log"
SIGNERS = [secret.signer(bytes([number]) * 32) for number in range(4)]
KEYS = [Key(NAME, ED25519, signer.public) for signer in SIGNERS]


def change(size: int, old: int, new: int, *, root: bytes = bytes(32)) -> bytes:
    text = str(Checkpoint(NAME, size, root, (line_of(KEYS[old], KEYS[new]),)))
    return bytes(Note(text, ()).signed(KEYS[old], SIGNERS[old].sign).signed(KEYS[new], SIGNERS[new].sign))


def plain(size: int, by: int) -> bytes:
    return bytes(Note(str(Checkpoint(NAME, size, bytes(32))), ()).signed(KEYS[by], SIGNERS[by].sign))


CHAIN = Keys(KEYS[0]).followed_by([change(5, 0, 1), change(9, 1, 2)], secret.verify)


@given(st.integers(0, 20), st.integers(0, 3))
def test_each_key_counts_where_it_was_in_charge(size: int, by: int) -> None:
    right = 0 if size < 5 else 1 if size < 9 else 2
    assert CHAIN.at(size) == KEYS[right]
    if by == right:
        assert CHAIN.checkpoint(plain(size, by), secret.verify)[0].size == size
    else:
        with pytest.raises(NoteError, match="no signature of a known key"):
            CHAIN.checkpoint(plain(size, by), secret.verify)


@pytest.mark.parametrize(
    "notes",
    [
        [change(5, 1, 2)],  # from a key that is not in charge
        [change(5, 0, 1), change(9, 0, 2)],  # handed over already
        [change(5, 0, 1), change(9, 1, 0)],  # back to one that was there
        [change(5, 0, 1), change(5, 1, 2)],  # before there was anything to hand over
        [change(5, 0, 1), change(4, 1, 2)],
    ],
)
def test_what_does_not_follow(notes: list[bytes]) -> None:
    keys = Keys(KEYS[0]).followed_by(notes[:-1], secret.verify)
    with pytest.raises(NoteError):
        keys.followed(Handover.read(notes[-1], secret.verify))
    assert Keys(KEYS[0]).followed_by(notes, secret.verify) == keys


@given(st.data())
def test_no_bit_of_it_can_be_altered(data: st.DataObject) -> None:
    raw = bytearray(change(5, 0, 1))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(NoteError):
        Handover.read(bytes(raw), secret.verify)


def test_both_sign_it() -> None:
    whole = Note.parse(change(5, 0, 1))
    for alone in whole.signatures:
        with pytest.raises(NoteError):
            Handover.read(bytes(Note(whole.text, (alone,))), secret.verify)
    with pytest.raises(NoteError, match="hands nothing over"):
        Handover.read(plain(5, 0), secret.verify)


@pytest.mark.parametrize(
    "lines",
    [
        ("obhut/key-change/v1",),
        (f"obhut/key-change/v1 {KEYS[0]}",),
        (f"obhut/key-change/v1 {KEYS[0]} {KEYS[0]}",),
        (f"obhut/key-change/v1 {KEYS[0]} {KEYS[1]} {KEYS[2]}",),
        (line_of(KEYS[0], KEYS[1]), line_of(KEYS[0], KEYS[2])),
        (line_of(KEYS[0], Key("example.org/other", ED25519, KEYS[1].public)),),
        (line_of(KEYS[0], Key(NAME, COSIGNATURE, KEYS[1].public)),),
    ],
)
def test_lines_that_change_nothing(lines: tuple[str, ...]) -> None:
    with pytest.raises(NoteError):
        keys_in(Checkpoint(NAME, 5, bytes(32), lines))


def test_lines_of_others_are_nothing_to_us() -> None:
    assert keys_in(Checkpoint(NAME, 5, bytes(32), ("something else", "obhut/key-change/v2 x"))) is None


def test_a_checkpoint_that_hands_over_to_somebody_unknown() -> None:
    """A reader that knows only the old key must look for the handover, and not go on with the old key."""
    with pytest.raises(NoteError, match="hands over to"):
        Keys(KEYS[0]).checkpoint(change(5, 0, 1), secret.verify)


def test_names_in_order() -> None:
    names = ["keys/10-aa.note", "keys/9-bb.note", "keys/9-bb.vkey", "keys/x.note", "keys/²-a.note", "keys/.note"]
    assert in_order(names) == ["keys/9-bb.note", "keys/10-aa.note"]
