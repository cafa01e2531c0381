"""The order of system calls of durable writes, as strace sees it: what the promises of ``durable.rs`` rest on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

CALLS: Final = (
    "openat,write,fchmod,fsync,fdatasync,syncfs,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdirat"
)
REPOSITORY: Final = Path(__file__).parents[2]
#: As it is before tests get a home of their own: cargo's tools lie there.
HOME: Final = os.environ.get("HOME", "/")

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None and not os.environ.get("OBHUT_REQUIRE_PEERS"), reason="strace is not installed"
)


def traced(command: list[str | Path], place: Path) -> list[str]:
    """The calls that touch ``place``, each as ``name path [path]``."""
    log = place.parent / "strace.log"
    subprocess.run(["strace", "-f", "-y", "-s", "300", "-e", f"trace={CALLS}", "-o", log, *command], check=True)
    calls = []
    for line in whole_lines(log.read_text()):
        call = re.match(r"\d+\s+(\w+)\((.*)\)\s+= (-?\d+)", line)
        if call is None or str(place) not in call[2] or int(call[3]) < 0:
            continue
        name, arguments = call[1], call[2]
        if name == "openat" and "O_CREAT" not in arguments:
            continue
        named = name.endswith(("at", "at2"))
        calls.append(" ".join([name, *paths(arguments, place, named=named)]))
    return calls


def whole_lines(log: str) -> list[str]:
    """A call that another thread's line interrupted is put together where it ended."""
    lines, begun = [], {}
    for line in log.splitlines():
        thread, text = line.split(maxsplit=1)
        if text.endswith(" <unfinished ...>"):
            begun[thread] = text.removesuffix(" <unfinished ...>")
        elif resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", text):
            lines.append(f"{thread} {begun.pop(thread)}{resumed[1]}")
        else:
            lines.append(line)
    return lines


def paths(arguments: str, place: Path, *, named: bool) -> list[str]:
    """The paths below ``place`` in a call's arguments: of a descriptor, or (``named``) of descriptors with names."""
    found = []
    for folder, name in re.findall(r'(?:\d+|AT_FDCWD)<([^>]*)>(?:, "([^"]*)")?', arguments):
        whole = f"{folder}/{name}" if name and named else folder
        if whole.startswith(str(place)):
            found.append(os.path.relpath(whole, place))
    return found


def without_random(calls: list[str]) -> list[str]:
    """Temporary names become ``NAME~``."""
    return [re.sub(r"-tmp-[0-9a-f]{16}", "~", call) for call in calls]


def test_a_file_of_ours_is_replaced_durably(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    script = "import sys; from obhut import _core; _core.durable_write(sys.argv[1].encode(), b'x', 0o600)"
    calls = without_random(traced([sys.executable, "-c", script, place / "file"], place))
    assert calls == [
        "openat file~",
        "write file~",
        "fchmod file~",
        "fsync file~",
        "renameat file~ file",
        "fsync .",
    ]


def test_repository_files_have_their_names_only_when_they_are_on_the_disk(tmp_path: Path) -> None:
    place = tmp_path / "place"
    script = (
        "import sys; from obhut import _core; "
        "print(vars(_core)['_store_contract'](_core.Store.local(sys.argv[1].encode())))"
    )
    calls = traced([sys.executable, "-c", script, place], place)
    named = [number for number, call in enumerate(calls) if call.startswith("renameat2 ")]
    assert len(named) > 20
    without_write = 0
    for number in named:
        temporary, name = calls[number].split()[1:]
        assert re.fullmatch(re.escape(name) + r"-tmp-[0-9a-f]{16}", temporary)
        steps = [call.split()[0] for call in calls[:number] if temporary in call.split()]
        without_write += "write" not in steps
        assert [step for step in steps if step != "write"] == ["openat", "fchmod", "fsync"]
        assert "write" not in steps or steps.index("write") == 1
        assert f"fsync {os.path.dirname(name) or '.'}" in calls[number + 1 :]
    assert without_write == 2, "two files of the suite are empty"
    assert not any(call.split()[0] in {"rename", "renameat", "fdatasync"} for call in calls)
    gone = [call.split()[1] for call in calls if call.startswith("unlinkat") and "-tmp-" not in call]
    assert any(name.startswith("index/") for name in gone)
    for name in gone:
        after = calls[calls.index(f"unlinkat {name}") + 1 :]
        durable = bool(after) and after[0] == f"fsync {os.path.dirname(name) or '.'}"
        assert durable == (not name.startswith(("data/", "locks/"))), "a deletion that later steps rely on is durable"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_durable_operation_keeps_its_order(tmp_path: Path) -> None:
    if shutil.which("cargo") is None:
        pytest.skip("cargo is not installed")
    build = ["cargo", "build", "--quiet", "--locked", "-p", "obhut-core", "--example", "durable_trace"]
    subprocess.run(build, cwd=REPOSITORY, check=True, env={**os.environ, "HOME": HOME})
    place = tmp_path / "place"
    place.mkdir()
    (place / "replaced").write_bytes(b"old")
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    calls = without_random(traced([target / "debug/examples/durable_trace", place], place))
    assert calls == [
        *("openat new~", "write new~", "fchmod new~", "fsync new~", "renameat2 new~ new", "fsync ."),
        *("openat replaced~", "write replaced~", "fchmod replaced~", "fsync replaced~"),
        *("renameat replaced~ replaced", "fsync ."),
        *("mkdirat made", "fsync ."),
        *("unlinkat new", "fsync ."),
        *("openat g1~", "write g1~", "fchmod g1~"),
        *("openat made/g2~", "write made/g2~", "fchmod made/g2~"),
        *("openat g3~", "write g3~", "fchmod g3~"),
        "syncfs .",
        *("renameat2 g1~ g1", "renameat2 made/g2~ made/g2", "renameat2 g3~ g3"),
        *("fsync .", "fsync made"),
    ]
    assert (place / "replaced").read_bytes() == b"new"
