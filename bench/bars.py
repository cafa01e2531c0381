"""What was aimed for, and whether it was reached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.results import Results

PEERS = ("restic", "rustic", "kopia")
MIB = 1 << 20

#: Phase: bar, goal, whose time counts; times of the best of these.
TREE = {
    "first": (0.65, 0.5, PEERS),
    "unchanged": (0.5, 0.3, PEERS),
    "changed": (0.5, 0.3, PEERS),
    "restore": (0.5, None, PEERS),
    "check data": (0.75, 0.6, PEERS),
    "forget+prune": (0.6, 0.4, ("restic", "rustic")),
}


@dataclass(frozen=True)
class Bar:
    """A figure beside what it has to be at most."""

    work: str
    bar: float
    seen: float
    unit: str
    goal: float | None = None
    #: Nothing but a goal: missing it breaks no bar.
    aim: bool = False

    @property
    def met(self) -> bool:
        return self.seen <= self.bar

    @property
    def verdict(self) -> str:
        if self.goal is not None and self.seen <= self.goal:
            return "goal reached"
        if self.aim:
            return "goal reached" if self.met else "goal not reached"
        return "met" if self.met else "**not met**"


def best(results: Results, names: tuple[str, ...], **wanted: str) -> tuple[str, float] | None:
    """The fastest of some tools."""
    times = [(seconds, name) for name in names if (seconds := results.seconds(tool=name, **wanted)) is not None]
    return (min(times)[1], min(times)[0]) if times else None


def against(results: Results, bar: float, goal: float | None, names: tuple[str, ...], **wanted: str) -> Iterator[Bar]:
    """Obhut's time as a share of the best of some."""
    ours, other = results.seconds(tool="obhut", **wanted), best(results, names, **wanted)
    if ours is not None and other is not None:
        work = f"{wanted['set']} on {wanted['place']}: {wanted['phase']}"
        yield Bar(work, bar, ours / other[1], f"of {other[0]}", goal)


def of_tree(results: Results, name: str, place: str) -> Iterator[Bar]:
    """The bars of the set like a source tree."""
    for phase, (bar, goal, names) in TREE.items():
        if phase == "restore" and place == "disk":
            yield from against(results, 1.0, None, ("cp -a",), set=name, place=place, phase=phase)
            continue
        limit = 0.7 if phase == "first" and place == "disk" else bar
        yield from against(results, limit, goal, names, set=name, place=place, phase=phase)
    for aim in against(results, 1.0, None, ("two cp -a",), set=name, place=place, phase="restore"):
        yield replace(aim, aim=True)
    walk = results.value("walk", set=name, place=place, tool="obhut", phase="unchanged")
    floor = results.seconds(set=name, place=place, tool="statx walk", phase="unchanged")
    if walk is not None and floor is not None:
        yield Bar(f"{name} on {place}: walk phase", 1.5, walk / floor, "of the statx walk")


def of_size(results: Results, name: str, place: str) -> Iterator[Bar]:
    """No larger than restic's repository; where chunks are cut is drawn anew for each repository."""
    sizes = [results.value("repository", set=name, place=place, tool=tool) for tool in ("obhut", "restic")]
    if sizes[0] is not None and sizes[1] is not None:
        yield Bar(f"{name} on {place}: repository", 1.0, sizes[0] / sizes[1], "of restic's")


def of_memory(results: Results, name: str, place: str) -> Iterator[Bar]:
    """256 MiB, 50 bytes a blob, 100 bytes an entry of the largest folder."""
    runs = results.select(set=name, place=place, tool="obhut", phase="first")
    if runs:
        blobs = max(run.more.get("blobs", 0.0) for run in runs)
        allowed = 256 + (50 * blobs + 100 * results.sets[name]["largest_folder"]) / MIB
        peak = max(run.peak_mib for run in runs)
        yield Bar(f"{name} on {place}: peak memory of the first backup", allowed, peak, "MiB", 150)


def judge(results: Results) -> list[Bar]:
    """All bars that something was measured for."""
    found: list[Bar] = []
    for name, place in dict.fromkeys((run.set, run.place) for run in results.runs):
        if name == "tree":
            found += of_tree(results, name, place)
        for kind, bar in (("random", 0.5), ("compressible", 0.6)):
            if name.startswith(f"{kind}:"):
                found += against(results, bar, None, PEERS, set=name, place=place, phase="first")
        found += of_size(results, name, place)
        found += of_memory(results, name, place)
    if results.index:
        found.append(Bar("index in memory", 50, results.index["loaded"], "B a blob", 32))
        found.append(Bar("index while it is loaded", 50, results.index["peak while loading"], "B a blob", 32))
    return found
