"""Clients of S3: the intake's, as the environment says it, and that of a profile, for what deletes."""

from __future__ import annotations

from typing import Any, Final

from obhut.errors import ObhutError

#: Requests at a time.
THREADS: Final = 16


def client() -> Any:
    """As the environment and the files of AWS say it (``AWS_ENDPOINT_URL``, keys, region)."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.client("s3", config=_config())
    except (BotoCoreError, ValueError) as error:
        raise ObhutError("store-unreachable", "s3", str(error)) from None


def of_profile(profile: str, endpoint: str, region: str) -> Any:
    """With the credentials of a profile, whatever the environment says of keys. Raises ``disposal-credential``."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session(profile_name=profile)
        if session.get_credentials() is None:
            raise ObhutError("disposal-credential", profile, "this profile has no credentials")
        return session.client("s3", endpoint_url=endpoint, region_name=region, config=_config())
    except (BotoCoreError, ValueError) as error:
        raise ObhutError("disposal-credential", profile, str(error)) from None


def _config() -> Any:
    from botocore.config import Config

    return Config(retries={"mode": "standard", "max_attempts": 4}, max_pool_connections=THREADS)
