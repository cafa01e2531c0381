"""SSH signatures: what ssh-keygen wrote is taken, and nothing else."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut.archive.sshsig import SignatureError, canonical_key, check_signature, public_key
from obhut.world import secret

#: Written by OpenSSH's ssh-keygen, namespace obhut-archive, of ``text`` and a line feed.
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHRifERmK7G6tvf9+vyUy1TTlUWpYhEw91Q2GYVkc6c5"
SHA512 = """\
-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgdGJ8RGYrsbq29/36/JTLVNOVRa
liETD3VDYZhWRzpzkAAAANb2JodXQtYXJjaGl2ZQAAAAAAAAAGc2hhNTEyAAAAUwAAAAtz
c2gtZWQyNTUxOQAAAECcaNwSnB1nbPSMWk+mDMh6+rV9RqghT3Cba5DlrsgRysfzTfSf/o
TRHaU6+fso5e3x3AGW5f5tHbpwvhhv814P
-----END SSH SIGNATURE-----
"""
SHA256 = """\
-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgdGJ8RGYrsbq29/36/JTLVNOVRa
liETD3VDYZhWRzpzkAAAANb2JodXQtYXJjaGl2ZQAAAAAAAAAGc2hhMjU2AAAAUwAAAAtz
c2gtZWQyNTUxOQAAAECgxU/lJDaz01BePkf+tRWU6rCopcun4+RDyafkAajuanlJmD6iQZ
FRzr/7nX1B8FybNpFmOHOi9c7cAE+u4TYF
-----END SSH SIGNATURE-----
"""
TEXT = b"text\n"


@pytest.mark.parametrize("signature", [SHA512, SHA256, SHA512.replace("\n", "\r\n")])
def test_what_ssh_keygen_wrote(signature: str) -> None:
    check_signature(KEY, TEXT, signature, secret.verify)
    check_signature(f"{KEY} somebody@host", TEXT, signature, secret.verify)
    assert canonical_key(f"{KEY}  somebody@host\n") == KEY
    for other in (b"text", b"", b"text\n\n"):
        with pytest.raises(SignatureError, match="not of this text"):
            check_signature(KEY, other, signature, secret.verify)


@given(st.data())
def test_another_byte_anywhere_and_it_counts_no_more(data: st.DataObject) -> None:
    raw = bytearray(base64.b64decode("".join(SHA512.splitlines()[1:-1])))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    forged = "-----BEGIN SSH SIGNATURE-----\n" + base64.b64encode(raw).decode() + "\n-----END SSH SIGNATURE-----\n"
    with pytest.raises(SignatureError):
        check_signature(KEY, TEXT, forged, secret.verify)


@given(st.integers(1, 200), st.booleans())
def test_cut_or_longer(count: int, longer: bool) -> None:
    raw = base64.b64decode("".join(SHA512.splitlines()[1:-1]))
    changed = raw + bytes(count) if longer else raw[: -min(count, len(raw))]
    forged = "-----BEGIN SSH SIGNATURE-----\n" + base64.b64encode(changed).decode() + "\n-----END SSH SIGNATURE-----\n"
    with pytest.raises(SignatureError):
        check_signature(KEY, TEXT, forged, secret.verify)


@pytest.mark.parametrize(
    "line", ["", "ssh-ed25519", "ssh-rsa AAAA", "ssh-ed25519 AAAA", "ssh-ed25519 !", "sk-ssh-ed25519@openssh.com AAAA"]
)
def test_what_is_no_key(line: str) -> None:
    with pytest.raises(SignatureError):
        public_key(line)


def test_another_key() -> None:
    other = base64.b64decode(KEY.split()[1])
    other = other[:-1] + bytes([other[-1] ^ 1])
    with pytest.raises(SignatureError, match="another key"):
        check_signature(f"ssh-ed25519 {base64.b64encode(other).decode()}", TEXT, SHA512, secret.verify)
