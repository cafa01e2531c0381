"""Merkle trees against the recursive definition of RFC 6962, and every proof with its mutations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut.log import merkle, tiles

if TYPE_CHECKING:
    from collections.abc import Iterator

#: All trees of up to so many entries.
ALL = 66
ENTRIES = [bytes([number]) * (number % 3) for number in range(ALL)]


def tree_hash(entries: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    if not entries:
        return merkle.EMPTY
    if len(entries) == 1:
        return merkle.leaf_hash(entries[0])
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return merkle.node_hash(tree_hash(entries[:k]), tree_hash(entries[k:]))


ROOTS = [tree_hash(ENTRIES[:size]) for size in range(ALL + 1)]
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]


def subtrees(level: int, index: int) -> bytes:
    part = ENTRIES[index << level : (index + 1) << level]
    assert len(part) == 1 << level
    return tree_hash(part)


@pytest.mark.parametrize("size", range(ALL + 1))
def test_every_small_tree(size: int) -> None:
    edge = tiles.Edge()
    for leaf in LEAVES[:size]:
        edge.append(leaf)
    assert edge.root() == merkle.root(size, subtrees) == merkle.fold(LEAVES[:size]) == ROOTS[size]
    for index in range(size):
        proof = merkle.inclusion(index, size, subtrees)
        merkle.check_inclusion(LEAVES[index], index, size, ROOTS[size], proof)
    for old in range(size + 1):
        proof = merkle.consistency(old, size, subtrees)
        merkle.check_consistency(old, ROOTS[old], size, ROOTS[size], proof)


def altered(proof: list[bytes], *others: bytes) -> Iterator[list[bytes]]:
    """Proofs that are wrong, whatever they are for."""
    other = bytes(merkle.HASH)
    yield [*proof, other]
    yield [other, *proof]
    for hashed in others:
        yield [*proof, hashed]
        yield [hashed, *proof]
    for at, hashed in enumerate(proof):
        yield proof[:at] + proof[at + 1 :]
        yield [*proof[:at], hashed, *proof[at:]]
        yield [*proof[:at], other, *proof[at + 1 :]]
        yield [*proof[:at], hashed[:-1] + bytes([hashed[-1] ^ 1]), *proof[at + 1 :]]
        yield [*proof[:at], hashed[:-1], *proof[at + 1 :]]
        yield [*proof[:at], hashed + b"\0", *proof[at + 1 :]]
        if at and hashed != proof[at - 1]:
            yield [*proof[: at - 1], hashed, proof[at - 1], *proof[at + 1 :]]


sizes = st.integers(1, ALL)


@given(size=sizes, data=st.data())
def test_an_altered_proof_of_inclusion_proves_nothing(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaf, root = LEAVES[index], ROOTS[size]
    proof = merkle.inclusion(index, size, subtrees)
    wrong = [(leaf, index, size, root, other) for other in altered(proof, root, leaf)]
    wrong += [(leaf, other, size, root, proof) for other in (-1, index - 1, index + 1, size, index ^ 2, index + size)]
    wrong += [(other, index, size, root, proof) for other in (root, merkle.EMPTY, leaf[::-1]) if other != leaf]
    wrong += [(leaf, index, size, other, proof) for other in (merkle.EMPTY, root[::-1], ROOTS[size - 1])]
    wrong += [(leaf, index, other, root, proof) for other in (0, -size, index)]
    for case in wrong:
        with pytest.raises(merkle.ProofError):
            merkle.check_inclusion(*case)


@given(size=sizes, data=st.data())
def test_an_altered_proof_of_consistency_proves_nothing(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    before, after = ROOTS[old], ROOTS[size]
    proof = merkle.consistency(old, size, subtrees)
    wrong = [(old, before, size, after, other) for other in altered(proof, before, after)]
    wrong += [(old, other, size, after, proof) for other in (merkle.EMPTY, before[::-1], ROOTS[old - 1])]
    wrong += [(old, before, size, other, proof) for other in (merkle.EMPTY, after[::-1])]
    wrong += [(size + 1, before, size, after, proof), (-1, before, size, after, proof)]
    if old != size:
        wrong += [
            (old, after, size, before, proof),
            (size, before, size, after, proof),
            (0, before, size, after, proof),
        ]
    for case in wrong:
        with pytest.raises(merkle.ProofError):
            merkle.check_consistency(*case)


def test_nothing_is_the_beginning_of_everything() -> None:
    merkle.check_consistency(0, merkle.EMPTY, 9, ROOTS[9], [])
    merkle.check_consistency(0, merkle.EMPTY, 0, merkle.EMPTY, [])
    with pytest.raises(merkle.ProofError):
        merkle.check_consistency(0, ROOTS[1], 9, ROOTS[9], [])
