"""Times obhut beside restic, rustic and kopia on one folder, each phase paired in one run, and prints a Markdown table.

    python bench/backup.py [FOLDER] [--work DIR] [--rounds N] [--tools obhut,restic] [--out FILE]

Only ratios within one table mean something: the machine, its load and its disk decide the seconds. The folder is copied
first, so that it can be changed; ``--work`` says where (a tmpfs measures the engines, a disk measures the disk too).
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "bench"
PHASES = ("first", "unchanged", "changed", "restore", "check", "check data", "forget+prune")


def program(name: str) -> Path | None:
    """A peer, or our own program."""
    if name == "obhut":
        return Path(sys.executable).with_name("obhut")
    for folder in (os.environ.get("OBHUT_PEERS", ""), str(ROOT.parent / "shared" / "peers")):
        if folder and os.access(Path(folder) / name, os.X_OK):
            return Path(folder) / name
    found = shutil.which(name)
    return Path(found) if found else None


def commands(name: str, tool: Path, repo: Path, source: Path, target: Path) -> dict[str, list[list[str]]]:
    """The command lines of each phase."""
    exe, r, s, t = str(tool), str(repo), str(source), str(target)
    if name == "kopia":
        base = [exe, f"--config-file={repo}.config", "--no-use-keyring"]
        return {
            "init": [[*base, "repository", "create", "filesystem", f"--path={r}", f"--cache-directory={repo}.cache"]]
            + [[*base, "policy", "set", "--global", "--compression=zstd"]],
            "backup": [[*base, "snapshot", "create", "--no-progress", s]],
            "restore": [[*base, "snapshot", "restore", s, t, "--snapshot-time=latest", "--no-progress"]],
            "check": [[*base, "snapshot", "verify", "--no-progress"]],
            "check data": [[*base, "snapshot", "verify", "--verify-files-percent=100", "--no-progress"]],
        }
    base = [exe, "backup"] if name == "obhut" else [exe]
    more = ["-r", r] if name != "rustic" else ["-r", r, "--no-progress", "--log-level", "error"]
    forget = ["forget", *more, "--group-by", "", "--keep-last", "1"]
    return {
        "init": [[*base, "init", *more]],
        "backup": [[*base, "run" if name == "obhut" else "backup", *more, s]],
        "restore": [[*base, "restore", *more, "latest", *([t] if name == "rustic" else ["--target", t])]],
        "check": [[*base, "check", *more]],
        "check data": [[*base, "check", *more, "--read-data"]],
        "forget+prune": [[*base, *forget], [*base, "prune", *more, "--instant-delete"]]
        if name == "rustic"
        else [[*base, *forget, "--prune"]],
    }


def timed(lines: list[list[str]], env: dict[str, str]) -> tuple[float, int]:
    """Seconds and the largest resident set in MiB of some commands."""
    peak = 0
    began = time.monotonic()
    for line in lines:
        child = subprocess.Popen(
            line, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        out = child.stdout.read() if child.stdout else b""
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            sys.exit(f"{' '.join(line)}\nexit code {child.returncode}\n{out.decode(errors='replace')[-2000:]}")
        peak = max(peak, usage.ru_maxrss)
    return time.monotonic() - began, peak // 1024


def change(source: Path, seed: int) -> None:
    """Rewrites 1 % of the files and adds some."""
    draw = random.Random(seed)
    files = sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())
    for path in draw.sample(files, max(1, len(files) // 100)):
        content = path.read_bytes()
        path.write_bytes(content + b"\nchanged " + str(seed).encode())
    (source / f"new-{seed}").write_bytes(draw.randbytes(1 << 20))


def measure(names: list[str], folder: Path, work: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """All tools phase by phase, in turn, so that what the machine does meanwhile hits all of them."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    for number in range(rounds):
        base = Path(tempfile.mkdtemp(prefix="bench-", dir=work))
        source = base / "source"
        subprocess.run(["cp", "-a", "--reflink=auto", f"{folder}/.", str(source)], check=True)
        env = {**os.environ, "HOME": str(base / "home"), "XDG_CACHE_HOME": str(base / "home/.cache")}
        env |= {f"{tool}_PASSWORD": PASSWORD for tool in ("OBHUT", "RESTIC", "RUSTIC", "KOPIA")}
        lines = {}
        for name in names:
            tool = program(name)
            assert tool is not None
            lines[name] = commands(name, tool, base / f"repo-{name}", source, base / f"out-{name}")
            timed(lines[name]["init"], env)

        def phase(
            label: str,
            verb: str,
            *,
            base: Path = base,
            env: dict[str, str] = env,
            lines: dict[str, dict[str, list[list[str]]]] = lines,
            number: int = number,
        ) -> None:
            order = names[number % len(names) :] + names[: number % len(names)]
            for name in order:
                if verb in lines[name]:
                    seconds, peak = timed(lines[name][verb], env)
                    found[name].setdefault(label, []).append(seconds)
                    found[name].setdefault("peak MiB", []).append(peak)
                shutil.rmtree(base / f"out-{name}", ignore_errors=True)

        steps: list[tuple[str, str, Callable[[], None] | None]] = [
            ("first", "backup", None),
            ("unchanged", "backup", None),
            ("changed", "backup", lambda source=source, number=number: change(source, number)),  # type: ignore[misc]
            *((label, label, None) for label in PHASES[3:]),
        ]
        for label, verb, before in steps:
            if before:
                before()
            phase(label, verb)
        for name in names:
            size = sum(file.stat().st_size for file in (base / f"repo-{name}").rglob("*") if file.is_file())
            found[name].setdefault("repository MB", []).append(size / 1e6)
        shutil.rmtree(base)
    return found


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """Medians, and in brackets the ratio to obhut (above 1: slower than obhut)."""
    out = ["| | " + " | ".join([*PHASES, "peak MiB", "repository MB"]) + " |", "|---" * (len(PHASES) + 3) + "|"]
    for name, phases in found.items():
        cells = []
        for label in PHASES:
            if label not in phases:
                cells.append("–")
                continue
            mine = statistics.median(phases[label])
            ours = found.get("obhut", {}).get(label)
            ratio = f" ({mine / statistics.median(ours):.2f})" if ours and name != "obhut" else ""
            cells.append(f"{mine:.2f}{ratio}")
        cells += [f"{max(phases['peak MiB']):.0f}", f"{statistics.median(phases['repository MB']):.1f}"]
        out.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(out)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("/usr/share/doc"))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--tools", default="obhut,restic,rustic,kopia")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    names = []
    for name in given.tools.split(","):
        if program(name) is None:
            print(f"{name}: not found, left out", file=sys.stderr)
        else:
            names.append(name)
    files = sum(1 for path in given.folder.rglob("*") if path.is_file())
    found = measure(names, given.folder, given.work, given.rounds)
    load = os.getloadavg()[0]
    head = (
        f"{given.folder}: {files} files; {given.rounds} rounds; {os.cpu_count()} processors, load {load:.1f}; seconds"
    )
    text = f"{head}, in brackets the ratio to obhut.\n\n{table(found)}\n"
    print(text)
    if given.out:
        given.out.write_text(text)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
