"""The order of system calls of durable writes, as strace sees it: what the promises of ``durable.rs`` rest on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import straced

REPOSITORY: Final = Path(__file__).parents[2]
#: As it is before tests get a home of their own: cargo's tools lie there.
HOME: Final = os.environ.get("HOME", "/")

pytestmark = pytest.mark.needs("strace")


def traced(command: list[str | Path], place: Path) -> list[str]:
    """The calls that changed ``place``, each as ``name path [path]``."""
    trace = straced.run(command, place, place.parent / "strace.log")
    assert trace.code == 0, trace.err
    return [str(call) for call in trace.calls if call.ok]


def without_random(calls: list[str]) -> list[str]:
    """Temporary names become ``NAME~``."""
    return [re.sub(r"-tmp-[0-9a-f]{16}", "~", call) for call in calls]


def test_a_file_of_ours_is_replaced_durably(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    script = "import sys; from obhut import _core; _core.durable_write(sys.argv[1].encode(), b'x', 0o600)"
    calls = without_random(traced([sys.executable, "-c", script, place / "file"], place))
    assert calls == [
        "openat2 file~",
        "pwrite64 file~",
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
        without_write += "pwrite64" not in steps
        assert [step for step in steps if step != "pwrite64"] == ["openat2", "fchmod", "fsync"]
        assert "pwrite64" not in steps or steps.index("pwrite64") == 1
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
@pytest.mark.needs("cargo")
@pytest.mark.timeout(600)
def test_each_durable_operation_keeps_its_order(tmp_path: Path) -> None:
    build = ["cargo", "build", "--quiet", "--locked", "-p", "obhut-core", "--example", "durable_trace"]
    subprocess.run(build, cwd=REPOSITORY, check=True, env={**os.environ, "HOME": HOME})
    place = tmp_path / "place"
    place.mkdir()
    (place / "replaced").write_bytes(b"old")
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    calls = without_random(traced([target / "debug/examples/durable_trace", place], place))
    assert calls == [
        *("openat2 new~", "pwrite64 new~", "fchmod new~", "fsync new~", "renameat2 new~ new", "fsync ."),
        *("openat2 replaced~", "pwrite64 replaced~", "fchmod replaced~", "fsync replaced~"),
        *("renameat replaced~ replaced", "fsync ."),
        *("mkdirat made", "fsync ."),
        *("unlinkat new", "fsync ."),
        # A few: each is synced, a large one at once; then they get their names in their order.
        *("openat2 g3~", "pwrite64 g3~", "fchmod g3~"),
        *("openat2 g1~", "pwrite64 g1~", "fchmod g1~"),
        *("openat2 made/g2~", "pwrite64 made/g2~", "fchmod made/g2~", "fsync made/g2~"),
        *("fsync g1~", "fsync g3~"),
        *("renameat2 g1~ g1", "renameat2 made/g2~ made/g2", "renameat2 g3~ g3"),
        *("fsync .", "fsync made"),
        # Many: one sync for all.
        *(f"{call} m{number}~" for number in range(9) for call in ("openat2", "pwrite64", "fchmod")),
        "syncfs .",
        *(f"renameat2 m{number}~ m{number}" for number in range(9)),
        "fsync .",
    ]
    assert (place / "replaced").read_bytes() == b"new"
