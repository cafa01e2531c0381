"""The rights in a bucket: what the page shows is what the tests run with, and they say what they have to."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from obhut.archive import policies

PAGE = Path(__file__).parents[2] / "docs/reference/bucket-policies.md"


@pytest.mark.parametrize("kind", policies.KINDS)
def test_the_page_shows_them(kind: str) -> None:
    assert f"```json\n{policies.shown(policies.KINDS[kind]('my-archive'))}```" in PAGE.read_text("utf-8")


def allows(policy: dict[str, Any], action: str, place: str) -> bool:
    """As AWS reads it: what is denied anywhere is denied."""
    effects = {
        statement["Effect"]
        for statement in policy["Statement"]
        if any(fnmatchcase(action, pattern) for pattern in statement["Action"])
        and any(fnmatchcase(place, pattern) for pattern in statement["Resource"])
    }
    return effects == {"Allow"}


INSIDE = ("archive.json", "objects/00/x", "records/000/001-x", "log/1/checkpoint", "log/1/tile/0/000", "stamps/1/1/x")


@pytest.mark.parametrize("key", [*INSIDE, "log/1/staging/5-x", "log/1/tile/0/x001/234.p/5", "probe/x"])
def test_who_may_what(key: str) -> None:
    intake, disposal = policies.intake("b", "/a/c/"), policies.disposal("b", "/a/c/")
    place, other = f"arn:aws:s3:::b/a/c/{key}", f"arn:aws:s3:::b/a/d/{key}"
    assert allows(intake, "s3:PutObject", place)
    assert not allows(intake, "s3:PutObject", other)
    for action in ("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"):
        assert not allows(intake, action, place)
    ends = key.startswith(("objects/", "records/", "probe/")) or "/staging/" in key or ".p/" in key
    assert allows(disposal, "s3:DeleteObjectVersion", place) is ends
    assert not allows(disposal, "s3:DeleteObjectVersion", other)
    for action in ("s3:DeleteObject", "s3:GetObject", "s3:PutObject", "s3:BypassGovernanceRetention"):
        assert not allows(disposal, action, place)


@pytest.mark.parametrize(
    "action",
    ["s3:PutBucketVersioning", "s3:PutBucketObjectLockConfiguration", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy",
     "s3:PutLifecycleConfiguration", "s3:PutReplicationConfiguration", "s3:DeleteBucket"],
)  # fmt: skip
def test_nobody_changes_the_bucket(action: str) -> None:
    for made in policies.KINDS.values():
        assert not allows(made("b"), action, "arn:aws:s3:::b")
    # Whatever else the user of the intake is given.
    anything = {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::b", "arn:aws:s3:::b/*"]}
    intake = policies.intake("b")
    intake["Statement"].append(anything)
    assert not allows(intake, action, "arn:aws:s3:::b")
    assert not allows(intake, "s3:DeleteObjectVersion", "arn:aws:s3:::b/objects/00/x")
