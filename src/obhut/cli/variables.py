"""Environment variables: which there are, what they mean. ``OBHUT_NAME`` is looked at before ``RESTIC_NAME``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable; ``restic`` tells whether restic's name is honoured as well."""

    meaning: str
    restic: bool = True


VARIABLES: dict[str, Variable] = {
    "REPOSITORY": Variable("where the repository is"),
    "REPOSITORY_FILE": Variable("a file that holds the location of the repository"),
    "PASSWORD": Variable("the password itself, used as it is"),
    "PASSWORD_FILE": Variable("a file that holds the password"),
    "PASSWORD_COMMAND": Variable("a command that prints the password; run without a shell"),
    "KEY_HINT": Variable("the id of the key to try first"),
    "FROM_REPOSITORY": Variable("`init`: the repository whose chunker parameters are copied"),
    "FROM_REPOSITORY_FILE": Variable("`init`: a file that holds the location of that repository"),
    "FROM_PASSWORD": Variable("`init`: the password of that repository"),
    "FROM_PASSWORD_FILE": Variable("`init`: a file that holds that password"),
    "FROM_PASSWORD_COMMAND": Variable("`init`: a command that prints that password"),
    "FROM_KEY_HINT": Variable("`init`: the id of the key of that repository to try first"),
    "CACHE_DIR": Variable("base of the local cache"),
    "COMPRESSION": Variable("auto, off, fastest, better or max"),
    "PACK_SIZE": Variable("target size of a pack in MiB, 4 to 128"),
    "READ_CONCURRENCY": Variable("how many threads work on a backup"),
    "THREADS": Variable("how many threads work; 0 = as many as there are processors", restic=False),
    "HOST": Variable("the host name that snapshots get and filters use"),
    "IGNORE_CTIME": Variable("`run`: 1 = a changed ctime alone does not make a file changed"),
    "IGNORE_INODE": Variable("`run`: 1 = neither inode nor ctime make a file changed"),
    "PROGRESS_FPS": Variable("pictures of the status line per second, at most 60"),
    "PROFILE": Variable("the profile of obhut.toml to use", restic=False),
    "CONFIG": Variable("the only obhut.toml to read", restic=False),
    "TRACEBACK": Variable("1 = show the traceback of a defect (for bug reports)", restic=False),
}


def lookup(environ: Mapping[str, str], name: str) -> str | None:
    """The value of a variable, and ``None`` if it is unset or empty."""
    variable = VARIABLES[name]
    value = environ.get(f"OBHUT_{name}") or (environ.get(f"RESTIC_{name}") if variable.restic else None)
    return value or None


def source_of(environ: Mapping[str, str], name: str) -> str:
    """The full name of the variable that :func:`lookup` used, for messages."""
    return f"OBHUT_{name}" if environ.get(f"OBHUT_{name}") else f"RESTIC_{name}"
