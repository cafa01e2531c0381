"""Signed notes, keys and checkpoints: published examples, our own vectors, and what is no note."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut import _core
from obhut.log import note

KEY = note.Key.parse("example.org/archive-test+2651465f+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4")
WITNESS = note.Key.parse("example.org/witness-test+fb5c96fe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X")
ROOT = bytes.fromhex("385da30f3917282c8939dff851957e519ab1846b1351a14c0adb3b11632742aa")
CHECKPOINT = """\
example.org/archive-test
3
OF2jDzkXKCyJOd/4UZV+UZqxhGsTUaFMCts7EWMnQqo=

— example.org/archive-test JlFGX+UMVure+yDZvPzvYjHBSLBNFVGeQ3idnoYe7DgG+cNNa9HhWLc/jRgGHxB362NrWcT/XTuvPlLL5Rng4kUAjQI=
"""
COSIGNED = (
    "— example.org/witness-test "
    "+1yW/gAAAABlU/EAPkF6SDnkLCeqIHpYCjEEJaUFBGUsU+WYIyA1ABjxlNDA9YXCmlZ/j2Ef/+naLLx3C+39QuE+qX+hMu4KNphBAg==\n"
)
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)


def test_the_published_example() -> None:
    key = note.Key.parse(EXAMPLE_KEY)
    assert str(key) == EXAMPLE_KEY
    parsed = note.Note.parse(EXAMPLE.encode())
    assert bytes(parsed) == EXAMPLE.encode()
    assert parsed.signers([key], _core.verify_ed25519) == {key: None}


def test_a_checkpoint_is_signed_byte_for_byte() -> None:
    checkpoint = note.Checkpoint(KEY.name, 3, ROOT)
    signer = _core.Signer.from_seed(bytes(range(32)))
    assert signer.public == KEY.public
    signed = note.Note(str(checkpoint), ()).signed(KEY, signer.sign)
    assert str(signed) == CHECKPOINT
    witness = _core.Signer.from_seed(bytes(range(32, 64)))
    assert str(signed.signed(WITNESS, witness.sign, 1_700_000_000)) == CHECKPOINT + COSIGNED
    parsed = note.Note.parse((CHECKPOINT + COSIGNED).encode())
    assert parsed.signers([WITNESS, KEY], _core.verify_ed25519) == {KEY: None, WITNESS: 1_700_000_000}
    assert note.Checkpoint.parse(parsed.text) == checkpoint


def test_openssl_says_the_same(tmp_path: Path) -> None:
    """Whoever has no Obhut checks a signature with openssl."""
    parsed = note.Note.parse(CHECKPOINT.encode())
    der = bytes.fromhex("302a300506032b6570032100") + KEY.public
    (tmp_path / "key").write_bytes(der)
    (tmp_path / "text").write_bytes(parsed.text.encode())
    command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", str(tmp_path / "key"),
               "-in", str(tmp_path / "text"), "-sigfile", str(tmp_path / "signature")]  # fmt: skip
    for signature, expected in [(parsed.signatures[0].blob, 0), (parsed.signatures[0].blob[::-1], 1)]:
        (tmp_path / "signature").write_bytes(signature)
        assert subprocess.run(command, capture_output=True, check=False).returncode == expected


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b"\n\n", b"text\n\n", b"text\n\n\n", b"text\n", b"text", b"\xff\n\n" + COSIGNED.encode(),
        CHECKPOINT.encode()[:-1], CHECKPOINT.encode() + b"\n", CHECKPOINT.encode() + b"x\n",
        CHECKPOINT.replace("\n\n", "\n").encode(), CHECKPOINT.replace("— ", "- ").encode(),
        CHECKPOINT.replace("— ", "—  ").encode(), CHECKPOINT.replace("3", "3\r").encode(),
        CHECKPOINT.replace("3", "3\t").encode(), CHECKPOINT.replace("\n— ", "\n— +").encode(),
        CHECKPOINT.replace("AjQI=", "AjQI").encode(), CHECKPOINT.replace("AjQI=", "AjQJ=").encode(),
        CHECKPOINT.replace("AjQI=", "AjQI= ").encode(), b"text\n\n\xe2\x80\x94 name AAAA\n",
        CHECKPOINT.encode() + COSIGNED.encode() * 100,
    ],
)  # fmt: skip
def test_what_is_no_note(data: bytes) -> None:
    with pytest.raises(note.NoteError):
        note.Note.parse(data)


def test_a_hundred_signatures_are_a_note() -> None:
    assert len(note.Note.parse((CHECKPOINT + COSIGNED * 99).encode()).signatures) == 100


def test_a_text_may_hold_empty_lines() -> None:
    assert note.Note.parse(("a\n\nb\n\n" + COSIGNED).encode()).text == "a\n\nb\n"


@pytest.mark.parametrize(
    "text",
    [
        "", "x\n", "x\n1\n", "x\n1\n" + "A" * 43 + "=", "\n1\n" + "A" * 43 + "=\n", "x\n01\n" + "A" * 43 + "=\n",
        "x\n-1\n" + "A" * 43 + "=\n", "x\n1 \n" + "A" * 43 + "=\n", "x\n\u0661\n" + "A" * 43 + "=\n",
        "x\n1\n" + "A" * 44 + "\n", "x\n1\n" + "A" * 43 + "\n", "x\n1\n" + "A" * 43 + "=\n\n",
        "x\n1\n" + "A" * 43 + "=\n\ny\n", "x\n" + "9" * 20 + "\n" + "A" * 43 + "=\n", "x\n1\n" + "A" * 42 + "B=\n",
    ],
)  # fmt: skip
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(note.NoteError):
        note.Checkpoint.parse(text)


def test_extensions_are_kept() -> None:
    text = "x\n0\n" + "A" * 43 + "=\nmore\n"
    assert note.Checkpoint.parse(text) == note.Checkpoint("x", 0, bytes(32), ("more",))
    assert str(note.Checkpoint.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "x+2651465f", str(KEY).replace("2651465f", "2651465e"), str(KEY).replace("2651465f", "2651465F"),
        str(KEY)[:-1], str(KEY) + "=", "+" + str(KEY).partition("+")[2], "a b" + str(KEY), str(KEY).replace("AQOh", "AgOh"),
    ],
)  # fmt: skip
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(note.NoteError):
        note.Key.parse(text)


def test_unknown_lines_are_ignored_and_false_ones_are_not() -> None:
    parsed = note.Note.parse((CHECKPOINT + COSIGNED).encode())
    assert parsed.signers([KEY], _core.verify_ed25519) == {KEY: None}
    with pytest.raises(note.NoteError, match="no signature of a known key"):
        parsed.signers([note.Key.parse(EXAMPLE_KEY)], _core.verify_ed25519)
    later = note.Note.parse((CHECKPOINT.replace("\n3\n", "\n4\n") + COSIGNED).encode())
    for keys in ([KEY], [WITNESS], [KEY, WITNESS]):
        with pytest.raises(note.NoteError, match=r"a false signature of example\.org/"):
            later.signers(keys, _core.verify_ed25519)
    short = note.Note(parsed.text, (note.Signature(KEY.name, KEY.id, b"short"),))
    with pytest.raises(note.NoteError, match="64 bytes"):
        short.signers([KEY], _core.verify_ed25519)


def test_only_a_witness_signs_a_time() -> None:
    blank = note.Note("text\n", ())
    for key, time in [(KEY, 1), (WITNESS, None)]:
        with pytest.raises(note.NoteError, match="a witness signs a time"):
            blank.signed(key, bytes, time)


@given(st.integers(0), st.integers(0, 10**18), st.binary(min_size=32, max_size=32), st.booleans())
def test_round_trip(seed: int, size: int, root: bytes, cosigned: bool) -> None:
    signer = _core.Signer.from_seed((seed % 2**256).to_bytes(32, "big"))
    key = note.Key("example.org/log", note.COSIGNATURE if cosigned else note.ED25519, signer.public)
    assert note.Key.parse(str(key)) == key
    checkpoint = note.Checkpoint("example.org/log", size, root)
    time = seed % 2**40 if cosigned else None
    signed = note.Note(str(checkpoint), ()).signed(key, signer.sign, time)
    parsed = note.Note.parse(bytes(signed))
    assert parsed == signed
    assert parsed.signers([key], _core.verify_ed25519) == {key: time}
    assert note.Checkpoint.parse(parsed.text) == checkpoint
