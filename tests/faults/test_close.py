"""A file system that says only at close that content did not arrive, as NFS does: restore must hear it."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

import peers
from tools import Obhut, remains_below, run, same_below

pytestmark = pytest.mark.timeout(300)

#: Closing a handle that a file named ``broken…`` was written through fails; the handle is gone, as in the kernel.
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int close(int fd) {
    static int (*next)(int);
    if (!next) next = (int (*)(int)) dlsym(RTLD_NEXT, "close");
    char link[64], path[8192];
    int flags = fcntl(fd, F_GETFL);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = flags < 0 ? -1 : readlink(link, path, sizeof path - 1);
    int result = next(fd);
    if (length > 0 && (flags & O_ACCMODE) == O_WRONLY) {
        path[length] = 0;
        const char *name = strrchr(path, '/');
        if (name && !strncmp(name, "/broken", 7)) {
            errno = atoi(getenv("CLOSE_ERRNO"));
            return -1;
        }
    }
    return result;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shim, compiled."""
    folder = tmp_path_factory.mktemp("shim")
    (folder / "close.c").write_text(SHIM)
    run([peers.need("cc"), "-shared", "-fPIC", "-o", folder / "close.so", folder / "close.c", "-ldl"])
    return folder / "close.so"


def failing(library: Path, number: int) -> dict[str, str]:
    """The environment in which such a close fails with this error number."""
    return {"LD_PRELOAD": str(library), "CLOSE_ERRNO": str(number)}


@pytest.fixture
def ours(tmp_path: Path) -> Obhut:
    """A snapshot with files of one piece, of many, of none, and with two names."""
    source = tmp_path / "source"
    source.mkdir()
    for name, size in (("broken-small", 1000), ("broken-large", 6_000_000), ("broken-empty", 0), ("good", 3_000_000)):
        (source / name).write_bytes(os.urandom(size))
        (source / name).chmod(0o644)
        os.utime(source / name, (1_600_000_000, 1_600_000_000))
    (source / "second-name").hardlink_to(source / "broken-small")
    tool = Obhut(tmp_path / "repo")
    tool.init()
    tool("run", source)
    return tool


@pytest.mark.parametrize("options", [["--no-sync"], [], ["--no-sync", "--sparse"], ["--no-sync", "--threads", "1"]])
def test_what_did_not_arrive_is_an_error_and_not_restored(
    options: list[str], ours: Obhut, library: Path, tmp_path: Path
) -> None:
    source, back = tmp_path / "source", remains_below(tmp_path / "back", tmp_path / "source")
    restore: list[str | Path] = ["restore", "latest", "--target", tmp_path / "back", "--json"]
    ran = ours(*restore, *options, env=failing(library, errno.EIO), expect=1)
    lines = [json.loads(line) for line in ran.err.splitlines()]
    failed = [Path(line["item"]).name for line in lines if line["message_type"] == "error"]
    assert sorted(failed) == ["broken-empty", "broken-large", "broken-small", "second-name"]
    # Directories, and the one good file.
    assert ran.lines()[-1]["files_restored"] == len(source.parts)
    for name in ("broken-small", "broken-large", "broken-empty"):
        stat = (back / name).stat()
        assert (stat.st_mode & 0o777, stat.st_mtime > 1_700_000_000) == (0o600, True)
    assert (back / "good").stat().st_mode & 0o777 == 0o644
    # The next run trusts none of them by its times.
    ours(*restore, *options, "--overwrite", "if-changed")
    same_below(source, back)


def test_a_full_server_ends_the_restore(ours: Obhut, library: Path, tmp_path: Path) -> None:
    ran = ours(
        "restore", "latest", "--target", tmp_path / "back", "--no-sync", env=failing(library, errno.ENOSPC), expect=1
    )
    assert b"[no-space]" in ran.err
