"""Builds a folder with everything that a Linux file system can hold, from a seed.

Everything is made with directory handles, so that paths may be longer than ``PATH_MAX``. What the machine does not
allow (device nodes without the superuser, attributes on a file system without them) is left out and named in
:attr:`Built.left_out`; where everything is required, it fails.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import facilities

KIB = 1024
MIB = 1024 * KIB

#: Names that trouble quoting, terminals, encodings and sorting.
ODD_NAMES: tuple[bytes, ...] = (
    b"with space",
    b" leading and trailing ",
    b"line\nfeed",
    b"tab\tand\rreturn",
    b"bell\x07escape\x1b[31m",
    b"del\x7f",
    b'quote"double',
    b"quote'single",
    b"back\\slash",
    b"back\\n",
    b"-dash",
    b"--help",
    b"...",
    b"~",
    b"*glob?[a-z]",
    b"$HOME",
    b"<html>&amp;",
    b"percent%20",
    b"not utf-8 \xff\xfe",
    b"half a rune \xe2\x82",
    b"surrogate \xed\xa0\x80",
    "ümläut".encode(),
    "u\u0308 decomposed".encode(),
    "emoji 🦉🏴‍☠️".encode(),
    "new emoji \U0001fae9".encode(),
    "rtl עברית \u202e txt.exe".encode(),
    "no-break\u00a0space".encode(),
    "zero\u200bwidth".encode(),
    "bom \ufeff".encode(),
    "line sep \u2028 \u2029".encode(),
    "replacement \ufffd".encode(),
    "private \ue000".encode(),
    "漢字".encode(),
    b"n" * 255,
    "ü".encode() * 127,
)

#: Sizes around the borders of chunks and buffers.
SIZES: tuple[int, ...] = (
    0,
    1,
    63,
    64,
    65,
    4095,
    4096,
    4097,
    64 * KIB,
    512 * KIB - 1,
    512 * KIB,
    512 * KIB + 1,
    MIB,
    3 * MIB + 17,
    8 * MIB - 1,
    8 * MIB + 1,
)


@dataclass
class Options:
    """What to build; the defaults are what every judge can carry."""

    seed: int = 1
    sizes: tuple[int, ...] = SIZES
    wide: int = 10_000
    #: Bytes that the deepest path shall exceed; 0 = none. Programs that work with whole paths fail beyond 4096.
    deep: int = 0
    sockets: bool = False
    #: Files and folders that nobody may read; only the superuser backs them up.
    mode_zero: bool = True
    link_targets_not_utf8: bool = True
    odd_names: bool = True
    #: Times after 2262, which restic cannot set (its nanoseconds are 64 bits since 1970).
    far_future: bool = False


@dataclass
class Built:
    """What was built."""

    root: Path
    left_out: list[str] = field(default_factory=list)

    def leave_out(self, facility: str, what: str) -> None:
        """Something cannot be made here."""
        facilities.do_without(facility, f"this cannot be made here: {what}")
        self.left_out.append(what)


def everything(root: Path, options: Options | None = None) -> Built:
    """Builds the tree in the new folder ``root``."""
    options = options or Options()
    built = Built(root)
    root.mkdir()
    draw = random.Random(options.seed)
    with _handle(os.open(root, os.O_RDONLY | os.O_DIRECTORY)) as top:
        _contents(top, options, draw)
        _names(top, options)
        _links(top, options)
        _special(top, options, built)
        _attributes(top, built)
        _owners_and_modes(top, options, built)
        _wide(top, options.wide)
        if options.deep:
            _deep(top, options.deep)
        _times(top, options)
    return built


@contextlib.contextmanager
def _handle(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def folder(parent: int, name: bytes | str, mode: int = 0o755) -> Iterator[int]:
    """Makes a folder and gives its handle."""
    os.mkdir(name, mode, dir_fd=parent)
    with _handle(os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=parent)) as fd:
        yield fd


def write(parent: int, name: bytes | str, content: bytes, mode: int = 0o644) -> None:
    """Makes a file."""
    with _handle(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode, dir_fd=parent)) as fd:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]


def noise(draw: random.Random, size: int) -> bytes:
    """Incompressible bytes."""
    return draw.randbytes(size)


def text(draw: random.Random, size: int) -> bytes:
    """Compressible bytes."""
    words = [draw.randbytes(draw.randint(2, 9)).hex().encode() for _ in range(500)]
    out = bytearray()
    while len(out) < size:
        out += b" ".join(draw.choices(words, k=200)) + b"\n"
    return bytes(out[:size])


def _contents(top: int, options: Options, draw: random.Random) -> None:
    with folder(top, "contents") as here:
        for size in options.sizes:
            write(here, f"noise-{size}", noise(draw, size))
        write(here, "zeros", bytes(2 * MIB))
        write(here, "text", text(draw, 3 * MIB))
        same = noise(draw, 700 * KIB)
        write(here, "twin-a", same)
        write(here, "twin-b", same)
        write(here, "twin-shifted", b"x" + same)
        _sparse(here, "sparse", draw)
        with _handle(os.open("only-a-hole", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=here)) as fd:
            os.truncate(fd, 5 * MIB)
        with folder(here, "empty"):
            pass


def _sparse(parent: int, name: str, draw: random.Random) -> None:
    with _handle(os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=parent)) as fd:
        os.pwrite(fd, noise(draw, 10 * KIB), 0)
        os.pwrite(fd, noise(draw, 10 * KIB), 6 * MIB)
        os.truncate(fd, 9 * MIB)


def _names(top: int, options: Options) -> None:
    if not options.odd_names:
        return
    with folder(top, "names") as here:
        for number, name in enumerate(ODD_NAMES):
            write(here, name, f"file {number}\n".encode())
        with folder(here, "folders") as below:
            for name in ODD_NAMES:
                with folder(below, name) as inner:
                    write(inner, b"in " + name[:200], b"x")


def _links(top: int, options: Options) -> None:
    with folder(top, "links") as here:
        write(here, "target", b"the target\n")
        os.symlink("target", "relative", dir_fd=here)
        os.symlink("/etc/hostname", "absolute", dir_fd=here)
        os.symlink("no such file", "dangling", dir_fd=here)
        os.symlink("self", "self", dir_fd=here)
        os.symlink("../contents", "to-folder", dir_fd=here)
        os.symlink("../../../../../../../../..", "upwards", dir_fd=here)
        os.symlink("x" * 4000, "long", dir_fd=here)
        os.symlink('quote"back\\slash\nline <&>', "odd-target", dir_fd=here)
        if options.link_targets_not_utf8:
            os.symlink(b"not utf-8 \xff\xfe\xed\xa0\x80", b"bytes-target", dir_fd=here)
        write(here, "hard-1", b"one content, three names\n")
        os.link("hard-1", "hard-2", src_dir_fd=here, dst_dir_fd=here)
        with folder(here, "below") as below:
            os.link("hard-1", "hard-3", src_dir_fd=here, dst_dir_fd=below)
        write(here, "hard-empty-1", b"")
        os.link("hard-empty-1", "hard-empty-2", src_dir_fd=here, dst_dir_fd=here)


def _special(top: int, options: Options, built: Built) -> None:
    with folder(top, "special") as here:
        os.mkfifo("fifo", 0o640, dir_fd=here)
        for name, kind, number in (("char", stat.S_IFCHR, (1, 3)), ("block", stat.S_IFBLK, (7, 200))):
            try:
                os.mknod(name, kind | 0o660, os.makedev(*number), dir_fd=here)
            except PermissionError:
                built.leave_out("devices", f"{name} device")
        if options.sockets:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(f"/proc/self/fd/{here}/socket")


def acl(*entries: tuple[int, int, int]) -> bytes:
    """The kernel's form of an ACL: (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


ANYBODY = 0xFFFFFFFF
ACCESS = acl(
    (0x01, 6, ANYBODY), (0x02, 7, 1234), (0x04, 4, ANYBODY), (0x08, 5, 4321), (0x10, 7, ANYBODY), (0x20, 0, ANYBODY)
)


def _attributes(top: int, built: Built) -> None:
    with folder(top, "attributes") as here:
        for name in ("file", "many", "acl", "capability"):
            write(here, name, name.encode())
        with folder(here, "folder"):
            pass
        os.symlink("file", "link", dir_fd=here)
        wanted: list[tuple[str, str, bytes]] = [
            ("file", "user.comment", b"hello"),
            ("file", "user.empty", b""),
            ("file", "user.binary", bytes(range(256))),
            ("file", "user.\u00fcml\u00e4ut", b"name is not ASCII"),
            ("folder", "user.folder", b"on a folder"),
            ("acl", "system.posix_acl_access", ACCESS),
            ("folder", "system.posix_acl_default", ACCESS),
            *(("many", f"user.number-{n:02}", b"v" * n) for n in range(30)),
        ]
        if os.geteuid() == 0:
            # Cleared by the kernel when the owner changes: attributes must be set after the owner.
            capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
            wanted += [
                ("capability", "security.capability", capability),
                ("link", "trusted.on-a-link", b"x"),
                ("file", "trusted.only-root", b"secret"),
            ]
        for name, attribute, value in wanted:
            try:
                os.setxattr(f"/proc/self/fd/{here}/{name}", attribute, value, follow_symlinks=False)
            except OSError as error:
                built.leave_out("attributes", f"{attribute} on {name}: {error.strerror}")


def _owners_and_modes(top: int, options: Options, built: Built) -> None:
    with folder(top, "owners-and-modes") as here:
        modes = [0o400, 0o444, 0o600, 0o664, 0o755, 0o777, 0o4755, 0o2755, 0o6711, 0o1644, 0o7777]
        if options.mode_zero and os.geteuid() == 0:
            modes.append(0)
        for mode in modes:
            write(here, f"file-{mode:04o}", b"x")
            os.chmod(f"file-{mode:04o}", mode, dir_fd=here)
        for mode in (0o700, 0o755, 0o1777, 0o2775, 0o3770, 0o7777, *([0] if 0 in modes else [])):
            with folder(here, f"folder-{mode:04o}") as inner:
                write(inner, "inside", b"y")
            os.chmod(f"folder-{mode:04o}", mode, dir_fd=here)
        if os.geteuid() != 0:
            built.leave_out("root", "foreign owners")
            return
        for uid, gid in ((1234, 4321), (1, 1), (0, 65534), (4_000_000_000, 4_000_000_001)):
            write(here, f"owner-{uid}-{gid}", b"z")
            os.chown(f"owner-{uid}-{gid}", uid, gid, dir_fd=here)
            os.symlink("nowhere", f"link-{uid}-{gid}", dir_fd=here)
            os.chown(f"link-{uid}-{gid}", uid, gid, dir_fd=here, follow_symlinks=False)
        write(here, "setuid-of-another", b"s")
        os.chown("setuid-of-another", 1234, 4321, dir_fd=here)
        os.chmod("setuid-of-another", 0o6755, dir_fd=here)


def _wide(top: int, count: int) -> None:
    with folder(top, "wide") as here:
        for number in range(count):
            write(here, f"entry-{number:06}", b"" if number % 10 else str(number).encode())


def _deep(top: int, length: int) -> None:
    fds = [os.dup(top)]
    try:
        total = 0
        os.mkdir("deep", dir_fd=top)
        fds.append(os.open("deep", os.O_RDONLY | os.O_DIRECTORY, dir_fd=top))
        while total <= length:
            name = f"{len(fds):03}-" + "d" * 196
            os.mkdir(name, dir_fd=fds[-1])
            fds.append(os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fds[-1]))
            total += len(name) + 1
        write(fds[-1], "bottom", b"at the bottom\n")
    finally:
        for fd in fds:
            os.close(fd)


#: Nanoseconds since 1970 that must survive: before it, long before, with every digit, after 2038, far away.
TIMES: dict[str, int] = {
    "before-1970": -1_500_000_000,
    "before-1970-with-ns": -1_499_999_999,
    "nineteen-oh-two": -2_145_000_000 * 10**9,
    "zero": 0,
    "one-nanosecond": 1,
    "all-digits": 1_234_567_890_123_456_789,
    "trailing-zeros": 1_600_000_000_120_000_000,
    "after-2038": 2_200_000_000 * 10**9 + 5,
    "last-of-64-bits": 9_223_372_036 * 10**9 + 99_999_999,
    "far-future": 13_569_465_600 * 10**9 + 999_999_999,
}


def _times(top: int, options: Options) -> None:
    with folder(top, "times") as here:
        for name, moment in TIMES.items():
            if moment >= 1 << 63 and not options.far_future:
                continue
            write(here, name, name.encode())
            os.utime(name, ns=(moment, moment), dir_fd=here)
            with folder(here, f"folder-{name}"):
                pass
            os.utime(f"folder-{name}", ns=(moment, moment), dir_fd=here)
            os.symlink(name, f"link-{name}", dir_fd=here)
            os.utime(f"link-{name}", ns=(moment, moment), dir_fd=here, follow_symlinks=False)


def describe(root: Path, keep: Callable[[bytes], bool] | None = None) -> dict[bytes, tuple[object, ...]]:
    """All that must survive a backup, by relative path: for comparisons where paths may exceed ``PATH_MAX``."""
    found: dict[bytes, tuple[object, ...]] = {}
    inodes: dict[tuple[int, int], bytes] = {}
    with _handle(os.open(root, os.O_RDONLY | os.O_DIRECTORY)) as top:
        _describe(top, b"", found, inodes, keep or (lambda _: True))
    return found


def _describe(
    parent: int,
    prefix: bytes,
    found: dict[bytes, tuple[object, ...]],
    inodes: dict[tuple[int, int], bytes],
    keep: Callable[[bytes], bool],
) -> None:
    for name in sorted(os.fsencode(entry) for entry in os.listdir(parent)):
        path = prefix + name
        if not keep(path):
            continue
        info = os.stat(name, dir_fd=parent, follow_symlinks=False)
        there = f"/proc/self/fd/{parent}/".encode() + name
        attributes = tuple(
            (key, os.getxattr(there, key, follow_symlinks=False))
            for key in sorted(os.listxattr(there, follow_symlinks=False))
        )
        content: object = None
        if stat.S_ISREG(info.st_mode):
            with (
                _handle(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent)) as fd,
                open(fd, "rb", closefd=False) as file,
            ):
                content = hashlib.file_digest(file, "sha256").hexdigest()
            first = inodes.setdefault((info.st_dev, info.st_ino), path)
            content = (content, info.st_size, first if info.st_nlink > 1 else None)
        elif stat.S_ISLNK(info.st_mode):
            content = os.readlink(name, dir_fd=parent)
        elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
            content = info.st_rdev
        found[path] = (info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, attributes, content)
        if stat.S_ISDIR(info.st_mode):
            with _handle(os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)) as below:
                _describe(below, path + b"/", found, inodes, keep)
