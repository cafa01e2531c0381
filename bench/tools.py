"""The programs that are measured, and their command lines for each phase."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("obhut", "restic", "rustic", "kopia")
PASSWORD = "bench"

Line = list[str]


def program(name: str) -> Path | None:
    """A peer, or our own program."""
    if name == "obhut":
        return Path(sys.executable).with_name("obhut")
    for folder in (os.environ.get("OBHUT_PEERS", ""), str(ROOT.parent / "shared" / "peers")):
        if folder and os.access(Path(folder) / name, os.X_OK):
            return Path(folder) / name
    found = shutil.which(name)
    return Path(found) if found else None


def version(name: str) -> str:
    """What the list beside the program says, else what the program says about itself."""
    tool = program(name)
    if tool is None:
        raise FileNotFoundError(name)
    listed = tool.with_name("README.md")
    text = listed.read_text("utf-8") if listed.is_file() else ""
    found = re.search(rf"^\| {name} \| v?(\d\S*)", text, re.MULTILINE)
    if found is None:
        verb = "version" if name == "restic" else "--version"
        text = subprocess.run([str(tool), verb], capture_output=True, text=True, check=True).stdout
        found = re.search(r"(\d+\.\d+[\w.-]*)", text)
    return found.group(1) if found else "of unknown version"


@dataclass
class Bench:
    """One tool with a repository of its own below ``base``."""

    name: str
    base: Path
    source: Path
    env: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.env = {**os.environ, "HOME": str(self.base / "home"), "XDG_CACHE_HOME": str(self.base / "home/.cache")}
        self.env |= {f"{tool}_PASSWORD": PASSWORD for tool in ("OBHUT", "RESTIC", "RUSTIC", "KOPIA")}

    @property
    def repo(self) -> Path:
        return self.base / f"repo-{self.name}"

    @property
    def target(self) -> Path:
        """Where it restores to."""
        return self.base / f"out-{self.name}"

    def lines(self, verb: str) -> list[Line]:
        """The command lines of a verb; none if the tool does not know it."""
        exe = program(self.name)
        if exe is None:
            raise FileNotFoundError(self.name)
        return (self._kopia if self.name == "kopia" else self._restic_like)(str(exe)).get(verb, [])

    def _kopia(self, exe: str) -> dict[str, list[Line]]:
        base = [exe, f"--config-file={self.repo}.config", "--no-use-keyring"]
        cache = f"--cache-directory={self.repo}.cache"
        source, target = str(self.source), str(self.target)
        return {
            "init": [
                [*base, "repository", "create", "filesystem", f"--path={self.repo}", cache],
                [*base, "policy", "set", "--global", "--compression=zstd"],
            ],
            "backup": [[*base, "snapshot", "create", "--no-progress", source]],
            "restore": [[*base, "snapshot", "restore", source, target, "--snapshot-time=latest", "--no-progress"]],
            "check": [[*base, "snapshot", "verify", "--no-progress"]],
            "check data": [[*base, "snapshot", "verify", "--verify-files-percent=100", "--no-progress"]],
        }

    def _restic_like(self, exe: str) -> dict[str, list[Line]]:
        base = [exe, "backup"] if self.name == "obhut" else [exe]
        more = ["-r", str(self.repo)]
        if self.name == "rustic":
            more += ["--no-progress", "--log-level", "error"]
        # Nobody watches, so nobody makes an estimate of the whole: rustic and kopia make none without progress.
        runs = {"obhut": ["run", "-v", "--no-scan"], "restic": ["backup", "--no-scan"]}
        run = runs.get(self.name, ["backup"])
        target = [str(self.target)] if self.name == "rustic" else ["--target", str(self.target)]
        forget = [*base, "forget", *more, "--group-by", "", "--keep-last", "1"]
        prune = [[*forget, "--prune"]]
        if self.name == "rustic":
            prune = [forget, [*base, "prune", *more, "--instant-delete"]]
        return {
            "init": [[*base, "init", *more]],
            "backup": [[*base, *run, *more, str(self.source)]],
            "restore": [[*base, "restore", *more, "latest", *target]],
            "check": [[*base, "check", *more]],
            "check data": [[*base, "check", *more, "--read-data"]],
            "forget+prune": prune,
        }

    def size(self) -> int:
        """Bytes of the repository."""
        return sum(path.lstat().st_size for path in self.repo.rglob("*") if path.is_file())

    def remove(self) -> None:
        """The repository and all that the tool keeps beside it."""
        for path in (self.repo, self.target, Path(f"{self.repo}.cache")):
            shutil.rmtree(path, ignore_errors=True)
        Path(f"{self.repo}.config").unlink(missing_ok=True)
