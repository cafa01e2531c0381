"""Ignore files: their lines, as people see and change them. What lines mean the core knows."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from obhut.errors import ObhutError
from obhut.world import durable

NAME: Final = ".stignore"
_LONGEST: Final = 1 << 20


def read(root: str) -> list[str]:
    """The lines of a folder's ignore file; none if there is none. Raises ``sync-ignores``."""
    path = Path(root) / NAME
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST + 1)
        if len(data) > _LONGEST:
            raise ObhutError("sync-ignores", str(path), "longer than 1 MiB")
        return data.decode().splitlines()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise ObhutError("sync-ignores", str(path), "not UTF-8") from None
    except OSError as error:
        raise ObhutError("sync-ignores", str(path), error.strerror or "") from None


def write(root: str, lines: list[str]) -> None:
    """Writes the ignore file anew, for everybody to read."""
    durable.write_file(Path(root) / NAME, "".join(f"{line}\n" for line in lines).encode(), mode=0o644)


def check_line(line: str) -> str:
    """One pattern; ``ValueError`` for what is none or more than one."""
    if not line.strip() or "\n" in line or "\r" in line or "\0" in line:
        raise ValueError("one pattern, not empty")
    return line
