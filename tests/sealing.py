"""The repository format's sealing, written a second time from its description: tests open and make sealed bytes with it.

Also makes key files that cost nothing to open, so that thousands of runs do not spend their time in scrypt.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# It is there because keyring needs it.
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

#: Bytes of an IV and of a tag.
IV, TAG = 16, 16
_PRIME = (1 << 130) - 5
_CLAMP = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF


@dataclass(frozen=True)
class Key:
    """An encryption key and the two parts of a MAC key."""

    encrypt: bytes
    k: bytes
    r: bytes

    def tag(self, iv: bytes, sealed: bytes) -> bytes:
        """Poly1305-AES."""
        pad = Cipher(algorithms.AES(self.k), modes.ECB()).encryptor().update(iv)
        r, total = int.from_bytes(self.r, "little") & _CLAMP, 0
        for at in range(0, len(sealed), 16):
            total = (total + int.from_bytes(sealed[at : at + 16] + b"\1", "little")) * r % _PRIME
        return ((total + int.from_bytes(pad, "little")) % (1 << 128)).to_bytes(16, "little")

    def seal(self, plain: bytes) -> bytes:
        """``IV ‖ ciphertext ‖ tag``."""
        iv = os.urandom(IV)
        sealed = self._crypt(iv, plain)
        return iv + sealed + self.tag(iv, sealed)

    def open(self, sealed: bytes) -> bytes:
        """The plaintext; raises ``ValueError`` if the tag does not fit."""
        iv, body, tag = sealed[:IV], sealed[IV:-TAG], sealed[-TAG:]
        if len(sealed) < IV + TAG or self.tag(iv, body) != tag:
            raise ValueError("the tag does not fit")
        return self._crypt(iv, body)

    def _crypt(self, iv: bytes, data: bytes) -> bytes:
        return Cipher(algorithms.AES(self.encrypt), modes.CTR(iv)).encryptor().update(data)


def user_key(password: str, fields: dict[str, Any]) -> Key:
    n, r, p = fields["N"], fields["r"], fields["p"]
    salt = base64.b64decode(fields["salt"])
    raw = hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=1 << 28, dklen=64)
    return Key(raw[:32], raw[32:48], raw[48:])


def master_key(key_file: Path, password: str) -> Key:
    """The master key of a repository."""
    fields = json.loads(key_file.read_bytes())
    master = json.loads(user_key(password, fields).open(base64.b64decode(fields["data"])))
    parts = (master["encrypt"], master["mac"]["k"], master["mac"]["r"])
    return Key(*map(base64.b64decode, parts))


def key_file(master: Key, password: str) -> bytes:
    """A key file for a master key that costs microseconds to open."""
    mac = {"k": base64.b64encode(master.k).decode(), "r": base64.b64encode(master.r).decode()}
    plain = json.dumps({"mac": mac, "encrypt": base64.b64encode(master.encrypt).decode()}).encode()
    fields: dict[str, Any] = {"created": "2026-01-01T00:00:00Z", "username": "", "hostname": "", "kdf": "scrypt"}
    fields |= {"N": 2, "r": 1, "p": 1, "salt": base64.b64encode(os.urandom(64)).decode()}
    fields["data"] = base64.b64encode(user_key(password, fields).seal(plain)).decode()
    return json.dumps(fields, separators=(",", ":")).encode()


def replace(path: Path, content: bytes) -> Path:
    """Puts ``content`` in the place of a repository file, under the name that it must have then."""
    new = path.with_name(hashlib.sha256(content).hexdigest())
    path.unlink()
    new.write_bytes(content)
    return new


def make_cheap(key_file_path: Path, password: str) -> Path:
    """Puts a key file for the same password that costs nothing in the place of one."""
    return replace(key_file_path, key_file(master_key(key_file_path, password), password))
