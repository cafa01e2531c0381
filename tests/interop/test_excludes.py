"""Excludes choose for us what they choose for restic: the same trees, byte for byte, for seeded random options."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

import cheap
from tools import Obhut, Restic

pytestmark = [pytest.mark.slow, pytest.mark.interop, pytest.mark.timeout(300)]

SEED: Final = os.environ.get("OBHUT_SEED", "1")
#: Sets of options, each given to both programs.
SETS: Final = 25
NAMES: Final = (
    "a",
    "b",
    "ab",
    "abb",
    "A",
    "B.TXT",
    "b.txt",
    ".x",
    "é",
    "É",
    "x y",
    "[a]",
    "a*",
    "d",
    "e",
    "#c",
    "!n",
    "$H",
)
PIECES: Final = (
    *("a", "b", "ab", "A", "a*", "*", "?b", "[ab]", "[^a]", "**", ".x", "*.txt", "*.TXT", "é", "É", "x y", "x*y", "d", "e"),
    *("\\[a\\]", "a\\*", "[[]a]", "[A-Z]*", "?", "??", "\\#c", "\\!n", "[a-b]?", "*b*", "$H", "$$H", "${H}"),
)  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three levels of folders, each with about every name."""
    root = tmp_path_factory.mktemp("excludes") / "root"
    dice = random.Random(4)
    places = (root, root / "d", root / "e", root / "d" / "e", root / "e" / "A", root / "d" / "e" / "x y")
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    for place in places:
        for name in dice.sample(NAMES, 12):
            if not (place / name).exists():
                (place / name).write_bytes(b"x" * dice.choice([1, 10, 3000]))
    (root / "e" / "CACHEDIR.TAG").write_bytes(b"Signature: 8a477f597d28d172789f06886806bc55")
    (root / "d" / "stop").write_bytes(b"here\n")
    return root


def pattern(dice: random.Random, tree: Path) -> str:
    pieces = "/".join(dice.choices(PIECES, k=dice.choice([1, 1, 1, 2, 2, 3])))
    start = dice.choice(["", "", "", "/", f"{tree}/", "/**/", "!"])
    return start + pieces + dice.choice(["", "", "", "/"])


def lines(dice: random.Random, tree: Path) -> bytes:
    """A file of patterns with what such files hold besides."""
    text = [pattern(dice, tree) for _ in range(dice.randrange(1, 4))]
    text += dice.sample(["# a remark", "", "   ", "  b  ", "#"], 2)
    dice.shuffle(text)
    return dice.choice(["\n", "\r\n"]).join(text).encode() + dice.choice([b"", b"\n"])


def options(dice: random.Random, tree: Path, file: Path) -> list[str]:
    chosen: list[str] = []
    for _ in range(dice.randrange(1, 4)):
        kind = dice.choice(["--exclude"] * 4 + ["--iexclude"] * 3 + ["--exclude-file", "--iexclude-file", "other"])
        if kind.endswith("file"):
            file.write_bytes(lines(dice, tree))
            chosen += [kind, str(file)]
        elif kind == "other":
            chosen += dice.choice(
                [
                    ["--exclude-caches"],
                    ["--exclude-larger-than", dice.choice(["5", "1K", "2999", "3000"])],
                    ["--exclude-if-present", dice.choice(["stop", "stop:here", "stop:there", "nothing", "a"])],
                ]
            )
        else:
            chosen += [kind, pattern(dice, tree)]
    return chosen


def test_the_same_is_left_out(tree: Path, tmp_path: Path) -> None:
    ours, theirs = Obhut(tmp_path / "repo"), Restic(tmp_path / "repo")
    cheap.init(ours.repository)
    dice = random.Random(f"{SEED} excludes")
    env = {"H": "a*"}
    given, codes = {}, {}
    for number in range(SETS):
        words = options(dice, tree, tmp_path / f"patterns-{number}")
        given[f"n{number}"] = words
        # By its relative name: the folders above would be in the trees too, and change between two runs.
        more = ("--tag", f"n{number}", "--force", *words, ".")
        wanted = theirs("backup", "--no-scan", *more, env=env, expect={0, 1, 3}, cwd=tree).code
        codes[f"n{number}"] = (wanted, ours("run", *more, env=env, expect={0, 1, 3}, cwd=tree).code)
    trees: dict[str, set[str]] = defaultdict(set)
    counts: dict[str, int] = defaultdict(int)
    for snapshot in theirs.snapshots():
        trees[snapshot["tags"][0]].add(snapshot["tree"])
        counts[snapshot["tags"][0]] += 1
    for name, words in given.items():
        assert codes[name][0] == codes[name][1], (codes[name], words)
        assert counts[name] in {0, 2}, words
        assert len(trees[name]) == counts[name] // 2, f"not the same tree with {words}, OBHUT_SEED={SEED}"
    assert len(set().union(*trees.values())) > SETS / 3, "most options choose something of their own"
    assert sum(counts.values()) > SETS
