"""Names of users and groups that only a directory service knows: restic and we record the same ones."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

import peers
from tools import Obhut, Restic, Tool, run

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.timeout(300)]

NUMBER = 54321
#: A name service of our own: number 54321 is known, 54322 makes it fail, what is left is asked of the system. A name
#: that does not fit into the first kilobyte shows that the buffer grows.
SERVICE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

static char name[4000];
static int answer(char *buf, size_t len) {
    memset(name, 'x', sizeof name - 1);
    memcpy(name, "EXAMPLE\\\\j\\303\\266rg ", 14);
    if (len < sizeof name) return ERANGE;
    memcpy(buf, name, sizeof name);
    return 0;
}
int getpwuid_r(uid_t id, struct passwd *pw, char *buf, size_t len, struct passwd **found) {
    *found = NULL;
    if (id == 54322) return ETIMEDOUT;
    if (id != 54321) {
        int (*next)(uid_t, struct passwd *, char *, size_t, struct passwd **) = dlsym(RTLD_NEXT, "getpwuid_r");
        return next(id, pw, buf, len, found);
    }
    int failure = answer(buf, len);
    if (failure) return failure;
    memset(pw, 0, sizeof *pw);
    pw->pw_name = pw->pw_passwd = pw->pw_gecos = pw->pw_dir = pw->pw_shell = buf;
    pw->pw_uid = pw->pw_gid = id;
    *found = pw;
    return 0;
}
int getgrgid_r(gid_t id, struct group *gr, char *buf, size_t len, struct group **found) {
    static char *nobody[] = {NULL};
    *found = NULL;
    if (id == 54322) return ETIMEDOUT;
    if (id != 54321) {
        int (*next)(gid_t, struct group *, char *, size_t, struct group **) = dlsym(RTLD_NEXT, "getgrgid_r");
        return next(id, gr, buf, len, found);
    }
    int failure = answer(buf, len);
    if (failure) return failure;
    memset(gr, 0, sizeof *gr);
    gr->gr_name = gr->gr_passwd = buf;
    gr->gr_gid = id;
    gr->gr_mem = nobody;
    *found = gr;
    return 0;
}
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which our name service answers."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "names.c").write_text(SERVICE)
    run([peers.need("cc"), "-shared", "-fPIC", "-o", folder / "names.so", folder / "names.c", "-ldl"])
    return {"LD_PRELOAD": str(folder / "names.so")}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Files of a user whom the service knows, of one that makes it fail, and of nobody."""
    folder = tmp_path / "source"
    folder.mkdir()
    for name, number in (("known", NUMBER), ("failing", NUMBER + 1), ("unknown", NUMBER + 2), ("root", 0)):
        (folder / name).write_text(name)
        os.chown(folder / name, number, number)
    os.chown(folder, NUMBER, NUMBER)
    return folder


def summary(tool: Tool, verb: str, source: Path, env: dict[str, str]) -> dict[str, Any]:
    """Of a backup of the folder alone: those above it may change meanwhile."""
    return tool(verb, "--json", source.name, env=env, cwd=source.parent).lines()[-1]


def owners(tool: Tool, source: Path) -> dict[str, tuple[str, str]]:
    """User and group of each file of the newest snapshot."""
    nodes = json.loads(tool("cat", "tree", f"latest:/{source.name}").out)["nodes"]
    return {node["name"]: (node.get("user", ""), node.get("group", "")) for node in nodes}


@pytest.mark.parametrize("served", [True, False])
def test_names_equal_restics_in_both_directions(
    served: bool, source: Path, service: dict[str, str], tmp_path: Path
) -> None:
    env = service if served else {}
    ours, theirs = Obhut(tmp_path / "repo"), Restic(tmp_path / "repo")
    ours.init()
    summary(ours, "run", source, env)
    name = "EXAMPLE\\jörg " + "x" * (3999 - 14) if served else ""
    assert owners(ours, source) == {
        "known": (name, name), "failing": ("", ""), "unknown": ("", ""), "root": ("root", "root"),
    }  # fmt: skip
    after = summary(theirs, "backup", source, env)
    assert (after["tree_blobs"], after["data_blobs"], after["files_changed"], after["dirs_changed"]) == (0, 0, 0, 0)
    theirs_first = Restic(tmp_path / "other")
    theirs_first.init()
    summary(theirs_first, "backup", source, env)
    again = summary(Obhut(tmp_path / "other"), "run", source, env)
    assert (again["tree_blobs"], again["data_blobs"]) == (0, 0)
    theirs.check()


def test_a_new_name_is_recorded_and_a_failure_told(source: Path, service: dict[str, str], tmp_path: Path) -> None:
    ours = Obhut(tmp_path / "repo")
    ours.init()
    time.sleep(2.5)  # entries that are younger are not trusted by the directory cache
    where: dict[str, Any] = {"cwd": source.parent}
    assert b"notice" not in ours("run", source.name, **where).err
    assert summary(ours, "run", source, {})["tree_blobs"] == 0
    told = ours("run", source.name, env=service, **where)
    assert f"name of user {NUMBER + 1}: cannot be found out now".encode() in told.err
    assert owners(ours, source)["known"][0].startswith("EXAMPLE\\")
    assert summary(ours, "run", source, service)["tree_blobs"] == 0
    assert ours("run", "-q", source.name, env=service, **where).err == b""
