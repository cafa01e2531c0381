"""The store contract through the binding: the folder, a backend in Python, and backends that break it."""

from __future__ import annotations

import gc
import hashlib
import os
from typing import TYPE_CHECKING, Any, cast

import pytest

from obhut import _core
from obhut.storage.adapter import Backend, Capabilities, MemoryBackend

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

violations = cast("Callable[[object], list[str]]", vars(_core)["_store_contract"])


def test_a_folder_keeps_the_contract(tmp_path: Path) -> None:
    place = tmp_path / "r\udcff"
    assert violations(_core.Store.local(os.fsencode(place))) == []
    assert not [name for _, _, names in os.walk(place) for name in names], "all files were removed again"


def test_a_backend_in_python_keeps_the_contract() -> None:
    backend: Backend = MemoryBackend()
    assert violations(backend) == []


class Folder(MemoryBackend):
    """Files in a real folder with the tools of Python alone: what a third party would write."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def _path(self, kind: str, name: str) -> Path:
        return self.root / kind / (name or "config")

    def create(self) -> None:
        for kind in ("config", "key", "snapshot", "index", "lock", "pack"):
            (self.root / kind).mkdir(parents=True, exist_ok=True)

    def list(self, kind: str, /) -> list[tuple[str, int]]:
        return [(path.name, path.stat().st_size) for path in (self.root / kind).iterdir()]

    def get(self, kind: str, name: str, /) -> bytes:
        return self._path(kind, name).read_bytes()

    def put(self, kind: str, name: str, data: memoryview, /) -> None:
        temporary = self.root / f"{kind}-{name}-{id(data)}"
        temporary.write_bytes(data)
        try:
            os.link(temporary, self._path(kind, name))
        finally:
            temporary.unlink()

    def delete(self, kind: str, name: str, /) -> None:
        self._path(kind, name).unlink()


def test_a_backend_of_a_third_party_keeps_the_contract(tmp_path: Path) -> None:
    assert violations(Folder(tmp_path)) == []


def test_every_bytes_like_answer_is_taken() -> None:
    class Various(MemoryBackend):
        turn = 0

        def get(self, kind: str, name: str, /) -> Any:
            data = super().get(kind, name)  # type: ignore[arg-type]
            self.turn += 1
            return [bytes, bytearray, memoryview][self.turn % 3](data)

    assert violations(Various()) == []


def test_other_names_and_doubles_in_a_list_are_ignored() -> None:
    class Untidy(MemoryBackend):
        def list(self, kind: Any, /) -> list[tuple[str, int]]:
            files = super().list(kind)
            return [*files, *files, ("note", 1), ("A" * 64, 1), ("f" * 64 + "-tmp-1", 1)]

    assert violations(Untidy()) == []


def break_put(data: memoryview) -> bytes:
    return bytes(data)[:-1]


@pytest.mark.parametrize("rule", ["exact", "atomic", "write-once", "complete", "delete"])
def test_a_broken_backend_is_found_out(rule: str) -> None:
    class Broken(MemoryBackend):
        def put(self, kind: Any, name: str, data: memoryview, /) -> None:
            if rule == "write-once":
                self.files.pop((kind, name), None)
            super().put(kind, name, memoryview(break_put(data)) if rule == "atomic" else data)

        def get_range(self, kind: Any, name: str, offset: int, length: int, /) -> memoryview:
            return super().get_range(kind, name, offset, length + (1 if rule == "exact" else 0))

        def list(self, kind: Any, /) -> list[tuple[str, int]]:
            return super().list(kind)[:-1] if rule == "complete" else super().list(kind)

        def delete(self, kind: Any, name: str, /) -> None:
            if rule != "delete":
                super().delete(kind, name)

    assert violations(Broken())


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (TimeoutError("too slow"), "unavailable"),
        (ConnectionResetError("gone"), "unavailable"),
        (PermissionError("no"), "permission-denied"),
        (OSError(28, "full"), "no-space"),
        (OSError(30, "read-only"), "read-only"),
        (OSError(5, "disk"), "io"),
        (OSError("without number"), "io"),
        (FileExistsError("there"), "file-exists"),
        (KeyError("defect"), "internal"),
        (_core.CoreError("damaged", "x", "y"), "damaged"),
        (KeyboardInterrupt(), "cancelled"),
    ],
)
def test_what_a_backend_raises_becomes_an_error_of_the_core(raised: BaseException, code: str) -> None:
    class Failing(MemoryBackend):
        def stat(self, kind: str, name: str, /) -> int:
            raise raised

    broken = [text for text in violations(Failing()) if text.startswith("pack: stat of a missing file")]
    assert len(broken) == 1
    assert f"seen: {code}: pack " in broken[0]
    assert type(raised).__name__ in broken[0]


@pytest.mark.parametrize("answer", [None, "text", 7, [1, 2]])
def test_answers_of_a_wrong_type_are_defects(answer: object) -> None:
    class Wrong(MemoryBackend):
        def get(self, kind: str, name: str, /) -> Any:
            return answer

    assert any("seen: internal" in text for text in violations(Wrong()))


def test_a_backend_that_cannot_say_what_it_is_is_refused() -> None:
    class Silent(MemoryBackend):
        def capabilities(self) -> Capabilities:
            raise OSError("no connection")

    with pytest.raises(OSError, match="no connection"):
        violations(Silent())
    with pytest.raises(AttributeError):
        violations(object())


def test_a_view_is_read_only_released_after_the_call_and_safe_if_it_is_kept() -> None:
    kept: list[memoryview] = []
    slices: list[tuple[str, memoryview]] = []

    class Keeping(MemoryBackend):
        def put(self, kind: Any, name: str, data: memoryview, /) -> None:
            assert data.readonly
            with pytest.raises(TypeError):
                data[:1] = b"x"
            kept.append(data)
            if name:
                slices.append((name, data[:]))
            super().put(kind, name, data)

    assert violations(Keeping()) == []
    gc.collect()
    intact = [name for name, view in slices if hashlib.sha256(view).hexdigest() == name]
    refused = [name for name, view in slices if bytes(view) == b"other"]
    assert len(intact) > 20
    assert len(intact) + len(refused) == len(slices), "kept memory stays as it was"
    with pytest.raises(ValueError, match="released"):
        bytes(kept[0])
