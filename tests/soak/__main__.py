"""Runs the soak: rounds until the time is over or something is wrong; then everything is judged once more."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import peers
from soak import figures, rounds, sources
from soak.actors import Resident, Stage, ending
from soak.model import Action, Model, differences, unlawful
from tools import PASSWORD, Obhut, Tool, remains_below, run

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = 4
#: Rounds between two looks by ``restic check --read-data``.
CHECK_EVERY = 10


class WrongError(Exception):
    """Something that must not be; the soak ends here and keeps its folder."""


class Soak:
    """One run."""

    def __init__(self, folder: Path, seed: int, log: TextIO) -> None:
        self.seed = seed
        self.log = log
        self.stage = Stage(folder, PASSWORD, Resident.start(folder / "resident.log"))
        self.sources = [str(folder / f"source-{number}") for number in range(SOURCES)]
        self.model = Model()
        self.count = figures.Count()
        self.durations: dict[tuple[str, str], float] = {}
        self.began = time.monotonic()

    def write(self, what: str, **more: Any) -> None:
        """A line of the log."""
        self.log.write(json.dumps({"at": round(time.monotonic() - self.began, 3), "what": what, **more}) + "\n")
        self.log.flush()

    def need(self, lines: list[str], action: Action | None = None) -> None:
        """Ends the soak if there are any."""
        if lines:
            said = f"\n--- {action.tool} {action.verb}\n{action.said}" if action else ""
            self.write("wrong", lines=lines, said=said)
            raise WrongError("\n".join(lines) + said)

    def round(self, number: int) -> None:
        generator = random.Random(f"{self.seed}/{number}")
        for source in self.sources:
            if number == 0 or generator.random() < 0.6:
                sources.change(Path(source), generator)
        actions = rounds.draw(generator, number, self.sources, self.model.snapshots, self.durations)
        for action in actions:
            if action.verb == "backup":
                action.manifest = sources.manifest(Path(action.source))
        new_password = self.stage.folder / "new-password"
        new_password.write_text(f"password {number}")
        self.stage.perform(actions, new_password)
        for action in actions:
            self._note(number, action)
            others = [other for other in actions if other is not action]
            self.need([unlawful(action, others)] if unlawful(action, others) else [], action)
        self._after_password(actions, f"password {number}")
        self._unlock(generator, actions)
        self.need(self.model.settle(actions, self._listing(generator)))
        self._compare(actions)
        code, said = self.stage.resident.call(self._list_request())
        self.need([f"the long-lived process lists: {code} {said}"] if code else [])
        self.count.rounds += 1
        if number % CHECK_EVERY == CHECK_EVERY - 1:
            self._check("restic")

    def _note(self, number: int, action: Action) -> None:
        self.count.add(action)
        if not action.killed and action.code == 0:
            before = self.durations.get(action.name, action.seconds)
            self.durations[action.name] = 0.7 * before + 0.3 * action.seconds
        self.write(
            "action",
            round=number,
            tag=action.tag,
            tool=action.tool,
            verb=action.verb,
            snapshots=[ident[:8] for ident in action.snapshots],
            options=action.options,
            started=round(action.start_after, 3),
            kill=action.kill_after and round(action.kill_after, 3),
            killed=action.killed,
            ended=ending(action),
            seconds=round(action.seconds, 3),
        )

    def _list_request(self) -> dict[str, Any]:
        return {"verb": "list", "repository": str(self.stage.repository), "password": self.stage.password}

    def _after_password(self, actions: list[Action], new: str) -> None:
        """One of the two opens the repository, whatever was killed; after success the new one alone."""
        for action in actions:
            if action.verb != "passwd":
                continue
            opens = {}
            for password in (self.stage.password, new):
                tool = Obhut(self.stage.repository, password)
                opens[password] = tool("key", "list", "--no-lock", expect={0, 12}).code == 0
            old = self.stage.password
            self.need([] if any(opens.values()) else ["neither the old nor the new password opens"], action)
            if action.sure:
                self.need([] if opens[new] and not opens[old] else [f"passwd ended with 0, but: {opens}"], action)
            if opens[new]:
                self.stage.password = new
            self._drop_other_keys()

    def _drop_other_keys(self) -> None:
        """What a killed change of the password left: the other key opens the repository too, and is removed."""
        ours = self.stage.tool("obhut")
        for key in json.loads(ours("key", "list", "--no-lock", "--json").out):
            if not key["current"]:
                ours("unlock", "--remove-all")
                ours("key", "remove", key["id"])

    def locks(self) -> list[Path]:
        return [file for file in (self.stage.repository / "locks").iterdir() if len(file.name) == 64]

    def _unlock(self, generator: random.Random, actions: list[Action]) -> None:
        """No living process has a lock now. What was asked to stop has removed its own; the rest is stale."""
        left = self.locks()
        untidy = [action for action in actions if action.tool == "restic" or action.code == -9]
        if left and not any(action.killed for action in untidy):
            self.need([f"{len(left)} locks are left, though nobody was killed without notice"])
        self.count.stale_locks += len(left)
        tool = generator.choice(["obhut", "restic"])
        if left:
            self.stage.tool(tool)("unlock")
        left = self.locks()
        # The number of a dead process may have been given to a living one; then only a person can tell.
        if left and any(self._living(lock) for lock in left):
            self.count.reused_numbers += 1
            self.stage.tool(tool)("unlock", "--remove-all")
        elif left:
            self.need([f"{tool} unlock left {len(left)} locks of dead processes"])

    def _living(self, lock: Path) -> bool:
        text = self.stage.tool("restic")("cat", "lock", lock.name, "--no-lock").out
        return os.path.exists(f"/proc/{json.loads(text)['pid']}")

    def _listing(self, generator: random.Random) -> dict[str, str]:
        tool = self.stage.tool(generator.choice(["obhut", "restic", "rustic"]))
        return {snapshot["id"]: (snapshot.get("tags") or [""])[0] for snapshot in tool.snapshots()}

    def _compare(self, actions: list[Action]) -> None:
        for action in actions:
            if action.verb == "restore" and action.sure:
                self._equal(action.snapshots[0], self.stage.target(action), action.tool)
            shutil.rmtree(self.stage.target(action), ignore_errors=True)

    def _equal(self, ident: str, target: Path, reader: str) -> None:
        kept = self.model.snapshots[ident]
        got = sources.manifest(remains_below(target, Path(kept.source)))
        lines = differences(kept.manifest, got)
        head = [f"{reader} restored {ident[:8]} of {kept.writer} otherwise:"]
        self.need([*head, *lines[:20]] if lines else [])
        self.count.compared += 1
        self.count.compared_bytes += sources.total(got)

    def _check(self, name: str) -> None:
        tool: Tool = self.stage.tool(name)
        ran = tool("check", "--read-data", expect=None)
        self.write("check", tool=name, code=ran.code)
        self.need([f"{name} check --read-data:\n{ran}"] if ran.code else [])
        self.count.checks += 1

    def judge(self) -> None:
        """At the end: every snapshot is restored by every program, and every program checks the data."""
        for name in ("restic", "obhut", "rustic"):
            self._check(name)
            for ident in self.model.snapshots:
                target = self.stage.folder / "judged"
                self.stage.tool(name).restore(target, ident)
                self._equal(ident, target, name)
                shutil.rmtree(target)


def numbers(minutes: float, began: float) -> Iterator[int]:
    """Rounds until the time is over."""
    number = 0
    while time.monotonic() - began < minutes * 60:
        yield number
        number += 1


def soak(folder: Path, seed: int, minutes: float, log: TextIO) -> int:
    """The whole; gives the exit code."""
    one = Soak(folder, seed, log)
    one.write("begin", seed=seed, minutes=minutes)
    code, number = 0, -1
    try:
        Obhut(one.stage.repository).init()
        for number in numbers(minutes, one.began):
            one.round(number)
        one.judge()
        one.need(figures.growth(one.stage.resident.sizes))
    except (WrongError, AssertionError) as error:
        print(f"WRONG in round {number} of seed {seed}; the folder {folder} is kept\n{error}", flush=True)
        code = 1
    finally:
        one.stage.resident.end()
    lines = figures.lines(one.count, one.model, one.stage.resident.sizes, time.monotonic() - one.began, seed)
    print("\n".join(lines), flush=True)
    one.write("end", code=code, figures=lines)
    return code


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to work (default: a new temporary folder)")
    parser.add_argument("--log", type=Path, help="the log, a JSON line each action (default: soak.jsonl in the folder)")
    given = parser.parse_args()
    lacking = [name for name in ("restic", "rustic") if peers.locate(name) is None]
    if lacking:
        print(f"not found: {', '.join(lacking)} (in $OBHUT_PEERS, ../shared/peers, PATH)", file=sys.stderr)
        return 2
    folder = given.folder or Path(tempfile.mkdtemp(prefix="obhut-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    for name in [name for name in os.environ if name.startswith(("RESTIC_", "RUSTIC_", "OBHUT_"))]:
        if name != "OBHUT_PEERS":
            del os.environ[name]
    os.environ.update(HOME=str(folder / "home"), XDG_CACHE_HOME=str(folder / "home/.cache"), TZ="UTC", NO_COLOR="1")
    run(["mkdir", "-p", folder / "home/.cache", folder / "restored"])
    with (given.log or folder / "soak.jsonl").open("w") as log:
        code = soak(folder, given.seed, given.minutes, log)
    if code == 0 and given.folder is None:
        shutil.rmtree(folder)
    return code


if __name__ == "__main__":
    sys.exit(main())
