"""Removing data that no snapshot needs, in three steps that other writers survive.

1. Under a shared lock: mark what all snapshots use, plan, copy used blobs out of packs to rewrite, save the new index.
2. Under the exclusive lock: look at the snapshots again, spare what new ones use, swap the index files.
3. Under the same lock, made a shared one: delete the packs that no index names any more.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from obhut.backup.session import Access, Held, locked
from obhut.backup.sizes import format_bytes, format_percent, parse_bytes
from obhut.errors import ObhutError, converted
from obhut.job import Reporter, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from obhut import _core

#: The figures of the plan in restic's order.
_ORDER = {
    "blobs": (
        "used", "duplicate", "unused", "total", "repack", "repack_remove", "remove", "remove_total", "remaining",
    ),
    "bytes": (
        "used", "duplicate", "unused", "unreferenced", "uncompressed", "total", "repack", "repack_remove", "remove",
        "remove_total", "remaining", "remaining_unused",
    ),
    "packfiles": (
        "used", "unused", "partly_used", "unreferenced", "total", "keep", "repack", "remove", "remove_total",
    ),
}  # fmt: skip
#: "No bound" for a number of bytes.
UNBOUNDED = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Options:
    """How far to go."""

    max_unused: str = "5%"
    max_repack_bytes: int = UNBOUNDED
    repack_cacheable_only: bool = False
    repack_small: bool = False
    repack_smaller_than: int = 0
    repack_uncompressed: bool = False
    dry_run: bool = False
    threads: int = 0


def check_max_unused(text: str) -> str:
    """``5%``, a size, or ``unlimited``, in the form that the core takes; raises ``ValueError``."""
    text = text.strip()
    if text == "unlimited":
        return text
    match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", text, re.ASCII)
    if match is not None:
        if float(match[1]) >= 100:
            raise ValueError("the share must be below 100%")
        return text
    return str(parse_bytes(text))


def prune(
    repository: _core.Repository,
    access: Access,
    options: Options,
    reporter: Reporter,
    *,
    lock: bool = True,
    held: Held | None = None,
    ignore: tuple[str, ...] = (),
    planned: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Prunes; ``planned`` is told the figures before anything is deleted. Takes its locks itself, but for a shared one
    that is ``held`` already, and releases that one after the first step.

    ``ignore``: snapshots that a dry run of ``forget`` would have removed.
    """
    if repository.store_is_append_only() and not options.dry_run:
        raise ObhutError("append-only")
    with nullcontext(held) if held else locked(repository, access, reporter, wanted=lock) as first:
        with converted():
            job = repository.plan_prune(
                max_unused=options.max_unused,
                max_repack_bytes=options.max_repack_bytes,
                repack_cacheable_only=options.repack_cacheable_only,
                repack_small=options.repack_small,
                repack_smaller_than=options.repack_smaller_than,
                repack_uncompressed=options.repack_uncompressed,
                ignore_snapshots=list(ignore),
                threads=options.threads,
            )
        plan = watch(job, reporter, "plan")
        planned(plan)
        if options.dry_run:
            return plan
        with converted():
            job = repository.repack(plan["plan"], threads=options.threads)
        watch(job, reporter, "repack")
        first.release()
    with locked(repository, access, reporter, exclusive=True) as swapping:
        with converted():
            job = repository.swap_index(plan["plan"], threads=options.threads)
        swapped = watch(job, reporter, "swap index")
        # Backups run on from here, but nobody who takes the exclusive lock (a repair of the index from the packs
        # that are there, say) can put a pack back into the index while it is being deleted.
        swapping.share()
        with converted():
            job = repository.delete_packs(plan["plan"])
        deleted = watch(job, reporter, "delete packs")
    if swapped["leftovers_removed"]:
        reporter.say(f"removed {swapped['leftovers_removed']} temporary files of runs that were killed", 2)
    if deleted["failed"] or swapped["leftovers_failed"]:
        raise ObhutError("prune-incomplete")
    return plan


def shown(plan: dict[str, Any]) -> dict[str, Any]:
    """As ``prune --json`` shows it."""
    figures = {part: {name: plan[part][name] for name in names} for part, names in _ORDER.items()}
    return {"message_type": "summary"} | figures


def lines(plan: dict[str, Any], *, verbose: bool) -> list[str]:
    """For people."""
    blobs, size, packs = plan["blobs"], plan["bytes"], plan["packfiles"]

    def row(title: str, name: str) -> str:
        return f"{title:<14}{blobs[name]:10} blobs / {format_bytes(size[name])}"

    text = []
    if verbose:
        text += [row("used:", "used"), row("duplicates:", "duplicate"), row("unused:", "unused")]
        text += [f"unreferenced:{' ' * 20}{format_bytes(size['unreferenced'])}", row("total:", "total"), ""]
    removed = format_bytes(size["remove"] + size["unreferenced"])
    share = format_percent(size["remaining_unused"], size["remaining"]) or "0.00%"
    text += [
        row("to repack:", "repack"),
        row("this removes:", "repack_remove"),
        f"{'to delete:':<14}{blobs['remove']:10} blobs / {removed}",
        row("total prune:", "remove_total"),
        row("remaining:", "remaining"),
        f"unused size after prune: {format_bytes(size['remaining_unused'])} ({share} of remaining size)",
    ]
    if verbose:
        for title, name in (("keep", "keep"), ("repack", "repack"), ("delete", "remove")):
            text.append(f"{f'to {title}:':<14}{packs[name]:10} packs")
        text.append(f"{'unreferenced:':<14}{packs['unreferenced']:10} packs")
    if plan.get("delayed"):
        text.append("another program writes here without locks: packs are marked now and deleted by a later prune")
    return text
