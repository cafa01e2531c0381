"""``obhut archive verifier``."""

from __future__ import annotations

import click

from obhut.cli.lazy import ExamplesCommand


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive verifier -o verify.py
    """,
)
@click.option("-o", "--output", required=True, metavar="FILE", help="A new file for it.")
def verifier(output: str) -> None:
    """Write the verifier that works without Obhut: one file, which needs Python and openssl.

    Give it to whom a receipt is shown: `python3 verify.py RECEIPT DOCUMENT --key LOG.vkey`. With `--store DIR` it checks a
    whole archive.
    """
    from obhut.archive.assembly import verifier as assembled
    from obhut.cli.archive.desk import write_new

    write_new(output, assembled().encode())
