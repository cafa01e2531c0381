"""Merkle trees as RFC 6962 has them: roots, proofs, and how a proof is checked (formats: archive 2). Pure, no I/O.

A tree is a list of entries that only grows, and is named by its size and root. *Inclusion* proves that an entry is in
a tree, *consistency* that a tree is the beginning of another. Whoever makes a proof reads hashes of whole subtrees
(:data:`Subtrees`); whoever checks one needs nothing but the proof.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

#: SHA-256 of a leaf or node: 32 bytes.
HASH: Final = 32

#: The root of the tree without entries.
EMPTY: Final = sha256(b"").digest()

#: ``(level, index)`` to the root of the subtree over the entries ``index * 2**level`` to ``(index + 1) * 2**level``.
Subtrees = Callable[[int, int], bytes]


class ProofError(ValueError):
    """A proof that does not prove what it was said to prove."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbouring subtrees."""
    return sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over neighbouring subtrees of one size, of which only the last may be smaller."""
    if not hashes:
        return EMPTY
    row = list(hashes)
    while len(row) > 1:
        pairs = [node_hash(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)]
        row = pairs + row[len(row) & ~1 :]
    return row[0]


def root(size: int, subtrees: Subtrees) -> bytes:
    """The root of the tree of the first ``size`` entries."""
    return _range(0, size, subtrees) if size else EMPTY


def inclusion(index: int, size: int, subtrees: Subtrees) -> list[bytes]:
    """The proof that entry ``index`` is in the tree of ``size``; the leaf's sibling comes first."""
    if not 0 <= index < size:
        raise ValueError(f"no entry {index} in a tree of {size}")
    proof = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            proof.append(_range(middle, high, subtrees))
            high = middle
        else:
            proof.append(_range(low, middle, subtrees))
            low = middle
    return proof[::-1]


def consistency(old: int, new: int, subtrees: Subtrees) -> list[bytes]:
    """The proof that the tree of ``old`` entries is the beginning of that of ``new``; empty if ``old`` is 0 or ``new``."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} is no beginning of one of {new}")
    proof = []
    low, high = 0, new
    while old and old != high:
        middle = low + _split(high - low)
        if old <= middle:
            proof.append(_range(middle, high, subtrees))
            high = middle
        else:
            proof.append(_range(low, middle, subtrees))
            low = middle
    if low:
        # The old tree is not a subtree from the very start: its last part has to be told.
        proof.append(_range(low, high, subtrees))
    return proof[::-1]


def check_inclusion(leaf: bytes, index: int, size: int, expected: bytes, proof: Sequence[bytes]) -> None:
    """Raises :class:`ProofError` unless ``proof`` shows the leaf hash at ``index`` of the tree ``size``, ``expected``."""
    if not 0 <= index < size:
        raise ProofError(f"no entry {index} in a tree of {size}")
    inner = (index ^ (size - 1)).bit_length()
    border = (index >> inner).bit_count()
    _lengths(proof, inner + border)
    found = leaf
    for number, sibling in enumerate(proof):
        on_the_left = number >= inner or index >> number & 1
        found = node_hash(sibling, found) if on_the_left else node_hash(found, sibling)
    if found != expected:
        raise ProofError("the proof leads to another root")


def check_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raises :class:`ProofError` unless ``proof`` shows that the old tree is the beginning of the new one."""
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {old} is no beginning of one of {new}")
    if old in (0, new):
        _lengths(proof, 0)
        if old_root != (new_root if old else EMPTY):
            raise ProofError("two roots of one size")
        return
    shift = (old & -old).bit_length() - 1
    inner = ((old - 1) ^ (new - 1)).bit_length()
    border = ((old - 1) >> inner).bit_count()
    inner -= shift
    whole = old == 1 << shift
    _lengths(proof, inner + border + (not whole))
    start, rest = (old_root, proof) if whole else (proof[0], proof[1:])
    mask = (old - 1) >> shift
    was = now = start
    for number, sibling in enumerate(rest):
        if number >= inner or mask >> number & 1:
            was, now = node_hash(sibling, was), node_hash(sibling, now)
        else:
            now = node_hash(now, sibling)
    if was != old_root:
        raise ProofError("the proof leads to another old root")
    if now != new_root:
        raise ProofError("the proof leads to another new root")


def _lengths(proof: Sequence[bytes], count: int) -> None:
    if len(proof) != count:
        raise ProofError(f"{len(proof)} hashes instead of {count}")
    if any(len(sibling) != HASH for sibling in proof):
        raise ProofError(f"a hash that is not {HASH} bytes long")


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def _range(low: int, high: int, subtrees: Subtrees) -> bytes:
    """The root of ``low`` to ``high``, where ``low`` is a multiple of the next power of two from ``high - low`` up."""
    parts = []
    while low < high:
        level = (high - low).bit_length() - 1
        parts.append(subtrees(level, low >> level))
        low += 1 << level
    found = parts.pop()
    while parts:
        found = node_hash(parts.pop(), found)
    return found
