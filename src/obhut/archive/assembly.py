"""Puts the verifier for strangers into one file: its own module and the log's pure parts, as they are, one after another."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

#: In the order in which they need each other.
_PARTS: Final = ("log/merkle.py", "log/note.py", "archive/stranger.py")

_HEAD: Final = '''#!/usr/bin/env python3
"""Checks receipts of an Obhut archive. Needs Python 3.11 or newer and the program openssl, and nothing of Obhut.

    python3 verify-receipt.py RECEIPT [DOCUMENT] [--key LOG.vkey]
"""

from __future__ import annotations

'''


def verifier() -> str:
    """The source of the verifier. Raises ``ValueError`` if two parts use one name."""
    package = Path(__file__).resolve().parents[1]
    imports: list[str] = []
    bodies: list[str] = []
    seen: set[str] = set()
    for part in _PARTS:
        source = (package / part).read_text("utf-8")
        tree = ast.parse(source)
        names = _names(tree)
        if twice := seen & names:
            raise ValueError(f"{part}: {', '.join(sorted(twice))} stand in another part already")
        seen |= names
        imports += [line for line in _imports(tree) if line not in imports]
        bodies.append(f"# {'-' * 20} {part}\n\n{_body(source, tree)}")
        # ``merkle.fold`` and the like go on to mean what they meant.
        bodies.append(f"{Path(part).stem} = sys.modules[__name__]\n")
    return _HEAD + "\n".join(sorted(imports)) + "\n\n" + "\n\n".join(bodies[:-1])


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, (ast.Import, ast.ImportFrom))


def _imports(tree: ast.Module) -> list[str]:
    """What is not ours, and not of the future."""
    found = []
    for node in tree.body:
        ours = isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in {"obhut", "__future__"}
        if _is_import(node) and not ours:
            found.append(ast.unparse(node))
    return found


def _names(tree: ast.Module) -> set[str]:
    """What a module defines at its top."""
    found = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def _body(source: str, tree: ast.Module) -> str:
    """A module's text from its docstring on, as comments and code, without its imports."""
    lines = source.splitlines()
    gone = set()
    for node in tree.body:
        if _is_import(node):
            gone |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    doc = tree.body[0]
    start = (doc.end_lineno or 1) + 1
    words = [f"# {line}".rstrip() for line in (ast.get_docstring(tree) or "").splitlines()]
    kept = [line for number, line in enumerate(lines, 1) if number >= start and number not in gone]
    text = "\n".join(kept).strip("\n")
    return "\n".join(words) + "\n\n" + text + "\n"
