"""Where a repository's password comes from, and how it is kept from showing.

Order: the command line (file, command, keyring), the environment (``OBHUT_…`` before ``RESTIC_…``; command, file, value),
the profile, a prompt if there is a terminal. Formats: restic 3: a file may have a byte order mark or be UTF-16, white
space around is cut; a command's output is cut likewise; ``…_PASSWORD`` is used as it is.
A password is bytes inside a :class:`Secret`, which shows nothing of itself.
"""

from __future__ import annotations

import codecs
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from obhut.errors import ObhutError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: A password file is never longer.
MAX_BYTES: Final = 1 << 20
#: How often a person may mistype.
PROMPTS: Final = 3

#: What no child process may see: passwords and storage credentials.
SECRETS: Final = frozenset(
    {f"{tool}_{name}{suffix}" for tool in ("OBHUT", "RESTIC", "RUSTIC") for name in ("PASSWORD", "FROM_PASSWORD", "NEW_PASSWORD",
     "REST_PASSWORD") for suffix in ("", "_FILE", "_COMMAND")}
    | {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "B2_ACCOUNT_KEY", "AZURE_ACCOUNT_KEY", "AZURE_ACCOUNT_SAS",
       "OS_PASSWORD", "OS_AUTH_TOKEN", "OS_APPLICATION_CREDENTIAL_SECRET", "ST_KEY", "RCLONE_CONFIG_PASS"}
)  # fmt: skip


#: What :func:`redact` cuts out; shorter passwords would cut words.
_KNOWN: Final[set[str]] = set()
_SHORTEST: Final = 4


class Secret:
    """Bytes that do not show: not in ``repr``, not in a log, not in a traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value
        if len(value) >= _SHORTEST:
            _KNOWN.add(value.decode("utf-8", "backslashreplace"))

    def reveal(self) -> bytes:
        """The bytes, for the core only."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    __hash__ = None  # type: ignore[assignment]


def redact(text: str) -> str:
    """A text for logs, without known passwords and without passwords inside URLs: the last guard, not the first."""
    for secret in _KNOWN:
        text = text.replace(secret, "***")
    return re.sub(r"(://[^/@\s:]*):[^/@\s]*@", r"\1:***@", text)


def child_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a child process: ours without secrets."""
    return {name: value for name, value in (os.environ if environ is None else environ).items() if name not in SECRETS}


def decode_text(data: bytes) -> bytes:
    """UTF-8 without byte order mark; UTF-16 with one is converted."""
    if data.startswith(codecs.BOM_UTF8):
        return data[len(codecs.BOM_UTF8) :]
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace").encode("utf-8", "replace")
    return data


def trim(data: bytes) -> bytes:
    """Without white space around, as Go trims text."""
    try:
        return data.decode("utf-8").strip().encode("utf-8")
    except UnicodeDecodeError:
        return data.strip()


def from_file(name: str) -> Secret:
    """Reads a password file."""
    try:
        with Path(name).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ObhutError("password-source", f"file {name}", error.strerror or "") from None
    if len(data) > MAX_BYTES:
        raise ObhutError("password-source", f"file {name}", "longer than 1 MiB")
    return Secret(trim(decode_text(data)))


def from_command(command: str) -> Secret:
    """Runs a command without a shell; its output is the password, its messages go to the terminal."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ObhutError("password-source", "the password command", str(error)) from None
    if not words:
        raise ObhutError("password-source", "the password command", "is empty")
    try:
        run = subprocess.run(words, stdout=subprocess.PIPE, check=False, env=child_environment())
    except OSError as error:
        raise ObhutError("password-source", f"the command {words[0]}", error.strerror or "") from None
    if run.returncode != 0:
        raise ObhutError("password-source", f"the command {words[0]}", f"exit code {run.returncode}")
    return Secret(trim(run.stdout))


def from_keyring(name: str) -> Secret:
    """Asks the system's keyring for service ``obhut`` and user ``name``."""
    try:
        import keyring

        value = keyring.get_password("obhut", name)
    except Exception as error:  # noqa: BLE001  (keyring backends raise anything)
        raise ObhutError("password-source", f"keyring entry {name}", type(error).__name__) from None
    if value is None:
        raise ObhutError("password-source", f"keyring entry {name}", "there is none")
    return Secret(value.encode("utf-8", "surrogateescape"))


@dataclass(frozen=True, slots=True)
class Sources:
    """What one place (command line, profile) says about the password."""

    file: str | None = None
    command: str | None = None
    keyring: str | None = None

    def __bool__(self) -> bool:
        return any((self.file, self.command, self.keyring))

    def read(self) -> tuple[Secret, str]:
        """The password and the words for its source."""
        if sum(map(bool, (self.file, self.command, self.keyring))) > 1:
            raise ObhutError("invalid-argument", "password file, command and keyring", "only one of them can be used")
        if self.file:
            return from_file(self.file), f"file {self.file}"
        if self.command:
            return from_command(self.command), "the password command"
        return from_keyring(self.keyring or ""), f"keyring entry {self.keyring}"


def from_environment(environ: Mapping[str, str], kind: str = "") -> tuple[Secret, str] | None:
    """``OBHUT_PASSWORD…`` before ``RESTIC_PASSWORD…``; ``kind`` is ``FROM_`` for a second repository."""
    for tool in ("OBHUT", "RESTIC"):
        prefix = f"{tool}_{kind}PASSWORD"
        sources = Sources(environ.get(f"{prefix}_FILE"), environ.get(f"{prefix}_COMMAND"))
        if sources:
            return sources.read()
        if environ.get(prefix):
            return Secret(os.fsencode(environ[prefix])), f"variable {prefix}"
    return None


def has_terminal() -> bool:
    """Whether a person can be asked."""
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:
        return False


def ask(prompt: str) -> Secret:
    """Asks at the terminal, without echo."""
    import getpass

    try:
        return Secret(getpass.getpass(prompt).encode("utf-8", "surrogateescape"))
    except EOFError:
        raise ObhutError("password-missing", detail="the terminal was closed") from None


@dataclass(frozen=True, slots=True)
class Question:
    """Everything that decides where the password comes from."""

    flags: Sources = Sources()
    profile: Sources = Sources()
    no_password: bool = False
    kind: str = ""
    #: What is asked for: the password of an existing repository, or a new one (asked twice).
    new: bool = False
    prompt: str = "password for the repository: "

    def given(self, environ: Mapping[str, str]) -> tuple[Secret, str] | None:
        """The password from any source but the terminal."""
        if self.flags:
            return self.flags.read()
        return from_environment(environ, self.kind) or (self.profile.read() if self.profile else None)

    def answer(
        self,
        environ: Mapping[str, str],
        *,
        terminal: Callable[[], bool] = has_terminal,
        asked: Callable[[str], Secret] = ask,
    ) -> tuple[Secret, bool]:
        """The password, and whether a person typed it. Never hangs: without source and terminal it fails (12)."""
        found = None if self.no_password and not self.flags else self.given(environ)
        if self.no_password:
            if found is not None:
                raise ObhutError("invalid-argument", "--insecure-no-password", "a password was given as well")
            return Secret(b""), False
        if found is not None:
            secret, source = found
            if not secret:
                raise ObhutError("password-empty", source)
            return secret, False
        if not terminal():
            raise ObhutError("password-missing")
        secret = asked(self.prompt)
        if not secret:
            raise ObhutError("password-empty", "the terminal")
        if self.new and asked("the same again: ") != secret:
            raise ObhutError("password-mismatch")
        return secret, True


def harden_process() -> None:
    """Core dumps off, not dumpable: a password must not reach a crash report."""
    from obhut import _core

    _core.harden_process()
