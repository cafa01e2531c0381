"""The reference pages, made from the program itself: ``python -m obhut.cli.reference [FOLDER]``.

``docs/reference/{commands,settings,exit-codes,errors}.md`` are the output of this module; a test compares them.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from obhut.catalogue import CATALOGUE
from obhut.cli.lazy import ExamplesCommand
from obhut.cli.main import root
from obhut.cli.options import COMMON, common
from obhut.cli.variables import VARIABLES
from obhut.config import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

_MADE: Final = "% Made by `python -m obhut.cli.reference docs/reference`; do not edit.\n"

EXIT_CODES: Final[dict[int, str]] = {
    0: "Done.",
    1: "Failed; the message says what, why, and the next step. A backup wrote no snapshot.",
    2: "The command line is not understood.",
    3: "Done in part: the snapshot lacks some sources, or some snapshots could not be removed.",
    10: "There is no repository, archive or device of sync at the given place.",
    11: "The repository is locked, or our lock was lost; or a process runs already for a device of sync.",
    12: "The password is wrong, missing or cannot be read.",
    130: "Interrupted (SIGINT, Ctrl-C); our lock was removed.",
    141: "Whoever read our output closed it before everything was written.",
    143: "Told to end (SIGTERM); our lock was removed.",
}


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """All commands below a group, in the order of its help."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command, info_name=path)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if inner is not None:
            yield from _commands(inner, f"{path} {name}")


def all_commands() -> list[tuple[str, click.Command]]:
    """Every command with its full name."""
    return list(_commands(root, "obhut"))


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if isinstance(option.type, click.Choice):
        value = " or ".join(map(str, option.type.choices))
    else:
        value = option.metavar or option.type.name.upper()
    metavar = "" if option.is_flag or option.count else f" `{value}`"
    return f"| {names}{metavar} | {option.help or ''} |"


def _table(options: list[click.Option]) -> str:
    return "\n".join(["| option | meaning |", "|---|---|", *map(_row, options)]) + "\n"


def _paragraphs(command: click.Command) -> str:
    parts = inspect.cleandoc(command.help or "").split("\b\n")
    text = parts[0].strip()
    for part in parts[1:]:
        block, _, rest = part.partition("\n\n")
        text += f"\n\n```text\n{block.strip()}\n```"
        text += f"\n\n{rest.strip()}" if rest.strip() else ""
    return text


def _section(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"## {path}\n", _paragraphs(command) + "\n", f"```text\n{path} {usage}\n```\n"]
    if isinstance(command, ExamplesCommand) and command.examples:
        examples = "\n".join(line.strip() for line in command.examples.splitlines())
        lines.append(f"Examples:\n\n```console\n{examples.strip()}\n```\n")
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    own = [option for option in options if option.name not in COMMON or len(options) < len(COMMON)]
    if own:
        lines.append(_table(own))
    if len(own) < len(options):
        lines.append("And the [options of every command on a repository](#options-of-every-command-on-a-repository).\n")
    return "\n".join(lines)


def commands() -> str:
    """``commands.md``."""
    probe = click.command()(common(lambda: None))
    shared = [parameter for parameter in probe.params if isinstance(parameter, click.Option)]
    sections = [_section(path, command) for path, command in all_commands()]
    head = "# Commands\n\nEvery command shows the same with `--help`.\n"
    before = [parameter for parameter in root.params if isinstance(parameter, click.Option)]
    return "\n".join(
        [
            _MADE,
            head,
            "## obhut\n",
            _table(before),
            "## Options of every command on a repository\n",
            _table(shared),
            *sections,
        ]
    )


def _definitions(model: dict[str, Any], properties: dict[str, Any], prefix: str) -> Iterator[str]:
    for name, entry in properties.items():
        inner = next((part["$ref"] for part in (entry, *entry.get("anyOf", ())) if "$ref" in part), None)
        if inner is not None:
            yield from _definitions(model, model["$defs"][inner.rsplit("/", 1)[-1]]["properties"], f"{prefix}{name}.")
        elif "additionalProperties" in entry:
            table = entry["additionalProperties"]["$ref"].rsplit("/", 1)[-1]
            yield from _definitions(model, model["$defs"][table]["properties"], f"{prefix}{name}.NAME.")
        else:
            yield f"| `{prefix}{name}` | {entry.get('description', '')} |"


def settings() -> str:
    """``settings.md``."""
    model = schema()
    keys = "\n".join(_definitions(model, model["properties"], ""))
    rows = []
    for name, variable in VARIABLES.items():
        names = f"`OBHUT_{name}`" + (f", `RESTIC_{name}`" if variable.restic else "")
        rows.append(f"| {names} | {variable.meaning} |")
    return f"""{_MADE}
# Settings

A setting counts in this order: command line, environment (`OBHUT_…` before `RESTIC_…`), profile, default.

## Environment variables

| variable | meaning |
|---|---|
{chr(10).join(rows)}

Children that Obhut starts do not see passwords and storage credentials. `XDG_CONFIG_HOME` and `XDG_CACHE_HOME` say
where `obhut.toml` and the cache are looked for.

The cache holds two things: repository files as restic keeps them (for storage that is not a local disk), and what the
last backups learnt about directories, so that an unchanged one costs a look at its entries. Both can be deleted at any
time. What no backup has used for 90 days is removed from the second by itself.

## obhut.toml

`/etc/obhut/obhut.toml`, then `$XDG_CONFIG_HOME/obhut/obhut.toml` (`~/.config/obhut/obhut.toml`); or only the file that
`--config` or `OBHUT_CONFIG` names. `obhut config check` finds mistakes, `obhut config schema` prints the JSON schema.

```toml
default_profile = "home"

[profiles.home]
repository = "/mnt/disk/repo"
password_file = "/etc/obhut/home.password"
paths = ["/home/anna"]
exclude_caches = true

[profiles.home.keep]
daily = 7
weekly = 5
monthly = 12
```

| key | meaning |
|---|---|
{keys}
"""


def exit_codes() -> str:
    """``exit-codes.md``."""
    rows = []
    for code, meaning in EXIT_CODES.items():
        ids = ", ".join(f"[`{name}`](errors.md#{name})" for name, entry in CATALOGUE.items() if entry.exit_code == code)
        rows.append(f"| `{code}` | {meaning} | {ids if code != 1 else 'all others'} |")
    return f"""{_MADE}
# Exit codes

The codes of restic, so that scripts written for it work; 2, 141 and 143 are Obhut's own.

| code | meaning | error ids |
|---|---|---|
{chr(10).join(rows)}
"""


def errors() -> str:
    """``errors.md``."""
    sections = []
    for name, entry in CATALOGUE.items():
        sections.append(
            f"({name})=\n## {name}\n\n{entry.what_about('')}\n\n"
            f"- Why: {entry.why}\n- Next step: {entry.next_step}\n"
            f"- Another try may help: {'yes' if entry.retry else 'no'}\n- Exit code: {entry.exit_code}\n"
        )
    head = "# Errors\n\nEvery message ends with an id in brackets; `obhut errors ID` shows the same text.\n"
    return "\n".join([_MADE, head, *sections])


PAGES: Final = {"commands.md": commands, "settings.md": settings, "exit-codes.md": exit_codes, "errors.md": errors}


def main(arguments: list[str]) -> int:
    """Writes the pages into a folder, or prints them."""
    for name, make in PAGES.items():
        if arguments:
            with Path(arguments[0], name).open("w", encoding="utf-8") as file:
                file.write(make())
        else:
            sys.stdout.write(make())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
