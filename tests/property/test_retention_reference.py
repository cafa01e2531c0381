"""The retention policy against a short reference that states each rule on the whole list instead of step by step."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut.backup.duration import Duration
from obhut.backup.retention import UNLIMITED, Policy, apply
from obhut.backup.snapshot import Snapshot
from obhut.backup.stamp import NANOS, Stamp

if TYPE_CHECKING:
    from collections.abc import Callable

#: A quarter of the snapshots lies in the future, as those of broken clocks do.
NOW = Stamp.parse("2024-09-20T00:00:00Z")


def utc(_: int) -> int:
    return 0


@st.composite
def snapshots(draw: st.DrawFn) -> list[Snapshot]:
    start = Stamp.parse("2023-12-20T00:00:00Z").seconds
    times = draw(st.lists(st.integers(0, 2 * 366 * 24), max_size=40))
    tags = st.lists(st.sampled_from(["a", "b", "c"]), unique=True, max_size=3)
    return [
        Snapshot(f"{i:064x}", Stamp((start + hour * 1800) * NANOS, 0), "0" * 64, tags=tuple(draw(tags)))
        for i, hour in enumerate(times)
    ]


counts = st.one_of(st.just(0), st.just(UNLIMITED), st.integers(1, 12))
spans = st.one_of(
    st.just(Duration()),
    st.builds(Duration, days=st.integers(0, 40), hours=st.integers(0, 30)),
)
policies = st.builds(
    Policy, last=counts, hourly=counts, daily=counts, weekly=counts, monthly=counts, yearly=counts, within=spans,
    within_hourly=spans, within_daily=spans, within_weekly=spans, within_monthly=spans, within_yearly=spans,
    tags=st.lists(st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2).map(tuple), max_size=2).map(tuple),
)  # fmt: skip


def moment(snapshot: Snapshot) -> dt.datetime:
    return dt.datetime.fromtimestamp(snapshot.time.seconds, dt.UTC)


PERIODS: dict[str, Callable[[dt.datetime], object]] = {
    "hourly": lambda t: (t.date(), t.hour),
    "daily": lambda t: t.date(),
    "weekly": lambda t: t.isocalendar()[:2],
    "monthly": lambda t: (t.year, t.month),
    "yearly": lambda t: t.year,
}


def first_of_each(ordered: list[Snapshot], period: Callable[[dt.datetime], object]) -> list[Snapshot]:
    """The newest snapshot of every period, newest period first."""
    seen: dict[object, Snapshot] = {}
    for snapshot in ordered:
        seen.setdefault(period(moment(snapshot)), snapshot)
    return list(seen.values())


def reference(listed: list[Snapshot], policy: Policy) -> set[str]:
    ordered = sorted(listed, key=lambda s: -s.time.ns)
    past = [moment(s) for s in ordered if s.time < NOW]
    latest = max(past, default=dt.datetime(1, 1, 1, tzinfo=dt.UTC))

    def inside(span: Duration) -> list[Snapshot]:
        if not past:
            return ordered
        return [s for s in ordered if moment(s) > latest - dt.timedelta(days=span.days, hours=span.hours)]

    kept = {s.id for s in ordered if any(set(tags) <= set(s.tags) for tags in policy.tags)}
    if policy.within:
        kept |= {s.id for s in inside(policy.within)}
    chosen = {"last": ordered} | {name: first_of_each(ordered, period) for name, period in PERIODS.items()}
    for name, count in policy.counts().items():
        if count == UNLIMITED:
            kept |= {s.id for s in chosen[name]}
        else:
            kept |= {s.id for s in chosen[name][:count]}
        if ordered and (count == UNLIMITED or len(chosen[name]) < count):
            kept.add(ordered[-1].id)
    for name, span in policy.spans().items():
        if span:
            kept |= {s.id for s in first_of_each(inside(span), PERIODS[name])}
            kept |= {s.id for s in inside(span)[-1:] if s is ordered[-1]}
    return kept


@pytest.mark.parametrize("rule", [*Policy().counts(), "within", *(f"within_{name}" for name in PERIODS)])
@given(listed=snapshots(), count=st.integers(1, 12), span=spans)
def test_each_rule_alone(rule: str, listed: list[Snapshot], count: int, span: Duration) -> None:
    """Where several rules are drawn, one hides what another one misses."""
    rules: dict[str, Any] = {rule: span if rule.startswith("within") else count}
    policy = Policy(**rules)
    assert {s.id for s in apply(listed, policy, NOW, utc).keep} == reference(listed, policy)


@given(snapshots(), policies)
def test_as_the_reference(listed: list[Snapshot], policy: Policy) -> None:
    decision = apply(listed, policy, NOW, utc)
    assert {s.id for s in decision.keep} == reference(listed, policy)
    assert sorted(s.id for s in decision.keep + decision.remove) == sorted(s.id for s in listed)
    assert [r.snapshot for r in decision.reasons] == list(decision.keep)
    assert all(r.matches for r in decision.reasons)


@given(snapshots(), policies)
def test_what_is_kept_stays_kept(listed: list[Snapshot], policy: Policy) -> None:
    """Forgetting twice removes nothing more (counts only: spans and periods look at what is left)."""
    once = apply(listed, policy, NOW, utc)
    twice = apply(once.keep, policy, NOW, utc)
    assert set(twice.keep) == set(once.keep)
