"""What every place that keeps an archive has to do: one suite for a folder and for a bucket with Object Lock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from buckets import Server, seaweedfs
from obhut.archive import s3
from obhut.archive.s3 import S3Store
from obhut.archive.store import LocalStore, Store
from obhut.errors import ObhutError

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with seaweedfs(tmp_path_factory.mktemp("s3") / "weed") as running:
        yield running


@pytest.fixture(params=["folder", "bucket", "prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """``prefix``: a part of a bucket."""
    if request.param == "folder":
        (tmp_path / "store").mkdir()
        return LocalStore(tmp_path / "store")
    server: Server = request.getfixturevalue("server")
    found = S3Store(server.bucket(), "a/b" if request.param == "prefix" else "", server.client(), "compliance")
    found.remove_with(server.client("disposal"))
    return found


def refused(id: str) -> pytest.RaisesExc[ObhutError]:
    return pytest.RaisesExc(ObhutError, check=lambda error: error.id == id)


def now() -> int:
    return int(time.time())


def copies(tmp_path: Path, *contents: bytes) -> list[tuple[str, bytes, str, int]]:
    items = []
    for content in contents:
        digest = sha256(content).hexdigest()
        (tmp_path / digest).write_bytes(content)
        items.append((f"objects/{digest[:2]}/{digest}", bytes(tmp_path / digest), digest, len(content)))
    return items


def test_what_is_put_once_stays(store: Store) -> None:
    items = [(f"records/000/{number:03}-x", b"%d" % number) for number in range(40)]
    for _ in range(2):
        store.put_once(items, now() + 5)
    assert [store.get(key) for key, _ in items] == [data for _, data in items]
    with refused("archive-damaged"):
        store.put_once([(items[3][0], b"other")])
    assert store.get(items[3][0]) == b"3"
    assert store.keys("records") == sorted(key for key, _ in items)
    assert (store.keys("objects"), store.any("objects"), store.any("records")) == ([], False, True)
    with pytest.raises(FileNotFoundError):
        store.get("records/000/absent")


def test_what_is_expected_is_read_as_ever(store: Store) -> None:
    items = [(f"records/000/{number:03}-x", b"%d" % number) for number in range(5)]
    store.put_once(items)
    store.expect([*(key for key, _ in items), "records/000/absent"])
    assert [store.get(key) for key, _ in items] == [data for _, data in items]


def test_what_is_staged_is_no_key_before_it_has_its_name(store: Store, tmp_path: Path) -> None:
    items = copies(tmp_path, b"one", b"", os.urandom(3_000_000), b"left")
    until = now() + 5
    staged = store.stage([item[1] for item in items], until)
    assert (staged is None) == isinstance(store, S3Store), "a bucket takes nothing without its name"
    if staged is None:
        return
    with staged:
        assert staged.hashes == [(item[2], item[3]) for item in items]
        assert store.keys("objects") == []
        for _ in range(2):
            store.name_once(staged, [(at, item[0]) for at, item in enumerate(items[:3])])
        with refused("archive-damaged"):
            store.name_once(staged, [(3, items[0][0])])
    keys = sorted(item[0] for item in items[:3])
    assert store.keys("objects") == keys
    assert store.locks(keys) == [(until, False)] * 3
    assert store.hashes([item[0] for item in items[:3]]) == [(item[2], item[3]) for item in items[:3]]
    with refused("document-missing"):
        store.stage([bytes(tmp_path / "absent")], until)


def test_copies_are_hashed_on_the_way(store: Store, tmp_path: Path) -> None:
    items = copies(tmp_path, b"one", b"", os.urandom(3_000_000))
    store.copy_once(items, now() + 5)
    store.copy_once(items, now() + 5)
    keys = [item[0] for item in items]
    assert store.hashes(keys) == [(item[2], item[3]) for item in items]
    store.confirm([(key, digest, size) for key, _, digest, size in items])
    for key, path, digest, size in items:
        store.copy_out(key, digest, size, tmp_path / f"out-{digest}")
        assert (tmp_path / f"out-{digest}").read_bytes() == Path(os.fsdecode(path)).read_bytes()
        with refused("archive-damaged"):
            store.copy_out(key, "0" * 64, size, tmp_path / "wrong")
    with store.readable([(items[0][0], items[0][2], 3)]) as [path]:
        assert Path(os.fsdecode(path)).read_bytes() == b"one"
    [(key, path, digest, size)] = copies(tmp_path, b"promised")
    Path(os.fsdecode(path)).write_bytes(b"changed!")
    with refused("document-changed"):
        store.copy_once([(key, path, digest, size)], now() + 5)
    assert key not in store.keys("objects")
    with refused("file-missing"):
        store.hashes(["objects/00/absent"])


def test_locks_only_move_on_and_are_kept(store: Store, tmp_path: Path) -> None:
    [item] = copies(tmp_path, b"locked")
    key, until = item[0], now() + 9
    store.copy_once([item], until)
    assert store.locks([key, "objects/00/absent"]) == [(until, False), None]
    store.extend([(key, until - 2)])
    assert store.locks([key]) == [(until, False)]
    with refused("document-locked"):
        store.remove(key, now())
    store.extend([(key, until + 1), (key, until)])
    assert store.locks([key]) == [(until + 1, False)]
    with refused("archive-damaged"):
        store.extend([("objects/00/absent", until)])
    while now() <= until + 1:
        time.sleep(0.3)
    store.remove(key, now())
    assert (store.locks([key]), store.keys("objects")) == ([None], [])
    store.remove(key, now())


def test_holds(store: Store, tmp_path: Path) -> None:
    items = copies(tmp_path, b"one", b"two")
    keys = [item[0] for item in items]
    store.copy_once(items, now() + 1)
    store.put_once([("records/000/001-x", b"x")])
    store.hold([keys[0], "records/000/001-x"])
    store.hold([keys[0]])
    assert store.held() == sorted([keys[0], "records/000/001-x"])
    assert [lock and lock[1] for lock in store.locks(keys)] == [True, False]
    while now() <= (store.locks([keys[0]])[0] or (0, False))[0]:
        time.sleep(0.3)
    with refused("document-locked"):
        store.remove(keys[0], now())
    store.unhold([keys[0], keys[1]])
    assert store.held() == ["records/000/001-x"]
    store.remove(keys[0], now())
    assert store.keys("objects") == [keys[1]]


def test_the_edge_of_a_log_and_its_checkpoint(store: Store) -> None:
    for data in (b"one", b"two"):
        store.put_edge([("log/1/tile/0/000.p/1", b"same"), ("log/1/checkpoint", data)])
    if store.shared:
        with refused("archive-damaged"):  # its batch was staged: it has one content
            store.put_edge([("log/1/tile/0/000.p/1", b"other")])
    else:
        store.put_edge([("log/1/tile/0/000.p/1", b"same")])
    assert store.get("log/1/tile/0/000.p/1") == b"same"
    store.swap("log/1/checkpoint", b"three", b"two")
    with refused("archive-raced"):
        store.swap("log/1/checkpoint", b"four", b"two")
    assert store.get("log/1/checkpoint") == b"three"
    store.drop("log/1/tile/0/000.p/1")
    left = ["log/1/tile/0/000.p/1"] if store.shared else []
    assert store.keys("log") == ["log/1/checkpoint", *left], "in a bucket whoever takes in deletes nothing"
    store.remove("log/1/tile/0/000.p/1", now())
    assert store.keys("log") == ["log/1/checkpoint"]
    with store.one_writer():
        pass


def test_where_an_archive_can_begin(store: Store) -> None:
    store.begin()
    assert not store.exists()
    store.refuse_unless_new()
    store.put_once([("archive.json", b"{}")])
    assert store.exists()
    with refused("archive-exists"):
        store.refuse_unless_new()
    assert store.oddities() == []


class TestBuckets:
    def test_those_that_cannot_lock(self, server: Server) -> None:
        for versioned in (False, True):
            with refused("archive-place"):
                S3Store(server.bucket(lock=False, versioned=versioned), "", server.client()).refuse_unless_new()
        with refused("archive-place"):
            S3Store("no-such-bucket", "", server.client()).refuse_unless_new()
        name = server.bucket()
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
        server.client("admin").put_object_lock_configuration(
            Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )
        with refused("archive-place"):
            S3Store(name, "", server.client()).refuse_unless_new()

    def test_two_credentials(self, server: Server) -> None:
        """Only that of disposal deletes, and only what nothing locks; whether that is so is asked before."""
        name, key = server.bucket(), "records/000/001-x"
        store = S3Store(name, "", server.client(), "compliance")
        store.put_once([(key, b"x")])
        with refused("disposal-credential"):
            store.ready_to_remove()
        with refused("disposal-credential"):
            store.remove(key, now())
        store.remove_with(server.client())
        with refused("disposal-refused"):
            store.ready_to_remove()
        with refused("disposal-refused"):
            store.remove(key, now())
        assert store.get(key) == b"x"
        loose = S3Store(name, "", server.client("loose"), "compliance")
        loose.remove_with(server.client("disposal"))
        with refused("intake-deletes"):
            loose.ready_to_remove()
        before = store.keys("")
        store.remove_with(server.client("disposal"))
        store.ready_to_remove()
        store.hold([key])
        with refused("document-locked"):
            store.remove(key, now())
        store.unhold([key])
        assert (store.keys(""), store.oddities()) == (before, []), "what was tried left nothing"
        store.remove(key, now())
        assert not store.any("records")
        away = S3Store(name, "", Server("http://127.0.0.1:9").client())
        away.remove_with(server.client("disposal"))
        with refused("store-unreachable"):
            away.ready_to_remove()

    def test_what_is_laid_over_it_hides_nothing_and_is_named(self, server: Server, tmp_path: Path) -> None:
        """Attack 12: a delete marker; and another version."""
        name = server.bucket()
        store = S3Store(name, "", server.client(), "compliance")
        [one, two] = copies(tmp_path, b"one", b"two")
        store.copy_once([one, two], now() + 30)
        attacker = server.client("loose")
        attacker.delete_object(Bucket=name, Key=one[0])
        attacker.put_object(Bucket=name, Key=two[0], Body=b"evil")
        assert (store.get(one[0]), store.get(two[0])) == (b"one", b"two")
        assert store.keys("objects") == sorted([one[0], two[0]])
        assert sorted(store.oddities()) == sorted(
            [(one[0], "somebody laid a delete marker over it"), (two[0], "somebody wrote another version over it")]
        )

    def test_of_versions_of_one_second_the_first_counts(self, server: Server) -> None:
        name = server.bucket()
        for number in range(5):
            key = f"records/000/00{number}-x"
            S3Store(name, "", server.client()).put_once([(key, b"first")])
            for data in (b"second", b"third"):
                server.client().put_object(Bucket=name, Key=key, Body=data)
            assert S3Store(name, "", server.client()).get(key) == b"first"

    def test_two_writers_of_one_checkpoint(self, server: Server) -> None:
        name = server.bucket()
        first, second = (S3Store(name, "", server.client()) for _ in range(2))
        first.put_edge([("log/1/checkpoint", b"0")])
        first.swap("log/1/checkpoint", b"1", b"0")
        with refused("archive-raced"):
            second.swap("log/1/checkpoint", b"2", b"0")
        assert second.get("log/1/checkpoint") == b"1"

    def test_nobody_answers(self) -> None:
        store = S3Store("x", "", Server("http://127.0.0.1:9").client())
        with refused("store-unreachable"):
            store.exists()
        with refused("store-unreachable"):
            store.get("x")
        with refused("store-unreachable"):
            store.put_once([("x", b"")])


def test_files_hold_what_lies_there(store: Store, tmp_path: Path) -> None:
    items = copies(tmp_path, b"one", b"", b"three" * 100_000)
    store.copy_once(items, now() + 5)
    with store.files([item[0] for item in items]) as paths:
        assert [Path(os.fsdecode(path)).read_bytes() for path in paths] == [b"one", b"", b"three" * 100_000]


def test_what_is_larger_than_one_request_goes_in_parts(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "LARGEST", 6 << 20)
    monkeypatch.setattr(s3, "PART", 5 << 20)
    content = os.urandom(12 << 20)
    [item] = items = copies(tmp_path, content)
    until = now() + 5
    for _ in range(2):
        store.copy_once(items, until)
    assert store.hashes([item[0]]) == [(item[2], len(content))]
    store.extend([(item[0], until)])
    [lock] = store.locks([item[0]])
    assert lock == (until, False)
    with refused("document-locked"):
        store.remove(item[0], now())
    # What changed on the way gets no name, and leaves no parts behind.
    other = os.urandom(12 << 20)
    [(key, path, digest, size)] = copies(tmp_path, other)
    Path(os.fsdecode(path)).write_bytes(other[:-1] + bytes([other[-1] ^ 1]))
    with refused("document-changed"):
        store.copy_once([(key, path, digest, size)], until)
    assert store.keys("objects") == [item[0]]
    if isinstance(store, S3Store):
        client, bucket = store.target().client, store.target().bucket
        assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")
        begun = client.create_multipart_upload(Bucket=bucket, Key=f"{store.target().prefix}objects/left")["UploadId"]
        assert store.sweep() == 0, "somebody may go on with it"
        monkeypatch.setattr(s3, "_ABANDONED", -60)
        assert store.sweep() == 1
        assert begun
        assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")


def test_versions_that_went_are_asked_for_again(store: Store) -> None:
    """A store that was opened before somebody removed, lawfully, and put anew."""
    if not isinstance(store, S3Store):
        return
    key = "records/000/001-x"
    store.put_once([(key, b"one")])
    assert store.get(key) == b"one"
    other = S3Store(store.target().bucket, store.target().prefix, store.target().client, "compliance")
    other.remove_with(store.target().remover)
    other.remove(key, now())
    assert store.locks([key]) == [None]
    with pytest.raises(FileNotFoundError):
        store.get(key)
    other.put_once([(key, b"two")])
    assert store.get(key) == b"two"
