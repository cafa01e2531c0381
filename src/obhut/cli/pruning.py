"""Running a prune and showing its plan; used by ``prune`` and ``forget --prune``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from obhut.backup.actions import prune as action

if TYPE_CHECKING:
    from obhut import _core
    from obhut.backup.session import Access, Held
    from obhut.cli.front import Front


def prune_and_show(
    front: Front,
    repository: _core.Repository,
    access: Access,
    options: action.Options,
    *,
    lock: bool,
    held: Held | None = None,
    ignore: tuple[str, ...] = (),
) -> None:
    """The plan is shown before anything is deleted."""
    reporter = front.reporter

    def planned(plan: dict[str, Any]) -> None:
        if front.json:
            reporter.line(action.shown(plan))
            return
        if options.dry_run:
            reporter.say("Would have made the following changes:")
        for line in action.lines(plan, verbose=front.verbosity > 1):
            reporter.say(line)

    action.prune(repository, access, options, reporter, lock=lock, held=held, ignore=ignore, planned=planned)
    if not options.dry_run:
        reporter.say("done")
