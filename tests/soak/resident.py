"""A process that uses Obhut as a library for as long as the soak lasts, as a daemon would: it must not grow.

Reads one request a line on standard input, answers one line: the exit code that the program would have given, and its own
size: resident memory, descriptors, threads.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from obhut import _core
from obhut.backup.actions import forget, inspect, prune, restore, run
from obhut.backup.session import load_snapshots, locked
from obhut.errors import ObhutError, converted


@dataclass
class Quiet:
    """A reporter that keeps what failed."""

    verbosity: int = 0
    json: bool = False
    watched: bool = False
    failed: list[str] = field(default_factory=list)

    def say(self, text: str, level: int = 1) -> None: ...
    def progress(self, title: str, counters: dict[str, int], current: list[bytes]) -> None: ...
    def output(self, data: bytes) -> None: ...
    def end_progress(self) -> None: ...

    def warn(self, text: str) -> None:
        self.failed.append(text)

    def item_error(self, item: bytes, during: str, error: ObhutError) -> None:
        self.failed.append(f"{item!r}: {error.message}")


@dataclass
class Access:
    """What ``locked`` wants to know."""

    host: str = "h"
    retry_lock: float = 0.0


def act(request: dict[str, Any], reporter: Quiet) -> int:
    """Carries one request out; gives the exit code."""
    store = _core.Store.local(os.fsencode(request["repository"]))
    with converted():
        repository = _core.Repository.open(store, request["password"].encode(), username="u", hostname="h")
    access: Any = Access()
    verb = request["verb"]
    if verb == "list":
        with locked(repository, access, reporter):
            load_snapshots(repository, reporter, strict=True)
        return 0
    if verb == "prune":
        options = prune.Options(max_unused=request["options"][0])
        prune.prune(repository, access, options, reporter, planned=lambda plan: None)
        return 0
    with locked(repository, access, reporter, exclusive=verb in {"forget", "check"}):
        return _locked(repository, verb, request, reporter)


def _locked(repository: _core.Repository, verb: str, request: dict[str, Any], reporter: Quiet) -> int:
    if verb == "backup":
        cache = os.fsencode(request["cache"])
        options = run.Options(
            targets=(os.fsencode(request["source"]),), host="h", tags=(request["tag"],), cache_dir=cache
        )
        return 3 if run.run(repository, options, reporter, time.time_ns).incomplete else 0
    if verb == "restore":
        wanted = restore.Options(name=request["snapshots"][0], target=os.fsencode(request["target"]))
        return 1 if restore.restore(repository, wanted, reporter)["errors"] else 0
    if verb == "forget":
        never: Any = None
        plan = forget.plan(repository, forget.Options(ids=tuple(request["snapshots"])), reporter, never)
        return 3 if forget.carry_out(repository, plan.remove, reporter) else 0
    result = inspect.check(repository, reporter, read_data="--read-data" in request["options"], subset="", threads=0)
    return 1 if result["num_errors"] else 0


def size() -> dict[str, int]:
    """Of this process."""
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    descriptors = len(os.listdir("/proc/self/fd")) - 1  # that of the listing
    return {
        "rss": int(status["VmRSS"].split()[0]) * 1024,
        "descriptors": descriptors,
        "threads": int(status["Threads"]),
    }


def main() -> None:
    for line in sys.stdin:
        reporter = Quiet()
        try:
            code, said = act(json.loads(line), reporter), ""
        except ObhutError as error:
            code, said = error.exit_code, error.message
        answer = {"code": code, "said": "\n".join([said, *reporter.failed]), **size()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
