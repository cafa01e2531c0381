"""What ``forget`` does between options and action: policy of options or profile, output, the prune afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from obhut.backup.actions import forget as action
from obhut.backup.duration import Duration
from obhut.backup.retention import Policy, parse_count
from obhut.backup.session import locked, open_repository
from obhut.backup.snapshot import split_tags
from obhut.backup.stamp import Stamp
from obhut.cli.console import safe
from obhut.cli.prune_options import options_of
from obhut.cli.pruning import prune_and_show
from obhut.cli.table import of_snapshots
from obhut.errors import ObhutError

if TYPE_CHECKING:
    from obhut.cli.front import Front
    from obhut.settings import Keep

_COUNTS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
_SPANS = ("within", "within_hourly", "within_daily", "within_weekly", "within_monthly", "within_yearly")


def policy_of(values: dict[str, Any], keep: Keep | None) -> Policy:
    """The --keep options; without any, what the profile says."""
    given: dict[str, Any] = {name: values[f"keep_{name}"] for name in (*_COUNTS, *_SPANS) if values[f"keep_{name}"]}
    if values["keep_tag"]:
        given["tags"] = values["keep_tag"]
    if given or keep is None:
        return Policy(**given)
    counts: dict[str, Any] = {name: parse_count(str(getattr(keep, name))) for name in _COUNTS}
    spans: dict[str, Any] = {name: Duration.parse(getattr(keep, name)) for name in _SPANS}
    return Policy(**counts, **spans, tags=tuple(split_tags(text) for text in keep.tag))


def forget(front: Front, values: dict[str, Any]) -> int:
    """Plans, shows, removes, prunes."""
    dry_run: bool = values["dry_run"]
    options = action.Options(
        ids=values["ids"],
        wanted=front.filter(values["hosts"], values["tags"], values["paths"]),
        policy=Policy() if values["ids"] else policy_of(values, front.of_profile("keep")),
        group_by=values["group_by"],
        dry_run=dry_run,
        allow_remove_all=values["unsafe_allow_remove_all"],
    )
    action.check_options(options)
    pruning = options_of(front, values, dry_run=dry_run)
    lock = front.needs_lock(dry_run=dry_run)
    access = front.access()
    reporter = front.reporter
    repository = open_repository(access, front.environ, reporter)
    with locked(repository, access, reporter, exclusive=True, wanted=lock) as held:
        plan = action.plan(repository, options, reporter, Stamp.local(front.clock()))
        if not options.ids:
            reporter.say(f"Applying Policy: {options.policy}")
        if not front.json:
            _show(front, plan, compact=values["compact"])
        failed = action.carry_out(repository, plan.remove, reporter) if plan.remove and not dry_run else ()
        if front.json and plan.groups:
            reporter.line([action.shown_group(key, decision) for key, decision in plan.groups])
        if dry_run and plan.remove:
            reporter.say(f"Would have removed the following snapshots:\n{' '.join(s[:8] for s in plan.remove)}")
        if failed:
            raise ObhutError("forget-incomplete", ", ".join(ident[:8] for ident in failed))
        if values["then_prune"] and plan.remove:
            done = "would be" if dry_run else "have been"
            reporter.say(f"{len(plan.remove)} snapshots {done} removed, running prune")
            held.share()
            ignore = plan.remove if dry_run else ()
            prune_and_show(front, repository, access, pruning, lock=lock, held=held, ignore=ignore)
    return 0


def _show(front: Front, plan: action.Plan, *, compact: bool) -> None:
    say = front.reporter.say
    for key, decision in plan.groups:
        if key.described():
            say(f"snapshots for ({safe(key.described())}):")
        if decision.keep:
            say(f"keep {len(decision.keep)} snapshots:")
            reasons = {reason.snapshot.id: reason.matches for reason in decision.reasons}
            for line in of_snapshots(decision.keep, compact=compact, reasons=reasons):
                say(line)
            say("")
        if decision.remove:
            say(f"remove {len(decision.remove)} snapshots:")
            for line in of_snapshots(decision.remove, compact=compact):
                say(line)
            say("")
