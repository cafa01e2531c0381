"""Results as Markdown: a table a set, bars, rates, what the sets are made of."""

from __future__ import annotations

from bench.bars import judge
from bench.results import Results, Run
from bench.sets import PHASES


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def cell(results: Results, tool: str, phase: str, **where: str) -> str:
    """Seconds, and in brackets the ratio to Obhut (above 1: slower than Obhut)."""
    mine = results.seconds(tool=tool, phase=phase, **where)
    if mine is None:
        return "–"
    ours = results.seconds(tool="obhut", phase=phase, **where)
    ratio = f" ({mine / ours:.2f})" if ours and tool != "obhut" else ""
    return f"{mine:.2f}{ratio}"


def busy(runs: list[Run], cores: float) -> str:
    """How much of all processors was used while the first backup ran."""
    took = [(run.cpu, run.seconds) for run in runs if run.phase == "first" and run.cpu]
    return f"{100 * sum(cpu for cpu, _ in took) / sum(s for _, s in took) / cores:.0f}" if took else "–"


def table(results: Results, name: str, place: str) -> list[str]:
    """One set at one place."""
    where = {"set": name, "place": place}
    phases = [phase for phase in PHASES if results.select(phase=phase, **where)]
    out = [row(["", *phases, "busy %", "peak MiB", "repository MB"]), "|---" * (len(phases) + 4) + "|"]
    cores = float(results.machine.get("cores", 1))
    for tool in results.tools(**where):
        runs = results.select(tool=tool, **where)
        cells = [cell(results, tool, phase, **where) for phase in phases]
        peak = max(run.peak_mib for run in runs)
        size = results.value("repository", tool=tool, **where)
        label = f"{tool} {results.versions.get(tool, '')}".strip()
        more = [busy(runs, cores), f"{peak:.0f}" if peak else "–", f"{size / 1e6:.1f}" if size else "–"]
        out.append(row([label, *cells, *more]))
    walk = results.value("walk", tool="obhut", phase="unchanged", **where)
    if walk is not None:
        out += ["", f"Obhut's walk phase of the unchanged backup: {walk:.3f} s."]
    return out


def of_set(results: Results, name: str) -> list[str]:
    """What a set is."""
    facts = results.sets[name]
    kept = [f"{facts['files']:,} files in {facts['folders']:,} folders", f"{facts['bytes'] / (1 << 30):.2f} GiB"]
    kept.append(f"{100 * facts['duplicate_share']:.1f} % in pieces that came before")
    kept.append(f"the rest {facts['zstd3_ratio']:.2f} times smaller by zstd level 3")
    kept.append(f"largest folder {facts['largest_folder']:,} entries")
    return [f"- `{name}`: " + "; ".join(kept) + ". " + "; ".join(facts["made_of"]) + "."]


def markdown(results: Results) -> str:
    """The whole report."""
    machine = results.machine
    out = ["# Measured with `make bench`", ""]
    out.append(
        f"{machine.get('processor')}, {machine.get('cores')} cores, {machine.get('memory_gib')} GiB, "
        f"{machine.get('system')}, Python {machine.get('python')}. Seconds; in brackets the ratio to Obhut "
        "(above 1: slower than Obhut). Only ratios within one table mean something."
    )
    out += ["", "## Sets", ""]
    for name in results.sets:
        out += of_set(results, name)
    for name, place in dict.fromkeys((run.set, run.place) for run in results.runs):
        facts = results.places[place]
        rounds = 1 + max(run.round for run in results.select(set=name, place=place))
        kept = {"tmpfs": "everything in memory", "disk": "caches dropped before each run"}[place]
        if place == "disk" and not facts["cold"]:
            kept = "caches were NOT dropped: that needs the superuser"
        out += ["", f"## {name} on {place} ({facts['type']}; {kept}; rounds: {rounds})", ""]
        out += table(results, name, place)
    bars = judge(results)
    if bars:
        out += ["", "## Bars", "", row(["work", "bar", "goal", "seen", ""]), "|---|---|---|---|---|"]
        for bar in bars:
            digits = 2 if bar.bar < 10 else 1
            goal = "–" if bar.goal is None else f"{bar.goal:g}"
            limit = "–" if bar.aim else f"{bar.bar:.{digits}f}".rstrip("0").rstrip(".")
            goal = f"{bar.bar:g}" if bar.aim else goal
            out.append(row([bar.work, limit, goal, f"{bar.seen:.{digits}f} {bar.unit}", bar.verdict]))
    if results.index:
        out += ["", "## Index in memory", ""]
        out += [f"- {name}: {value:,.2f}" for name, value in results.index.items()]
    if results.rates:
        out += ["", "## What one core does", "", row(["work", "MB/s"]), "|---|---|"]
        out += [row([name, f"{value:,.0f}"]) for name, value in results.rates.items()]
    return "\n".join(out) + "\n"
