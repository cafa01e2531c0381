"""Signatures by people's own SSH keys: what ``ssh-keygen -Y sign -n obhut-archive`` writes. Pure.

Source of facts: OpenSSH's PROTOCOL.sshsig. Ed25519 keys only; the signature itself is checked by whoever calls.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Final

#: The namespace: a signature made for anything else does not count.
NAMESPACE: Final = "obhut-archive"

_MAGIC: Final = b"SSHSIG"
_KIND: Final = b"ssh-ed25519"
_BEGIN: Final = "-----BEGIN SSH SIGNATURE-----"
_END: Final = "-----END SSH SIGNATURE-----"
_HASHES: Final = {b"sha512": hashlib.sha512, b"sha256": hashlib.sha256}

#: Whether (public key, message, signature) fit.
Check = Callable[[bytes, bytes, bytes], bool]


class SignatureError(ValueError):
    """A key or a signature that does not count, and why."""


def public_key(line: str) -> bytes:
    """The 32 bytes of a key in the form of ``id_ed25519.pub``. Raises :class:`SignatureError` for any other kind."""
    words = line.split()
    if len(words) < 2 or words[0].encode() != _KIND:
        raise SignatureError("an Ed25519 key of SSH begins with ssh-ed25519")
    return _from_blob(_decoded(words[1]))


def canonical_key(line: str) -> str:
    """The same without comment."""
    public_key(line)
    return " ".join(line.split()[:2])


def check_signature(key: str, message: bytes, armored: str, verify: Check) -> None:
    """Raises :class:`SignatureError` unless the owner of ``key`` signed ``message`` for us."""
    lines = [line.strip() for line in armored.strip().splitlines()]
    if len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise SignatureError("it is no SSH signature")
    data = _decoded("".join(lines[1:-1]))
    if not data.startswith(_MAGIC) or data[6:10] != (1).to_bytes(4, "big"):
        raise SignatureError("it is no SSH signature of version 1")
    blob, namespace, reserved, hashed, signature = _strings(data[10:], 5)
    if namespace != NAMESPACE.encode():
        raise SignatureError(f"it was made for {namespace.decode(errors='replace')!r}, not for {NAMESPACE}")
    if _from_blob(blob) != public_key(key):
        raise SignatureError("another key made it")
    if hashed not in _HASHES:
        raise SignatureError("it uses an unknown hash")
    kind, raw = _strings(signature, 2)
    digest = _HASHES[hashed](message).digest()
    signed = _MAGIC + b"".join(len(part).to_bytes(4, "big") + part for part in (namespace, reserved, hashed, digest))
    if kind != _KIND or len(raw) != 64 or not verify(public_key(key), signed, raw):
        raise SignatureError("it is not of this text")


def _from_blob(blob: bytes) -> bytes:
    kind, key = _strings(blob, 2)
    if kind != _KIND or len(key) != 32:
        raise SignatureError("it is no Ed25519 key")
    return key


def _strings(data: bytes, count: int) -> list[bytes]:
    """So many strings, each after its length, and nothing behind them."""
    found = []
    for _ in range(count):
        length = int.from_bytes(data[:4], "big")
        if len(data) < 4 + length:
            raise SignatureError("it is cut")
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    if data:
        raise SignatureError("it is longer than it says")
    return found


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SignatureError("it is no base64") from None
