"""The real program with several threads, killed at random times, once or several times in a row; judged by restic.

A few kills in every test run; ``OBHUT_FAULT_MINUTES`` makes it go on for so many minutes (``make faults``). A failure names
its seed; the draws repeat with ``OBHUT_FAULT_SEED``, what a kill meets does not.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

import peers
from fault_worlds import VERBS, Outcome, Verb, World, all_but_newest, fill, fresh, judge

#: Read before tests get a clean environment.
MINUTES: Final = float(os.environ.get("OBHUT_FAULT_MINUTES", "0"))
SEED: Final = os.environ.get("OBHUT_FAULT_SEED", "1")
#: Where the figures go, a line of JSON.
LOG: Final = os.environ.get("OBHUT_FAULT_LOG", "")
#: Kills in a row, and rounds, of a short run.
SHORT: Final = 5
MANY: Final = ("--pack-size", "4")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.interop,
    pytest.mark.timeout(MINUTES * 60 + 900),
    # Abandoned locks, which `unlock` is killed over, come from kills by strace.
    pytest.mark.needs("strace"),
]


def larger(root: Path) -> World:
    """Two snapshots of enough data for a dozen packs, and a source that has changed since."""
    world = fresh(root)
    for seed in range(2):
        fill(world.source, random.Random(seed), 16, 3_000_000)
        world.back_up(*MANY)
    fill(world.source, random.Random(2), 12, 3_000_000)
    return world


def to_prune(root: Path) -> World:
    """The older of the two is gone; half of what remains is shared with it."""
    world = larger(root)
    (gone,) = all_but_newest(world)
    del world.snapshots[gone]
    world.obhut("forget", gone)
    return world


def pruned(before: World, now: World) -> bool:
    """Nothing is there that no snapshot needs: restic would remove nothing."""
    plan = now.restic()("--no-lock", "--no-cache", "prune", "--dry-run", "--max-unused", "0", "-v").text
    found = re.findall(r"^(?:unused|to delete|unreferenced): +(.*)$", plan, re.MULTILINE)
    return bool(found) and set(found) <= {"0 blobs / 0 B", "0 B", "0 packs"}


#: Commands that may be killed again when they are run after a kill.
LARGE: Final[dict[str, Verb]] = {
    "backup": replace(VERBS["backup"], make=larger, words=lambda w: ("run", "--no-cache", *MANY, str(w.source))),
    "backup-cached": replace(
        VERBS["backup"],
        make=larger,
        words=lambda w: ("run", *MANY, "--cache-dir", str(w.root / "cache"), str(w.source)),
    ),
    "prune": replace(VERBS["prune"], make=to_prune, words=lambda _: ("prune", *MANY, "--max-unused", "0"), done=pruned),
    "forget-prune": replace(
        VERBS["forget"],
        make=larger,
        words=lambda _: ("forget", *MANY, "--group-by", "", "--keep-last", "1", "--prune", "--max-unused", "0"),
    ),
}
SMALL: Final = ("init", "backup-first", "forget", "key-add", "key-passwd", "key-remove", "unlock")


def start(world: World, verb: Verb, threads: int) -> subprocess.Popen[bytes]:
    words = verb.words(world)
    at = 2 if words[0] == "key" else 1
    return subprocess.Popen(
        world.command(*words[:at], "--threads", str(threads), *words[at:]),
        env=world.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def kill_after(world: World, verb: Verb, threads: int, seconds: float) -> Outcome:
    """Kills the command and all of its threads at once, unless it ends earlier."""
    child = start(world, verb, threads)
    assert child.stderr is not None
    killed = False
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        killed = True
        child.send_signal(signal.SIGKILL)
    said = child.stderr.read().decode("utf-8", "replace")
    child.stderr.close()
    code = child.wait(60)
    # It may have ended between the wait and the kill.
    return Outcome(code, said, killed and code == -signal.SIGKILL)


@dataclass
class Bench:
    """Copies of worlds, and how long each verb takes."""

    root: Path
    dice: random.Random

    def __post_init__(self) -> None:
        self.bases: dict[str, World] = {}
        self.lengths: dict[str, float] = {}
        self.count: Counter[str] = Counter()
        self.number = 0

    def base(self, verb: Verb) -> World:
        name = verb.make.__name__
        if name not in self.bases:
            self.bases[name] = verb.make(self.root / f"base-{name}")
        return self.bases[name]

    def copy(self, verb: Verb) -> World:
        self.number += 1
        return self.base(verb).copy(self.root / f"world-{self.number}")

    def length(self, name: str, verb: Verb) -> float:
        """Seconds that the command takes undisturbed, as measured once and corrected by each run that was too fast."""
        if name not in self.lengths:
            world = self.copy(verb)
            begun = time.monotonic()
            outcome = kill_after(world, verb, 2, 600)
            assert outcome.code == 0, outcome.err
            self.lengths[name] = time.monotonic() - begun
            shutil.rmtree(world.root)
        return self.lengths[name]

    def round(self, name: str) -> None:
        """One to three kills of the same command, then the judge."""
        verb = LARGE.get(name) or VERBS[name]
        length = self.length(name, verb)
        before, now = self.base(verb), self.copy(verb)
        outcome = Outcome(0, "", killed=False)
        for _ in range(self.dice.choice((1, 1, 2, 3)) if name in LARGE else 1):
            # A fifth of the time the interpreter loads: nothing is written yet.
            after = self.dice.uniform(0.2, 1.05) * length
            outcome = kill_after(now, verb, self.dice.randrange(2, 5), after)
            self.count[f"{name} {'killed' if outcome.killed else 'ended'}"] += 1
            if not outcome.killed:
                self.lengths[name] = 0.8 * length + 0.2 * after
                break
            self.count["locks left"] += bool(now.names("locks"))
            self.count["temporary files left"] += any("-tmp-" in path.name for path in now.repository.rglob("*-tmp-*"))
            if now.names("locks") and name in LARGE:
                now.obhut("unlock")
        try:
            judge(verb, before, now, outcome)
        except BaseException as error:
            error.add_note(f"{name}, {outcome}, seed {SEED}, kept in {now.root}")
            raise
        shutil.rmtree(now.root)


def test_kills_at_random_times_lose_nothing(tmp_path: Path) -> None:
    peers.need("restic")
    began = time.monotonic()
    bench = Bench(tmp_path, random.Random(f"{SEED} kills"))
    rounds = 0
    while rounds < SHORT if MINUTES == 0 else time.monotonic() - began < MINUTES * 60:
        # Three of four rounds are of the commands that write much.
        names = tuple(LARGE) if bench.dice.random() < 0.75 else SMALL
        bench.round(bench.dice.choice(names))
        rounds += 1
    figures = {
        "seed": SEED,
        "test": "random kills",
        "rounds": rounds,
        "seconds": round(time.monotonic() - began),
        **bench.count,
    }
    print(figures)
    if LOG:
        with open(LOG, "a") as log:
            log.write(json.dumps(figures) + "\n")
    assert sum(number for name, number in bench.count.items() if name.endswith(" killed")) > rounds / 3
    assert bench.count["locks left"], "the kills came before anything was written"
