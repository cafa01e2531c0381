"""Randomness and signatures, bound from the core: the ports that tests replace."""

from __future__ import annotations

from typing import Protocol


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
