"""The rights that a bucket gives: to the intake, which deletes nothing, and to disposal, which does nothing else.

Policies of AWS IAM, as SeaweedFS, MinIO and others read them, too. Pure.
"""

from __future__ import annotations

import json
from typing import Any, Final

#: On the bucket: to list, and to see that it locks.
_ABOUT: Final = (
    "s3:GetBucketObjectLockConfiguration",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListBucketVersions",
)

#: On what lies in it: to read any version, to add, to lock and to hold; and to end an upload in parts that was stopped.
_INTAKE: Final = (
    "s3:AbortMultipartUpload",
    "s3:GetObject",
    "s3:GetObjectLegalHold",
    "s3:GetObjectRetention",
    "s3:GetObjectVersion",
    "s3:PutObject",
    "s3:PutObjectLegalHold",
    "s3:PutObjectRetention",
)

#: Never, whatever else somebody gives it: to delete, to go around a lock, to change the bucket.
_NEVER: Final = (
    "s3:BypassGovernanceRetention",
    "s3:Delete*",
    "s3:PutBucket*",
    "s3:PutLifecycleConfiguration",
    "s3:PutReplicationConfiguration",
)

#: What disposal may delete: documents, files of the log that have served, canaries of the probe.
_ENDS: Final = ("objects/*", "records/*", "log/*/tile/*.p/*", "log/*/staging/*", "probe/*")


def intake(bucket: str, prefix: str = "") -> dict[str, Any]:
    """Everything but disposal; also for whoever only reads, who needs less."""
    place, inside = _places(bucket, prefix)
    return _policy(
        _statement("LookAtTheBucket", "Allow", _ABOUT, [place]),
        _statement("ReadAndAdd", "Allow", _INTAKE, [f"{inside}*"]),
        _statement("NeverDelete", "Deny", _NEVER, [place, f"{place}/*"]),
    )


def disposal(bucket: str, prefix: str = "") -> dict[str, Any]:
    """To delete versions that no lock keeps. It needs neither to read nor to write: all else goes by the intake's rights."""
    place, inside = _places(bucket, prefix)
    return _policy(
        _statement("DeleteWhatHasEnded", "Allow", ["s3:DeleteObjectVersion"], [f"{inside}{end}" for end in _ENDS]),
        _statement("NeverGoAroundALock", "Deny", ["s3:BypassGovernanceRetention"], [f"{place}/*"]),
    )


KINDS: Final = {"intake": intake, "disposal": disposal}


def shown(policy: dict[str, Any]) -> str:
    """For people and for ``aws iam put-user-policy``."""
    return json.dumps(policy, indent=2) + "\n"


def _places(bucket: str, prefix: str) -> tuple[str, str]:
    """The bucket, and how everything of the archive in it begins."""
    place = f"arn:aws:s3:::{bucket}"
    return place, f"{place}/{prefix.strip('/')}/" if prefix.strip("/") else f"{place}/"


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _statement(name: str, effect: str, actions: Any, resources: list[str]) -> dict[str, Any]:
    return {"Sid": name, "Effect": effect, "Action": list(actions), "Resource": resources}
