"""``obhut version``."""

from __future__ import annotations

import sys

import click

from obhut import __version__


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def version(as_json: bool) -> None:
    """Show the version of Obhut and of its core."""
    from obhut import _core
    from obhut.cli.console import Console
    from obhut.gojson import dumps

    python = sys.version.split()[0]
    if as_json:
        values = {"message_type": "version", "version": __version__, "core": _core.__version__, "python": python}
        Console().out(dumps(values))
        return
    build = " (debug build: slow)" if _core.DEBUG_BUILD else ""
    Console().out(f"obhut {__version__}, core {_core.__version__}{build}, Python {python}")
