"""What the commands on an archive share: their options, and the opened archive."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from obhut import passwords
from obhut.errors import ObhutError

if TYPE_CHECKING:
    from obhut.archive.vault import Vault

F = TypeVar("F", bound=Callable[..., Any])

_OUTPUT = (
    click.option("-v", "--verbose", count=True, help="Say more."),
    click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong."),
    click.option("--json", is_flag=True, help="Print JSON, one object a line."),
    click.option("--log-file", metavar="FILE", help="Append what happens to FILE."),
)
_STORE = click.option("-s", "--store", metavar="DIR", help="The archive's folder.  [env: OBHUT_ARCHIVE]")
_KEY = click.option(
    "--key-file",
    metavar="FILE",
    help="The key that signs the log.  [default: obhut/archive-keys/NAME.key below $XDG_DATA_HOME or ~/.local/share]",
)


class Desk:
    """Console, reporter, clock, and the archive that the options name."""

    def __init__(self, store: str | None, key_file: str | None, **output: Any) -> None:
        from obhut.cli.console import Console
        from obhut.cli.reporter import Front, Log
        from obhut.world.clock import SystemClock

        passwords.harden_process()
        if output["quiet"] and output["verbose"]:
            raise ObhutError("invalid-argument", "--quiet and --verbose", "only one of the two can be used")
        self.environ = dict(os.environ)
        self.console = Console()
        self.clock = SystemClock().now_ns
        log = Log(output["log_file"], self.clock) if output["log_file"] else None
        self.json: bool = output["json"]
        verbosity = 0 if output["quiet"] else min(1 + output["verbose"], 3)
        self.reporter = Front(self.console, verbosity=verbosity, json=self.json, log=log)
        self.host = platform.node() or "localhost"
        self._store = store or self.environ.get("OBHUT_ARCHIVE")
        self._key_file = key_file

    @property
    def now(self) -> str:
        """RFC 3339 UTC, to the second."""
        from datetime import UTC, datetime

        return datetime.fromtimestamp(self.clock() // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def store(self) -> Any:
        """The store that the options name."""
        from obhut.archive.store import open_store

        if not self._store:
            raise ObhutError("archive-unspecified")
        return open_store(self._store)

    def vault(self) -> Vault:
        """The archive."""
        from obhut.archive.vault import Vault

        return Vault.open(self.store)

    def key_path(self, origin: str) -> Path:
        """Where the key of an archive of this name lies."""
        from obhut.archive.keyfile import default_path

        return Path(self._key_file) if self._key_file else default_path(origin, self.environ)


def desk(function: F) -> Callable[..., Any]:
    """Adds the options of every command on an archive; the function gets a :class:`Desk` first."""
    return _with_options(function, (_STORE, *_OUTPUT))


def writing_desk(function: F) -> Callable[..., Any]:
    """The same for commands that sign."""
    return _with_options(function, (_STORE, _KEY, *_OUTPUT))


def _with_options(function: F, options: tuple[Callable[[Any], Any], ...]) -> Callable[..., Any]:
    names = ("store", "key_file", "verbose", "quiet", "json", "log_file")

    def wrapped(**values: Any) -> Any:
        chosen = {name: values.pop(name, None) for name in names}
        return function(Desk(**chosen), **values)

    result: Callable[..., Any] = update_wrapper(wrapped, function)
    for option in reversed(options):
        result = option(result)
    return result


def new_file(path: str) -> Path:
    """The place of a new file for a person; one that is there is never replaced."""
    place = Path(path).absolute()
    if os.path.lexists(place):
        raise ObhutError("output-exists", path)
    if not place.parent.is_dir():
        raise ObhutError("io", path, "there is no such folder")
    return place


def write_new(path: str, data: bytes) -> None:
    """Writes a new file for a person."""
    from obhut.world import durable

    place = new_file(path)
    durable.put_files(place.parent, [(place.name, data)], mode=0o644)
