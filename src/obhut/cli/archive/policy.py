"""``obhut archive policy``."""

from __future__ import annotations

import click

from obhut.cli.lazy import ExamplesCommand


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive policy intake --store s3://my-archive > intake.json
    obhut archive policy disposal --store s3://my-archive > disposal.json
    aws iam put-user-policy --user-name archive-intake --policy-name intake --policy-document file://intake.json
    """,
)
@click.argument("who", type=click.Choice(["intake", "disposal"]))
@click.option(
    "-s", "--store", envvar="OBHUT_ARCHIVE", required=True, metavar="PLACE", help="s3://BUCKET.  [env: OBHUT_ARCHIVE]"
)
def policy(who: str, store: str) -> None:
    """Print the rights that the intake needs in a bucket, or those of disposal, as a policy of AWS IAM. Nothing is asked of the storage.

    The intake deletes nothing, not even what nothing locks; disposal does nothing else. Two users, or two keys of which
    the second never comes to the machine of the intake.
    """
    from obhut.archive.policies import KINDS, shown

    kind, _, rest = store.partition("://")
    bucket, _, prefix = rest.partition("/")
    if kind != "s3" or not bucket:
        raise click.UsageError("policies are for archives in s3://BUCKET")
    click.echo(shown(KINDS[who](bucket, prefix)), nl=False)
