"""Options that many commands share, and the values that they take."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
COMPRESSION = ("auto", "off", "fastest", "better", "max")


class Parsed(click.ParamType[Any]):
    """A value read by a function that raises ``ValueError`` with words for people."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Reads text; other values came from a default and stay."""
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _bytes(text: str) -> int:
    from obhut.backup.sizes import parse_bytes

    return parse_bytes(text)


def _seconds(text: str) -> float:
    from obhut.backup.sizes import parse_seconds

    return parse_seconds(text)


def _group(text: str) -> Any:
    from obhut.backup.group import GroupBy

    return GroupBy.parse(text)


def _tags(text: str) -> tuple[str, ...]:
    from obhut.backup.snapshot import split_tags

    return split_tags(text)


def _time(text: str) -> Any:
    from obhut.backup.stamp import parse_user_time

    return parse_user_time(text)


SIZE = Parsed("size", _bytes)
SECONDS = Parsed("duration", _seconds)
GROUP = Parsed("group", _group)
TAGS = Parsed("tag,…", _tags)
TIME = Parsed("time", _time)


class Name(click.ParamType[bytes]):
    """A file name of any bytes."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:  # noqa: ARG002  (the signature is given)
        """The bytes that the system gave us."""
        return value if isinstance(value, bytes) else os.fsencode(value)


NAME = Name()

_REPOSITORY = (
    click.option(
        "-r", "--repo", metavar="PLACE", help="The repository: a path.  [env: OBHUT_REPOSITORY, RESTIC_REPOSITORY]"
    ),
    click.option("--repository-file", metavar="FILE", help="Read the location from FILE."),
    click.option("-p", "--password-file", metavar="FILE", help="Read the password from FILE."),
    click.option(
        "--password-command", metavar="COMMAND", help="Run COMMAND (without a shell); it prints the password."
    ),
    click.option("--password-keyring", metavar="NAME", help="Take the password from the system's keyring."),
    click.option("--insecure-no-password", is_flag=True, help="The repository has an empty password (insecure)."),
    click.option("--key-hint", metavar="ID", help="The key to try first."),
    click.option("--profile", metavar="NAME", help="A profile of obhut.toml."),
    click.option("--config", metavar="FILE", help="Read only this obhut.toml."),
    click.option("--retry-lock", type=SECONDS, help="Wait this long for a lock (30s, 5m, 1h)."),
    click.option("--no-lock", is_flag=True, help="Take no lock (commands that only read, and dry runs)."),
    click.option("--cache-dir", metavar="DIR", help="Base of the local cache (default: restic's)."),
    click.option("--no-cache", is_flag=True, help="Keep nothing on this machine."),
    click.option(
        "--threads", type=click.IntRange(0, 1024), metavar="N", help="How many threads work (0 = one a processor)."
    ),
    click.option("--compression", type=click.Choice(COMPRESSION), help="How hard to compress."),
    click.option(
        "--pack-size", type=click.IntRange(4, 128), metavar="MIB", help="Target size of a pack, 4 to 128 MiB."
    ),
    click.option("--no-extra-verify", is_flag=True, help="Do not decode again what was encoded (not advised)."),
    click.option("--limit-upload", type=click.IntRange(0), metavar="KIB", help="KiB per second to the storage."),
    click.option("--limit-download", type=click.IntRange(0), metavar="KIB", help="KiB per second from the storage."),
)
_OUTPUT = (
    click.option("-v", "--verbose", count=True, help="Say more; -vv or --verbose=2: a line a file."),
    click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong."),
    click.option("--json", is_flag=True, help="Print JSON, in restic's shape."),
    click.option("--log-file", metavar="FILE", help="Append what happens to FILE (without secrets)."),
)
_FILTER = (
    click.option(
        "-H", "--host", "hosts", multiple=True, metavar="HOST", help="Only snapshots of HOST (several: any of them)."
    ),
    click.option(
        "--tag", "tags", multiple=True, type=TAGS, help="Only snapshots with all these tags (several: any of them)."
    ),
    click.option(
        "--path", "paths", multiple=True, metavar="PATH", help="Only snapshots of PATH (several: all of them)."
    ),
)
#: Names of the parameters that make up :class:`obhut.cli.front.Common`.
COMMON = ("repo", "repository_file", "password_file", "password_command", "password_keyring", "insecure_no_password",
          "key_hint", "profile", "config", "retry_lock", "no_lock", "cache_dir", "no_cache", "threads", "compression",
          "pack_size", "no_extra_verify", "limit_upload", "limit_download", "verbose", "quiet", "json",
          "log_file")  # fmt: skip


def common(function: F) -> Callable[..., Any]:
    """Adds the options of every command on a repository; the function gets a ``Front`` first."""

    def wrapped(**values: Any) -> Any:
        from obhut.cli.front import Common, Front

        # What stands before the command counts unless the command says otherwise.
        outer = click.get_current_context().parent
        verbose = values["verbose"]
        while outer is not None:
            for name in COMMON:
                values[name] = values[name] or outer.params.get(name, values[name])
            # These are counted in both places.
            verbose += outer.params.get("verbose", 0)
            outer = outer.parent
        values["verbose"] = verbose
        chosen = Common(**{name: values.pop(name) for name in COMMON})
        return function(Front(chosen), **values)

    result: Callable[..., Any] = update_wrapper(wrapped, function)
    for option in reversed((*_REPOSITORY, *_OUTPUT)):
        result = option(result)
    return result


def common_before(function: F) -> F:
    """Accepts the same options on a group, before the command's name; its help does not repeat them."""
    result: Any = common(lambda: None)
    for option in result.__click_params__:
        option.hidden = True
    function.__click_params__ = result.__click_params__  # type: ignore[attr-defined]
    return function


def snapshot_filter(function: F) -> F:
    """Adds --host, --tag and --path."""
    result: Any = function
    for option in reversed(_FILTER):
        result = option(result)
    return result  # type: ignore[no-any-return]


def long_host_filter(function: F) -> F:
    """The same without ``-H``, which means something else in ``forget``."""
    result: Any = function
    host = click.option(
        "--host", "hosts", multiple=True, metavar="HOST", help="Only snapshots of HOST (several: any of them)."
    )
    for option in reversed((host, *_FILTER[1:])):
        result = option(result)
    return result  # type: ignore[no-any-return]


def patterns(function: F) -> F:
    """Adds the exclude family."""
    result: Any = function
    for option in reversed(
        (
            click.option(
                "-e", "--exclude", multiple=True, type=NAME, metavar="PATTERN", help="Leave out what fits PATTERN."
            ),
            click.option(
                "--iexclude", multiple=True, type=NAME, metavar="PATTERN", help="The same without regard to case."
            ),
            click.option("--exclude-file", multiple=True, metavar="FILE", help="Read patterns from FILE."),
            click.option("--iexclude-file", multiple=True, metavar="FILE", help="The same without regard to case."),
        )
    ):
        result = option(result)
    return result  # type: ignore[no-any-return]
