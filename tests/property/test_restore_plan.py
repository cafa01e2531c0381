"""The core's restore plan against a short reference model, on random lists of wanted pieces."""

import json
from itertools import groupby
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from obhut import _core

Wanted = tuple[int, int, int, int, int, int]  # slot, pack, offset, length, file, place in the file


@st.composite
def _wanted(draw: st.DrawFn) -> list[Wanted]:
    """Blobs lie one behind the other in their packs; files want any of them, some more than once."""
    blobs: list[tuple[int, int, int, int]] = []
    for pack in range(draw(st.integers(1, 3))):
        offset = 0
        for length in draw(st.lists(st.integers(33, 400), min_size=1, max_size=8)):
            blobs.append((len(blobs), pack, offset, length))
            offset += length
    uses = draw(st.lists(st.tuples(st.sampled_from(blobs), st.integers(0, 4), st.integers(0, 5)), max_size=30))
    return [(*blob, file, at * 100) for blob, file, at in uses]


def _model(wanted: list[Wanted], gap: int, part: int) -> list[dict[str, Any]]:
    order = list(dict.fromkeys(piece[1] for piece in wanted))
    wanted = sorted(wanted, key=lambda piece: (order.index(piece[1]), piece[2], piece[0], piece[4], piece[5]))
    reads: list[dict[str, Any]] = []
    for (pack, offset, slot, length), group in groupby(wanted, key=lambda p: (p[1], p[2], p[0], p[3])):
        end = offset + length
        read = reads[-1] if reads else None
        joins = (
            read is not None
            and read["pack"] == pack
            and offset <= read["offset"] + read["length"] + gap
            and end - read["offset"] <= part
        )
        if read is None or not joins:
            read = {"pack": pack, "offset": offset, "length": 0, "pieces": []}
            reads.append(read)
        read["length"] = max(read["length"], end - read["offset"])
        read["pieces"].append({"slot": slot, "targets": [[piece[4], piece[5]] for piece in group]})
    return reads


@given(wanted=_wanted(), gap=st.integers(0, 300), part=st.integers(1, 2000))
def test_plans_like_the_model(wanted: list[Wanted], gap: int, part: int) -> None:
    question = json.dumps({"gap": gap, "part": part, "wanted": wanted}).encode()
    assert json.loads(_core.restore_plan_model(question)) == _model(wanted, gap, part)
