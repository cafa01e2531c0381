"""``obhut archive``: the table of its verbs."""

from __future__ import annotations

from typing import Any

import click

from obhut.cli.lazy import LazyGroup

_HERE = "obhut.cli.archive"
VERBS = {
    "init": (f"{_HERE}.init", "init", "Create an archive and the key of its log."),
    "put": (f"{_HERE}.put", "put", "Archive documents; each gets a receipt."),
    "list": (f"{_HERE}.listing", "list_documents", "List the documents."),
    "get": (f"{_HERE}.get", "get", "Copy a document out of the archive."),
    "receipt": (f"{_HERE}.receipt", "receipt", "Write the receipt of a document."),
    "show": (f"{_HERE}.show", "show", "Show everything that is known of a document."),
    "status": (f"{_HERE}.status", "status", "Show the archive as a whole: holds, people, proposals, ends."),
    "verify": (f"{_HERE}.verify", "verify", "Verify log, records and documents."),
    "witness": (f"{_HERE}.witness", "witness", "Remember the log elsewhere, and sign what goes on from there."),
    "probe": (f"{_HERE}.probe", "probe", "Try to break the locks of a bucket, and keep the evidence."),
    "settle": (f"{_HERE}.settle", "settle", "Lock documents for as long as the law asks; for every day."),
    "event": (f"{_HERE}.event", "event", "Say that the event of a document has come, such as the end of a contract."),
    "hold": (f"{_HERE}.holding", "hold", "Keep documents beyond every end, for a reason."),
    "release": (f"{_HERE}.holding", "release", "End a hold."),
    "enrol": (f"{_HERE}.people", "enrol", "Let somebody sign what is to vanish."),
    "dismiss": (f"{_HERE}.people", "dismiss", "End that."),
    "propose": (f"{_HERE}.disposal", "propose", "Propose what may go, and why."),
    "approve": (f"{_HERE}.disposal", "approve", "Sign a proposal."),
    "dispose": (f"{_HERE}.disposal", "dispose", "Carry out a proposal that two people have signed."),
    "tidy": (f"{_HERE}.disposal", "tidy", "Remove from a bucket what has served; the intake may not."),
    "policy": (f"{_HERE}.policy", "policy", "Print the rights of the intake, or of disposal, in a bucket."),
    "stamp": (f"{_HERE}.stamp", "stamp", "Have the log stamped with the time by others; for every hour."),
    "mirror": (f"{_HERE}.mirror", "mirror", "Keep a second copy, checked against the log."),
    "key": (f"{_HERE}.key", "key", "Check that keys fit, copy them, give the log a new one."),
    "verifier": (f"{_HERE}.verifier", "verifier", "Write the verifier that works without Obhut."),
    "rule": (f"{_HERE}.rule", "rule", "Make a class of your own, or lengthen one."),
    "classes": (f"{_HERE}.classes", "classes", "Show the classes of retention."),
}


@click.command(cls=LazyGroup, lazy=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
def archive(**_: Any) -> None:
    """Keep documents unaltered for years, with proof that strangers can check.

    \b
    A first archive:
      obhut archive init --store /srv/archive --name example.org/archive
      obhut archive put invoice.pdf --store /srv/archive --class voucher --event-date 2026-03-01
      obhut archive verify --store /srv/archive
    """  # noqa: D301  (click's mark for a block that keeps its lines)
