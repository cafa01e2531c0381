"""Rules of the house that no linter knows: who may import the core, who may know the terminal."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "obhut"
#: Packages and modules that may import the binary; everybody else goes through them.
MAY_KNOW_THE_CORE = {"storage", "world", "backup", "errors", "job", "passwords", "cli"}
#: Decisions inside them: pure Python, tested without the binary.
PURE = {
    f"backup/{name}.py"
    for name in ("duration", "group", "retention", "select", "sizes", "snapshot", "stamp", "summary")
}
FILES = sorted(SOURCE.rglob("*.py"))


def imports_the_core(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(alias.name.startswith("obhut._core") for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom):
            if (node.module or "").startswith("obhut._core"):
                return True
            if node.module == "obhut" and any(alias.name == "_core" for alias in node.names):
                return True
    return False


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(SOURCE)) for path in FILES])
def test_only_the_stated_modules_import_the_core(path: Path) -> None:
    place = path.relative_to(SOURCE)
    part = place.parts[0].removesuffix(".py")
    if part not in MAY_KNOW_THE_CORE or str(place) in PURE:
        assert not imports_the_core(ast.parse(path.read_text("utf-8"))), (
            f"{place} may not import obhut._core; {sorted(MAY_KNOW_THE_CORE)} may"
        )


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(SOURCE)) for path in FILES])
def test_every_module_says_what_it_is_for(path: Path) -> None:
    doc = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    assert doc
    assert len(doc) > 10


def test_the_pure_modules_are_there() -> None:
    """A rule about a file that does not exist guards nothing."""
    assert {str(path.relative_to(SOURCE)) for path in FILES} >= PURE
