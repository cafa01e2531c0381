"""An archive in a bucket with Object Lock: SeaweedFS, compliance, and an attacker who has the intake's credentials."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from archives import ORIGIN, Broken, Silent
from buckets import Server, seaweedfs
from obhut.archive import vault as vaults
from obhut.archive.actions import dispose, mirror, people, put, read, settle, verify
from obhut.archive.actions.keys import rotate
from obhut.archive.clocks import Reading, agree
from obhut.archive.record import LOG, object_key, record_key
from obhut.archive.s3 import S3Store
from obhut.archive.vault import Vault
from obhut.errors import ObhutError
from offices import Office, leaf
from program import Obhut
from s3archives import Bucket, now, today

pytestmark = [pytest.mark.interop, pytest.mark.needs("ssh-keygen"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with seaweedfs(tmp_path_factory.mktemp("s3") / "weed") as running:
        yield running


@pytest.fixture
def bucket(tmp_path: Path, server: Server) -> Bucket:
    return Bucket(tmp_path, server)


@pytest.fixture(params=["plain", "sealed"])
def any_bucket(request: pytest.FixtureRequest, tmp_path: Path, server: Server) -> Bucket:
    return Bucket(tmp_path, server, sealed=request.param == "sealed")


def test_documents_go_in_and_come_out(any_bucket: Bucket, tmp_path: Path) -> None:
    bucket = any_bucket
    contents = [b"one", b"", os.urandom(300_000), b"one", *(b"document %d" % number for number in range(30))]
    ids = bucket.put(*contents, event=date(2026, 3, 1))
    assert bucket.verify() == {}
    for one, content in zip(ids[:4], contents, strict=False):
        read.copy_out(bucket.vault(), one, tmp_path / one)
        assert (tmp_path / one).read_bytes() == content
    assert [document.id for document in read.documents(bucket.vault())] == ids
    bucket.put(b"later", event=date(2026, 3, 1))
    bucket.accepted()
    # Every record and object is locked, by the storage's own word.
    store = bucket.store()
    keys = store.keys("objects") + [record_key(one) for one in ids]
    assert all(lock and lock[0] > time.time() + 29 * 86400 for lock in store.locks(keys))
    assert read.receipt_of(bucket.vault(), ids[0])["lock"]["mode"] == "compliance"


def test_an_attacker_with_the_credentials_of_the_intake_changes_nothing(bucket: Bucket, tmp_path: Path) -> None:
    [one, two] = bucket.put(b"precious", b"dear", event=date(2026, 3, 1))
    key = next(key for key in bucket.store().keys("objects") if bucket.store().get(key) == b"precious")
    record = record_key(two)
    client = bucket.server.client()
    versions: dict[str, str] = {
        found["Key"]: found["VersionId"] for found in client.list_object_versions(Bucket=bucket.name)["Versions"]
    }
    early = datetime.now(UTC)
    refused = 0
    for name in (key, record):
        target = {"Bucket": bucket.name, "Key": name, "VersionId": versions[name]}
        shorter = {"Mode": "COMPLIANCE", "RetainUntilDate": early}
        weaker = {"Mode": "GOVERNANCE", "RetainUntilDate": early}
        bypass = {"BypassGovernanceRetention": True}
        attempts: list[tuple[Any, dict[str, Any]]] = [
            (client.delete_object, {}),
            (client.delete_object, bypass),
            (client.put_object_retention, {"Retention": shorter}),
            (client.put_object_retention, {"Retention": weaker, **bypass}),
        ]
        for attempt, more in attempts:
            with pytest.raises(Exception, match=r"AccessDenied|InvalidRequest|InvalidArgument|MalformedXML"):
                attempt(**target, **more)
            refused += 1
        answer = client.delete_objects(
            Bucket=bucket.name, Delete={"Objects": [{"Key": name, "VersionId": versions[name]}]}
        )
        assert answer["Errors"], "an answer of 200 is no deletion"
    assert refused == 8
    assert bucket.verify() == {}
    # What he can: lay something over it. It hides nothing, and is named. A delete marker takes more rights.
    bucket.server.client("loose").delete_object(Bucket=bucket.name, Key=key)
    client.put_object(Bucket=bucket.name, Key=record, Body=b"{}")
    assert bucket.verify() == {
        key: "somebody laid a delete marker over it",
        record: "somebody wrote another version over it",
    }
    read.copy_out(bucket.vault(), one, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"precious"


def test_a_whole_cycle_with_locks_of_seconds(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vaults, "FIRST_LOCK", 6)
    office = Office(tmp_path, create=False)
    for name in ("anna", "bert"):
        key = people.read_key(office.key_of(name).with_suffix(".pub"))
        people.change(bucket.vault(), bucket.key, "enrol", name, key, None, now())
    [old, other] = bucket.put(b"content that goes", b"other", event=date(2001, 1, 1))
    [kept] = bucket.put(b"kept", event=date(2026, 1, 1), category="book")
    from obhut.archive.actions import holds

    filed = holds.hold(bucket.vault(), bucket.key, [other], "court", "lawsuit", None, now())
    assert len(bucket.store().held()) == 2
    agreed = agree(Reading("host", now()), [Reading("example.net/witness", now())])
    assert agreed is not None
    proposed = dispose.propose(bucket.vault(), bucket.key, agreed, "ended", now())
    assert proposed is not None
    assert proposed.statement.facts["documents"] == [old]
    for name in ("anna", "bert"):
        dispose.approve(bucket.vault(), bucket.key, proposed.statement.id, office.signatory(name), now())

    def dispose_now() -> dispose.Outcome:
        clock = agree(Reading("host", now()), [Reading("example.net/witness", now())])
        assert clock is not None
        return dispose.dispose(bucket.disposing(), bucket.key, proposed.statement.id, clock, now(), Silent())

    first = dispose_now()
    if first.certificates == []:  # its lock has not ended yet
        assert "locked until" in first.kept[0][1]
        time.sleep(8)
        first = dispose_now()
    [certificate] = first.certificates
    assert certificate.statement.facts["object"] == "removed"
    versions = bucket.server.client().list_object_versions(Bucket=bucket.name).get("Versions", [])
    bodies = [
        bucket.server.client()
        .get_object(Bucket=bucket.name, Key=found["Key"], VersionId=found["VersionId"])["Body"]
        .read()
        for found in versions
    ]
    assert all(b"content that goes" not in body for body in bodies), "no version is left"
    assert all(record_key(old) != found["Key"] for found in versions)
    assert bucket.verify() == {}
    holds.release(bucket.vault(), bucket.key, filed.statement.id, "court", "ended", now(), today())
    assert bucket.store().held() == []
    # Settled, the one that is kept is locked for as long as the law asks.
    monkeypatch.setattr(settle, "SETTLING", -3600)
    settle.settle(bucket.vault(), bucket.key, now())
    [lock] = bucket.store().locks([record_key(kept)])
    assert lock is not None
    assert datetime.fromtimestamp(lock[0], UTC).date() == date(2037, 1, 2)
    assert bucket.verify() == {}
    bucket.accepted()


def test_audit_records_end_in_a_bucket(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """By locks of seconds, and a day that two clocks are made to say; what is new is locked to its own end."""
    monkeypatch.setattr(vaults, "FIRST_LOCK", 6)
    bucket, office = Bucket(tmp_path, server, sealed=True, audit=True), Office(tmp_path, create=False)
    for name in ("anna", "bert"):
        key = people.read_key(office.key_of(name).with_suffix(".pub"))
        people.change(bucket.vault(), bucket.key, "enrol", name, key, None, now())
    [one] = bucket.put(b"x", event=date(2026, 1, 1), category="book")

    def take() -> str:
        filed = read.note_read(bucket.vault(), bucket.key, "get", one, "carla@office", now())
        assert filed is not None
        return filed.statement.id

    # What the log has said counts for the next one: it is as late as the two clocks said.
    taken, free = take(), date(today().year + 4, 1, 2)
    day = f"{free}T12:00:00Z"
    agreed = agree(Reading("host", day), [Reading("example.net/witness", day)])
    assert agreed is not None
    proposed = dispose.propose(bucket.vault(), bucket.key, agreed, "ended", now())
    assert proposed is not None
    assert proposed.statement.facts["documents"] == [taken]
    for name in ("anna", "bert"):
        dispose.approve(bucket.vault(), bucket.key, proposed.statement.id, office.signatory(name), now())
    time.sleep(8)
    done = dispose.dispose(bucket.disposing(), bucket.key, proposed.statement.id, agreed, now(), Silent())
    assert (len(done.certificates), done.kept) == (1, [])
    versions = bucket.server.client().list_object_versions(Bucket=bucket.name).get("Versions", [])
    assert all(record_key(taken) != found["Key"] for found in versions)

    again = take()
    monkeypatch.setattr(settle, "SETTLING", -3600)
    assert settle.settle(bucket.vault(), bucket.key, now()).reads == 1
    [own, log] = bucket.store().locks([record_key(again), "archive.json"])
    assert own is not None
    assert log is not None
    assert [datetime.fromtimestamp(at, UTC).date() for at in (own[0], log[0])] == [
        free.replace(year=free.year + 4),
        date(2037, 1, 2),
    ]
    verdict = verify.verify(bucket.vault(), free, Silent(), contents=True)
    assert (verdict.faults, verdict.reads, verdict.reads_disposed) == ([], 1, 1)


def test_the_log_is_locked_as_long_as_its_documents(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put(*(b"document %d" % number for number in range(257)), event=date(2026, 3, 1))
    store, client = bucket.store(), bucket.server.client()
    [first] = [key for key in store.keys("records/000") if key.startswith("records/000/000-")]
    full = [f"{LOG}/tile/0/000", f"{LOG}/tile/entries/000"]
    once = [*full, first, "archive.json"]
    assert all(lock and lock[0] > time.time() + 29 * 86400 for lock in store.locks(once))
    monkeypatch.setattr(settle, "SETTLING", -3600)
    assert settle.settle(bucket.vault(), bucket.key, now()).documents == 257
    for lock in bucket.store().locks([*once, f"{LOG}.vkey"]):
        assert lock is not None
        assert datetime.fromtimestamp(lock[0], UTC).date() == date(2035, 1, 2)
    assert bucket.verify() == {}
    # Laid over, they are named, and read as they were.
    for key in once:
        client.put_object(Bucket=bucket.name, Key=key, Body=b"mallory's")
        version = store._original(key).id  # what an attacker finds in the list of versions
        with pytest.raises(Exception, match="AccessDenied"):
            client.delete_object(Bucket=bucket.name, Key=key, VersionId=version)
    assert bucket.verify() == dict.fromkeys(once, "somebody wrote another version over it")
    bucket.put(b"later", event=date(2026, 3, 1))
    bucket.accepted()


def test_two_writers_never_sign_two_histories(any_bucket: Bucket) -> None:
    bucket = any_bucket
    bucket.put(b"zero", event=date(2026, 1, 1))
    with bucket.vault().writing(bucket.key) as late:
        bucket.put(b"one", event=date(2026, 1, 1))
        path = bucket.base / "sources" / "late"
        path.write_bytes(b"late")
        with pytest.raises(ObhutError, match="archive-raced"):
            late.put([incoming(path)])
    assert bucket.put(b"two", event=date(2026, 1, 1))
    faults = bucket.verify()
    assert faults == {}
    bucket.accepted()


@pytest.mark.parametrize("writers", [3])
def test_writers_at_once_all_get_their_documents_in(bucket: Bucket, writers: int) -> None:
    """Who loses a race begins the group again, with what the winner left."""

    def write(who: int) -> list[str]:
        ids = []
        for number in range(2):
            path = bucket.base / "sources" / f"{who}-{number}"
            path.write_bytes(b"document %d of %d" % (number, who))
            wish = put.Wish([bytes(path)], "voucher", date(2026, 1, 1), "host")
            ids += [entry.document.id for entry, _ in put.put(bucket.vault(), bucket.key, wish, now(), Silent())]
        return ids

    with ThreadPoolExecutor(writers) as threads:
        ids = [one for done in threads.map(write, range(writers)) for one in done]
    assert sorted(leaf(one) for one in ids) == list(range(1, 1 + 2 * writers))
    assert bucket.verify() == {}
    bucket.accepted()


def incoming(path: Path) -> vaults.Incoming:
    from hashlib import sha256

    data = path.read_bytes()
    return vaults.Incoming(
        bytes(path), sha256(data).hexdigest(), len(data), path.name, "de/voucher", "2026-01-01", 1, now(), {}
    )


class Stopping(S3Store):
    """Fails at the n-th call that writes: before it, or after."""

    def __init__(self, *words: Any, at: int, kept: bool) -> None:
        super().__init__(*words)
        self.calls, self._at, self._kept = 0, at, kept

    def _maybe(self, call: Any) -> None:
        self.calls += 1
        if self.calls != self._at:
            call()
            return
        if self._kept:
            call()
        raise Broken

    def put_once(self, items: Sequence[tuple[str, bytes]], until: int | None = None) -> None:
        self._maybe(lambda: S3Store.put_once(self, items, until))

    def copy_once(self, items: Sequence[tuple[str, bytes, str, int]], until: int) -> None:
        self._maybe(lambda: S3Store.copy_once(self, items, until))

    def extend(self, items: Sequence[tuple[str, int]]) -> None:
        self._maybe(lambda: S3Store.extend(self, items))

    def put_edge(self, items: Sequence[tuple[str, bytes]], until: int | None = None) -> None:
        self._maybe(lambda: S3Store.put_edge(self, items, until))

    def swap(self, key: str, data: bytes, before: bytes | None) -> None:
        self._maybe(lambda: S3Store.swap(self, key, data, before))


@pytest.mark.parametrize("kept", [False, True])
def test_a_call_that_fails_and_may_have_been_done(any_bucket: Bucket, *, kept: bool) -> None:
    bucket = any_bucket
    answered = bucket.put(b"old", event=date(2026, 1, 1))
    at = 0
    while True:
        at += 1
        store = Stopping(bucket.name, "", bucket.server.client(), "compliance", at=at, kept=kept)
        try:
            answered += bucket.put(b"new %d" % at, b"more %d" % at, event=date(2026, 1, 1), store=store)
        except Broken:
            answered += bucket.put(b"after %d" % at, event=date(2026, 1, 1))
        else:
            break
        assert bucket.verify() == {}, f"{at}"
    ids = {document.id for document in read.documents(bucket.vault())}
    assert set(answered) <= ids
    assert at > 5
    bucket.accepted()


@pytest.mark.parametrize("kept", [False, True])
def test_a_call_that_fails_while_the_key_is_changed(bucket: Bucket, *, kept: bool) -> None:
    """Whoever comes next ends the change, or it was never begun; the key that is in charge lies where it should."""
    answered = bucket.put(b"old", event=date(2026, 1, 1))
    at, changes = 0, 0
    while True:
        at += 1
        store = Stopping(bucket.name, "", bucket.server.client(), "compliance", at=at, kept=kept)
        try:
            rotate(bucket.vault(store), bucket.key, "anna@host", now())
        except Broken:
            answered += bucket.put(b"after %d" % at, event=date(2026, 1, 1))
        else:
            break
        vault = bucket.vault()
        assert len(vault.keys.handovers) - changes in {0, 1}, f"{at}"
        changes = len(vault.keys.handovers)
        assert bucket.verify() == {}, f"{at}"
    assert len(bucket.vault().keys.handovers) == changes + 1
    assert 1 <= changes < at
    answered += bucket.put(b"last", event=date(2026, 1, 1))
    assert {document.id for document in read.documents(bucket.vault())} == set(answered)
    bucket.accepted()


def test_a_mirror_in_a_bucket(tmp_path: Path, server: Server) -> None:
    office = Office(tmp_path, today=today())
    office.file(b"one", b"two")
    target = S3Store(server.bucket(), "", server.client(), "compliance")
    done = mirror.mirror(office.vault(), target, int(time.time()), Silent())
    assert (done.entries, done.objects) == (3, 2)
    verdict = verify.verify(Vault.open(target), today(), Silent())
    assert (verdict.faults, verdict.documents) == ([], 2)
    office.file(b"three")
    mirror.mirror(office.vault(), target, int(time.time()), Silent())
    assert verify.verify(Vault.open(target), today(), Silent()).documents == 3
    key = object_key(next(iter(read.documents(office.vault()))).digest)
    [lock] = target.locks([key])
    assert lock is not None
    assert lock[0] > time.time() + 29 * 86400


def test_the_commands(tmp_path: Path, server: Server) -> None:
    obhut = Obhut(tmp_path)
    obhut.environ |= server.environ()
    obhut.environ["OBHUT_ARCHIVE"] = f"s3://{server.bucket()}/archive"
    (tmp_path / "file").write_text("x")
    run = obhut("archive", "init", "--name", ORIGIN, "--lock", "compliance")
    assert run.code == 0, run.err
    assert "Nobody can undo a lock, not even you." in run.out
    [made] = obhut("archive", "put", "file", "--class", "letter", "--json").json()
    assert made["receipt"]["lock"]["mode"] == "compliance"
    assert obhut("archive", "verify").out.endswith("everything is as it was logged\n")
    assert obhut("archive", "get", made["id"], "-o", "out").code == 0
    assert (tmp_path / "out").read_text() == "x"
    assert "locked until" in obhut("archive", "show", made["id"]).out
    assert obhut("archive", "mirror", "--to", "second").code == 0
    assert obhut("archive", "verify", "--store", "second").code == 0
    third = server.bucket()
    run = obhut("archive", "mirror", "--store", "second", "--to", f"s3://{third}", "--lock", "compliance")
    assert run.code == 0, run.err
    found = server.client().list_object_versions(Bucket=third, Prefix="objects/")["Versions"][0]
    locked = server.client().get_object_retention(Bucket=third, Key=found["Key"], VersionId=found["VersionId"])
    assert locked["Retention"]["Mode"] == "COMPLIANCE"
    assert obhut("archive", "verify", "--store", f"s3://{third}").code == 0
    assert obhut("archive", "mirror", "--to", "second", "--lock", "compliance").code == 2
    for place, code, error in (
        ("s3://no-such-bucket", 1, "archive-place"),
        (f"s3://{server.bucket(lock=False)}", 10, "archive-missing"),
        ("s3://", 1, "archive-place"),
        ("gs://x", 1, "archive-place"),
    ):
        run = obhut("archive", "list", "--store", place)
        assert (run.code, f"[{error}]" in run.err) == (code, True), run.err
    run = obhut("archive", "init", "--store", f"s3://{server.bucket(lock=False)}", "--name", "example.org/b")
    assert (run.code, "[archive-place]" in run.err, "does not lock objects" in run.err) == (1, True, True)
    run = obhut("archive", "list", AWS_SECRET_ACCESS_KEY="wrong")
    assert (run.code, "[permission-denied]" in run.err) == (1, True), run.err
    run = obhut("archive", "list", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert (run.code, "[store-unreachable]" in run.err) == (1, True), run.err
    assert obhut("archive", "init", "--store", "folder", "--name", "example.org/c", "--lock", "compliance").code == 2
