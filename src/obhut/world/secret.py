"""Randomness, signatures and age files, bound from the core."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from obhut.errors import converted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


#: Bytes that one thread seals.
_LITTLE = 16 << 20


class Signer(Protocol):
    """An Ed25519 key that signs."""

    @property
    def public(self) -> bytes:
        """32 bytes."""

    def sign(self, message: bytes, /) -> bytes:
        """A signature, 64 bytes."""


def random_bytes(count: int) -> bytes:
    """Bytes that nobody can guess, from the kernel."""
    from obhut import _core

    return _core.random_bytes(count)


def signer(seed: bytes) -> Signer:
    """The signer of a seed (32 bytes)."""
    from obhut import _core

    return _core.Signer.from_seed(seed)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether that is an Ed25519 signature of ``message`` by the owner of ``public``."""
    from obhut import _core

    return _core.verify_ed25519(public, message, signature)


def new_identity() -> str:
    """A new identity of age: ``AGE-SECRET-KEY-1…``."""
    from obhut import _core

    return _core.age_identity()


def recipient_of(identity: str) -> str | None:
    """The recipient (``age1…``) of an identity; nothing for what is none."""
    from obhut import _core

    return _core.age_recipient(identity)


def is_recipient(text: str) -> bool:
    """Whether that is a recipient of age (X25519)."""
    from obhut import _core

    return _core.is_age_recipient(text)


class Keyring:
    """An identity of age, and everybody to whom is sealed; the identity is one of them."""

    def __init__(self, identity: str, recipients: Sequence[str]) -> None:
        from obhut import _core

        with converted():
            self._inner = _core.AgeKeyring(identity, list(recipients))
        #: That of the identity.
        self.recipient = recipient_of(identity) or ""

    def seal(self, data: bytes) -> bytes:
        """An age file."""
        with converted():
            return self._inner.seal(data)

    def open(self, data: bytes, about: str) -> bytes:
        """What an age file holds. Raises ``damaged``, ``wrong-password``; ``about`` names it."""
        with converted():
            return self._inner.open(data, about)

    def seal_files(self, items: Sequence[tuple[bytes, str, int, bytes]]) -> list[tuple[str, int]]:
        """Source, SHA-256 in hex, bytes, new file that need not last; gives SHA-256 and size of each. Raises ``source-changed``."""
        # A little is the caller's own work: faults can then be injected into each call (docs/design/faults.md).
        threads = 1 if sum(size for _, _, size, _ in items) < _LITTLE else 0
        with converted():
            return self._inner.seal_files(list(items), threads)

    def read_files(self, paths: Sequence[bytes]) -> list[tuple[tuple[str, int], tuple[str, int]]]:
        """SHA-256 in hex and size of what each age file holds, and of the file itself. Raises ``damaged``, ``wrong-password``."""
        with converted():
            return self._inner.read_files(list(paths), 0)

    def copy_out(self, target: Path, source: bytes, digest: str, size: int, mode: int) -> None:
        """Writes what an age file holds to a new file, durably. Raises ``source-changed`` if it is not that, ``damaged``."""
        with converted():
            self._inner.copy_out(os.fsencode(target.parent), target.name, source, digest, size, mode)
