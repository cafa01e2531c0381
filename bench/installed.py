"""A set like a developer's disk, from what is installed on the machine; and one of formats that do not compress."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

LEAST_FILES, LEAST_BYTES = 200_000, 4 << 30


def folders() -> list[Path]:
    """Debian's data, headers, what is installed by hand, all Python versions, Rust's documentation."""
    found = [Path("/usr/share"), Path("/usr/include"), Path("/usr/local")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found.append(pyenv / "versions" if (pyenv / "versions").is_dir() else Path(sys.base_prefix) / "lib")
    rustup = Path(os.environ.get("RUSTUP_HOME", Path.home() / ".rustup"))
    found += sorted(rustup.glob("toolchains/*/share"))
    real = [path.resolve() for path in found if path.is_dir()]
    return [path for n, path in enumerate(real) if not any(path.is_relative_to(other) for other in real[:n])]


def short(path: Path) -> str:
    """A folder as it is printed: nobody's home in it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def copy(sources: list[Path], target: Path) -> None:
    """Each folder under a name of its own, with everything that ``cp -a`` keeps."""
    target.mkdir(parents=True)
    for number, source in enumerate(sources):
        place = target / f"{number}-{source.name or 'root'}"
        # What cannot be read by this user is left out; what was copied is counted afterwards.
        subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(place)], check=False, stderr=subprocess.DEVNULL)


def regular(folder: Path) -> list[Path]:
    """All regular files in a fixed order."""
    found = []
    for place, names, files in os.walk(folder):
        names.sort()
        found += [path for name in sorted(files) if (path := Path(place, name)).is_file() and not path.is_symlink()]
    return found


def fill_up(folder: Path, least_files: int, least_bytes: int) -> int:
    """Adds copies whose bytes are shifted by a number, so that nothing in them is known but all compresses alike.

    Gives the number of files added.
    """
    files = regular(folder)
    have, size = len(files), sum(path.stat().st_size for path in files)
    added = 0
    for shift in range(1, 256):
        shifted = bytes((n + shift) & 255 for n in range(256))
        for path in files:
            if have + added >= least_files and size >= least_bytes:
                return added
            copied = folder / f"filled-{shift:03}" / path.relative_to(folder)
            copied.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes().translate(shifted)
            copied.write_bytes(content)
            added, size = added + 1, size + len(content)
    return added


def tree(target: Path, sources: list[Path], *, fill: bool) -> list[str]:
    """The set; gives lines that say what it is made of."""
    copy(sources, target)
    made_of = [short(source) for source in sources]
    if fill:
        added = fill_up(target, LEAST_FILES, LEAST_BYTES)
        if added:
            made_of.append(f"{added} files made from these, since they are less than asked for")
    return made_of


def _picture(path: Path, seed: int, width: int) -> bool:
    """A JPEG of a slope with noise, by libjpeg's ``cjpeg``."""
    if shutil.which("cjpeg") is None:
        return False
    draw = random.Random(seed)
    noise = draw.randbytes(width * width * 3)
    pixels = bytearray()
    for n in range(width):
        row = noise[n * width * 3 : (n + 1) * width * 3]
        pixels += bytes((n * 200 // width + (x * 40 // width) + (value & 15)) & 255 for x, value in enumerate(row))
    header = f"P6 {width} {width} 255\n".encode()
    out = subprocess.run(["cjpeg", "-quality", "85"], input=header + bytes(pixels), capture_output=True, check=True)
    path.write_bytes(out.stdout)
    return True


def _database(path: Path, files: list[Path]) -> None:
    with sqlite3.connect(path) as database:
        database.execute("create table file (name text primary key, size integer, content blob)")
        rows = ((str(f), f.stat().st_size, f.read_bytes()[:20_000]) for f in files)
        database.executemany("insert or replace into file values (?, ?, ?)", rows)
    database.close()


def _image(path: Path, content: Path, mebibytes: int) -> bool:
    """A file system in a file, as virtual machines have it: mostly full, with gaps."""
    tool = shutil.which("mke2fs", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if tool is None:
        return False
    line = [tool, "-q", "-t", "ext4", "-d", str(content), str(path), f"{mebibytes}M"]
    subprocess.run(line, check=True, capture_output=True)
    return True


def mixed(target: Path, sources: list[Path], share: float) -> list[str]:
    """An image of a virtual machine, a tar of mixed content, SQLite, JPEG, ZIP."""
    target.mkdir(parents=True)
    files = [path for source in sources for path in regular(source) if os.access(path, os.R_OK)]
    draw = random.Random(7)
    draw.shuffle(files)
    some, size = [], 0
    for path in files:
        if size < share * (400 << 20):
            some.append(path)
            size += path.stat().st_size
    third = max(1, len(some) // 3)
    made_of, stage = [], target / "stage"
    for number, path in enumerate(some[:third]):
        place = stage / f"{number % 100:02}" / f"{number}-{path.name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    used = sum(path.stat().st_size for path in some[:third]) >> 20
    missing = "left out, its tool is missing"
    made_of.append(f"ext4 image: {'made' if _image(target / 'machine.img', stage, 64 + 2 * used) else missing}")
    shutil.rmtree(stage)
    with tarfile.open(target / "mixed.tar", "w") as out:
        for path in some[third : 2 * third]:
            out.add(path, arcname=str(path.relative_to(path.anchor)), recursive=False)
    with zipfile.ZipFile(target / "packed.zip", "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as out:
        for path in some[2 * third :]:
            out.write(path, arcname=str(path.relative_to(path.anchor)))
    _database(target / "table.sqlite", some[:third])
    pictures = [_picture(target / f"picture-{n}.jpg", n, int(1500 * share) + 64) for n in range(12)]
    made_of.append(f"JPEG: {f'{len(pictures)} pictures' if all(pictures) else missing}")
    return [*made_of, f"tar, ZIP and SQLite of {len(some)} files from " + ", ".join(short(s) for s in sources)]
