"""A disk that writes down each write and each flush, in the order in which they came.

A process of its own: it serves one file, ``disk``, through the kernel's FUSE interface; a loop device over that file hands on
what a file system asks of its disk (a flush arrives as fsync). A record is in the log before the request is answered, so
whatever a program was promised lies before the length that the log has then.

``python device.py IMAGE LOG FOLDER`` mounts on FOLDER and ends when that is unmounted.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from typing import Final

#: kind (b"W" or b"F"), offset, length; the data follow.
RECORD: Final = struct.Struct("<cQI")
MAX_WRITE: Final = 128 << 10

_ROOT, _DISK = 1, 2
_LOOKUP, _FORGET, _GETATTR, _SETATTR, _OPEN, _READ, _WRITE = 1, 2, 3, 4, 14, 15, 16
_RELEASE, _FSYNC, _FLUSH, _INIT, _OPENDIR, _RELEASEDIR = 18, 20, 25, 26, 27, 29
_INTERRUPT, _DESTROY, _BATCH_FORGET = 36, 38, 42
_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
#: Attributes may be remembered for a minute: nobody else changes them.
_VALID = 60


class Disk:
    """The content, the log, and the answers."""

    def __init__(self, image: str, log: str) -> None:
        with open(image, "rb") as file:
            self.content = bytearray(file.read())
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def record(self, kind: bytes, offset: int = 0, data: bytes = b"") -> None:
        os.write(self.log, RECORD.pack(kind, offset, len(data)) + data)

    def attributes(self, node: int) -> bytes:
        folder = node == _ROOT
        mode = (stat.S_IFDIR | 0o700) if folder else (stat.S_IFREG | 0o600)
        size = 0 if folder else len(self.content)
        return struct.pack("<QQQQQQIIIIIIIIII", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def answer(self, opcode: int, node: int, body: bytes) -> bytes | int:
        """The answer's body, or an error number."""
        if opcode in {_READ, _WRITE, _FSYNC}:
            return self.transfer(opcode, body)
        if opcode == _INIT:
            # Large writes; no cache for writing back, so that each write comes when it was made.
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, 1 << 5, 1, 1, MAX_WRITE, 1, 0, 0, 0)
        if opcode == _LOOKUP:
            if node != _ROOT or body.rstrip(b"\0") != b"disk":
                return errno.ENOENT
            return struct.pack("<QQQQII", _DISK, 0, _VALID, _VALID, 0, 0) + self.attributes(_DISK)
        if opcode in {_GETATTR, _SETATTR}:
            return struct.pack("<QII", _VALID, 0, 0) + self.attributes(node)
        empty = {_OPEN: 16, _OPENDIR: 16, _FLUSH: 0, _RELEASE: 0, _RELEASEDIR: 0, _DESTROY: 0}
        return bytes(empty[opcode]) if opcode in empty else errno.ENOSYS

    def transfer(self, opcode: int, body: bytes) -> bytes:
        """What a disk does. Recorded first, answered then."""
        if opcode == _FSYNC:
            self.record(b"F")
            return b""
        _, offset, size = struct.unpack_from("<QQI", body)
        if opcode == _READ:
            return bytes(self.content[offset : offset + size])
        data = body[40 : 40 + size]
        self.record(b"W", offset, data)
        self.content[offset : offset + size] = data
        return struct.pack("<II", size, 0)


def serve(disk: Disk, fuse: int) -> None:
    """Answers until the file system is unmounted."""
    buffer = bytearray(MAX_WRITE + 4096)
    while True:
        try:
            length = os.readv(fuse, [buffer])
        except OSError as error:
            if error.errno == errno.ENODEV:
                return
            if error.errno in {errno.EINTR, errno.ENOENT}:
                continue
            raise
        _, opcode, unique, node, *_ = _IN.unpack_from(buffer)
        if opcode in {_FORGET, _BATCH_FORGET, _INTERRUPT}:
            continue
        answer = disk.answer(opcode, node, bytes(buffer[_IN.size : length]))
        body, number = (b"", -answer) if isinstance(answer, int) else (answer, 0)
        os.write(fuse, _OUT.pack(_OUT.size + len(body), number, unique) + body)


def main() -> None:
    """Mounts, says so, serves."""
    image, log, folder = sys.argv[1:]
    disk = Disk(image, log)
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"recorder", os.fsencode(folder), b"fuse", 0, options.encode()) != 0:
        sys.exit(f"cannot mount: {os.strerror(ctypes.get_errno())}")
    print("ready", flush=True)
    serve(disk, fuse)


if __name__ == "__main__":
    main()
