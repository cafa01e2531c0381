"""``obhut backup init``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.lazy import ExamplesCommand
from obhut.cli.options import common

if TYPE_CHECKING:
    from obhut.cli.front import Front


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut backup init -r /mnt/disk/repo
    obhut backup init -r /mnt/disk/repo --password-file /etc/obhut/repo.password
    obhut backup init -r /mnt/b --from-repo /mnt/a --copy-chunker-params
    """,
)
@common
@click.option("--repository-version", metavar="VERSION", default="stable", help="1, 2, latest or stable (= 2).")
@click.option(
    "--copy-chunker-params", is_flag=True, help="Cut files as another repository does (for copies between both)."
)
@click.option(
    "--from-repo", metavar="PLACE", help="That repository.  [env: OBHUT_FROM_REPOSITORY, RESTIC_FROM_REPOSITORY]"
)
@click.option("--from-repository-file", metavar="FILE", help="Read its location from FILE.")
@click.option("--from-password-file", metavar="FILE", help="Read its password from FILE.")
@click.option("--from-password-command", metavar="COMMAND", help="Run COMMAND; it prints its password.")
@click.option("--from-insecure-no-password", is_flag=True, help="It has an empty password.")
@click.option("--from-key-hint", metavar="ID", help="The key of it to try first.")
def init(front: Front, repository_version: str, copy_chunker_params: bool, **source: str | bool | None) -> None:
    """Create a repository.

    The password is asked for twice. Whoever loses it loses the data: keep it apart from this machine.
    """
    from obhut.backup.actions.init import init as create
    from obhut.backup.session import open_repository
    from obhut.cli.second import second_access
    from obhut.passwords import redact

    versions = {"1": 1, "2": 2, "latest": 2, "stable": 2}
    if repository_version not in versions:
        raise click.BadParameter("use 1, 2, latest or stable", param_hint="--repository-version")
    access = front.access(new=True)
    other = second_access(front, access, **source) if copy_chunker_params else None
    if not copy_chunker_params and any(source.values()):
        raise click.UsageError("--from-… options need --copy-chunker-params")
    chunker_from = open_repository(other, front.environ, front.reporter) if other else None
    made = create(
        access, front.environ, version=versions[repository_version], hostname=front.host, chunker_from=chunker_from
    )
    place = redact(made.location())
    if front.json:
        front.reporter.line({"message_type": "initialized", "id": made.id, "repository": place})
        return
    front.reporter.say(f"created repository {made.id[:10]} at {place}")
    front.reporter.say("Keep the password apart from this machine: without it the data is lost for good.")
