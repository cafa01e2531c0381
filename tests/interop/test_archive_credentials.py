"""Two credentials in a bucket, by the policies that are published: the intake deletes nothing, disposal nothing that is locked.

An attacker who has the credential of the intake tries everything that boto3 has; afterwards everything is what it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from archives import ORIGIN, Silent
from buckets import ARCHIVE, Server, seaweedfs
from obhut.archive import policies
from obhut.archive.actions import dispose, holds, mirror, read, settle
from obhut.archive.actions.survey import survey
from obhut.archive.record import LOG
from obhut.archive.s3 import S3Store
from obhut.errors import ObhutError
from offices import Office
from program import Obhut
from s3archives import Bucket, now

pytestmark = [pytest.mark.interop, pytest.mark.needs("ssh-keygen"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with seaweedfs(tmp_path_factory.mktemp("s3") / "weed") as running:
        yield running


class Attacker:
    """Somebody with the credential of the intake, and a bucket in which an archive lies."""

    def __init__(self, bucket: Bucket) -> None:
        self.client = bucket.server.client()
        self.admin = bucket.server.client("admin")
        self.name = bucket.name
        self.versions = self.listed()

    def listed(self) -> list[tuple[str, str]]:
        pages = self.admin.get_paginator("list_object_versions").paginate(Bucket=self.name)
        return [(one["Key"], one["VersionId"]) for page in pages for one in page.get("Versions", [])]

    def state(self) -> dict[tuple[str, str], tuple[bytes, Any, Any]]:
        """Of each version that there was at the beginning: its bytes, and its lock."""
        found = {}
        for key, version in self.versions:
            got = self.admin.get_object(Bucket=self.name, Key=key, VersionId=version)
            lock = got.get("ObjectLockMode"), got.get("ObjectLockRetainUntilDate")
            found[key, version] = (got["Body"].read(), lock, got.get("ObjectLockLegalHoldStatus", "OFF"))
        return found

    def configuration(self) -> dict[str, Any]:
        """Of the bucket, as an administrator sees it."""
        found: dict[str, Any] = {}
        for name in ("versioning", "object_lock_configuration", "policy", "lifecycle_configuration", "cors"):
            call = getattr(self.admin, "get_object_lock_configuration" if "lock" in name else f"get_bucket_{name}")
            try:
                found[name] = {
                    part: said for part, said in call(Bucket=self.name).items() if part != "ResponseMetadata"
                }
            except Exception as error:  # noqa: BLE001  (it is an answer)
                found[name] = type(error).__name__
        return found

    def refused(self, call: Callable[..., Any], **words: Any) -> None:
        with pytest.raises(Exception, match=r"AccessDenied|InvalidRequest|InvalidArgument|MalformedXML|NotImplemented"):
            call(Bucket=self.name, **words)

    def delete_everything(self) -> None:
        client, bypass = self.client, {"BypassGovernanceRetention": True}
        for key, version in self.versions:
            one = {"Key": key, "VersionId": version}
            self.refused(client.delete_object, **one)
            self.refused(client.delete_object, **one, **bypass)
            self.refused(client.delete_object, Key=key)
            self.refused(client.delete_object, Key=key, VersionId="null")
        whole = [{"Key": key, "VersionId": version} for key, version in self.versions]
        keys = [{"Key": key} for key, _ in self.versions]
        for objects in (whole, keys):
            for more in ({}, bypass):
                answer = client.delete_objects(Bucket=self.name, Delete={"Objects": objects}, **more)
                assert {error["Code"] for error in answer["Errors"]} == {"AccessDenied"}
                assert (len(answer["Errors"]), answer.get("Deleted", [])) == (len(objects), [])

    def weaken_every_lock(self) -> None:
        client, bypass = self.client, {"BypassGovernanceRetention": True}
        soon = datetime.now(UTC) + timedelta(seconds=1)
        for (key, version), (_, (mode, until), _) in self.state().items():
            if mode is None:
                continue
            one = {"Key": key, "VersionId": version}
            other = "COMPLIANCE" if mode == "GOVERNANCE" else "GOVERNANCE"
            self.refused(client.put_object_retention, **one, Retention={"Mode": mode, "RetainUntilDate": soon})
            for retention in ({"Mode": mode, "RetainUntilDate": soon}, {"Mode": other, "RetainUntilDate": soon}, {}):
                self.refused(client.put_object_retention, **one, Retention=retention, **bypass)
            if mode == "COMPLIANCE":
                self.refused(client.put_object_retention, **one, Retention={"Mode": other, "RetainUntilDate": until})

    def reconfigure_the_bucket(self) -> None:
        client = self.client
        rule = {"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1},
                "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}  # fmt: skip
        everything = {"Effect": "Allow", "Principal": "*", "Action": "s3:*",
                      "Resource": [f"arn:aws:s3:::{self.name}", f"arn:aws:s3:::{self.name}/*"]}  # fmt: skip
        lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 36500}}}
        self.refused(client.put_bucket_lifecycle_configuration, LifecycleConfiguration={"Rules": [rule]})
        self.refused(client.put_bucket_versioning, VersioningConfiguration={"Status": "Suspended"})
        self.refused(client.put_object_lock_configuration, ObjectLockConfiguration=lock)
        self.refused(client.put_object_lock_configuration, ObjectLockConfiguration={"ObjectLockEnabled": "Disabled"})
        self.refused(client.put_bucket_policy, Policy=json.dumps({"Version": "2012-10-17", "Statement": [everything]}))
        self.refused(client.delete_bucket_policy)
        self.refused(client.delete_bucket_lifecycle)
        self.refused(client.put_bucket_acl, ACL="public-read-write")
        self.refused(client.put_bucket_cors, CORSConfiguration={"CORSRules": [
            {"AllowedMethods": ["DELETE"], "AllowedOrigins": ["*"]}]})  # fmt: skip
        self.refused(client.put_bucket_tagging, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
        self.refused(client.delete_bucket)
        key, version = self.versions[0]
        self.refused(client.put_object_acl, Key=key, VersionId=version, ACL="public-read")
        self.refused(client.put_object_tagging, Key=key, VersionId=version, Tagging={"TagSet": []})

    def write_over_everything(self, body: bytes = b"mallory's") -> set[str]:
        """Twice, and once as a copy of itself: what he may. Gives the keys."""
        keys = {key for key, _ in self.versions}
        for key in sorted(keys):
            for _ in range(2):
                self.client.put_object(Bucket=self.name, Key=key, Body=body)
            self.client.copy_object(Bucket=self.name, Key=key, CopySource={"Bucket": self.name, "Key": "archive.json"})
        return keys

    def clear_every_hold(self) -> None:
        for key, version in self.versions:
            one = {"Bucket": self.name, "Key": key, "VersionId": version}
            self.client.put_object_legal_hold(**one, LegalHold={"Status": "OFF"})


@pytest.fixture(params=[("compliance", 256), ("governance", 8)], ids=["compliance", "governance"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path, server: Server) -> Bucket:
    """Once with full tiles."""
    mode, count = request.param
    return filled(tmp_path, server, mode, count)


@pytest.fixture
def small(tmp_path: Path, server: Server) -> Bucket:
    return filled(tmp_path, server, "compliance", 4)


def filled(base: Path, server: Server, mode: str, count: int) -> Bucket:
    """Documents, one of which is held; and what batches have left."""
    made = Bucket(base, server, mode)
    made.ids = made.put(*(b"document %d" % number for number in range(count)), event=date(2026, 3, 1))
    made.ids += [made.put(b"more %d" % number, event=date(2026, 3, 1))[0] for number in range(3)]
    holds.hold(made.vault(), made.key, [made.ids[0]], "court", "lawsuit", None, now())
    return made


def contents(bucket: Bucket) -> list[bytes]:
    """Every document, as it is read back."""
    found = []
    vault = bucket.vault()
    for number, one in enumerate(bucket.ids):
        path = bucket.base / f"out-{time.monotonic_ns()}-{number}"
        read.copy_out(vault, one, path)
        found.append(path.read_bytes())
    return found


def test_an_attacker_with_the_credential_of_the_intake_changes_nothing(bucket: Bucket) -> None:
    attacker = Attacker(bucket)
    written = contents(bucket)
    before, configured = attacker.state(), attacker.configuration()
    attacker.delete_everything()
    attacker.weaken_every_lock()
    attacker.reconfigure_the_bucket()
    assert attacker.state() == before
    assert attacker.configuration() == configured
    assert (attacker.listed(), bucket.verify()) == (attacker.versions, {})
    # What he may: to write. It hides nothing, and every key over which he wrote is named.
    keys = attacker.write_over_everything()
    assert attacker.state() == before
    faults = bucket.verify()
    named = dict.fromkeys(keys, "somebody wrote another version over it") | {
        f"{LOG}/checkpoint": "somebody wrote over it what the log's key did not sign"
    }
    del named[f"{LOG}/pending"]
    assert faults == named
    assert contents(bucket) == written
    bucket.accepted()
    # And the archive goes on.
    bucket.ids += bucket.put(b"after it", event=date(2026, 3, 1))
    del named[f"{LOG}/checkpoint"]
    assert bucket.verify() == named
    assert contents(bucket) == [*written, b"after it"]
    bucket.accepted()


def test_holds_that_an_attacker_clears_are_named_and_set_again(small: Bucket) -> None:
    """Whoever takes in has to be able to end a hold. What it kept stays: nobody there can delete it."""
    attacker = Attacker(small)
    attacker.clear_every_hold()
    attacker.delete_everything()
    faults = small.verify()
    assert len(faults) == 2, faults
    assert all("held" in what for what in faults.values())
    settle.settle(small.vault(), small.key, now())
    assert small.verify() == {}


def test_an_older_checkpoint_is_named(small: Bucket) -> None:
    """The log's key did sign it. Readers see the log as it was then, until whoever may delete takes it off."""
    client, key = small.server.client(), f"{LOG}/checkpoint"
    listed = client.list_object_versions(Bucket=small.name, Prefix=key)["Versions"]
    old = client.get_object(Bucket=small.name, Key=key, VersionId=listed[2]["VersionId"])["Body"].read()
    made = client.put_object(Bucket=small.name, Key=key, Body=old)
    assert small.verify()[key] == "somebody laid an older one over it"
    with pytest.raises(ObhutError, match="archive-raced"):
        small.put(b"not now", event=date(2026, 3, 1))
    assert len(contents(small)) == len(small.ids)
    small.server.client("admin").delete_object(Bucket=small.name, Key=key, VersionId=made["VersionId"])
    assert small.verify() == {}
    small.put(b"now", event=date(2026, 3, 1))
    assert small.verify() == {}


def test_what_the_intake_leaves_is_tidied_by_disposal(small: Bucket) -> None:
    """Batches that are stated, narrow tiles whose full one is, records of those who lost a race or of an attacker; nothing else."""
    bucket = small
    bucket.ids += bucket.put(*(b"many %d" % number for number in range(250)), event=date(2026, 3, 1))
    store = bucket.store()
    laid = "records/000/002-00000000000000ff"
    store.put_once([(laid, b"mallory's")])
    [first] = [key for key in store.keys("records/000") if key.startswith("records/000/000-")]
    store.put_once([("records/000/000-0000000000000000", store.get(first))])
    before, written = set(store.keys("")), contents(bucket)
    left = {key for key in before if "/staging/" in key or ".p/" in key} | {laid, "records/000/000-0000000000000000"}
    size = bucket.vault().stated().checkpoint.size
    left -= {
        key
        for key in before
        if key.endswith((f"tile/0/001.p/{size - 256}", f"tile/entries/001.p/{size - 256}", "tile/1/000.p/1"))
    }
    assert len(left) > 20
    assert bucket.put(b"the writer is not misled", event=date(2026, 3, 1))
    left |= {key for key in set(store.keys("")) - before if "/staging/" in key}
    after = set(store.keys(""))
    with pytest.raises(ObhutError, match="disposal-credential"):
        dispose.tidy(survey(bucket.vault()), int(time.time()))
    assert dispose.tidy(survey(bucket.disposing()), int(time.time())) == len(left)
    assert after - set(store.keys("")) == left
    assert dispose.tidy(survey(bucket.disposing()), int(time.time())) == 0
    assert (bucket.verify(), contents(bucket)) == ({}, written)
    bucket.put(b"it goes on", event=date(2026, 3, 1))
    bucket.accepted()


def test_a_mirror_in_a_bucket_lets_go_with_the_credential_only(tmp_path: Path, server: Server) -> None:
    office = Office(tmp_path)
    office.enrol("anna", "bert")
    office.file(b"goes", event=date(2001, 1, 1))
    target = S3Store(server.bucket(), "", server.client(), "governance")
    mirror.mirror(office.vault(), target, int(time.time()), Silent())
    office.wait(40)
    proposal = office.propose()
    assert proposal
    office.approve(proposal, "anna", "bert")
    assert office.dispose(proposal).certificates
    # By a clock that has seen the lock of the mirror end, too; the storage has not.
    later = int(time.time()) + 400 * 86400
    done = mirror.mirror(office.vault(), target, later, Silent())
    assert (done.disposed, len(done.kept)) == (0, 1)


class Desk(Obhut):
    """Somebody at the command line with the credential of the intake, and profiles of others."""

    def __init__(self, base: Path, server: Server, archive: str) -> None:
        super().__init__(base)
        people = {"disposal": "disposal-of-archive", "own": "intake-of-archive", "wrong": "disposal-of-other"}
        (base / "profiles").write_text(
            "\n".join(
                f"[{name}]\naws_access_key_id = {who}key\naws_secret_access_key = {who}secret\n"
                for name, who in people.items()
            )
            + "[empty]\nregion = us-east-1\n"
        )
        self.environ |= server.environ("intake-of-archive")
        self.environ |= {"AWS_SHARED_CREDENTIALS_FILE": str(base / "profiles"), "OBHUT_ARCHIVE": archive}
        self.environ |= {"AWS_EC2_METADATA_DISABLED": "true"}

    def archive(self, *words: str) -> str:
        run = self("archive", *words)
        assert run.code == 0, run.err
        return run.out


def test_a_whole_life_with_the_policies_that_are_printed(tmp_path: Path, server: Server) -> None:
    """Of one archive in one bucket; SeaweedFS has read them as `obhut archive policy` prints them."""
    bucket, prefix = ARCHIVE
    server.bucket(bucket)
    desk, office = Desk(tmp_path, server, f"s3://{bucket}/{prefix}"), Office(tmp_path, create=False)
    for kind, made in policies.KINDS.items():
        assert json.loads(desk.archive("policy", kind)) == made(bucket, prefix)
    for name in ("old", "new"):
        (tmp_path / name).write_text(name)
    desk.archive("init", "--name", ORIGIN)
    [old] = desk("archive", "put", "old", "--class", "voucher", "--event-date", "2001-01-01", "--json").json()
    [new] = desk("archive", "put", "new", "--class", "voucher", "--event-date", "2026-01-01", "--json").json()
    held = desk.archive("hold", new["id"], "--who", "court", "--why", "lawsuit").split()[1]
    desk.archive("release", held, "--who", "court", "--why", "ended")
    desk.archive("settle")
    desk.archive("mirror", "--to", "mirror")
    for name in ("anna", "bert"):
        office.key_of(name)
        desk.archive("enrol", name, "--key", f"keys/{name}.pub")
    desk.archive("witness", "--state", "judge", "--name", "example.net/witness", "-o", "now.checkpoint")
    clock = ("--checkpoint", "now.checkpoint", "--witness", "judge/witness.vkey")
    proposal = desk.archive("propose", *clock).splitlines()[-2].split()[1].rstrip(":")
    for name in ("anna", "bert"):
        desk.archive("approve", proposal, "--as", name, "--sign-with", f"keys/{name}")
    for error, profile, who in (
        ("disposal-credential", (), None),
        ("disposal-credential", ("--disposal-profile", "absent"), None),
        ("disposal-credential", ("--disposal-profile", "empty"), None),
        ("disposal-refused", ("--disposal-profile", "wrong"), None),
        ("disposal-refused", ("--disposal-profile", "own"), None),
        ("intake-deletes", ("--disposal-profile", "disposal"), "loose"),
    ):
        credential: dict[str, Any] = dict(server.environ(who)) if who else {}
        run = desk("archive", "dispose", proposal, *clock, *profile, **credential)
        assert (run.code, f"[{error}]" in run.err, "next: " in run.err) == (1, True, True), run.err
    assert desk.archive("verify").endswith("everything is as it was logged\n")
    # Its first lock lasts for 30 days. The rest of the way is gone with locks of seconds, elsewhere.
    run = desk("archive", "dispose", proposal, *clock, OBHUT_DISPOSAL_PROFILE="disposal")
    assert (run.code, "1 stay" in run.out, f"{old['id']} stays: locked until" in run.err) == (0, True, True), run.err
    run = desk("archive", "tidy")
    assert (run.code, "[disposal-credential]" in run.err) == (1, True)
    assert "files are gone that had served" in desk.archive("tidy", "--disposal-profile", "disposal")
    assert "BROKEN" not in desk.archive("probe", "--disposal-profile", "disposal")
    assert desk.archive("verify").endswith("everything is as it was logged\n")
    desk.archive("get", new["id"], "-o", "out")
    assert (tmp_path / "out").read_text() == "new"
    assert desk("archive", "policy", "intake", "--store", "folder").code == 2
    # Rights end at the prefix.
    run = desk("archive", "init", "--store", f"s3://{bucket}/other", "--name", "example.org/b")
    assert (run.code, "[permission-denied]" in run.err) == (1, True), run.err
