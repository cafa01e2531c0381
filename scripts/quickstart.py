"""Backs up a folder, restores it, compares byte for byte, archives documents of it, synchronizes copies of them to a second
device and back, and says what it did and what is next.

    make quickstart                    an example: a folder that every machine has, at most 200 MB of it
    make quickstart FOLDER=~/Documents your own files; they are only read

Each run makes a new folder ``quickstart/<number>`` with the repository, its password, what was restored, the
archive, and both devices.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shlex
import stat
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from quickstart_sync import synchronize

ROOT = Path(__file__).resolve().parent.parent
OBHUT = Path(sys.executable).with_name("obhut")
#: What the example may be at most, so that it ends within two minutes on a slow machine.
EXAMPLE_BYTES = 200_000_000
EXAMPLE_FILES = 20_000
#: Of which so much goes into the archive.
ARCHIVED_FILES = 1_000
ARCHIVED_BYTES = 100_000_000


def fail(text: str) -> None:
    """Ends with a message."""
    sys.exit(f"quickstart: {text}")


def measure(folder: Path, limit: int = sys.maxsize) -> tuple[int, int]:
    """Files and bytes below a folder; gives up counting above ``limit`` files."""
    files = size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            info = os.lstat(os.path.join(parent, name))
            if stat.S_ISREG(info.st_mode):
                files += 1
                size += info.st_size
        if files > limit:
            break
    return files, size


def example() -> Path:
    """A real folder of this machine that is neither empty nor large: documentation, or Python's own library."""
    library = Path(sysconfig.get_path("stdlib"))
    for folder in (Path("/usr/share/doc"), library, library / "email", ROOT / "src"):
        if folder.is_dir():
            files, size = measure(folder, EXAMPLE_FILES)
            if 0 < files <= EXAMPLE_FILES and 0 < size <= EXAMPLE_BYTES:
                return folder
    return ROOT / "src"


def fresh(base: Path) -> Path:
    """``quickstart/1``, ``quickstart/2``, …"""
    for number in range(1, 10_000):
        place = base / str(number)
        try:
            place.mkdir(parents=True)
        except FileExistsError:
            continue
        return place
    fail("remove old folders below quickstart/")
    raise AssertionError


def obhut(place: Path, *words: str | Path, accept: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    """Runs a backup command, showing it as a person would type it."""
    env = {"OBHUT_REPOSITORY": str(place / "repository"), "OBHUT_PASSWORD_FILE": str(place / "password")}
    return program(["obhut", "backup", *map(str, words)], env, accept=accept)


def program(
    line: list[str], env: dict[str, str], *, shown: str = "", accept: tuple[int, ...] = (0,)
) -> subprocess.CompletedProcess[str]:
    """Runs Obhut with a command line, and shows it."""
    print(f"\n$ {shown or shlex.join(line)}", flush=True)
    env = {**os.environ, **env}
    child = subprocess.run([OBHUT, *line[1:]], env=env, text=True, capture_output=True, check=False)
    if child.returncode not in accept:
        fail(f"this failed with exit code {child.returncode}:\n{child.stdout}{child.stderr}")
    return child


def indent(text: str, lines: int = 12) -> None:
    """Shows what a command said."""
    rows = [row for row in text.splitlines() if row.strip()]
    for row in rows[:lines]:
        print(f"    {row}")
    if len(rows) > lines:
        print(f"    … {len(rows) - lines} more lines")


def show(line: list[str], text: str) -> None:
    """Shows a command and what it said, or what is to be seen."""
    if line:
        print(f"\n$ {shlex.join(line)}", flush=True)
        indent(text, 6)
    else:
        print(f"    {text}", flush=True)


def documents(source: Path) -> list[Path]:
    """The first files of a folder that may be archived: enough to see it, not a second copy of everything."""
    found: list[Path] = []
    size = 0
    for parent, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            info = path.lstat()
            if stat.S_ISREG(info.st_mode) and os.access(path, os.R_OK) and info.st_mtime <= time.time():
                found.append(path)
                size += info.st_size
            if len(found) == ARCHIVED_FILES or size > ARCHIVED_BYTES:
                return found
    return found


def archive(place: Path, files: list[Path]) -> tuple[float, str]:
    """Archives documents, verifies the archive, and has the verifier for strangers check a receipt; seconds, and an id."""
    env = {"OBHUT_ARCHIVE": str(place / "archive")}
    key = ["--key-file", str(place / "archive.key")]
    indent(program(["obhut", "archive", "init", "--name", "example.org/quickstart", *key], env).stdout)
    line = ["obhut", "archive", "put", "--class", "letter", *key]
    start = time.monotonic()
    done = program([*line, *map(str, files)], env, shown=f"{shlex.join(line)} … ({len(files)} files)")
    taken = time.monotonic() - start
    rows = done.stdout.splitlines()
    indent("\n".join([*rows[:3], "…", rows[-1]] if len(rows) > 5 else rows))
    indent(program(["obhut", "archive", "verify"], env).stdout)
    made = rows[0].split()[0]
    receipt, verifier = place / f"{made}.receipt", place / "verify.py"
    program(["obhut", "archive", "receipt", made, "-o", str(receipt)], env)
    program(["obhut", "archive", "verifier", "-o", str(verifier)], env)
    words = ["-I", verifier.name, receipt.name, str(files[0]), "--key", "archive/log/1.vkey"]
    print(f"\n$ cd {place} && python3 {shlex.join(words)}     # nothing of Obhut takes part", flush=True)
    child = subprocess.run([sys.executable, *words], cwd=place, text=True, capture_output=True, check=False)
    if child.returncode:
        fail(f"the receipt was refused:\n{child.stdout}{child.stderr}")
    indent(child.stdout)
    return taken, made


def differences(source: Path, restored: Path, unreadable: set[str]) -> list[str]:
    """What is not equal: names, types, contents byte for byte, link targets, permissions, times to the nanosecond."""
    found = []
    for parent, folders, names in os.walk(source):
        there = restored / Path(parent).relative_to(source)
        missing = set(os.listdir(there)) if there.is_dir() else set()
        for name in [*folders, *names]:
            original, copy = Path(parent, name), there / name
            missing.discard(name)
            if str(original) not in unreadable and not equal(original, copy):
                found.append(str(original))
        found += [f"{there / name} (too much)" for name in missing]
    return found


def equal(original: Path, copy: Path) -> bool:
    """Whether two entries are equal."""
    left = os.lstat(original)
    if stat.S_ISSOCK(left.st_mode):
        return True
    try:
        right = os.lstat(copy)
    except FileNotFoundError:
        return False
    if (left.st_mode, left.st_mtime_ns) != (right.st_mode, right.st_mtime_ns):
        return False
    if stat.S_ISLNK(left.st_mode):
        return os.readlink(original) == os.readlink(copy)
    return not stat.S_ISREG(left.st_mode) or equal_bytes(original, copy)


def equal_bytes(original: Path, copy: Path) -> bool:
    """Whether two files hold the same bytes. (``filecmp`` believes times and remembers answers: not here.)"""
    with original.open("rb") as left, copy.open("rb") as right:
        while True:
            part = left.read(1 << 20)
            if part != right.read(1 << 20):
                return False
            if not part:
                return True


def amount(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError


def main() -> None:
    """The whole way, once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="the folder to back up (default: an example)")
    parser.add_argument("--place", type=Path, default=ROOT / "quickstart", help="where the new folder is made")
    given = parser.parse_args()
    source = (given.folder.expanduser().resolve() if given.folder else example()).absolute()
    if not source.is_dir():
        fail(f"{source} is not a folder. Say another one: make quickstart FOLDER=/path/to/folder")
    place = fresh(given.place.absolute())
    if place.is_relative_to(source):
        fail(f"{source} contains this checkout, so a restore into it would grow itself. Choose a folder beside it.")

    files, size = measure(source)
    print(f"Source: {source} ({files:,} files, {amount(size)}). It is only read.")
    began = time.monotonic()
    password = place / "password"
    password.touch(0o600)
    password.write_text(secrets.token_urlsafe(18) + "\n")

    indent(obhut(place, "init").stdout)
    start = time.monotonic()
    first = obhut(place, "run", source, accept=(0, 3))
    taken = time.monotonic() - start
    indent(first.stdout + first.stderr)
    unreadable = {
        entry["item"]
        for line in (
            obhut(place, "run", "--json", source, accept=(0, 3)).stderr.splitlines() if first.returncode else []
        )
        if (entry := json.loads(line)).get("message_type") == "error"
    }
    start = time.monotonic()
    indent(obhut(place, "restore", f"latest:{source}", "--target", place / "restored").stdout)
    back = time.monotonic() - start
    print("\ncomparing every file byte for byte …", flush=True)
    wrong = differences(source, place / "restored", unreadable)
    if wrong:
        fail("these differ (did something write to the folder meanwhile?):\n" + "\n".join(wrong[:20]))
    indent(obhut(place, "check", "--read-data").stdout)

    files_archived = documents(source)
    archiving, example_id = archive(place, files_archived) if files_archived else (0.0, "")
    syncing, synchronized = synchronize(place / "sync", files_archived, show) if len(files_archived) > 1 else (0.0, 0)
    stored = measure(place / "repository")[1]
    shown = place.relative_to(ROOT) if place.is_relative_to(ROOT) else place
    print(f"""
Everything that was backed up came back equal: contents, names, permissions, times.
{f"{len(unreadable)} files could not be read and are not in the backup; they are named above." if unreadable else ""}
  backup    {taken:6.1f} s   {files:,} files, {amount(size)} → {amount(stored)} in the repository
  restore   {back:6.1f} s
  archive   {archiving:6.1f} s   {len(files_archived):,} documents of it, each logged and with a receipt
  sync      {syncing:6.1f} s   copies of {synchronized:,} files on a second device; two were lost there and came back
  in all    {time.monotonic() - began:6.1f} s

  repository  {shown}/repository   (restic's open format: `restic -r {shown}/repository snapshots` reads it too)
  password    {shown}/password     (without it nobody can restore: keep a copy elsewhere)
  restored    {shown}/restored
  archive     {shown}/archive      (a receipt: {shown}/{example_id}.receipt)
  sync        {shown}/sync         (two devices on this machine: first, second)

Three commands to try next:
  export OBHUT_REPOSITORY={shown}/repository OBHUT_PASSWORD_FILE={shown}/password PATH="$PWD/.venv/bin:$PATH"
  1. obhut backup run {shlex.quote(str(source))}     # again: only what changed is stored
  2. obhut backup snapshots                          # the points in time
  3. obhut backup ls latest                          # what is in the newest one
""")


if __name__ == "__main__":
    main()
