"""``obhut.toml``: where it lies, how it is read, and what it says when it is wrong.

Read in this order, a later file's profile replacing an earlier one's of the same name: ``/etc/obhut/obhut.toml``,
``$XDG_CONFIG_HOME/obhut/obhut.toml``; or only the file that ``--config`` or ``OBHUT_CONFIG`` names.
Precedence of every setting: command line, environment (``OBHUT_``, then ``RESTIC_``), profile, default.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from obhut.errors import ObhutError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from obhut.settings import Profile

SYSTEM_FILE: Final = Path("/etc/obhut/obhut.toml")
MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Config:
    """All profiles that were found."""

    files: tuple[Path, ...] = ()
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    default_profile: str | None = None
    #: The home of sync.
    sync_home: str | None = None

    def profile(self, name: str | None) -> Profile | None:
        """The named profile, else the default one, else ``None``."""
        wanted = name or self.default_profile
        if wanted is None:
            return None
        if wanted not in self.profiles:
            known = ", ".join(sorted(self.profiles)) or "none"
            raise ObhutError("profile-missing", wanted, f"known: {known}")
        return self.profiles[wanted]


def user_file(environ: Mapping[str, str]) -> Path:
    """The user's own file (XDG)."""
    base = environ.get("XDG_CONFIG_HOME") or ""
    folder = Path(base) if base.startswith("/") else Path(environ.get("HOME") or "/") / ".config"
    return folder / "obhut" / "obhut.toml"


def candidates(explicit: str | None, environ: Mapping[str, str]) -> list[Path]:
    """The files to read; an explicit one must exist."""
    named = explicit or environ.get("OBHUT_CONFIG")
    if named:
        return [Path(named)]
    return [path for path in (SYSTEM_FILE, user_file(environ)) if path.is_file()]


def load(explicit: str | None, environ: Mapping[str, str]) -> Config:
    """Reads all files that apply."""
    return merge(_read(path) for path in candidates(explicit, environ))


def merge(configs: Iterable[Config]) -> Config:
    """A later file wins."""
    merged = Config()
    for config in configs:
        merged = Config(
            (*merged.files, *config.files),
            {**merged.profiles, **config.profiles},
            config.default_profile or merged.default_profile,
            config.sync_home or merged.sync_home,
        )
    return merged


def _read(path: Path) -> Config:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ObhutError("config-invalid", str(path), error.strerror or "") from None
    if len(data) > MAX_BYTES:
        raise ObhutError("config-invalid", str(path), "longer than 1 MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ObhutError("config-invalid", f"{path}, line {line}", "not UTF-8") from None
    return parse(text, path)


def parse(text: str, path: Path) -> Config:
    """Reads one file's text; every error names its line."""
    import tomlkit
    from pydantic import ValidationError
    from tomlkit.exceptions import ParseError, TOMLKitError

    from obhut.settings import File

    try:
        document: dict[str, Any] = tomlkit.parse(text).unwrap()
    except ParseError as error:
        raise ObhutError("config-invalid", f"{path}, line {error.line}", str(error).split(" at line")[0]) from None
    except (TOMLKitError, RecursionError, ValueError) as error:
        raise ObhutError("config-invalid", str(path), str(error)) from None
    try:
        file = File.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        keys = [str(key) for key in first["loc"]]
        line = line_of(text, keys)
        where = f"{path}, line {line}" if line else str(path)
        raise ObhutError("config-invalid", where, f"{'.'.join(keys)}: {_words(first)}") from None
    if file.default_profile is not None and file.default_profile not in file.profiles:
        line = line_of(text, ["default_profile"])
        raise ObhutError("config-invalid", f"{path}, line {line}", f"there is no profile {file.default_profile}")
    home = file.sync.home if file.sync is not None else None
    return Config((path,), dict(file.profiles), file.default_profile, home)


def _words(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "unknown key"
    return str(problem["msg"]).removeprefix("Value error, ")


_HEADER: Final = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?")
_KEY: Final = re.compile(
    r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*="
)


def _parts(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in re.findall(r"\"[^\"]*\"|'[^']*'|[^.\s]+", dotted)]


def line_of(text: str, keys: Sequence[str]) -> int:
    """The line where the longest beginning of a key's path stands, or a table below it; 0 if none does."""
    best, found = 0, 0
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.fullmatch(line):
            table = here = _parts(header[1])
        elif key := _KEY.match(line):
            here = [*table, *_parts(key[1])]
        else:
            continue
        depth = min(len(here), len(keys))
        if depth > best and here[:depth] == list(keys[:depth]):
            best, found = depth, number
    return found


def schema() -> dict[str, Any]:
    """The JSON schema of ``obhut.toml``."""
    from obhut.settings import File

    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **File.model_json_schema()}


def cache_base(environ: Mapping[str, str]) -> bytes:
    """Where restic's cache lies by default; Obhut shares it."""
    base = environ.get("XDG_CACHE_HOME") or ""
    folder = Path(base) if base.startswith("/") else Path(environ.get("HOME") or "/") / ".cache"
    return os.fsencode(folder / "restic")
