"""The retention policy against restic's own golden cases, and the rules that they do not show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from obhut.backup.duration import Duration
from obhut.backup.retention import UNLIMITED, Policy, apply, parse_count
from obhut.backup.snapshot import Snapshot
from obhut.backup.stamp import Stamp

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "policy_golden.json").read_text())
NOW = Stamp.parse("2026-08-01T00:00:00Z")


def utc(_: int) -> int:
    return 0


def snapshot(number: int, time: str, *tags: str, paths: tuple[str, ...] = ()) -> Snapshot:
    return Snapshot(id=f"{number:064x}", time=Stamp.parse(time), tree="0" * 64, tags=tags, paths=paths)


def policy_of(spec: dict[str, Any]) -> Policy:
    values: dict[str, Any] = {}
    for name, value in spec.items():
        if name == "tags":
            values[name] = tuple(tuple(tags) for tags in value)
        else:
            values[name] = Duration.parse(value) if isinstance(value, str) else value
    return Policy(**values)


ALL = [snapshot(i, s["time"], *s.get("tags", ())) for i, s in enumerate(GOLDEN["snapshots"])]


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: json.dumps(case["policy"]))
def test_golden_case(case: dict[str, Any]) -> None:
    decision = apply(ALL, policy_of(case["policy"]), NOW, utc)
    assert [s.time.format() for s in decision.keep] == case["keep"]
    assert [list(s.tags) or None for s in decision.keep] == case["tags"]
    assert [[list(r.matches), r.counters] for r in decision.reasons] == case["reasons"]
    assert len(decision.keep) + len(decision.remove) == len(ALL)


def test_there_are_forty_golden_cases() -> None:
    assert len(GOLDEN["cases"]) == 40


def test_a_snapshot_of_the_future_does_not_shift_the_span() -> None:
    old, new, future = (snapshot(1, "2026-06-01T00:00:00Z"), snapshot(2, "2026-07-31T00:00:00Z"),
                        snapshot(3, "2031-01-01T00:00:00Z"))  # fmt: skip
    decision = apply([old, new, future], Policy(within=Duration(days=7)), NOW, utc)
    assert decision.keep == (future, new)
    assert decision.remove == (old,)


def test_only_future_snapshots_are_all_kept_by_a_span() -> None:
    future = [snapshot(i, f"203{i}-01-01T00:00:00Z") for i in range(4)]
    assert apply(future, Policy(within=Duration(days=1)), NOW, utc).remove == ()


def test_a_snapshot_of_this_very_moment_is_not_past() -> None:
    old, present = snapshot(1, "2026-07-30T00:00:00Z"), snapshot(2, "2026-08-01T00:00:00Z")
    assert present.time == NOW
    decision = apply([old, present], Policy(within=Duration(days=1)), NOW, utc)
    assert decision.keep == (present, old), "the span is measured from the old one"


@pytest.mark.parametrize("rule", ["within", "within_hourly", "within_yearly"])
def test_a_span_does_not_hold_the_moment_it_begins_at(rule: str) -> None:
    newest, at_the_start = snapshot(1, "2026-07-31T00:00:00Z"), snapshot(2, "2025-12-31T00:00:00Z")
    decision = apply([newest, at_the_start], policy_of({rule: "212d"}), NOW, utc)
    assert decision.remove == (at_the_start,)
    assert apply([newest, at_the_start], policy_of({rule: "212d1h"}), NOW, utc).remove == ()


@pytest.mark.parametrize("older", [1, 2, 3])
def test_with_count_left_the_oldest_is_kept_however_many_there_are(older: int) -> None:
    listed = [snapshot(number, f"2026-07-31T0{9 - number}:00:00Z") for number in range(older + 1)]
    decision = apply(listed, Policy(daily=2), NOW, utc)
    assert decision.keep == (listed[0], listed[-1])
    assert decision.reasons[-1].matches == ("oldest daily snapshot",)


def test_buckets_use_the_recorded_zone() -> None:
    # One day in UTC, two days where they were made.
    a, b = snapshot(1, "2026-07-01T23:30:00+02:00"), snapshot(2, "2026-07-02T00:30:00+02:00")
    assert len(apply([a, b], Policy(daily=5), NOW, utc).keep) == 2
    assert apply([a, b], Policy(daily=5), NOW, utc).reasons[1].matches == ("daily snapshot",)


def test_span_follows_local_daylight_saving() -> None:
    # Berlin: the clock went forward on 2026-03-29; "one day before" keeps the wall clock time.
    def berlin(seconds: int) -> int:
        return 7200 if seconds >= Stamp.parse("2026-03-29T01:00:00Z").seconds else 3600

    newest = snapshot(1, "2026-03-29T12:00:00+02:00")
    just_in, just_out = snapshot(2, "2026-03-28T12:00:01+01:00"), snapshot(3, "2026-03-28T12:00:00+01:00")
    decision = apply([newest, just_in, just_out], Policy(within=Duration(days=1)), NOW, berlin)
    assert decision.keep == (newest, just_in)


def test_without_a_span_nothing_is_kept_for_lying_in_the_future() -> None:
    old, future, later = (snapshot(1, "2026-07-31T00:00:00Z"), snapshot(2, "2031-01-01T00:00:00Z"),
                          snapshot(3, "2031-01-01T00:30:00Z"))  # fmt: skip
    decision = apply([old, future, later], Policy(last=1), NOW, utc)
    assert (decision.keep, decision.reasons[0].matches) == ((later,), ("last snapshot",))


def test_a_week_that_lies_in_two_months() -> None:
    """Periods do not nest: what is no new week may well be a new month, and a new year."""
    january, december = snapshot(1, "2026-01-02T00:00:00Z"), snapshot(2, "2025-12-30T00:00:00Z")
    before = snapshot(3, "2025-12-29T00:00:00Z")
    span = Duration(years=1)
    decision = apply([january, december, before], Policy(weekly=5, monthly=5, yearly=5), NOW, utc)
    assert decision.reasons[1].matches == ("monthly snapshot", "yearly snapshot")
    policy = Policy(within_weekly=span, within_monthly=span, within_yearly=span)
    decision = apply([january, december, before], policy, NOW, utc)
    assert decision.reasons[1].matches == ("monthly within 1y", "yearly within 1y")


def test_the_year_zero_of_broken_clocks_is_a_year() -> None:
    clocks = [snapshot(i, f"0000-0{i}-01T00:00:00Z") for i in (3, 2, 1)]
    for policy in (Policy(yearly=9), Policy(within_yearly=Duration(years=1))):
        assert apply(clocks, policy, NOW, utc).keep == (clocks[0], clocks[2])


def test_months_overflow_as_in_go() -> None:
    # 31 March minus one month is "31 February" = 3 March.
    assert Duration(months=1).before(Stamp.parse("2026-03-31T10:00:00Z"), utc) == Stamp.parse("2026-03-03T10:00:00Z")


def test_empty_policy_is_false_and_says_remove() -> None:
    assert not Policy()
    assert str(Policy()) == "remove"
    assert Policy(tags=((),))
    for count in ("last", "hourly", "daily", "weekly", "monthly", "yearly"):
        assert policy_of({count: 1})
        assert policy_of({count: UNLIMITED})
    for span in ("within", "within_hourly", "within_daily", "within_weekly", "within_monthly", "within_yearly"):
        assert policy_of({span: "1h"})


def test_policy_in_words() -> None:
    policy = Policy(last=3, daily=UNLIMITED, within_weekly=Duration(months=2), tags=(("a", "b"),), within=Duration(1))
    assert str(policy) == (
        "keep 3 latest, all daily snapshots, weekly snapshots within 2m and all snapshots with tags [[a, b]] "
        "and all snapshots within 1y of the newest"
    )
    counts = Policy(last=1, hourly=2, daily=3, weekly=4, monthly=5, yearly=6)
    assert str(counts) == "keep 1 latest, 2 hourly, 3 daily, 4 weekly, 5 monthly, 6 yearly snapshots"


@pytest.mark.parametrize("text", ["-1", "", "x", "1.5", "\uff19", "9999999999"])
def test_bad_count(text: str) -> None:
    with pytest.raises(ValueError, match="unlimited"):
        parse_count(text)


def test_counts() -> None:
    assert (parse_count("0"), parse_count("7"), parse_count("999999999")) == (0, 7, 999_999_999)
    assert parse_count("unlimited") == UNLIMITED
    with pytest.raises(ValueError, match="unlimited"):
        Policy(last=-2)


@pytest.mark.parametrize("text", ["1", "d", "-1d", "1w", "1d ", " 1y5m7d2h", "99999999999d", "1d2"])
def test_durations(text: str) -> None:
    if text.strip() in {"1d", "1y5m7d2h"}:
        assert str(Duration.parse(text)) == text.strip()
    else:
        with pytest.raises(ValueError, match=r"^not a duration such as 1y5m7d2h: '"):
            Duration.parse(text)
