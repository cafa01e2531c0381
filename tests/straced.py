"""Runs a program under strace: which thread changed a place by which call, and one fault in the n-th of them.

strace counts ``when=N`` for each thread by itself. A point is therefore a call that no other thread issues, and the
n-th of its kind: with ``--threads 1`` one thread writes, by calls that a starting interpreter does not need.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Every call that changes a file system in a way that a program here could mean to last.
MUTATING: Final = (
    *("openat2", "creat", "pwrite64", "pwritev", "pwritev2", "fallocate", "ftruncate", "truncate", "fchmod"),
    *("fsync", "fdatasync", "syncfs", "sync_file_range", "msync", "rename", "renameat", "renameat2", "link", "linkat"),
    *("fchmodat", "symlink", "symlinkat", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "copy_file_range"),
)
#: The same by calls that everybody uses: only those that touch the place are of interest.
COMMON: Final = ("openat", "open", "write", "writev")
FAULTS: Final = ("EIO", "ENOSPC", "KILL")
KILLED: Final = 137
#: Calls whose arguments are descriptors and names below them.
_NAMED: Final = frozenset({"openat", "openat2", "renameat", "renameat2", "linkat", "unlinkat", "mkdirat", "fchmodat"})


@dataclass(frozen=True)
class Point:
    """The ``ordinal``-th call of this name of the thread that writes."""

    name: str
    ordinal: int


@dataclass(frozen=True)
class Call:
    """A system call that touched the place."""

    thread: int
    name: str
    #: The how manieth of this name in its thread, from 1, wherever it went.
    ordinal: int
    #: Where in the trace it was entered and left: of two threads, one call is before another if it ended first.
    begin: int
    end: int
    #: Below the place, in the order of the arguments.
    paths: tuple[str, ...]
    ok: bool
    injected: bool = False
    arguments: str = ""

    @property
    def point(self) -> Point:
        return Point(self.name, self.ordinal)

    def __str__(self) -> str:
        return " ".join([self.name, *self.paths])


@dataclass
class Trace:
    """What a run did to a place."""

    place: Path
    code: int = 0
    out: str = ""
    err: str = ""
    #: By threads and calls of the whole process.
    counts: Counter[tuple[int, str]] = field(default_factory=Counter)
    #: All calls with the place in their arguments, but opens for reading.
    calls: list[Call] = field(default_factory=list)
    injected: list[Point] = field(default_factory=list)

    @property
    def killed(self) -> bool:
        return self.code == KILLED

    def writers(self) -> set[int]:
        """The threads that changed the place."""
        return {call.thread for call in self.calls}

    def shape(self) -> list[str]:
        """The sequence of calls without names that are random."""
        return [" ".join([call.name, *(shape_of(path) for path in call.paths)]) for call in self.calls]


def shape_of(path: str) -> str:
    """``data/ab/0123…-tmp-89ab`` becomes ``data/~-tmp``."""
    path = re.sub(r"-tmp-[0-9a-f]{16}", "-tmp", path)
    path = re.sub(r"[0-9a-f]{64}", "~", path)
    return re.sub(r"^data/[0-9a-f]{2}(?=/~|$)", "data", path)


def run(
    command: Sequence[str | Path],
    place: Path,
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    inject: tuple[Point, str] | None = None,
    common: bool = True,
    more: Sequence[str] = (),
) -> Trace:
    """Runs a real program (no script: its interpreter's calls would count) and gives what it did to ``place``.

    ``more``: calls that count as well.
    """
    with open(os.path.realpath(command[0]), "rb") as program:
        assert program.read(4) == b"\x7fELF", f"{command[0]} is a wrapper"
    calls = ",".join([*MUTATING, *more, *(COMMON if common else ()), "execve"])
    options = ["-f", "-y", "-s", "0", "-e", "signal=none", "-e", f"trace={calls}", "-o", str(log)]
    if inject is not None:
        point, fault = inject
        what = "signal=KILL" if fault == "KILL" else f"error={fault}"
        options += ["-e", f"inject={point.name}:{what}:when={point.ordinal}"]
    done = subprocess.run(
        ["strace", *options, *(os.fspath(word) for word in command)],
        env=None if env is None else dict(env),
        capture_output=True,
        check=False,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    out, err = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    # strace ends by the signal that ended its program.
    code = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return replace(parse(log.read_text(errors="replace"), place), code=code, out=out, err=err)


def assert_injected(trace: Trace, point: Point, fault: str) -> None:
    """Exactly one fault was injected, at this point."""
    if fault != "KILL":
        assert trace.injected == [point], f"{point} was to fail, and these did: {trace.injected}"
        return
    assert trace.killed, f"not killed at {point}, but exit code {trace.code}\n{trace.err}"
    reached = [count for (_, name), count in trace.counts.items() if name == point.name and count >= point.ordinal]
    assert reached == [point.ordinal], f"more than one thread reached {point}: {reached}"


_LINE: Final = re.compile(r"(\d+) +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$")


def parse(log: str, place: Path) -> Trace:
    """Reads a log; a call that another thread's line interrupted is put together where it ended."""
    trace = Trace(place)
    begun: dict[int, tuple[str, int, int, str]] = {}
    for number, line in enumerate(log.splitlines()):
        match = _LINE.match(line)
        if match is None:
            continue
        thread = int(match[1])
        if match[2]:
            name, text, begin = match[2], match[3], number
            trace.counts[thread, name] += 1
            ordinal = trace.counts[thread, name]
        elif thread in begun:
            name, begin, ordinal, text = begun.pop(thread)
            text += match[5]
        else:
            continue
        if text.endswith("<unfinished ...>"):
            begun[thread] = (name, begin, ordinal, text.removesuffix("<unfinished ...>"))
            continue
        _note(trace, Call(thread, name, ordinal, begin, number, (), ok=False, arguments=text))
    # The call in which a process was killed was entered and never left.
    for thread, (name, begin, ordinal, text) in begun.items():
        _note(trace, Call(thread, name, ordinal, begin, 1 << 60, (), ok=False, arguments=text))
    executed = sum(count for (_, name), count in trace.counts.items() if name == "execve")
    assert executed == 1, f"{executed} programs were executed, not one"
    return trace


def _note(trace: Trace, call: Call) -> None:
    arguments, _, answer = call.arguments.rpartition(" = ")
    arguments = arguments if answer and arguments else call.arguments
    injected = "(INJECTED)" in answer
    if injected:
        trace.injected.append(call.point)
    reading = call.name in {"open", "openat", "openat2"} and not re.search(r"O_CREAT|O_TRUNC|O_TMPFILE", arguments)
    found = paths(call.name, arguments, trace.place)
    if found and not reading:
        ok = re.match(r"-?\d+", answer) is not None and not answer.startswith("-")
        trace.calls.append(replace(call, paths=found, ok=ok, injected=injected, arguments=arguments))


def paths(name: str, arguments: str, place: Path) -> tuple[str, ...]:
    """The paths below ``place`` in a call's arguments: of a descriptor, or of descriptors with names below them."""
    if name in _NAMED:
        pairs = re.findall(r'(?:\d+|AT_FDCWD)<([^>]*)>, "([^"]*)"', arguments)
        whole = [os.path.join(folder, entry) for folder, entry in pairs]
    elif descriptor := re.match(r"\d+<([^>]*)>", arguments):
        whole = [descriptor[1]]
    else:
        whole = re.findall(r'"([^"]*)"', arguments)
    return tuple(os.path.relpath(path, place) for path in whole if path == str(place) or path.startswith(f"{place}/"))
