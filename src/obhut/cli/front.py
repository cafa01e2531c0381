"""From options, environment and profile to an opened repository: precedence is decided here, once."""

from __future__ import annotations

import os
import platform
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from obhut import passwords
from obhut.backup.select import Filter
from obhut.backup.session import Access, locked, open_repository
from obhut.backup.sizes import parse_seconds
from obhut.cli.console import Console
from obhut.cli.options import COMPRESSION
from obhut.cli.reporter import Front as Reporter
from obhut.cli.reporter import Log
from obhut.cli.variables import lookup, source_of
from obhut.config import cache_base, load
from obhut.errors import ObhutError
from obhut.passwords import Question, Sources
from obhut.world.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from obhut import _core
    from obhut.settings import Profile

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Common:
    """The values of the shared options, as given."""

    repo: str | None
    repository_file: str | None
    password_file: str | None
    password_command: str | None
    password_keyring: str | None
    insecure_no_password: bool
    key_hint: str | None
    profile: str | None
    config: str | None
    retry_lock: float | None
    no_lock: bool
    cache_dir: str | None
    no_cache: bool
    threads: int | None
    compression: str | None
    pack_size: int | None
    no_extra_verify: bool
    limit_upload: int | None
    limit_download: int | None
    verbose: int
    quiet: bool
    json: bool
    log_file: str | None


def first(*values: T | None) -> T | None:
    """The first value that is given."""
    return next((value for value in values if value is not None), None)


def read_location(name: str) -> str:
    """A file that holds the location of a repository."""
    try:
        data = passwords.decode_text(Path(name).read_bytes()[: 1 << 16])
    except OSError as error:
        raise ObhutError("repository-unspecified", name, error.strerror or "") from None
    return os.fsdecode(data.strip())


class Front:
    """What a command needs: console, reporter, and access to the repository."""

    def __init__(self, common: Common) -> None:
        passwords.harden_process()
        if common.quiet and common.verbose:
            raise ObhutError("invalid-argument", "--quiet and --verbose", "only one of the two can be used")
        self.common = common
        self.environ = dict(os.environ)
        self.console = Console()
        self.clock = SystemClock().now_ns
        self.verbosity = 0 if common.quiet else min(1 + common.verbose, 3)
        self.log = Log(common.log_file, self.clock) if common.log_file else None
        self.reporter = Reporter(self.console, verbosity=self.verbosity, json=common.json, log=self.log)
        config = load(common.config, self.environ)
        self.profile: Profile | None = config.profile(common.profile or lookup(self.environ, "PROFILE"))

    @property
    def json(self) -> bool:
        """Whether JSON was asked for."""
        return self.common.json

    @property
    def threads(self) -> int:
        """How many threads; 0 = one a processor."""
        return self._number("threads", self.common.threads, "THREADS", 0, 1024) or 0

    @property
    def host(self) -> str:
        """The host name for new snapshots and keys."""
        return first(lookup(self.environ, "HOST"), self.of_profile("host")) or platform.node() or "localhost"

    def of_profile(self, name: str) -> Any:
        """A value of the profile; empty ones count as not given."""
        value = getattr(self.profile, name) if self.profile is not None else None
        return value if value not in ([], "") else None

    def filter(self, hosts: tuple[str, ...], tags: tuple[tuple[str, ...], ...], paths: tuple[str, ...]) -> Filter:
        """The filter options; without --host the variable counts, and ``--host ''`` means every host."""
        chosen = hosts or tuple(filter(None, [lookup(self.environ, "HOST")]))
        return Filter(() if chosen == ("",) else chosen, tags, paths)

    def listing(self) -> Reporter:
        """For commands whose output is what they are for."""
        self.reporter.listing = True
        return self.reporter

    def _variable(self, name: str, read: Callable[[str], T]) -> T | None:
        text = lookup(self.environ, name)
        if text is None:
            return None
        try:
            return read(text)
        except ValueError as error:
            raise ObhutError("invalid-argument", source_of(self.environ, name), str(error)) from None

    def _number(self, setting: str, given: int | None, name: str, low: int, high: int) -> int | None:
        def read(text: str) -> int:
            if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
                raise ValueError(f"a number from {low} to {high} is needed")
            return int(text)

        return first(given, self._variable(name, read), self.of_profile(setting))

    def _compression(self) -> str:
        def read(text: str) -> str:
            if text not in COMPRESSION:
                raise ValueError(f"one of {', '.join(COMPRESSION)}")
            return text

        return (
            first(self.common.compression, self._variable("COMPRESSION", read), self.of_profile("compression"))
            or "auto"
        )

    def location(self) -> str:
        """Where the repository is: command line, environment, profile."""
        common, environ = self.common, self.environ
        levels = (
            (common.repo, common.repository_file),
            (lookup(environ, "REPOSITORY"), lookup(environ, "REPOSITORY_FILE")),
            (self.of_profile("repository"), self.of_profile("repository_file")),
        )
        for place, file in levels:
            if place and file:
                raise ObhutError(
                    "invalid-argument", "repository and repository file", "only one of the two can be used"
                )
            if place:
                return str(place)
            if file:
                return read_location(str(file))
        raise ObhutError("repository-unspecified")

    def question(self, *, new: bool = False) -> Question:
        """Where the password comes from."""
        common = self.common
        return Question(
            flags=Sources(common.password_file, common.password_command, common.password_keyring),
            profile=Sources(
                self.of_profile("password_file"),
                self.of_profile("password_command"),
                self.of_profile("password_keyring"),
            ),
            no_password=common.insecure_no_password,
            new=new,
            prompt="new password for the repository: " if new else "password for the repository: ",
        )

    def cache_dir(self) -> bytes | None:
        """Base of the cache; ``None`` if none is wanted."""
        if self.common.no_cache or (self.common.cache_dir is None and self.of_profile("no_cache")):
            return None
        chosen = first(self.common.cache_dir, lookup(self.environ, "CACHE_DIR"), self.of_profile("cache_dir"))
        return os.fsencode(chosen) if chosen else cache_base(self.environ)

    def access(self, *, new: bool = False) -> Access:
        """Everything that opening needs."""
        common = self.common
        retry = self.of_profile("retry_lock")
        return Access(
            location=self.location(),
            question=self.question(new=new),
            host=platform.node() or "localhost",
            key_hint=first(common.key_hint, lookup(self.environ, "KEY_HINT"), self.of_profile("key_hint")),
            compression=self._compression(),
            pack_size=(self._number("pack_size", common.pack_size, "PACK_SIZE", 4, 128) or 0) << 20,
            extra_verify=not common.no_extra_verify and self.of_profile("extra_verify") is not False,
            threads=self.threads,
            cache_dir=self.cache_dir(),
            limit_upload=first(common.limit_upload, self.of_profile("limit_upload")) or 0,
            limit_download=first(common.limit_download, self.of_profile("limit_download")) or 0,
            retry_lock=first(common.retry_lock, parse_seconds(retry) if retry else None) or 0.0,
        )

    @contextmanager
    def repository(
        self, *, exclusive: bool = False, lock: bool = True, index: bool = False
    ) -> Iterator[_core.Repository]:
        """Opens the repository and holds its lock. ``--no-lock`` is honoured only if ``lock`` is false already.

        With ``index`` the index is loaded while the lock settles; one thread (``--threads 1``) does nothing beside it.
        """
        access = self.access()
        repository = open_repository(access, self.environ, self.reporter)
        if index and lock and self.threads != 1:
            repository.prefetch_index(self.threads)
        self.reporter.say(f"repository {repository.id[:8]} opened (version {repository.version})", 2)
        with locked(repository, access, self.reporter, exclusive=exclusive, wanted=lock):
            yield repository

    def reading(self, *, index: bool = False) -> Any:
        """Opens the repository for a command that only reads."""
        return self.repository(lock=not self.common.no_lock, index=index)

    def needs_lock(self, *, dry_run: bool) -> bool:
        """Whether a command that changes something takes a lock: --no-lock is for dry runs only."""
        if self.common.no_lock and not dry_run:
            raise ObhutError("invalid-argument", "--no-lock", "only together with --dry-run for this command")
        return not self.common.no_lock
