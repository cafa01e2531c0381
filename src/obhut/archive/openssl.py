"""What openssl is asked: whether a signature is one, and what a time stamp says. Standard library and that program only.

Time stamps are those of RFC 3161; the commands and their pitfalls: formats: archive 7. A chain is checked at the time of
the stamp, for the certificate that made it ends one day, and what it said then stays true.
"""

from __future__ import annotations

import re
import subprocess
import tempfile  # noqa: TID251  (openssl reads files, and nothing in them is secret)
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

#: What comes before the 32 bytes of an Ed25519 key in its DER form (RFC 8410).
_ED25519_DER: Final = bytes.fromhex("302a300506032b6570032100")
#: Found on PATH, as everybody finds it.
OPENSSL: Final = "openssl"

_SAID: Final = re.compile(r"^Time stamp: (\w{3}) +(\d+) (\d\d):(\d\d):(\d\d)(?:\.\d+)? (\d{4}) GMT$", re.MULTILINE)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class StampError(ValueError):
    """A time stamp that does not count, and why."""


class OpensslError(Exception):
    """The program is not there."""


def signed_with(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether openssl takes that for an Ed25519 signature."""
    with tempfile.TemporaryDirectory() as folder:
        files = _files(folder, key=_ED25519_DER + public, message=message, signature=signature)
        command = ["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", files["key"], "-rawin",
                   "-in", files["message"], "-sigfile", files["signature"]]  # fmt: skip
        return _openssl(command).returncode == 0


def stamp_query(digest: bytes) -> bytes:
    """A question for an authority: a stamp of this SHA-256, with a nonce, and with the certificate in the answer."""
    made = _openssl(["ts", "-query", "-digest", digest.hex(), "-sha256", "-cert"])
    if made.returncode != 0:
        raise StampError(_last(made.stderr))
    return made.stdout


def check_stamp(digest: bytes, reply: bytes, certificates: str, query: bytes | None = None) -> int:
    """When an authority says it saw this SHA-256 (Unix seconds). Raises :class:`StampError` unless everything fits.

    ``certificates`` (PEM) are whom it must come from; with ``query`` the answer must be to it.
    """
    time = stamp_time(reply)
    with tempfile.TemporaryDirectory() as folder:
        files = _files(folder, reply=reply, certificates=certificates.encode(), query=query or b"")
        what = ["-queryfile", files["query"]] if query else ["-digest", digest.hex()]
        done = _openssl(["ts", "-verify", *what, "-in", files["reply"], "-CAfile", files["certificates"],
                         "-untrusted", files["certificates"], "-attime", str(time)])  # fmt: skip
    if done.returncode != 0 or b"Verification: OK" not in done.stdout + done.stderr:
        raise StampError(_last(done.stderr))
    return time


def stamp_time(reply: bytes) -> int:
    """When a stamp says that it was made (Unix seconds); nothing about it is checked. Raises :class:`StampError`."""
    with tempfile.TemporaryDirectory() as folder:
        files = _files(folder, reply=reply)
        read = _openssl(["ts", "-reply", "-in", files["reply"], "-text"])
    found = _SAID.search(read.stdout.decode("utf-8", "replace"))
    if read.returncode != 0 or found is None:
        raise StampError("it is no time stamp that was granted")
    month, *numbers = found.groups()
    day, hour, minute, second, year = map(int, numbers)
    return int(datetime(year, _MONTHS.index(month) + 1, day, hour, minute, second, tzinfo=UTC).timestamp())


def _files(folder: str, **contents: bytes) -> dict[str, str]:
    paths = {name: Path(folder) / name for name in contents}
    for name, data in contents.items():
        paths[name].write_bytes(data)
    return {name: str(path) for name, path in paths.items()}


def _openssl(words: list[str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run([OPENSSL, *words], capture_output=True, check=False, timeout=60)
    except FileNotFoundError:
        raise OpensslError("the program openssl is not installed") from None


def _last(words: bytes) -> str:
    """The last thing that openssl said of an error."""
    lines = [line for line in words.decode("utf-8", "replace").splitlines() if ":error:" in line]
    return lines[-1].split(":error:")[1].split(":", 2)[-1] if lines else "openssl refuses it"
