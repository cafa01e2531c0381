"""The core's prune plan against a short reference model, on random small repositories.

The model says the rules as plainly as possible (docs/design/prune.md); the core must decide the same.
"""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from obhut import _core

MIB = 1 << 20
Repo = dict[str, Any]


class Model:
    """A small repository and the rules, one method a rule."""

    def __init__(self, repo: Repo) -> None:
        """Numbers the copies and sums up the packs."""
        self.repo, self.options, self.listed, self.blobs = repo, repo["options"], repo["packs"], repo["blobs"]
        self.copies = [(blob, *copy) for blob in self.blobs for copy in blob["copies"]]
        self.groups: list[list[int]] = []
        for blob in self.blobs:
            start = self.groups[-1][-1] + 1 if self.groups else 0
            self.groups.append(list(range(start, start + len(blob["copies"]))))
        self.packs = [[c for c in self.copies if c[1] == n] for n in range(len(self.listed))]
        self.size = [36 + sum(length + (41 if packed else 37) for _, _, length, packed in pack) for pack in self.packs]
        self.used: Counter[int] = Counter()  # chosen copies by pack
        self.rest: Counter[int] = Counter()  # all others by pack
        self.chosen = self.choose()  # copy -> blob

    def pack(self, copy: int) -> int:
        """The pack of a copy."""
        return int(self.copies[copy][1])

    def choose(self) -> dict[int, int]:
        """One copy of every used blob; a pack that is not there is the last resort."""
        present = [[c for c in group if self.listed[self.pack(c)] is not None] or group for group in self.groups]
        needed = [b for b, blob in enumerate(self.blobs) if blob["used"]]
        chosen = {b: present[b][0] for b in needed if len(present[b]) == 1}
        self.used.update(self.pack(c) for c in chosen.values())
        spare = Counter(self.pack(c) for b in needed for c in self.groups[b] if chosen.get(b) != c)
        self.rest.update(copy[1] for copy in self.copies)
        self.rest.subtract(self.used)
        for b in needed:
            if b not in chosen:
                packs = [(c, self.pack(c)) for c in present[b]]
                good = [c for c, pack in packs if self.used[pack] or spare[pack] == self.rest[pack]]
                chosen[b] = (good or present[b][-1:])[0]
                self.used[self.pack(chosen[b])] += 1
                self.rest[self.pack(chosen[b])] -= 1
        return {c: b for b, c in chosen.items()}

    def refusal(self) -> dict[str, Any] | None:
        """Why there is no plan."""
        for n, pack in enumerate(self.packs):
            if self.listed[n] not in {None, self.size[n]} and any(copy[0]["used"] for copy in pack):
                return {"size": n}
        lost = [n for n in range(len(self.packs)) if self.listed[n] is None and self.used[n]]
        return {"missing": lost} if lost else None

    def small(self) -> int:
        """Below this size packs are worth joining."""
        if self.options["repack_smaller_than"]:
            return int(self.options["repack_smaller_than"])
        ordered = sorted(self.size)
        size: int = max(4 * MIB, ordered[len(ordered) * 3 // 100]) // 5 * 4
        return max(size, self.repo["pack_size"] // 5 * 4) if self.options["repack_small"] else size

    def judge(self, n: int) -> str:
        """What a pack's content alone says."""
        if self.listed[n] is None:
            return "missing"
        if not self.used[n]:
            return "delete"
        if self.options["repack_cacheable_only"] and self.is_data(n):
            return "keep"
        if self.rest[n] or len({copy[0]["tree"] for copy in self.packs[n]}) == 2 or self.must(n):
            return "candidate"
        return "small" if self.size[n] < self.small() else "keep"

    def is_data(self, n: int) -> bool:
        """Whether a pack holds data blobs only."""
        return not any(copy[0]["tree"] for copy in self.packs[n])

    def must(self, n: int) -> bool:
        """Whether a pack has to be compressed."""
        raw = any(not copy[3] for copy in self.packs[n])
        wanted = all(copy[0]["tree"] for copy in self.packs[n]) or self.options["repack_uncompressed"]
        return bool(self.repo["version"] >= 2 and raw and wanted)

    def decide(self) -> dict[str, Any]:
        """Actions, copies to write, bytes repacked, unused bytes left."""
        actions = [self.judge(n) for n in range(len(self.packs))]
        joined = actions.count("small") >= 10
        candidates = [n for n, a in enumerate(actions) if a == "candidate"]
        candidates += [n for n, a in enumerate(actions) if a == "small" and joined]
        actions = [a if a in {"missing", "delete"} else "keep" for a in actions]
        waste: Counter[int] = Counter()
        for number, copy in enumerate(self.copies):
            waste[copy[1]] += 0 if number in self.chosen else copy[2]
        tolerated = limit(self.options["max_unused"], sum(self.copies[c][2] for c in self.chosen))
        left = sum(waste[n] for n, action in enumerate(actions) if action == "keep")
        repacked, small = 0, self.small()

        def order(n: int) -> tuple[bool, bool, Fraction]:
            return self.is_data(n), self.size[n] >= small, -Fraction(waste[n], self.size[n] - waste[n])

        for n in sorted(candidates, key=order):
            needed = not self.is_data(n) or self.must(n) or self.size[n] < small or left >= tolerated
            if needed and repacked + self.size[n] < self.options["max_repack_bytes"]:
                actions[n] = "repack"
                repacked += self.size[n]
                left -= waste[n]
        kept = {b for b, group in enumerate(self.groups) if any(actions[self.pack(c)] == "keep" for c in group)}
        wanted = sorted(c for c, b in self.chosen.items() if b not in kept)
        return {"actions": actions, "copy": wanted, "repack": repacked, "left": left}


def limit(text: str, used: int) -> int:
    """The unused bytes that may stay."""
    if text == "unlimited":
        return 2**64 - 1
    if text.endswith("%"):
        percent = float(text[:-1])
        return int(percent / (100 - percent) * used)
    return int(text)


@st.composite
def repositories(draw: st.DrawFn) -> Repo:
    """Blobs with several copies, also in one pack; packs that are missing or of a wrong size."""
    count = draw(st.integers(1, 14))
    lengths = st.one_of(st.integers(32, 3000), st.integers(MIB, 4 * MIB))
    copy = st.tuples(st.integers(0, count - 1), lengths, st.booleans())
    blob = st.fixed_dictionaries(
        {"tree": st.booleans(), "used": st.booleans(), "copies": st.lists(copy, min_size=1, max_size=3)}
    )
    blobs: list[Any] = draw(st.lists(blob, max_size=30))
    sizes = [36] * count
    for entry in blobs:
        for pack, length, compressed in entry["copies"]:
            sizes[pack] += length + (41 if compressed else 37)
    odd = draw(st.lists(st.sampled_from([0] * 20 + [1, None]), min_size=count, max_size=count))
    packs = [None if delta is None else size + delta for size, delta in zip(sizes, odd, strict=True)]
    options = draw(
        st.fixed_dictionaries(
            {
                "max_unused": st.sampled_from(["unlimited", "0", "0%", "5%", "50%", "3000000"]),
                "max_repack_bytes": st.sampled_from([0, 5_000_000, 2**64 - 1]),
                "repack_cacheable_only": st.booleans(),
                "repack_small": st.booleans(),
                "repack_smaller_than": st.sampled_from([0, 0, 4096, 6 * MIB]),
                "repack_uncompressed": st.booleans(),
            }
        )
    )
    version = 2 if options["repack_uncompressed"] else draw(st.integers(1, 2))
    unindexed = draw(st.lists(st.integers(100, 1000), max_size=2))
    return {
        "version": version,
        "pack_size": 16 * MIB,
        "options": options,
        "packs": packs,
        "unindexed": unindexed,
        "blobs": blobs,
    }


@settings(max_examples=200, deadline=None)
@given(repositories())
def test_core_decides_as_the_reference_model(repo: Repo) -> None:
    """Same actions, same copies, same sums."""
    answer = json.loads(_core.prune_plan_model(json.dumps(repo).encode()))
    model = Model(repo)
    refusal = model.refusal()
    if refusal is not None:
        assert answer == refusal
        return
    plan, expected = answer["plan"], model.decide()
    assert plan["actions"] == expected["actions"]
    assert plan["copy"] == expected["copy"]
    stats = plan["stats"]
    assert stats["bytes"]["repack"] == expected["repack"]
    assert stats["bytes"]["remaining_unused"] == expected["left"]
    assert stats["bytes"]["unreferenced"] == sum(repo["unindexed"])
    assert stats["packfiles"]["unreferenced"] == len(repo["unindexed"])
