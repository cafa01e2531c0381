"""Exclude patterns: the core's matcher against a short model of restic's rules."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut import _core

_PIECE = st.sampled_from(["a", "b", "ab", "A", "a*", "*", "?b", "[ab]", "[^a]", "**", ".x"])
_NAME = st.sampled_from(["a", "b", "ab", "abb", "A", "B", ".x", "é"])


def _component(pattern: str, name: str) -> bool:
    """One path component; ``*`` and ``?`` never match a slash because there is none in a component."""
    regex = "".join(
        {"*": "[^/]*", "?": "[^/]"}.get(part, part if part.startswith("[") else re.escape(part))
        for part in re.findall(r"\[[^]]*\]|.", pattern)
    )
    return re.fullmatch(regex, name, re.DOTALL) is not None


def _from_here(pattern: list[str], path: list[str]) -> bool:
    """Whether the path begins with the pattern: what is below a match matches as well."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_from_here(pattern[1:], path[skip:]) for skip in range(len(path) + 1))
    return bool(path) and _component(pattern[0], path[0]) and _from_here(pattern[1:], path[1:])


def _model(pattern: str, path: str) -> bool:
    pieces = [piece for piece in pattern.split("/") if piece]
    names = [name for name in path.split("/") if name]
    if pattern.startswith("/"):
        return _from_here(pieces, names)
    return any(_from_here(pieces, names[start:]) for start in range(len(names)))


@given(
    pieces=st.lists(_PIECE, min_size=1, max_size=4),
    anchored=st.booleans(),
    names=st.lists(_NAME, min_size=1, max_size=5),
    ignore_case=st.booleans(),
)
def test_matches_like_the_model(pieces: list[str], names: list[str], *, anchored: bool, ignore_case: bool) -> None:
    pattern, path = ("/" if anchored else "") + "/".join(pieces), "/" + "/".join(names)
    found = _core.exclude_match(pattern.encode(), path.encode(), ignore_case=ignore_case)
    if ignore_case:
        pattern, path = pattern.lower(), path.lower()
    assert found == _model(pattern, path), (pattern, path)


@pytest.mark.parametrize("pattern", ["[", "a/[", "[a", "\\"])
def test_a_pattern_without_meaning_is_refused(pattern: str) -> None:
    with pytest.raises(_core.CoreError) as caught:
        _core.exclude_match(pattern.encode(), b"/a", ignore_case=False)
    assert caught.value.code == "invalid-argument"
