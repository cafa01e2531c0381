"""What must be in the repository, whatever was killed: a reference model, and which verbs may overlap.

Pure: it is told what was begun and how it ended, and compares that with what is found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: A restored path: kind, mode, time (not of folders' links), size, hash or link target.
Manifest = dict[str, tuple[object, ...]]

#: Obhut as a program, Obhut as a library in a process that lives as long as the soak, and the two peers.
TOOLS: Final = ("obhut", "api", "restic", "rustic")
VERBS: Final = ("backup", "restore", "forget", "prune", "check", "passwd")
#: Verbs that ask for the repository alone, by a lock.
EXCLUSIVE: Final = frozenset({"forget", "prune", "check", "passwd"})


def may_overlap(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two (tool, verb) may run at the same time without a promise being broken by whoever started them.

    Obhut and restic honour each other's locks: anything may overlap, one of the two is refused (exit code 11). A new
    password is the exception: whoever starts meanwhile may be right or wrong with either.
    rustic takes no locks and looks at none: only what adds (backup) and what reads and deletes nothing
    (restore) may run beside it, never a verb that removes or that judges the whole.
    """
    if "passwd" in (one[1], other[1]):
        return False
    if "rustic" in (one[0], other[0]):
        return not {one[1], other[1]} & EXCLUSIVE
    return one[0] != "api" or other[0] != "api"  # one process, one call at a time


@dataclass
class Action:
    """One run of one program."""

    number: int
    tool: str
    verb: str
    #: Of a backup: the source and what it held.
    source: str = ""
    manifest: Manifest = field(default_factory=dict)
    #: Of a restore: the one snapshot. Of a forget: those to be removed.
    snapshots: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    #: Seconds after the round began.
    start_after: float = 0.0
    #: Seconds after its start, and the signal; ``None`` = left alone.
    kill_after: float | None = None
    signal: int = 0
    #: How it ended; ``killed`` only if the signal met a living process.
    code: int | None = None
    killed: bool = False
    seconds: float = 0.0
    said: str = ""

    @property
    def tag(self) -> str:
        return f"a{self.number}"

    @property
    def sure(self) -> bool:
        """Whether it said that all is done. (rustic ends with 0 when SIGTERM stops it in the middle of a restore.)"""
        return self.code == 0 and not (self.killed and self.tool == "rustic")

    @property
    def name(self) -> tuple[str, str]:
        return self.tool, self.verb


@dataclass(frozen=True)
class Kept:
    """A snapshot that must be there."""

    source: str
    manifest: Manifest
    writer: str


@dataclass
class Model:
    """The snapshots that must exist, by id."""

    snapshots: dict[str, Kept] = field(default_factory=dict)
    adopted: int = 0
    made: int = 0
    forgotten: int = 0

    def settle(self, actions: list[Action], found: dict[str, str]) -> list[str]:
        """Compares a round's end with the listing (id → tag) and takes over what a killed action managed to do.

        Gives what is wrong, a line each: nothing, if all is well.
        """
        by_tag = {action.tag: action for action in actions if action.verb == "backup"}
        planned = {ident: action for action in actions if action.verb == "forget" for ident in action.snapshots}
        wrong = self._gone(found, planned)
        new = {ident: tag for ident, tag in found.items() if ident not in self.snapshots}
        for ident, tag in new.items():
            action = by_tag.pop(tag, None)
            if action is None:
                wrong.append(f"snapshot {ident[:8]} with tag {tag!r} was made by nobody, or twice")
                continue
            self.made += 1
            self.adopted += not action.sure
            self.snapshots[ident] = Kept(action.source, action.manifest, action.tool)
        wrong += [
            f"{action.tool} backup {tag} ended with 0, but its snapshot is not there"
            for tag, action in by_tag.items()
            if action.sure
        ]
        return wrong

    def _gone(self, found: dict[str, str], planned: dict[str, Action]) -> list[str]:
        wrong = []
        for ident in list(self.snapshots):
            action = planned.get(ident)
            if ident in found:
                if action is not None and action.sure:
                    wrong.append(f"{action.tool} forget ended with 0, but snapshot {ident[:8]} is still there")
                continue
            if action is None:
                wrong.append(f"snapshot {ident[:8]} is gone, and nobody was to remove it")
            elif action.code == 11:
                wrong.append(f"{action.tool} forget was refused by a lock, but snapshot {ident[:8]} is gone")
            del self.snapshots[ident]
            self.forgotten += 1
        return wrong


def unlawful(action: Action, others: list[Action]) -> str:
    """Why an exit code is not one that the documentation allows here; empty if it is."""
    if action.killed or action.code == 0:
        return ""
    # A lock may be met if somebody else was there who takes one, alive or killed.
    locks = [other for other in others if other.tool != "rustic" and other is not action]
    met = action.tool != "rustic" and any(
        other.verb in EXCLUSIVE or action.verb in EXCLUSIVE or other.killed for other in locks
    )
    if action.code == 11 and met:
        return ""
    # A prune that another one overtook between its plan and its exclusive lock deletes nothing and says so.
    prunes = any(other.verb == "prune" or "--prune" in other.options for other in locks)
    if action.code == 1 and "[plan-void]" in action.said and prunes:
        return ""
    return f"{action.tool} {action.verb} ended with {action.code}"


def differences(wanted: Manifest, got: Manifest) -> list[str]:
    """What a restored folder has otherwise."""
    return [
        f"{path!r}: {wanted.get(path, ('absent',))} became {got.get(path, ('absent',))}"
        for path in sorted({*wanted, *got})
        if wanted.get(path) != got.get(path)
    ]
