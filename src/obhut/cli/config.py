"""``obhut config``."""

from __future__ import annotations

import os

import click

_FILE = click.option("--config", "path", metavar="FILE", help="Read only this file.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def config() -> None:
    """Show and check obhut.toml, print its JSON schema."""


@config.command()
def schema() -> None:
    """Print the JSON schema of obhut.toml."""
    import json

    from obhut.cli.console import Console
    from obhut.config import schema as of_file

    Console().out(json.dumps(of_file(), indent=2))


@config.command()
@_FILE
def check(path: str | None) -> None:
    """Check the files that apply; a mistake is named with its line."""
    from obhut.cli.console import Console
    from obhut.config import load

    found = load(path, os.environ)
    Console().out(f"{len(found.files)} files, {len(found.profiles)} profiles: no mistake")


@config.command()
@_FILE
def show(path: str | None) -> None:
    """Show which files are read and the profiles in them."""
    from obhut.cli.console import Console, safe
    from obhut.config import SYSTEM_FILE, load, user_file
    from obhut.passwords import redact

    console = Console()
    found = load(path, os.environ)
    for file in found.files:
        console.out(f"file     {safe(str(file))}")
    if not found.files:
        console.out(f"no file: neither {SYSTEM_FILE} nor {safe(str(user_file(os.environ)))} exists")
    for name, profile in sorted(found.profiles.items()):
        mark = " (default)" if name == found.default_profile else ""
        console.out(f"profile  {safe(name)}{mark}: {redact(safe(profile.repository or 'no repository'))}")
