"""Puts the verifier for strangers into one file: its own module and the log's pure parts, as they are, one after another."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: In the order in which they need each other.
_PARTS: Final = (
    *(
        "log/merkle.py",
        "log/note.py",
        "log/handover.py",
        "log/tiles.py",
        "archive/canonical.py",
        "archive/description.py",
    ),
    *("archive/record.py", "archive/classes.py", "archive/sshsig.py", "archive/statement.py", "archive/ledger.py"),
    *("archive/replay.py", "archive/stamps.py", "archive/lasting.py", "archive/inventory.py"),
    *("archive/judge.py", "archive/openssl.py", "archive/agefile.py", "archive/stranger.py"),
)

_HEAD: Final = '''#!/usr/bin/env python3
"""Checks receipts of an Obhut archive, or all of it. Needs Python 3.11 or newer and openssl, and nothing of Obhut.

    python3 verify.py RECEIPT [DOCUMENT] [--key LOG.vkey] [--authority TSA.pem]
    python3 verify.py --store DIR [--key LOG.vkey] [--identity FILE] [--against CHECKPOINT [--witness WITNESS.vkey]]
"""

from __future__ import annotations

'''


def verifier() -> str:
    """The source of the verifier. Raises ``ValueError`` if two parts use one name."""
    package = Path(__file__).resolve().parents[1]
    imports: set[tuple[str, str]] = set()
    bodies: list[str] = []
    seen: set[str] = set()
    for part in _PARTS:
        source = (package / part).read_text("utf-8")
        tree = ast.parse(source)
        # The name of the part, too: ``merkle.fold`` and the like go on to mean what they meant.
        names = _names(tree) | {Path(part).stem}
        if twice := seen & names:
            raise ValueError(f"{part}: {', '.join(sorted(twice))} stand in another part already")
        seen |= names
        imports |= set(_imports(tree))
        bodies.append(f"# {'-' * 20} {part}\n\n{_body(source, tree)}")
        bodies.append(f"{Path(part).stem} = sys.modules[__name__]\n")
    return _HEAD + _import_lines(imports) + "\n\n" + "\n\n".join(bodies[:-1])


def _is_for_types(node: ast.stmt) -> bool:
    """``if TYPE_CHECKING:`` with imports below."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _import_blocks(tree: ast.Module) -> list[ast.stmt]:
    return [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom)) or _is_for_types(node)]


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """``(module, name)`` of what is not ours and not of the future, what only types need as well; no name: the module."""
    for block in _import_blocks(tree):
        for node in block.body if isinstance(block, ast.If) else [block]:
            if isinstance(node, ast.Import):
                yield from ((alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] not in {
                "obhut",
                "__future__",
            }:
                yield from ((node.module or "", alias.name) for alias in node.names)


def _import_lines(pairs: set[tuple[str, str]]) -> str:
    """One line a module."""
    whole = [f"import {module}" for module, name in sorted(pairs) if not name]
    parts = {module: sorted(name for of, name in pairs if of == module and name) for module, name in pairs if name}
    return "\n".join(whole + [f"from {module} import {', '.join(names)}" for module, names in sorted(parts.items())])


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
    for node in _import_blocks(tree):
        gone |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    doc = tree.body[0]
    start = (doc.end_lineno or 1) + 1
    words = [f"# {line}".rstrip() for line in (ast.get_docstring(tree) or "").splitlines()]
    kept = [line for number, line in enumerate(lines, 1) if number >= start and number not in gone]
    text = "\n".join(kept).strip("\n")
    return "\n".join(words) + "\n\n" + text + "\n"
