"""The entry point: the root group, and the one place where failures become messages and exit codes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from obhut import __version__, signals
from obhut.cli.lazy import LazyGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from obhut.errors import ObhutError

COMMANDS = {
    "backup": ("obhut.cli.backup", "backup", "Back up into a restic-format repository, restore, check, forget, prune."),
    "archive": ("obhut.cli.archive", "archive", "Keep documents unaltered for years, with proof."),
    "sync": ("obhut.cli.sync", "sync", "Keep folders the same on several devices, with Syncthing's protocol."),
    "config": ("obhut.cli.config", "config", "Show and check obhut.toml, print its JSON schema."),
    "errors": ("obhut.cli.errors", "errors", "Explain an error id, or list all of them."),
    "version": ("obhut.cli.version", "version", "Show the version of Obhut and of its core."),
}


@click.command(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--profile", metavar="NAME", help="A profile of obhut.toml, for the command that follows.")
@click.option("--config", metavar="FILE", help="Read only this obhut.toml.")
@click.version_option(__version__, prog_name="obhut", message="%(prog)s %(version)s")
def root(**_: str | None) -> None:
    """Obhut keeps your files safe: backup, archive, sync, and what would survive.

    Start with `obhut backup --help`.
    """


def _json_wanted(arguments: Sequence[str]) -> bool:
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def _levels(arguments: Sequence[str]) -> list[str]:
    """``--verbose=2`` and ``-v=2`` become ``-vv``: restic takes them all, click's counting options take no value."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    found: list[str] = []
    for word in arguments[:end]:
        level = word.removeprefix("--verbose=").removeprefix("-v=")
        if level == word:
            found.append(word)
        elif not (level.isascii() and level.isdigit()):
            raise click.BadParameter(f"{level!r} is not a number.", param_hint="'--verbose'")
        elif int(level):
            found.append("-" + "v" * min(int(level), 2))
    return [*found, *arguments[end:]]


def _fail(error: ObhutError, *, json: bool) -> int:
    """Says what happened, why, and what to do next; gives the exit code."""
    from obhut.cli.console import Console, safe
    from obhut.passwords import redact

    console = Console()
    if json:
        from obhut.gojson import dumps

        message = redact(error.message)
        console.err(dumps({"message_type": "exit_error", "code": error.exit_code, "message": message}))
        return error.exit_code
    entry = error.entry
    console.err(redact(f"error: {safe(error.what)}"))
    if error.detail:
        console.err(redact(f"  detail: {safe(error.detail)}"))
    console.err(f"  why: {entry.why}")
    console.err(f"  next: {entry.next_step}")
    console.err(f"  [{error.id}]  more: obhut errors {error.id}")
    return error.exit_code


def _usage(error: click.ClickException, *, json: bool) -> int:
    from obhut.cli.console import Console, safe
    from obhut.errors import ObhutError

    console = Console()
    text = error.format_message()
    if json:
        return _fail(ObhutError("usage", "", safe(text)), json=True)
    context = getattr(error, "ctx", None)
    if context is not None:
        console.err(context.get_usage())
    console.err(f"error: {safe(text)}")
    if context is not None:
        console.err(f"  next: {context.command_path} --help")
    return 2


def _help(context: click.Context) -> int:
    """A group without a command shows its help; as with restic this is no mistake."""
    from obhut.cli.console import Console

    Console().tell(context.get_help())
    return 0


def run(arguments: Sequence[str]) -> int:
    """Runs one command line; gives the exit code. From the first moment on a signal has its exit code."""
    json = _json_wanted(arguments)
    try:
        signals.install()
        from obhut.cli.console import secure_descriptors

        secure_descriptors()
        result = root.main(_levels(arguments), prog_name="obhut", standalone_mode=False)
        signals.ignore()
    except BaseException as error:  # noqa: BLE001  (the last place: nothing gets past it)
        signals.ignore()
        return _ended(error, json=json)
    return result if isinstance(result, int) else 0


def _ended(error: BaseException, *, json: bool) -> int:
    """The exit code of a command that ended early, after saying why."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and error.ctx is not None:
        return _help(error.ctx)
    if isinstance(error, click.ClickException):
        return _usage(error, json=json)
    if isinstance(error, BrokenPipeError):
        return 141
    if isinstance(error, signals.Interrupted):
        from obhut.errors import ObhutError

        return _fail(ObhutError("cancelled", exit_code=error.exit_code), json=json)
    if not isinstance(error, (Exception, KeyboardInterrupt)):
        raise error
    return _other(error, json=json)


def _other(error: BaseException, *, json: bool) -> int:
    """Errors of ours; anything else is a defect, shown as one line unless OBHUT_TRACEBACK is set."""
    from obhut.cli.console import OutputClosed
    from obhut.errors import ObhutError

    if isinstance(error, OutputClosed):
        return ObhutError("output-closed").exit_code
    if isinstance(error, ObhutError):
        return _fail(error, json=json)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return _fail(ObhutError("cancelled"), json=json)
    if os.environ.get("OBHUT_TRACEBACK"):
        import traceback

        from obhut.passwords import redact

        sys.stderr.write(redact("".join(traceback.format_exception(error))))
    return _fail(ObhutError("internal", "", f"{type(error).__name__}: {error}"), json=json)


def main() -> None:
    """The program ``obhut``."""
    code = run(sys.argv[1:])
    # Nothing is left in Python's own streams; what a closed reader refuses must not become a traceback at exit.
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


if __name__ == "__main__":
    main()
