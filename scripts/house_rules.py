"""Rules that no linter knows: file sizes, change fragments, docs that point to files, nothing left behind.

Prints each violation with its place; the exit code is 1 if there is one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 600
SOURCES = {".rs", ".py", ".pyi", ".sh"}
#: A fragment is read by users: one to three sentences in one paragraph.
FRAGMENT_LIMIT = 600
FRAGMENT_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\.md")


def tracked() -> list[Path]:
    """All files that git knows."""
    run = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    return [ROOT / name.decode() for name in run.stdout.split(b"\0") if name]


def too_long(files: list[Path]) -> list[str]:
    """Source files over the limit."""
    found = []
    for path in files:
        if path.suffix in SOURCES and path.is_file():
            lines = path.read_bytes().count(b"\n")
            if lines > MAX_LINES:
                found.append(f"{path.relative_to(ROOT)}: {lines} lines; at most {MAX_LINES}: split it by purpose")
    return found


def fragments(files: list[Path]) -> list[str]:
    """Change fragments: well-named, short, and at least one since the last release if sources changed."""
    found = []
    pieces = [p for p in files if p.parent == ROOT / "changes" and p.name != "README.md"]
    for path in pieces:
        text = path.read_text("utf-8").strip()
        place = path.relative_to(ROOT)
        if not FRAGMENT_NAME.fullmatch(path.name):
            found.append(f"{place}: name it in lower case with hyphens, ending in .md")
        if not text:
            found.append(f"{place}: is empty")
        if len(text) > FRAGMENT_LIMIT or "\n\n" in text:
            found.append(f"{place}: one paragraph of one to three sentences, at most {FRAGMENT_LIMIT} characters")
        if text.startswith("#"):
            found.append(f"{place}: sentences for users, no heading")
    if not pieces and changed_since_release():
        found.append("changes/: sources changed since the last release, but no fragment says what users get")
    return found


def changed_since_release() -> bool:
    """Whether sources changed since the newest tag (always, before the first)."""
    tag = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    if tag.returncode != 0:
        return True
    diff = subprocess.run(
        ["git", "diff", "--quiet", tag.stdout.strip(), "HEAD", "--", "src", "crates"], cwd=ROOT, check=False
    )
    return diff.returncode != 0


def left_behind(files: list[Path]) -> list[str]:
    """Markers of unfinished work and of merges."""
    found = []
    marker = re.compile(rb"^(<{7} |>{7} )|\btodo!\(|\bunimplemented!\(", re.MULTILINE)
    for path in files:
        if path.suffix in SOURCES and path.is_file() and path != Path(__file__).resolve():
            found += [f"{path.relative_to(ROOT)}: {hit.group().decode()}" for hit in marker.finditer(path.read_bytes())]
    return found


def dead_links(files: list[Path]) -> list[str]:
    """Relative links of Markdown files outside docs/ (Sphinx checks those inside)."""
    found = []
    link = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")
    for path in files:
        if path.suffix == ".md" and "docs" not in path.relative_to(ROOT).parts[:1] and path.is_file():
            found += [
                f"{path.relative_to(ROOT)}: link to {target}, which does not exist"
                for target in link.findall(path.read_text("utf-8"))
                if not (path.parent / target).exists()
            ]
    return found


def main() -> int:
    """Runs all rules."""
    files = tracked()
    found = too_long(files) + fragments(files) + left_behind(files) + dead_links(files)
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
