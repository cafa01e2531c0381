"""``obhut backup key``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.options import common, common_before

if TYPE_CHECKING:
    from obhut.cli.front import Front
    from obhut.passwords import Secret


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@common_before
def key(**_: Any) -> None:
    """List, add, remove and change passwords.

    Every password has a key of its own; all open the same repository.
    """


def _new_password(front: Front, file: str | None, empty: bool) -> Secret:
    from obhut.passwords import Question, Sources

    if empty and file:
        raise click.UsageError("use only one of --new-password-file and --new-insecure-no-password")
    question = Question(flags=Sources(file), no_password=empty, kind="NEW_", new=True, prompt="new password: ")
    return question.answer(front.environ)[0]


def _new(function: Any) -> Any:
    for option in reversed((
        click.option("--new-password-file", metavar="FILE", help="Read the new password from FILE."),
        click.option("--new-insecure-no-password", is_flag=True, help="The new password is empty (insecure)."),
        click.option("--user", metavar="NAME", default="", help="The user name recorded with the key."),
        click.option("--host", metavar="NAME", default="", help="The host name recorded with the key."),
    )):  # fmt: skip
        function = option(function)
    return function


@key.command("list", cls=ExamplesCommand, examples="obhut backup key list -r /mnt/disk/repo")
@common
def list_keys(front: Front) -> None:
    """List the keys; the one in use is marked."""
    from obhut.backup.actions.keys import list_keys as keys_of
    from obhut.cli.table import render

    front.listing()
    with front.reading() as repository:
        keys = keys_of(repository)
    if front.json:
        front.reporter.line(keys)
        return
    rows = [
        (("*" if entry["current"] else " ") + entry["id"][:8], entry["userName"], entry["hostName"], entry["created"])
        for entry in keys
    ]
    for line in render((" ID", "User", "Host", "Created"), rows):
        front.console.out(line)


@key.command(cls=ExamplesCommand, examples="obhut backup key add -r /mnt/disk/repo --user anna")
@common
@_new
def add(front: Front, new_password_file: str | None, new_insecure_no_password: bool, user: str, host: str) -> None:
    """Add a password."""
    from obhut.backup.actions.keys import add as add_key

    with front.repository() as repository:
        password = _new_password(front, new_password_file, new_insecure_no_password)
        ident = add_key(repository, password, user=user, host=host or front.host)
    front.reporter.say(f"saved new key with ID {ident}")


@key.command(cls=ExamplesCommand, examples="obhut backup key passwd -r /mnt/disk/repo")
@common
@_new
def passwd(front: Front, new_password_file: str | None, new_insecure_no_password: bool, user: str, host: str) -> None:
    """Change the password in use: add the new one, make sure that it opens the repository, remove the old one."""
    from obhut.backup.actions.keys import change

    with front.repository(exclusive=True) as repository:
        password = _new_password(front, new_password_file, new_insecure_no_password)
        ident = change(repository, password, user=user, host=host or front.host)
    front.reporter.say(f"saved new key as {ident}")


@key.command(cls=ExamplesCommand, examples="obhut backup key remove -r /mnt/disk/repo 1a2b3c4d")
@click.argument("ident", metavar="ID")
@common
def remove(front: Front, ident: str) -> None:
    """Remove a password; never the one in use."""
    from obhut.backup.actions.keys import remove as remove_key

    with front.repository(exclusive=True) as repository:
        removed = remove_key(repository, ident, front.reporter)
    front.reporter.say(f"removed key {removed}")
