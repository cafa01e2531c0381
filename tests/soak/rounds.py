"""What is done in a round: drawn from the seed and the round's number, from what is there."""

from __future__ import annotations

import random
import signal
from typing import Final

from soak.model import TOOLS, Action, Kept, may_overlap

#: How often a verb is drawn.
WEIGHTS: Final = {"backup": 10, "restore": 6, "forget": 4, "prune": 4, "check": 2, "passwd": 1}
#: The share of actions that are killed, and by what: most without a chance to tidy up.
KILLED: Final = 0.3
SIGNALS: Final = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
#: The seconds that a verb takes before any was seen to end.
GUESS: Final = 1.0
MOST_SNAPSHOTS: Final = 16


def draw(
    generator: random.Random,
    number: int,
    sources: list[str],
    snapshots: dict[str, Kept],
    durations: dict[tuple[str, str], float],
) -> list[Action]:
    """One to four actions that may overlap."""
    actions: list[Action] = []
    free_sources = list(sources)
    free_snapshots = sorted(snapshots)
    for _ in range(generator.choice([1, 2, 2, 3, 4])):
        verb = _verb(generator, len(snapshots), bool(free_sources), bool(free_snapshots))
        tools = [tool for tool in TOOLS if all(may_overlap((tool, verb), other.name) for other in actions)]
        if verb == "passwd" and "api" in tools:
            tools.remove("api")
        if not tools:
            continue
        action = Action(number * 10 + len(actions), generator.choice(tools), verb)
        _fill(generator, action, free_sources, free_snapshots)
        _time(generator, action, durations)
        actions.append(action)
    return actions


def _verb(generator: random.Random, held: int, sources: bool, snapshots: bool) -> str:
    weights = dict(WEIGHTS)
    if not sources:
        del weights["backup"]
    if not snapshots:
        del weights["restore"], weights["forget"]
    elif held > MOST_SNAPSHOTS:
        weights["forget"] *= 8
    return generator.choices(list(weights), list(weights.values()))[0]


def _fill(generator: random.Random, action: Action, sources: list[str], snapshots: list[str]) -> None:
    """What it is about; each source is read by one backup, each snapshot touched by one action."""
    if action.verb == "backup":
        action.source = sources.pop(generator.randrange(len(sources)))
    elif action.verb == "restore":
        action.snapshots = (snapshots.pop(generator.randrange(len(snapshots))),)
    elif action.verb == "forget":
        count = min(generator.choice([1, 1, 2, 5]), len(snapshots))
        action.snapshots = tuple(snapshots.pop(generator.randrange(len(snapshots))) for _ in range(count))
    action.options = _options(generator, action)


def _options(generator: random.Random, action: Action) -> tuple[str, ...]:
    """Those that change what the repository goes through."""
    waits = ("--retry-lock", "10s") if generator.random() < 0.5 else ()
    lock = waits if action.tool in {"obhut", "restic"} else ()
    if action.verb == "prune":
        unused = generator.choice(["0B", "5%", "50%"])
        if action.tool == "rustic":
            now = ("--instant-delete",) if generator.random() < 0.5 else ()
            return ("--max-unused", unused, "--max-repack", "unlimited", "--keep-pack", "0s", *now)
        plain = unused.replace("0B", "0")
        return (plain,) if action.tool == "api" else ("--max-unused", plain, *lock)
    if action.verb == "forget" and action.tool in {"obhut", "restic"}:
        return (*lock, *(("--prune", "--max-unused", "0") if generator.random() < 0.3 else ()))
    if action.verb == "check":
        return (*lock, *(("--read-data",) if generator.random() < 0.5 else ()))
    return lock


def _time(generator: random.Random, action: Action, durations: dict[tuple[str, str], float]) -> None:
    """When it starts, and when it is killed: anywhere in the time that it usually takes, after the start of the program."""
    action.start_after = generator.choice([0.0, generator.random() * 0.5, generator.random() * 1.5])
    killed, share, meant = generator.random() < KILLED, generator.uniform(0.1, 1.1), generator.choice(SIGNALS)
    if killed and action.tool != "api":
        action.kill_after = share * durations.get(action.name, GUESS)
        action.signal = meant
