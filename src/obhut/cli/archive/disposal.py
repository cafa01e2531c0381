"""``obhut archive propose``, ``approve`` and ``dispose``: the lawful end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from obhut.cli.archive.desk import desk as with_desk
from obhut.cli.archive.desk import disposing, second_clock, signing, writing_desk
from obhut.cli.lazy import ExamplesCommand

if TYPE_CHECKING:
    from obhut.cli.archive.desk import Desk


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive propose -s /srv/archive --checkpoint archive.checkpoint --witness witness.vkey
    obhut archive propose -s /srv/archive --withdraw 1042-9f3a5c7e01b2d4f6 --why "private letter, misfiled"
    """,
)
@writing_desk
@click.option("--why", metavar="TEXT", help="The reason.  [default: the law does not ask for them any longer]")
@click.option("--withdraw", multiple=True, metavar="ID", help="Propose instead that this document was misfiled.")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what may go.")
@second_clock
def propose(
    desk: Desk,
    why: str | None,
    withdraw: tuple[str, ...],
    checkpoint: str | None,
    witness: str | None,
    *,
    dry_run: bool,
) -> None:
    """Propose what may go: all documents that the law has released and that nobody holds. Nothing goes by itself.

    Audit records, which say who took which document out, are among it when their own years have ended.

    The day is the earlier one of this machine's clock and of a second one: that of a witness. What is misfiled may be
    withdrawn (--withdraw) before it is settled, whatever its class. Either way two people have to sign it.
    """
    from obhut.archive.actions import dispose as acts
    from obhut.archive.record import index_of

    vault = desk.vault()
    key = desk.key_path(vault.origin)
    reads = 0
    if withdraw:
        if not why:
            raise click.UsageError("--withdraw needs --why TEXT")
        filed = acts.withdraw(vault, key, withdraw, why, desk.now)
    else:
        from obhut.archive.actions.survey import survey
        from obhut.cli.archive.desk import agreed

        day = agreed(desk, vault, checkpoint, witness)
        seen = survey(vault)
        may_go = acts.candidates(seen, day)
        ledger = seen.ledger
        _list(
            desk,
            [
                (seen.id(index), category.name, str(ledger.event(index)), str(ledger.end(index, day.day)))
                for index in may_go
                if (category := ledger.category(index))
            ],
        )
        if dry_run:
            return
        proposed = acts.propose(vault, key, day, why or "the law does not ask for them any longer", desk.now)
        if proposed is None:
            if not desk.json:
                desk.reporter.say(f"on {day.day} nothing may go")
            return
        filed = proposed
        reads = sum(index_of(name) in ledger.reads for name in filed.statement.facts["documents"])
    if desk.json:
        desk.reporter.line({"message_type": "proposed", "id": filed.statement.id, **filed.statement.facts})
        return
    count = len(filed.statement.facts["documents"])
    desk.reporter.say(f"proposal {filed.statement.id}: {_amount(count - reads, reads)}")
    desk.reporter.say(
        f"two people have to sign it: obhut archive approve {filed.statement.id} --as NAME --sign-with KEY"
    )


def _amount(documents: int, reads: int) -> str:
    parts = [f"{documents} documents"] * (documents > 0 or not reads) + [f"{reads} audit records"] * (reads > 0)
    return " and ".join(parts)


def _list(desk: Desk, rows: list[tuple[str, str, str, str]]) -> None:
    from obhut.cli.table import render

    for name, category, event, end in rows if desk.json else ():
        desk.reporter.line({"message_type": "may_go", "id": name, "class": category, "event": event, "ended": end})
    if rows and not desk.json:
        for line in render(["ID", "Class", "Event", "Ended"], rows):
            desk.console.out(line)


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive approve 2051-0123456789abcdef -s /srv/archive --as anna --sign-with ~/.ssh/id_ed25519
    obhut archive approve 2051-0123456789abcdef -s /srv/archive --print > text
    obhut archive approve 2051-0123456789abcdef -s /srv/archive --as bert --signature text.sig
    """,
)
@click.argument("id", metavar="PROPOSAL")
@writing_desk
@signing("as")
def approve(
    desk: Desk, id: str, signer: str | None, sign_with: str | None, signature: str | None, *, shown: bool
) -> None:
    """Sign a proposal with your own SSH key. Look at it first: `obhut archive show PROPOSAL`.

    Keys need not come to this machine: --print shows the text, `ssh-keygen -Y sign -n obhut-archive -f KEY text` signs it
    anywhere, and --signature brings the signature back.
    """
    from obhut.archive.actions import dispose as acts
    from obhut.archive.ledger import NEEDED
    from obhut.cli.archive.desk import signatory

    vault = desk.vault()
    if shown:
        desk.console.out_bytes(acts.approval_of(vault, id))
        return
    person = signatory(signer, sign_with, signature)
    if person is None:
        raise click.UsageError("say who signs: --as NAME")
    proposal = acts.approve(vault, desk.key_path(vault.origin), id, person, desk.now)
    signed = list(proposal.signers)
    if desk.json:
        desk.reporter.line({"message_type": "approved", "id": id, "signed": signed, "needed": NEEDED})
    else:
        rest = "" if len(signed) < NEEDED else f"; carry it out with `obhut archive dispose {id}`"
        desk.reporter.say(f"signed by {' and '.join(signed)}, {NEEDED} are needed{rest}")


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive dispose 2051-0123456789abcdef -s /srv/archive --checkpoint archive.checkpoint --witness witness.vkey
    obhut archive dispose 2051-0123456789abcdef -s s3://my-archive --disposal-profile archive-disposal
    """,
)
@click.argument("id", metavar="PROPOSAL")
@writing_desk
@second_clock
@click.option(
    "--copy",
    "copies",
    multiple=True,
    metavar="PLACE",
    help="Where copies remain, such as a mirror or a backup: the certificates say so.",
)
@disposing
def dispose(
    desk: Desk,
    id: str,
    checkpoint: str | None,
    witness: str | None,
    copies: tuple[str, ...],
    disposal_profile: str | None,
) -> None:
    """Carry out a proposal that two people have signed. Each document, or audit record, that goes leaves a certificate in the log.

    What is still locked, or held, stays and is named; run it again later. The bytes go with the last record that names
    them. Copies elsewhere, backups among them, are not touched: name them with --copy. A mirror follows with its next run.

    A bucket deletes for a credential of its own (--disposal-profile), which the intake has not; everything else, the
    certificates among it, goes by the intake's. Both are tried before anything goes: the one must be refused.
    """
    from obhut.archive.actions import dispose as acts
    from obhut.archive.classes import READ
    from obhut.archive.record import Leaf
    from obhut.cli.archive.desk import agreed, remove_as

    vault = desk.vault()
    remove_as(vault.store, disposal_profile)
    day = agreed(desk, vault, checkpoint, witness)
    outcome = acts.dispose(vault, desk.key_path(vault.origin), id, day, desk.now, desk.reporter, copies)
    leaves = [Leaf.parse(filed.leaf) for filed in outcome.certificates]
    for filed, leaf in zip(outcome.certificates, leaves, strict=True) if desk.json else ():
        facts = {"certificate": filed.statement.id, "class": leaf.category, **filed.statement.facts}
        desk.reporter.line({"message_type": "disposed", **facts})
    for kept, reason in outcome.kept:
        if desk.json:
            desk.reporter.line({"message_type": "kept", "id": kept, "why": reason})
        else:
            desk.reporter.warn(f"{kept} stays: {reason}")
    if not desk.json:
        reads = sum(leaf.category == READ.name for leaf in leaves)
        gone = _amount(len(leaves) - reads, reads)
        desk.reporter.say(f"{gone} are gone, each with a certificate in the log; {len(outcome.kept)} stay")


@click.command(
    cls=ExamplesCommand,
    examples="""
    obhut archive tidy --store s3://my-archive --disposal-profile archive-disposal
    """,
)
@with_desk
@disposing
def tidy(desk: Desk, disposal_profile: str | None) -> None:
    """Remove from a bucket what the intake has left there, because it may delete nothing: batches and narrow tiles of the log that have served, records that nobody was told of.

    No document goes. `dispose` does the same; this is for buckets in which nothing ends for years. It needs no key. In a
    folder nothing is left.
    """
    from obhut.archive.actions.dispose import tidy as act
    from obhut.archive.actions.survey import survey
    from obhut.cli.archive.desk import remove_as

    vault = desk.vault()
    remove_as(vault.store, disposal_profile)
    vault.store.ready_to_remove()
    gone = act(survey(vault), desk.clock() // 1_000_000_000)
    if desk.json:
        desk.reporter.line({"message_type": "tidied", "files": gone})
    else:
        desk.reporter.say(f"{gone} files are gone that had served")
