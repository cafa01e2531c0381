"""What the commands of sync share: their options, the home, and the core that is below."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from obhut.cli.options import Parsed
from obhut.errors import ObhutError, converted

if TYPE_CHECKING:
    from obhut.sync.core import Core
    from obhut.sync.home import Home
    from obhut.sync.model import Folder, Settings, Versions

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--home",
        metavar="DIR",
        help="Where this device lives.  [env: OBHUT_SYNC_HOME; obhut.toml: sync.home; default: obhut/sync below "
        "$XDG_STATE_HOME or ~/.local/state]",
    ),
    click.option("-v", "--verbose", count=True, help="Say more."),
    click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong."),
    click.option("--json", is_flag=True, help="Print JSON, one object a line."),
    click.option("--log-file", metavar="FILE", help="Append what happens to FILE."),
)


class Desk:
    """Console, reporter, clock, and the home that the options name."""

    def __init__(self, home: str | None, **output: Any) -> None:
        from obhut import _core
        from obhut.cli.console import Console
        from obhut.cli.reporter import Front, Log
        from obhut.sync.home import Home
        from obhut.world.clock import SystemClock

        if output["quiet"] and output["verbose"]:
            raise ObhutError("invalid-argument", "--quiet and --verbose", "only one of the two can be used")
        self.environ = dict(os.environ)
        self.console = Console()
        self.clock = SystemClock().now_ns
        log = Log(output["log_file"], self.clock) if output["log_file"] else None
        self.json: bool = output["json"]
        verbosity = 0 if output["quiet"] else min(1 + output["verbose"], 3)
        self.reporter = Front(self.console, verbosity=verbosity, json=self.json, log=log)
        self.core: Core = _core
        self.host = platform.node() or "localhost"
        self.home: Home = Home(_place(home, self.environ), self.device_id)

    def device_id(self, text: str) -> str:
        """The one form of a device id. Raises ``invalid-argument``; of nobody, too."""
        with converted():
            found = self.core.sync_device_id(text)
        if not found or not text.strip():
            raise ObhutError("invalid-argument", text, "this is no device id")
        return found

    def certificate_id(self, certificate: bytes) -> str:
        """The id of the device with a certificate (PEM): the SHA-256 of what it says. Raises ``sync-import``."""
        from base64 import b32encode
        from hashlib import sha256
        from ssl import PEM_cert_to_DER_cert

        try:
            der = PEM_cert_to_DER_cert(certificate.decode("ascii").strip())
        except ValueError:
            raise ObhutError("sync-import", "cert.pem", "it is no certificate") from None
        return self.device_id(b32encode(sha256(der).digest()).decode().rstrip("="))

    def own_id(self) -> str:
        """The id of this device. Raises ``sync-home-missing``."""
        self.home.need()
        with converted():
            return self.core.sync_identity(str(self.home.path))

    def settings(self) -> Settings:
        """What is configured. Raises ``sync-home-missing``, ``sync-settings``."""
        self.home.need()
        return self.home.read()

    def settings_or_none(self) -> Settings:
        """The same for showing what runs: a slip in the file, which the status names, must not hide it."""
        from obhut.sync.model import Settings

        try:
            return self.settings()
        except ObhutError as error:
            if error.id not in {"sync-settings", "sync-folder-place"}:
                raise
            return Settings()

    def folder(self, id: str) -> Folder:
        """A folder by its id. Raises ``sync-folder-unknown``."""
        return self.settings().folder(id)

    def now(self) -> str:
        """RFC 3339 UTC, to the second."""
        from datetime import UTC, datetime

        return datetime.fromtimestamp(self.clock() // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def tag(self) -> str:
        """The local time as it stands in names of versions: ``20260301-123456``."""
        from datetime import UTC, datetime

        return datetime.fromtimestamp(self.clock() // 1_000_000_000, UTC).astimezone().strftime("%Y%m%d-%H%M%S")

    def ask(self, **request: Any) -> Any:
        """What the running process answers. Raises ``sync-not-running``."""
        from obhut.sync import control

        self.home.need()
        return control.ask(self.home.socket_path, request)

    def done(self, kind: str, text: str, **facts: Any) -> None:
        """Says what was done: a line, or an object."""
        if self.json:
            self.reporter.line({"message_type": kind, **facts})
        else:
            from obhut.cli.console import safe

            self.reporter.say(safe(text))


def _place(option: str | None, environ: dict[str, str]) -> Path:
    """Command line, environment, ``obhut.toml``, default."""
    from obhut.sync.home import default_home

    given = option or environ.get("OBHUT_SYNC_HOME")
    if given:
        return Path(os.path.abspath(given))  # noqa: PTH100  (a link stays one)
    from obhut.config import candidates, load

    outer = click.get_current_context().find_root()
    named = outer.params.get("config")
    if candidates(named, environ):
        home = load(named, environ).sync_home
        if home:
            return Path(os.path.expanduser(home)).absolute()  # noqa: PTH111  (raises nothing)
    return default_home(environ)


def desk(function: F) -> Callable[..., Any]:
    """Adds the options of every command of sync; the function gets a :class:`Desk` first."""
    names = ("home", "verbose", "quiet", "json", "log_file")

    def wrapped(**values: Any) -> Any:
        chosen = {name: values.pop(name) for name in names}
        return function(Desk(**chosen), **values)

    result: Callable[..., Any] = update_wrapper(wrapped, function)
    for option in reversed(_OPTIONS):
        result = option(result)
    return result


def _checked(check: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        from obhut.sync import ignores, model

        return getattr(ignores if check == "check_line" else model, check)(text)

    return read


def _versions(text: str) -> Versions:
    from obhut.sync.model import Versions

    return Versions.parse(text)


def _listen(text: str) -> str:
    from obhut.sync.model import check_address

    return check_address(text, listen=True)


FOLDER_ID = Parsed("folder id", _checked("check_folder_id"))
NAME = Parsed("name", _checked("check_name"))
ADDRESS = Parsed("address", _checked("check_address"))
PATTERN = Parsed("pattern", _checked("check_line"))
LISTEN = Parsed("address", _listen)
VERSIONS = Parsed("versions", _versions)
