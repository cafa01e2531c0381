"""Which snapshots a policy keeps: restic's rules, decision for decision (formats: restic 17).

Pure: a function of snapshots, policy and now. Checked against restic's 40 golden cases and, by property test, against
a short reference.

- Snapshots are seen newest first. ``keep-hourly`` … ``keep-yearly`` keep the newest of each new hour … year while the
  count lasts; with count left, the very oldest snapshot is kept as well.
- ``keep-within*`` spans end at the newest snapshot that is not in the future.
- Hours, days and weeks are those of each snapshot's own recorded zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from obhut.backup.duration import Duration
from obhut.backup.snapshot import Snapshot, newest_first
from obhut.backup.stamp import ZERO, Stamp, ZoneOffset, local_offset

#: A count that never runs out.
UNLIMITED: Final = -1

#: No span asked for.
NO_SPAN: Final = Duration()

Bucket = Callable[[Stamp, int], object]


def _hour(time: Stamp, _: int) -> object:
    return *time.date, time.clock[0]


def _day(time: Stamp, _: int) -> object:
    return time.date


def _week(time: Stamp, _: int) -> object:
    return time.iso_week


def _month(time: Stamp, _: int) -> object:
    return time.date[:2]


def _year(time: Stamp, _: int) -> object:
    return time.date[0]


def _each(_: Stamp, number: int) -> object:
    return number


#: What makes two snapshots fall into one period; in the order of the counts after ``last``.
PERIODS: Final[tuple[Bucket, ...]] = (_hour, _day, _week, _month, _year)


@dataclass(frozen=True, slots=True)
class Policy:
    """What to keep. Counts: 0 = not asked for, -1 = unlimited."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: Duration = NO_SPAN
    within_hourly: Duration = NO_SPAN
    within_daily: Duration = NO_SPAN
    within_weekly: Duration = NO_SPAN
    within_monthly: Duration = NO_SPAN
    within_yearly: Duration = NO_SPAN
    tags: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if any(count < UNLIMITED for count in self.counts().values()):
            raise ValueError("a count is a number or 'unlimited'")

    def counts(self) -> dict[str, int]:
        """The counts by name, in order."""
        names = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
        return {name: getattr(self, name) for name in names}

    def spans(self) -> dict[str, Duration]:
        """The ``within-*`` spans by name, in order."""
        names = ("hourly", "daily", "weekly", "monthly", "yearly")
        return {name: getattr(self, f"within_{name}") for name in names}

    def __bool__(self) -> bool:
        return bool(self.tags or self.within or any(self.counts().values()) or any(self.spans().values()))

    def __str__(self) -> str:
        counts = {("latest" if name == "last" else name): count for name, count in self.counts().items() if count}
        keep = ", ".join(f"{'all' if n == UNLIMITED else n} {name}" for name, n in counts.items())
        parts = [f"{keep} snapshots"] if keep else []
        parts += [f"{name} snapshots within {span}" for name, span in self.spans().items() if span]
        text = ", ".join(parts)
        if self.tags:
            lists = " ".join(f"[{', '.join(tags)}]" for tags in self.tags)
            text += (" and " if text else "") + f"all snapshots with tags [{lists}]"
        if self.within:
            text += (" and " if text else "") + f"all snapshots within {self.within} of the newest"
        return f"keep {text}" if text else "remove"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a snapshot is kept, and the counts that were left after it."""

    snapshot: Snapshot
    matches: tuple[str, ...]
    counters: dict[str, int]


@dataclass(frozen=True, slots=True)
class Decision:
    """The result for one group; ``reasons`` is parallel to ``keep``. Newest first."""

    keep: tuple[Snapshot, ...] = ()
    remove: tuple[Snapshot, ...] = ()
    reasons: tuple[Reason, ...] = ()


@dataclass(slots=True)
class _Counted:
    name: str
    left: int
    bucket: Bucket
    last: object = None


@dataclass(slots=True)
class _Spanned:
    name: str
    span: Duration
    since: Stamp
    bucket: Bucket
    last: object = None


@dataclass(slots=True)
class _State:
    """The rules with what they have seen so far."""

    policy: Policy
    since: Stamp
    counted: list[_Counted] = field(default_factory=list)
    spanned: list[_Spanned] = field(default_factory=list)

    def matches(self, snapshot: Snapshot, number: int, oldest: bool) -> list[str]:
        """Every rule that keeps this snapshot; counts it."""
        found = [f"has tags [{', '.join(tags)}]" for tags in self.policy.tags if snapshot.has_tags(tags)]
        if self.policy.within and snapshot.time > self.since:
            found.append(f"within {self.policy.within}")
        for rule in self.counted:
            if rule.left == 0:
                continue
            value = rule.bucket(snapshot.time, number)
            if value == rule.last and not oldest:
                continue
            found.append(f"oldest {rule.name}" if value == rule.last else rule.name)
            rule.last = value
            rule.left -= rule.left > 0
        for span in self.spanned:
            if not snapshot.time > span.since:
                continue
            value = span.bucket(snapshot.time, number)
            if value == span.last and not oldest:
                continue
            found.append(f"{'oldest ' if value == span.last else ''}{span.name} {span.span}")
            span.last = value
        return found

    def counters(self) -> dict[str, int]:
        names = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
        return {name: rule.left for name, rule in zip(names, self.counted, strict=True) if rule.left}


def _newest_past(snapshots: Sequence[Snapshot], now: Stamp) -> Stamp:
    """The time that spans are measured from. If all lie in the future it is the zero time: then all are kept."""
    return max((s.time for s in snapshots if s.time < now), default=ZERO)


def apply(snapshots: Iterable[Snapshot], policy: Policy, now: Stamp, zone: ZoneOffset = local_offset) -> Decision:
    """Divides the snapshots of one group into those to keep and those to remove."""
    ordered = newest_first(snapshots)
    latest = _newest_past(ordered, now)
    state = _State(policy, policy.within.before(latest, zone))
    for (name, count), bucket in zip(policy.counts().items(), (_each, *PERIODS), strict=True):
        state.counted.append(_Counted(f"{name} snapshot", count, bucket))
    for (name, span), bucket in zip(policy.spans().items(), PERIODS, strict=True):
        if span:
            state.spanned.append(_Spanned(f"{name} within", span, span.before(latest, zone), bucket))
    keep: list[Snapshot] = []
    remove: list[Snapshot] = []
    reasons: list[Reason] = []
    for number, snapshot in enumerate(ordered):
        matches = state.matches(snapshot, number, oldest=number == len(ordered) - 1)
        if matches:
            keep.append(snapshot)
            reasons.append(Reason(snapshot, tuple(matches), state.counters()))
        else:
            remove.append(snapshot)
    return Decision(tuple(keep), tuple(remove), tuple(reasons))


def parse_count(text: str) -> int:
    """``7`` or ``unlimited``; raises ``ValueError``."""
    if text == "unlimited":
        return UNLIMITED
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ValueError(f"a number from 0 up, or 'unlimited': {text!r}")
    return int(text)
