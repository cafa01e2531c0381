"""Opens age files with nothing but the standard library: what strangers read the records of an encrypted archive with.

Slow (some milliseconds a record) and meant to be: a second reading of C2SP's ``age.md``, with nothing of the core's in it.
Secrets are handled in plain Python, in time that depends on them; whoever runs this has the secret and is alone with it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from functools import cache
from hashlib import sha256
from typing import Final

_VERSION: Final = b"age-encryption.org/v1"
_INFO: Final = _VERSION + b"/X25519"
_DIGITS: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_IDENTITY: Final = "age-secret-key-"
_PRIME: Final = 2**255 - 19
_POLY: Final = 2**130 - 5
_CLAMP: Final = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
_SEALED_CHUNK: Final = (64 << 10) + 16
_WORD: Final = 0xFFFFFFFF


class AgeError(ValueError):
    """Bytes that do not open, and why."""


def identities_of(text: str) -> list[bytes]:
    """The secrets in a file as ``age-keygen`` writes it. Raises :class:`AgeError`."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise AgeError("it holds no identity")
    return [_identity(line) for line in lines]


def _identity(text: str) -> bytes:
    prefix, _, rest = text.lower().rpartition("1")
    try:
        digits = [_DIGITS.index(letter) for letter in rest]
    except ValueError:
        digits = []
    if text != text.upper() or prefix != _IDENTITY or len(digits) != 58 or _bech32(prefix, digits) != 1:
        raise AgeError("it is no identity of age, a line like AGE-SECRET-KEY-1…")
    value = 0
    for digit in digits[:52]:
        value = value << 5 | digit
    if value & 15:
        raise AgeError("it is no identity of age")
    return (value >> 4).to_bytes(32, "big")


def _bech32(prefix: str, digits: list[int]) -> int:
    check = 1
    for value in [*(ord(letter) >> 5 for letter in prefix), 0, *(ord(letter) & 31 for letter in prefix), *digits]:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    return check


def open_age(data: bytes, identities: list[bytes]) -> bytes:
    """What an age file holds. Raises :class:`AgeError`."""
    stanzas, header, mac, rest = _parse(data)
    key = next((key for secret in identities for stanza in stanzas if (key := _unwrap(secret, *stanza))), None)
    if key is None:
        raise AgeError("it was not sealed to this identity")
    if not hmac.compare_digest(hmac.new(_derive(key, b"", b"header"), header, "sha256").digest(), mac):
        raise AgeError("its header is not the one that was written")
    if len(rest) < 16:
        raise AgeError("it is cut off")
    return _content(_derive(key, rest[:16], b"payload"), rest[16:])


def _parse(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes, bytes, bytes]:
    """X25519 stanzas (share, wrapped key), what the MAC is over, the MAC, what follows."""
    stanzas = []
    first, _, rest = data.partition(b"\n")
    if first != _VERSION:
        raise AgeError("it is no age file")
    while not rest.startswith(b"--- "):
        line, _, rest = rest.partition(b"\n")
        words = line.split(b" ")
        if words[0] != b"->" or len(words) < 2:
            raise AgeError("a line of its header is none")
        body, full = b"", True
        while full:
            part, found, rest = rest.partition(b"\n")
            full = len(part) == 64
            if not found or len(part) > 64:
                raise AgeError("a stanza of its header is none")
            body += part
        if words[1] == b"X25519":
            stanzas.append(_stanza(words[2:], _plain64(body)))
    header = data[: len(data) - len(rest) + 3]
    mac, _, rest = rest[4:].partition(b"\n")
    return stanzas, header, _plain64(mac), rest


def _stanza(arguments: list[bytes], body: bytes) -> tuple[bytes, bytes]:
    shares = [_plain64(argument) for argument in arguments]
    if len(shares) != 1 or len(shares[0]) != 32 or len(body) != 32:
        raise AgeError("a stanza is not of the form of X25519")
    return shares[0], body


def _plain64(text: bytes) -> bytes:
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise AgeError("a number of its header is none") from None
    if base64.b64encode(data).rstrip(b"=") != text:
        raise AgeError("a number of its header has two forms")
    return data


def _unwrap(secret: bytes, share: bytes, body: bytes) -> bytes | None:
    shared = x25519(secret, share)
    if shared == bytes(32):
        return None
    try:
        return _aead_open(_derive(shared, share + _public(secret), _INFO), bytes(12), body)
    except AgeError:
        return None


@cache
def _public(secret: bytes) -> bytes:
    return x25519(secret, (9).to_bytes(32, "little"))


def _derive(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256, one block."""
    extracted = hmac.new(salt or bytes(32), secret, sha256).digest()
    return hmac.new(extracted, info + b"\x01", sha256).digest()


def _content(key: bytes, data: bytes) -> bytes:
    plain = []
    chunks = [data[at : at + _SEALED_CHUNK] for at in range(0, len(data), _SEALED_CHUNK)]
    if not chunks or (len(chunks) > 1 and len(chunks[-1]) <= 16):
        raise AgeError("it is cut off")
    for number, chunk in enumerate(chunks):
        nonce = number.to_bytes(11, "big") + bytes([number == len(chunks) - 1])
        plain.append(_aead_open(key, nonce, chunk))
    return b"".join(plain)


def x25519(secret: bytes, point: bytes) -> bytes:
    """RFC 7748: a clamped scalar times a point."""
    scalar = int.from_bytes(secret, "little") & ~7 & ~(1 << 255) | 1 << 254
    u = int.from_bytes(point, "little") & (1 << 255) - 1
    x2, z2, x3, z3, swapped = 1, 0, u, 1, 0
    for bit in range(254, -1, -1):
        now = scalar >> bit & 1
        if now != swapped:
            x2, z2, x3, z3 = x3, z3, x2, z2
        swapped = now
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % _PRIME, b * b % _PRIME, d * a % _PRIME, c * b % _PRIME
        x3, z3 = (da + cb) ** 2 % _PRIME, u * (da - cb) ** 2 % _PRIME
        e = aa - bb
        x2, z2 = aa * bb % _PRIME, e * (aa + 121665 * e) % _PRIME
    if swapped:
        x2, z2 = x3, z3
    return (x2 * pow(z2, _PRIME - 2, _PRIME) % _PRIME).to_bytes(32, "little")


def _aead_open(key: bytes, nonce: bytes, sealed: bytes) -> bytes:
    """RFC 8439, 2.8, without additional data."""
    if len(sealed) < 16:
        raise AgeError("it is cut off")
    text, tag = sealed[:-16], sealed[-16:]
    padded = text + bytes(-len(text) % 16) + bytes(8) + len(text).to_bytes(8, "little")
    if not hmac.compare_digest(_poly1305(_block(key, 0, nonce)[:32], padded), tag):
        raise AgeError("its bytes are not those that were sealed")
    stream = b"".join(_block(key, 1 + at // 64, nonce) for at in range(0, len(text), 64))[: len(text)]
    return (int.from_bytes(text, "little") ^ int.from_bytes(stream, "little")).to_bytes(len(text), "little")


def _poly1305(key: bytes, message: bytes) -> bytes:
    r, s = int.from_bytes(key[:16], "little") & _CLAMP, int.from_bytes(key[16:], "little")
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at : at + 16] + b"\x01", "little")) * r % _POLY
    return ((total + s) & (1 << 128) - 1).to_bytes(16, "little")


#: The four columns, then the four diagonals.
_QUARTERS: Final = (
    *((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)),
    *((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)),
)


def _block(key: bytes, counter: int, nonce: bytes) -> bytes:
    """RFC 8439, 2.3: 64 bytes of ChaCha20's stream."""
    words = b"expand 32-byte k" + key + counter.to_bytes(4, "little") + nonce
    first = [int.from_bytes(words[at : at + 4], "little") for at in range(0, 64, 4)]
    state = list(first)
    for a, b, c, d in _QUARTERS * 10:
        x, y, z, w = state[a], state[b], state[c], state[d]
        x = x + y & _WORD
        w = _turned(w ^ x, 16)
        z = z + w & _WORD
        y = _turned(y ^ z, 12)
        x = x + y & _WORD
        w = _turned(w ^ x, 8)
        z = z + w & _WORD
        y = _turned(y ^ z, 7)
        state[a], state[b], state[c], state[d] = x, y, z, w
    return b"".join((now + then & _WORD).to_bytes(4, "little") for now, then in zip(state, first, strict=True))


def _turned(word: int, bits: int) -> int:
    return (word << bits | word >> 32 - bits) & _WORD
