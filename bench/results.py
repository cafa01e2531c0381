"""What was measured, as data: kept as JSON, merged, looked up."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1


@dataclass(frozen=True)
class Run:
    """One phase of one tool, or a floor."""

    set: str
    place: str
    tool: str
    phase: str
    round: int
    seconds: float
    cpu: float = 0.0
    peak_mib: float = 0.0
    #: What else the run told: ``walk`` (seconds), ``blobs``, ``repository`` (bytes), ``sync`` (seconds afterwards).
    more: dict[str, float] = field(default_factory=dict)


@dataclass
class Results:
    """All that one or several measurements gave."""

    machine: dict[str, str | int | float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    places: dict[str, dict[str, str | bool]] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    index: dict[str, float] = field(default_factory=dict)
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)

    def add(self, runs: list[Run]) -> None:
        """New runs replace what was measured before of the same set at the same place by the same tool."""
        new = {(run.set, run.place, run.tool, run.phase) for run in runs}
        self.runs = [run for run in self.runs if (run.set, run.place, run.tool, run.phase) not in new] + runs

    def select(self, **wanted: str) -> list[Run]:
        return [run for run in self.runs if all(getattr(run, key) == value for key, value in wanted.items())]

    def seconds(self, **wanted: str) -> float | None:
        """The median, or nothing if it was not measured."""
        found = [run.seconds for run in self.select(**wanted)]
        return statistics.median(found) if found else None

    def value(self, name: str, **wanted: str) -> float | None:
        """The median of something else that runs told."""
        found = [run.more[name] for run in self.select(**wanted) if name in run.more]
        return statistics.median(found) if found else None

    def tools(self, **wanted: str) -> list[str]:
        """Who was measured, in the order of measuring."""
        return list(dict.fromkeys(run.tool for run in self.select(**wanted)))

    def save(self, path: Path) -> None:
        content = {"format": FORMAT, **asdict(self)}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def load(path: Path) -> Results:
    """Reads results back; a file that is not there is an empty one."""
    if not path.exists():
        return Results()
    content = json.loads(path.read_text("utf-8"))
    if content.pop("format") != FORMAT:
        raise ValueError(f"{path}: written by another version of bench")
    content["runs"] = [Run(**run) for run in content["runs"]]
    return Results(**content)
