"""The interpreter and the core: it is free while the core works, and nobody calls into it but a backend's calls."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import cheap
import core_calls
import peers
from obhut import _core
from obhut.storage.adapter import MemoryBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TESTS: Final = Path(__file__).resolve().parents[1]
#: Calls that the core makes to a folder and the interpreter does not make: each takes this long.
DELAYED: Final = "statx,pread64,pwrite64,fsync,renameat,renameat2,unlinkat,openat2"
DELAY: Final = 0.015
#: What does no work: objects that are made or asked, threads that are only started (their work is `Job.wait`'s), and
#: pure functions of a few bytes.
QUICK: Final = {
    *(f"Store.{name}" for name in vars(_core.Store) if not name.startswith("_")),
    *(f"Job.{name}" for name in vars(_core.Job) if not name.startswith("_")),
    *(f"Repository.{name}" for name in ("id", "version", "key_id", "location", "warnings", "store_is_append_only")),
    *("Repository.prefetch_index", "Repository.take_lock"),
    *("CoreError", "display_name", "harden_process", "exclude_match", "prune_plan_model", "restore_plan_model"),
    *("random_bytes", "StagedFiles.hashes"),
    *("Signer.from_seed", "Signer.public", "Signer.sign", "verify_ed25519"),
    # Sync runs in threads of its own; what waits (`SyncDaemon.events`) and what reads disks lets go of the interpreter, which
    # the commands' own tests would show: status, control socket and events go on side by side there.
    *(f"SyncDaemon.{name}" for name in vars(_core.SyncDaemon) if not name.startswith("_")),
    *("sync_identity", "sync_device_id", "sync_ignore_test"),
    *("sync_versions_list", "sync_versions_restore", "sync_versions_prune"),
    *("AgeKeyring.seal", "AgeKeyring.open", "age_identity", "age_recipient", "is_age_recipient"),
}


def calls_of_the_core() -> set[str]:
    """Everything that can be called, by its name."""
    found = {"_store_contract"}
    for name, value in vars(_core).items():
        if name in {"Store", "Job", "Lock", "Repository", "Signer", "AgeKeyring", "StagedFiles", "SyncDaemon"}:
            found |= {f"{name}.{method}" for method in vars(value) if not method.startswith("_")}
        elif callable(value) and not name.startswith("_"):
            found.add(name)
    return found


@pytest.mark.slow
@pytest.mark.needs("strace")
@pytest.mark.timeout(180)
def test_the_interpreter_is_free_during_every_long_call(tmp_path: Path) -> None:
    """Another thread of Python counts on while the core waits for a folder whose every call takes a while.

    The interpreter is taken from nobody then (its switch interval is endless): a call that does not give it up stops the
    counting thread for its whole time, as one does that is made to.
    """
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={DELAYED}"]
    command += ["-e", f"inject={DELAYED}:delay_enter={int(DELAY * 1e6)}"]
    command += [sys.executable, str(TESTS / "core_calls.py"), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, tuple[float, int, float]] = json.loads(ran.stdout)
    keeps = measured.pop("keeps")
    assert keeps[2] > 0.9 * keeps[0] > 0.1, "the measure sees what keeps the interpreter"
    for name, (seconds, ticks, gap) in measured.items():
        assert seconds > 0.75 * DELAY, f"{name} was not long: {seconds}"
        assert ticks >= 5, f"{name} took {seconds} s, and another thread came to {ticks} steps meanwhile"
        assert gap < 0.75 * seconds, f"{name} took {seconds} s, of which no other thread had {gap} s"
    dropped = {"Lock (dropped)", "Job (dropped)"}
    assert measured.keys() > dropped
    assert (measured.keys() - dropped) | QUICK == calls_of_the_core(), "a call is neither measured nor known as quick"
    assert not measured.keys() & QUICK


HOOK: Final = """
#include <pthread.h>
typedef void *(*eval)(void *, void *, int);
extern void *_PyEval_EvalFrameDefault(void *, void *, int);
extern void *PyInterpreterState_Get(void);
extern void _PyInterpreterState_SetEvalFrameFunc(void *, eval);
/* By thread: how often Python began to run there. Whoever is here holds the interpreter. */
unsigned long threads[4096], begun[4096];
int known;
static __thread int depth, place = -1;
static void *counting(void *state, void *frame, int thrown) {
    if (depth == 0) {
        if (place < 0 && known < 4096) { place = known++; threads[place] = (unsigned long)pthread_self(); begun[place] = 0; }
        if (place >= 0) begun[place]++;
    }
    depth++;
    void *answer = _PyEval_EvalFrameDefault(state, frame, thrown);
    depth--;
    return answer;
}
void watch(int on) { _PyInterpreterState_SetEvalFrameFunc(PyInterpreterState_Get(), on ? counting : _PyEval_EvalFrameDefault); }
"""


class Watch:
    """Every frame that the interpreter evaluates, by thread: it is told by the interpreter itself, for all threads."""

    def __init__(self, library: ctypes.PyDLL) -> None:
        self._library = library

    def foreign(self) -> int:
        """How often Python began to run on a thread that Python did not start."""
        threads = (ctypes.c_ulong * 4096).in_dll(self._library, "threads")
        begun = (ctypes.c_ulong * 4096).in_dll(self._library, "begun")
        known = ctypes.c_int.in_dll(self._library, "known").value
        assert known < 4096
        ours = {thread.ident for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}
        assert any(threads[n] in ours and begun[n] for n in range(known)), "this thread runs Python, and was seen"
        return sum(begun[n] for n in range(known) if threads[n] not in ours)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    source, built = tmp_path / "hook.c", tmp_path / "hook.so"
    source.write_text(HOOK)
    subprocess.run([peers.need("cc"), "-shared", "-fPIC", "-O1", "-w", "-o", built, source], check=True)
    library = ctypes.PyDLL(str(built))
    library.watch(1)
    yield Watch(library)
    library.watch(0)


def plain(_name: str, call: Callable[[], Any]) -> Any:
    return call()


def test_nothing_in_python_is_called_by_the_core(watch: Watch, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    cheap.init(repository)
    core_calls.Calls(tmp_path, _core.Store.local(os.fsencode(repository)), plain).run()
    core_calls.free_functions(tmp_path, plain)
    assert watch.foreign() == 0


def test_only_the_methods_of_a_backend_are_called_by_the_core(watch: Watch, tmp_path: Path) -> None:
    """As many beginnings on threads of the core as calls of methods there: each is one of the contract's."""
    called: list[str] = []
    main = threading.get_ident()
    # Another object than the one that is called: what it calls of itself is not the core's call.
    files = MemoryBackend()

    def counting(name: str) -> Callable[..., Any]:
        inner = getattr(files, name)

        def call(_self: MemoryBackend, *arguments: Any) -> Any:
            if threading.get_ident() != main:
                called.append(name)
            return inner(*arguments)

        return call

    methods = ("location", "capabilities", "create", "list", "stat", "get", "get_range", "put", "delete")
    backend = type("Counting", (MemoryBackend,), {name: counting(name) for name in methods})()
    cheap_folder = tmp_path / "cheap"
    cheap.init(cheap_folder)
    key = next((cheap_folder / "keys").iterdir())
    files.files[("key", key.name)] = key.read_bytes()
    files.files[("config", "")] = (cheap_folder / "config").read_bytes()
    core_calls.Calls(tmp_path, _core.Store.python(backend), plain).run()
    assert set(called) >= {"list", "get", "get_range", "put", "delete"}
    assert watch.foreign() == len(called)


SLOW: Final = """
import os, sys, threading, time
from pathlib import Path
import cheap, core_calls
from obhut import _core
from obhut.storage.adapter import MemoryBackend

inside = threading.Event()
class Slow(MemoryBackend):
    slow = False
    def list(self, kind, /):
        if self.slow:
            inside.set()
            time.sleep(0.5)
        return super().list(kind)

backend, base = Slow(), Path(sys.argv[1])
cheap.init(base / "cheap")
key = next((base / "cheap/keys").iterdir())
backend.files = {("key", key.name): key.read_bytes(), ("config", ""): (base / "cheap/config").read_bytes()}
repo = _core.Repository.open(_core.Store.python(backend), core_calls.PASSWORD, **core_calls.WHO)
backend.slow = True
job = repo.snapshots()
inside.wait(10)
"""
ENDS: Final = {
    "dropped": "del job",
    "asked": """
waiter = threading.Thread(target=job.wait, args=(100.0,))
waiter.start()
time.sleep(0.1)
try:
    job.result()
except _core.CoreError as error:
    assert error.code == 'internal', error.code
waiter.join()
""",
    "lock dropped": """
assert job.wait(60.0)
job = repo.lock(exclusive=False, retry_seconds=0.0)
assert job.wait(60.0)
lock = repo.take_lock(job)
del lock
""",
}


@pytest.mark.parametrize("end", ENDS)
def test_a_job_ends_with_its_object_while_a_backend_is_called(end: str, tmp_path: Path) -> None:
    """It is waited for then, and the backend's call needs the interpreter to come to its end."""
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-c", SLOW + ENDS[end], str(tmp_path)]
    subprocess.run(command, env=env, check=True, timeout=30)
