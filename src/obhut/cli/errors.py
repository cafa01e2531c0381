"""``obhut errors``."""

from __future__ import annotations

import click


@click.command()
@click.argument("ident", metavar="[ID]", required=False)
def errors(ident: str | None) -> None:
    """Explain an error id, or list all ids.

    \b
    Examples:
      obhut errors repository-locked
      obhut errors
    """  # noqa: D301  (click's mark for a block that keeps its lines)
    from obhut.catalogue import CATALOGUE
    from obhut.cli.console import Console, safe

    console = Console()
    if ident is None:
        for name, entry in CATALOGUE.items():
            console.out(f"{name:24} {entry.what_about('')}")
        return
    if ident not in CATALOGUE:
        raise click.BadParameter(f"there is no error id {safe(ident)!r}", param_hint="ID")
    entry = CATALOGUE[ident]
    console.out(entry.what_about(""))
    console.out(f"  why: {entry.why}")
    console.out(f"  next: {entry.next_step}")
    console.out(f"  another try may help: {'yes' if entry.retry else 'no'}")
    console.out(f"  exit code: {entry.exit_code}")
