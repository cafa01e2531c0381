"""Exclude patterns alone, many of them: what is saved is what restic would save, as both say in a dry run.

``test_excludes.py`` has whole backups with all options that exclude; a dry run costs a tenth of one.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Final

import pytest

import cheap
from resident import Resident
from tools import PASSWORD, Restic

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(200)]

#: Few names, so that patterns hit; some with what patterns mean otherwise.
NAMES: Final = ("a", "b", "ab", "A", "aB.txt", "b.txt", "[a]", "a*b", "a\\b", "$HOME", "!a", "#a", "a b", "ä", "..a")
#: Pieces of a pattern's components.
PIECES: Final = (
    *(
        "*",
        "*",
        "*",
        "?",
        "?",
        "a",
        "b",
        "A",
        "B",
        ".txt",
        "[ab]",
        "[a-c]",
        "[^a]",
        "[\\]a]",
        "a]",
        "\\*",
        "\\[",
        "\\\\",
        "\\a",
    ),
    *("{a,b}", "ä", "?ä", " ", "$HOME", "${HOME}", "$$", "!", "#", "..", "."),
)
CASES: Final = 400


def tree(root: Path) -> None:
    """Three levels, each folder with some names as files and some as folders."""
    draw = random.Random(3)

    def fill(folder: Path, depth: int) -> None:
        folder.mkdir()
        for name in NAMES:
            if depth < 2 and draw.random() < 0.25:
                fill(folder / name, depth + 1)
            elif draw.random() < 0.5:
                (folder / name).write_text("x")

    fill(root, 0)


def component(draw: random.Random) -> str:
    kind = draw.random()
    if kind < 0.15:
        return "**"
    if kind < 0.5:
        return draw.choice(NAMES)
    if kind < 0.52:
        return draw.choice(["[a", "[]a]", "[b-a]", "a\\"])
    return "".join(draw.choices(PIECES, k=draw.choice([1, 2])))


def alike(draw: random.Random, name: str) -> str:
    """A component that may match this name."""
    escaped = "".join(f"\\{letter}" if letter in "*?[\\" else letter for letter in name)
    ways = [escaped, escaped, name, name.swapcase(), "*", f"*{name[-1]}", f"[{name[0]}-z]*", "?" * len(name), "**"]
    return draw.choice(ways)


def pattern(draw: random.Random, root: Path, names: list[Path]) -> str:
    """Anchored or not, with a slash at its end or not, negated or not; of random pieces, or near to a real path."""
    start = draw.choice(["", "", "", "/", f"{root}/", f"{root}/", "$HOME/", "${HOME}/", "**/", "./", "//"])
    if draw.random() < 0.6:
        parts = [alike(draw, name) for name in draw.choice(names).parts]
        parts = parts if "/" in start else parts[-draw.choice([1, 2]) :]
    else:
        parts = [component(draw) for _ in range(draw.choice([1, 1, 1, 2]))]
    negation = "!" if draw.random() < 0.2 else ""
    return negation + start + draw.choice(["/", "/", "/", "//"]).join(parts) + draw.choice(["", "", "", "/", "/**"])


def options(draw: random.Random, root: Path, folder: Path) -> list[str]:
    """Patterns as options, or in a file with all that a file may have besides."""
    names = sorted(path.relative_to(root) for path in root.rglob("*"))
    found = [pattern(draw, root, names) for _ in range(draw.choice([1, 1, 2, 3]))]
    case = draw.choice(["", "i"])
    if draw.random() < 0.6:
        return [word for one in found for word in (f"--{draw.choice(['', 'i'])}exclude", one)]
    lines = [draw.choice(["", " ", "\t"]) + one + draw.choice(["", " ", "\t"]) for one in found]
    lines += draw.sample(["# a comment", "", "   ", "  # one more", "\ufeff", "#"], 3)
    draw.shuffle(lines)
    file = folder / "excludes"
    end = draw.choice(["\n", "\n", "\r\n"])
    file.write_bytes((draw.choice(["", "", "\ufeff"]) + end.join(lines) + draw.choice(["", end])).encode())
    return [f"--{case}exclude-file", str(file)]


def patterns(words: list[str]) -> bytes:
    """What a file of patterns says."""
    return Path(words[1]).read_bytes() if words[0].endswith("-file") else b""


def saved(lines: list[str]) -> set[tuple[str, str]]:
    """What a dry run would save."""
    parsed = [json.loads(line) for line in lines if line.startswith("{")]
    return {(line["action"], line["item"]) for line in parsed if line["message_type"] == "verbose_status"}


def test_random_patterns_exclude_the_same(tmp_path: Path) -> None:
    root, repository = tmp_path / "tree", tmp_path / "repository"
    tree(root)
    cheap.init(repository)
    draw = random.Random(1)
    # Files of patterns name the tree by a variable, too.
    environ = {"HOME": str(root)}
    theirs, seen, hit, wrong = Restic(repository), set(), 0, []
    with Resident({**environ, "OBHUT_REPOSITORY": str(repository), "OBHUT_PASSWORD": PASSWORD}) as ours:
        for _ in range(CASES):
            words = options(draw, root, tmp_path)
            common = ("--dry-run", "--no-cache", "-vv", "--json", *words, str(root))
            judge = theirs("backup", "--no-lock", *common, expect=None, env=environ)
            reply = ours("backup", "run", *common)
            expected, got = (saved(text.splitlines()) for text in (judge.text, reply.out))
            if (judge.code, expected) != (reply.code, got):
                wrong.append((words, patterns(words), judge.code, reply.code, sorted(expected ^ got)[:5], reply.err))
            seen.add(frozenset(expected))
            hit += any("/tree/" in item for _, item in expected)
    assert not wrong, f"{len(wrong)} of {CASES} differ, such as:\n" + "\n".join(map(str, wrong[:10]))
    assert len(seen) > CASES / 6, f"the patterns excluded different things: {len(seen)}"
    assert hit > CASES / 2, f"and seldom everything: {hit}"
