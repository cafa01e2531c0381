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
from obhut.cli.options import Parsed
from obhut.errors import ObhutError

if TYPE_CHECKING:
    from datetime import date

    from obhut.archive.actions.people import Signatory
    from obhut.archive.clocks import Agreed
    from obhut.archive.vault import Vault

F = TypeVar("F", bound=Callable[..., Any])

_OUTPUT = (
    click.option("-v", "--verbose", count=True, help="Say more."),
    click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong."),
    click.option("--json", is_flag=True, help="Print JSON, one object a line."),
    click.option("--log-file", metavar="FILE", help="Append what happens to FILE."),
)
_STORE = click.option("-s", "--store", metavar="PLACE", help="A folder, or s3://BUCKET.  [env: OBHUT_ARCHIVE]")
_KEY = click.option(
    "--key-file",
    metavar="FILE",
    help="The key that signs the log.  [default: obhut/archive-keys/NAME.key below $XDG_DATA_HOME or ~/.local/share]",
)
_IDENTITY = click.option(
    "--identity",
    metavar="FILE",
    help="The age identity that opens an encrypted archive.  [default: NAME.identity beside the default of --key-file]",
)


def _day(text: str) -> date:
    from datetime import date

    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("a day like 2026-03-01") from None


#: A day on the command line.
DAY = Parsed("day", _day)


class Desk:
    """Console, reporter, clock, and the archive that the options name."""

    def __init__(self, store: str | None, key_file: str | None, identity: str | None, **output: Any) -> None:
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
        self.who = f"{_user()}@{self.host}"
        self._store = store or self.environ.get("OBHUT_ARCHIVE")
        self._key_file = key_file
        self._identity = identity

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

    @property
    def names_store(self) -> bool:
        """Whether somebody said which archive is meant."""
        return bool(self._store)

    @property
    def today(self) -> date:
        """The day, UTC."""
        from datetime import date

        return date.fromisoformat(self.now[:10])

    def vault(self) -> Vault:
        """The archive."""
        from obhut.archive.vault import Vault

        return Vault.open(self.store, self.identity_path)

    def key_path(self, origin: str) -> Path:
        """Where the key of an archive of this name lies."""
        from obhut.archive.keyfile import default_path

        return Path(self._key_file) if self._key_file else default_path(origin, self.environ)

    def identity_path(self, origin: str) -> Path:
        """Where the identity of an encrypted archive of this name lies."""
        from obhut.archive.identity import default_path

        return Path(self._identity) if self._identity else default_path(origin, self.environ)


def desk(function: F) -> Callable[..., Any]:
    """Adds the options of every command on an archive; the function gets a :class:`Desk` first."""
    return _with_options(function, (_STORE, _IDENTITY, *_OUTPUT))


def writing_desk(function: F) -> Callable[..., Any]:
    """The same for commands that sign."""
    return _with_options(function, (_STORE, _KEY, _IDENTITY, *_OUTPUT))


def _with_options(function: F, options: tuple[Callable[[Any], Any], ...]) -> Callable[..., Any]:
    names = ("store", "key_file", "identity", "verbose", "quiet", "json", "log_file")

    def wrapped(**values: Any) -> Any:
        chosen = {name: values.pop(name, None) for name in names}
        return function(Desk(**chosen), **values)

    result: Callable[..., Any] = update_wrapper(wrapped, function)
    for option in reversed(options):
        result = option(result)
    return result


def _user() -> str:
    """Who runs this, as the system calls them."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def signing(prefix: str) -> Callable[[F], F]:
    """Adds the options of a command that somebody signs: ``--PREFIX NAME`` and where the signature comes from."""
    options = (
        click.option(f"--{prefix}", "signer", metavar="NAME", help="Who signs, as enrolled."),
        click.option("--sign-with", metavar="KEY", help="That person's SSH key; ssh-keygen signs."),
        click.option("--signature", metavar="FILE", help="Or the signature, made elsewhere of what --print shows."),
        click.option("--print", "shown", is_flag=True, help="Print the text that has to be signed, and do nothing."),
    )

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def signatory(signer: str | None, sign_with: str | None, signature: str | None) -> Signatory | None:
    """Who signs; nothing if nobody is named."""
    from obhut.archive import signing as by_ssh
    from obhut.archive.actions.people import Signatory

    if signer is None:
        if sign_with or signature:
            raise click.UsageError("say whose signature it is")
        return None
    if (sign_with is None) == (signature is None):
        raise click.UsageError("the signature comes from --sign-with KEY or from --signature FILE")
    if sign_with is not None:
        return Signatory(signer, lambda text: by_ssh.sign(Path(sign_with), text))
    try:
        given = Path(str(signature)).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ObhutError("signature-refused", str(signature), why) from None
    return Signatory(signer, lambda _: given)


def second_clock(function: F) -> F:
    """Adds the options that name a second clock."""
    function = click.option(
        "--checkpoint",
        metavar="FILE",
        help="A checkpoint that a witness signed: the second clock, at least so late it is.",
    )(function)
    return click.option("--witness", metavar="FILE", help="The witness's .vkey.")(function)


def agreed(desk: Desk, vault: Vault, checkpoint: str | None, witness: str | None) -> Agreed:
    """What this machine's clock and a witness, or whoever stamped, agree on. Raises ``second-clock``."""
    from obhut.archive import clocks
    from obhut.archive.actions.stamp import readings
    from obhut.archive.actions.verify import witnessed

    if (checkpoint is None) != (witness is None):
        raise click.UsageError("--checkpoint and --witness belong together")
    others = readings(vault)
    if checkpoint is not None and witness is not None:
        others.append(witnessed(vault, checkpoint, witness))
    found = clocks.agree(clocks.Reading(desk.host, desk.now), others)
    if found is None:
        raise ObhutError("second-clock")
    return found


def disposing(function: F) -> F:
    """Adds the option that names the credential that deletes from a bucket."""
    return click.option(
        "--disposal-profile",
        metavar="NAME",
        envvar="OBHUT_DISPOSAL_PROFILE",
        help="The profile of AWS whose credential deletes from a bucket; the intake's must not.  [env: OBHUT_DISPOSAL_PROFILE]",
    )(function)


def remove_as(store: Any, profile: str | None) -> None:
    """Gives a bucket the credential that deletes. A folder needs none."""
    from obhut.archive.store import LocalStore

    if profile and not isinstance(store, LocalStore):
        store.remove_as(profile)


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
