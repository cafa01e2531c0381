"""Runs programs with a clock beside them; says what the machine is; drops caches."""

from __future__ import annotations

import multiprocessing
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.tools import ROOT, Line

T = TypeVar("T")


@dataclass(frozen=True)
class Timed:
    """What one or more commands in turn took."""

    seconds: float
    cpu: float
    peak_mib: float
    output: str


def apart(work: Callable[..., T], *arguments: object) -> T:
    """Calls a function in a process of its own.

    What this process once held counts as the peak of each program that it starts (Linux hands the figure on), so lists
    of a million names must not lie here.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return pool.submit(work, *arguments).result()


def timed(lines: list[Line], env: dict[str, str] | None = None) -> Timed:
    """Runs commands in turn; ends the program with the output of one that fails."""
    peak, cpu, text = 0, 0.0, ""
    began = time.monotonic()
    for line in lines:
        with subprocess.Popen(
            line, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as child:
            out = (child.stdout.read() if child.stdout else b"").decode(errors="replace")
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            sys.exit(f"{' '.join(line)}\nexit code {child.returncode}\n{out[-2000:]}")
        text += out
        peak = max(peak, usage.ru_maxrss)
        cpu += usage.ru_utime + usage.ru_stime
    return Timed(time.monotonic() - began, cpu, peak / 1024, text)


def together(lines: list[Line]) -> Timed:
    """Runs commands at the same time."""
    began = time.monotonic()
    children = [subprocess.Popen(line, stdin=subprocess.DEVNULL) for line in lines]
    cpu, peak = 0.0, 0
    for child, line in zip(children, lines, strict=True):
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            sys.exit(f"{' '.join(line)}\nexit code {child.returncode}")
        cpu += usage.ru_utime + usage.ru_stime
        peak = max(peak, usage.ru_maxrss)
    return Timed(time.monotonic() - began, cpu, peak / 1024, "")


def drop_caches() -> bool:
    """Everything written and forgotten by the system; whether that was allowed."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        return False
    return True


def example(name: str, profile: str) -> Path:
    """Builds one of the core's measuring programs and says where it is."""
    release = ["--release"] if profile == "release" else []
    subprocess.run(
        ["cargo", "build", "--quiet", "--locked", *release, "-p", "obhut-core", "--example", name], cwd=ROOT, check=True
    )
    built = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return built / ("release" if release else "debug") / "examples" / name


def write_rate(folder: Path, mebibytes: int) -> float:
    """MB/s of one file written and synced."""
    block = os.urandom(1 << 20)
    path = folder / "write-rate"
    began = time.monotonic()
    with path.open("wb") as out:
        for _ in range(mebibytes):
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    taken = time.monotonic() - began
    path.unlink()
    return mebibytes * (1 << 20) / taken / 1e6


def figures(text: str) -> dict[str, float]:
    """The lines ``name  value unit`` that a measuring program prints."""
    return {m[1]: float(m[2]) for m in re.finditer(r"^(\S.*?) {2,}([-\d.]+)(?: .*)?$", text, re.MULTILINE)}


def rates(folder: Path, profile: str, quick: bool) -> dict[str, float]:
    """MB/s of the byte work on one core, and of the disk."""
    text = subprocess.run([example("rates", profile)], capture_output=True, text=True, check=True).stdout
    return {**figures(text), "write and fsync": write_rate(folder, 16 if quick else 1024)}


def file_system(folder: Path) -> str:
    """The type of the file system that a folder is on."""
    line = ["stat", "--file-system", "--format=%T", str(folder)]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()


def describe() -> dict[str, str | int | float]:
    """Processor, cores, memory, system."""
    info = Path("/proc/cpuinfo").read_text(errors="replace")
    model = re.search(r"model name\s*: (.+)", info)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "processor": model.group(1).strip() if model else platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }
