"""The probe of locks: passes on SeaweedFS, and fails on three stores that are weak."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from archives import ORIGIN
from buckets import Server, lying, seaweedfs
from obhut.archive.probe import Attempt, Target, probe
from program import Obhut

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with seaweedfs(tmp_path_factory.mktemp("s3") / "weed") as running:
        yield running


def tried(
    server: Server, bucket: str, mode: str = "compliance", twin: str | None = None, who: str = "intake"
) -> dict[str, Attempt]:
    attempts = probe(Target(server.client(who), bucket, "", mode), datetime.now(UTC), twin)
    return {attempt.name: attempt for attempt in attempts}


def broken(attempts: dict[str, Attempt]) -> set[str]:
    return {name for name, attempt in attempts.items() if not attempt.held}


@pytest.mark.parametrize("mode", ["compliance", "governance"])
def test_locks_that_hold(server: Server, mode: str) -> None:
    attempts = tried(server, server.bucket(), mode, twin=server.bucket())
    assert broken(attempts) == set(), attempts
    assert len(attempts) >= 16
    assert attempts["delete the version"].answer == "AccessDenied"
    assert attempts["delete the version in a batch"].answer == "AccessDenied"


def test_an_intake_that_may_delete_what_nothing_locks(server: Server) -> None:
    """The locks hold, and one day they end: so that is named, and nothing else."""
    assert broken(tried(server, server.bucket(), who="loose")) == {"delete a version that nothing locks"}
    assert "delete a version that nothing locks" not in broken(tried(server, server.bucket()))


def test_the_credential_of_disposal_before_a_lock(server: Server) -> None:
    """It may delete, so what refuses it is the lock: on a bucket that has none it is not refused."""
    delete = "delete the version with the credential of disposal"
    for bucket, held in ((server.bucket(), True), (server.bucket(lock=False), False)):
        target = Target(server.client(), bucket, "", "compliance", server.client("disposal"))
        attempts = {one.name: one for one in probe(target, datetime.now(UTC), None)}
        assert attempts[delete].held is held, attempts
        assert attempts["delete the version"].held, "the intake has no right to, whatever the bucket does"


def test_governance_and_somebody_who_may_bypass(server: Server) -> None:
    """With the rights of an administrator governance is no lock; that is what the probe then says."""
    found = broken(tried(server, server.bucket(), "governance", who="admin"))
    assert "delete the version with the right to bypass" in found
    assert "delete the version" not in found
    assert broken(tried(server, server.bucket(), who="admin")) == {"delete a version that nothing locks"}


def test_a_bucket_without_locks(server: Server) -> None:
    attempts = tried(server, server.bucket(lock=False, versioned=False))
    assert "write an object with a lock" in broken(attempts)


def test_a_bucket_that_is_merely_versioned(server: Server) -> None:
    """It takes a retention, answers 200, and deletes all the same."""
    attempts = tried(server, server.bucket(lock=False), who="loose")
    assert attempts["write an object with a lock"].answer.endswith("taken afterwards")
    assert {"write an object with a lock", "delete the version", "the object is what it was"} <= broken(attempts)


def test_a_server_that_says_yes_to_everything(server: Server) -> None:
    with lying(server) as liar:
        attempts = tried(liar, server.bucket(), twin=server.bucket())
    found = broken(attempts)
    assert {"delete the version", "delete the version in a batch", "shorten the lock", "write it again, if it is new",
            "suspend the versions of the twin bucket"} <= found  # fmt: skip
    assert "write an object with a lock" not in found


def test_nobody_answers() -> None:
    attempts = tried(Server("http://127.0.0.1:9"), "x")
    assert broken(attempts) == {"write an object with a lock"}


def test_the_command_keeps_the_evidence(tmp_path: Path, server: Server) -> None:
    obhut = Obhut(tmp_path)
    obhut.environ |= server.environ()
    obhut.environ["OBHUT_ARCHIVE"] = f"s3://{server.bucket()}"
    assert obhut("archive", "init", "--name", ORIGIN, "--lock", "compliance").code == 0
    run = obhut("archive", "probe", "--twin", server.bucket())
    assert run.code == 0, run.err
    assert "BROKEN" not in run.out
    evidence = run.out.split()[-1]
    assert '"AccessDenied"' in obhut("archive", "show", evidence, "--json").out
    assert "and held" in obhut("archive", "status").out
    [line] = obhut("archive", "probe", "--json").json()
    assert (line["held"], len(line["attempts"]) >= 13) == (True, True)
    with lying(server) as liar:
        run = obhut("archive", "probe", AWS_ENDPOINT_URL=liar.url)
    assert (run.code, "[lock-broken]" in run.err) == (1, True), run.err
    assert "BROKEN" in run.out
    assert "WERE BROKEN" in obhut("archive", "status").out
    assert obhut("archive", "verify").code == 0
    assert obhut("archive", "init", "--store", "folder", "--name", "example.org/b").code == 0
    run = obhut("archive", "probe", "--store", "folder")
    assert (run.code, "[probe-useless]" in run.err) == (1, True)
