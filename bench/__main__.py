"""Times obhut beside restic, rustic and kopia, phase by phase in turn, and prints tables, ratios and bars.

    python -m bench [--sets tree,random:4G] [--place tmpfs,disk] [--tools …] [--phases …] [--rounds N] [--into FILE]
    python -m bench report FILE
    python -m bench pictures FILE FOLDER

Sets: tree (installed packages, Python, Rust's documentation, or --folder …), mixed (formats that do not compress),
random:SIZE and compressible:SIZE (one file), files:N (small ones), wide:N (in one folder), index (blobs in memory).
--into merges what is measured into a JSON file, with the report beside it as Markdown: a long list of sets can be
measured in pieces. Only ratios within one table mean something: the machine, its load and its disk decide the seconds.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

from bench import machine, pictures, sets
from bench.measure import PLACES, Measurement, Plan, say
from bench.report import markdown
from bench.results import Results, load
from bench.tools import TOOLS, program, version

EVERYTHING = "tree,mixed,random:4G,compressible:4G,files:1000000,index"


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=names, help=f"default: {EVERYTHING}; files:… in memory only")
    parser.add_argument("--place", type=names, default=["tmpfs"], help="tmpfs, disk or both")
    parser.add_argument("--tools", type=names, default=list(TOOLS))
    parser.add_argument("--phases", type=names, help="default: what a set is for")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path, action="append", help="what tree and mixed are made from")
    parser.add_argument("--into", type=Path, help="JSON file that results are merged into")
    parser.add_argument("--tmpfs", type=Path, default=PLACES["tmpfs"])
    parser.add_argument("--disk", type=Path, default=PLACES["disk"])
    parser.add_argument("--blobs", type=int, default=20_000_000, help="of the set index")
    parser.add_argument("--no-rates", action="store_true")
    parser.add_argument("--small", action="store_true", help="a try: nothing is filled up, rates are rough")
    parser.add_argument("--profile", choices=["release", "dev"], default="release", help="of the measuring programs")
    return parser.parse_args(given)


def found(tools: list[str]) -> list[str]:
    """Those that are there."""
    for name in tools:
        if program(name) is None:
            say(f"{name}: not found, left out")
    return [name for name in tools if program(name) is not None]


def index(blobs: int, profile: str) -> dict[str, float]:
    """What the index of many blobs takes."""
    say(f"index of {blobs:,} blobs")
    line = [str(machine.example("index_memory", profile)), str(blobs)]
    text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    return machine.figures(text)


def measure(given: argparse.Namespace, results: Results) -> None:
    """All that is asked for; results are saved after each set."""
    tools = found(given.tools)
    results.machine = machine.describe()
    results.versions |= {name: version(name) for name in tools}
    for place in given.place:
        work = {"tmpfs": given.tmpfs, "disk": given.disk}[place]
        cold = place == "disk" and machine.drop_caches()
        work.mkdir(parents=True, exist_ok=True)
        results.places[place] = {"type": machine.file_system(work), "cold": cold}
        if place == "disk" and not cold:
            say("caches cannot be dropped (that needs the superuser): all tools find them as they are")
    if not given.no_rates:
        say("rates of one core")
        results.rates = machine.rates(given.disk, given.profile, given.small)
    for name in given.sets or names(EVERYTHING):
        if name == "index":
            results.index = index(given.blobs, given.profile)
            continue
        for place in given.place:
            if given.sets is None and place == "disk" and name.startswith("files:"):
                say(
                    f"{name} on disk: left out unless it is named; removing so many files takes longer than all the rest"
                )
                continue
            work = given.tmpfs if place == "tmpfs" else given.disk
            phases = tuple(given.phases) if given.phases else None
            plan = Plan(tools, phases, given.rounds, place, work, given.folder, given.profile, given.small)
            one = Measurement(plan, sets.parse(name))
            with one:
                results.sets[one.set.name] = one.make()
                results.add(list(one.run()))
            if given.into:
                results.save(given.into)


def main() -> None:
    """Measures, prints, keeps."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.argv[1:2] == ["report"]:
        print(markdown(load(Path(sys.argv[2]))))
        return
    if sys.argv[1:2] == ["pictures"]:
        for path in pictures.draw(load(Path(sys.argv[2])), Path(sys.argv[3])):
            print(path)
        return
    given = arguments(sys.argv[1:])
    results = load(given.into) if given.into else Results()
    measure(given, results)
    text = markdown(results)
    print(text)
    if given.into:
        results.save(given.into)
        given.into.with_suffix(".md").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
