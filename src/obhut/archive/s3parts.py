"""Uploads in parts: of what is larger than one request takes, and what stopped writers have left of them."""

from __future__ import annotations

import base64
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def upload(
    client: Any, target: dict[str, str], body: Any, part: int, lock: dict[str, Any], prove: Callable[[bytes], None]
) -> None:
    """Each part with its own checksum. That of the whole is none of the content, so the content is hashed on the way.

    ``prove`` raises for a digest that is not the promised one; nothing has a name then.
    """
    begun = client.create_multipart_upload(**target, ChecksumAlgorithm="SHA256", **lock)["UploadId"]
    try:
        hasher, parts = sha256(), list[dict[str, Any]]()
        while piece := body.read(part):
            hasher.update(piece)
            told = {"PartNumber": len(parts) + 1, "ChecksumSHA256": checksum(sha256(piece).digest())}
            answer = client.upload_part(**target, UploadId=begun, Body=piece, **told)
            parts.append({**told, "ETag": answer["ETag"]})
        prove(hasher.digest())
        client.complete_multipart_upload(**target, UploadId=begun, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
    except BaseException:
        # The error that counts is the first one; parts that stay are ended by `sweep`.
        with suppress(Exception):
            client.abort_multipart_upload(**target, UploadId=begun)
        raise


def checksum(digest: bytes) -> str:
    """As S3 writes it."""
    return base64.b64encode(digest).decode()
