"""Settings of a profile: which keys ``obhut.toml`` may hold. A separate module, so that pydantic loads only with a file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from obhut.backup.duration import Duration
from obhut.backup.retention import parse_count
from obhut.backup.sizes import parse_bytes, parse_seconds

Name = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Keep(_Table):
    """What ``forget`` keeps when no ``--keep`` option is given."""

    last: int | Literal["unlimited"] = Field(0, description="the newest N snapshots")
    hourly: int | Literal["unlimited"] = Field(0, description="the newest snapshot of each of the last N hours")
    daily: int | Literal["unlimited"] = Field(0, description="… of each of the last N days")
    weekly: int | Literal["unlimited"] = Field(0, description="… of each of the last N weeks")
    monthly: int | Literal["unlimited"] = Field(0, description="… of each of the last N months")
    yearly: int | Literal["unlimited"] = Field(0, description="… of each of the last N years")
    within: str = Field("", description="all within this time of the newest, such as 1y5m7d2h")
    within_hourly: str = Field("", description="one an hour within this time")
    within_daily: str = Field("", description="one a day within this time")
    within_weekly: str = Field("", description="one a week within this time")
    within_monthly: str = Field("", description="one a month within this time")
    within_yearly: str = Field("", description="one a year within this time")
    tag: list[Name] = Field(default_factory=list, description="all with one of these tag lists (`a,b` = both tags)")

    @field_validator("last", "hourly", "daily", "weekly", "monthly", "yearly", mode="before")
    @classmethod
    def _count(cls, value: Any) -> Any:
        parse_count(str(value))
        return value

    @field_validator("within", "within_hourly", "within_daily", "within_weekly", "within_monthly", "within_yearly")
    @classmethod
    def _span(cls, value: str) -> str:
        Duration.parse(value)
        return value


class Profile(_Table):
    """A repository and how it is used."""

    repository: Name | None = Field(None, description="where the repository is, as -r/--repo")
    repository_file: Name | None = Field(None, description="a file that holds the location")
    password_file: Name | None = Field(None, description="a file that holds the password")
    password_command: Name | None = Field(None, description="a command that prints the password (run without a shell)")
    password_keyring: Name | None = Field(None, description="an entry of the system's keyring (service `obhut`)")
    key_hint: Name | None = Field(None, description="the id of the key to try first")
    compression: Literal["auto", "off", "fastest", "better", "max"] | None = Field(
        None, description="how hard to compress"
    )
    pack_size: int | None = Field(None, ge=4, le=128, description="target size of a pack in MiB")
    extra_verify: bool | None = Field(None, description="decode everything again before it is uploaded (default true)")
    threads: int | None = Field(None, ge=0, le=1024, description="0 = as many as the machine has processors")
    cache_dir: Name | None = Field(None, description="base of the local cache")
    no_cache: bool | None = Field(None, description="keep nothing on this machine")
    limit_upload: int | None = Field(None, ge=0, description="KiB per second")
    limit_download: int | None = Field(None, ge=0, description="KiB per second")
    retry_lock: str | None = Field(None, description="how long to wait for a lock, such as 5m")
    host: Name | None = Field(None, description="the host name that snapshots get and filters use")
    paths: list[Name] = Field(default_factory=list, description="what `run` backs up when no path is given")
    tag: list[Name] = Field(default_factory=list, description="tags of new snapshots")
    exclude: list[Name] = Field(default_factory=list, description="patterns to leave out")
    iexclude: list[Name] = Field(default_factory=list, description="the same, without regard to case")
    exclude_file: list[Name] = Field(default_factory=list, description="files with patterns")
    iexclude_file: list[Name] = Field(default_factory=list, description="the same, without regard to case")
    exclude_if_present: list[Name] = Field(default_factory=list, description="leave out folders that hold this file")
    exclude_caches: bool | None = Field(None, description="leave out folders with a CACHEDIR.TAG")
    exclude_larger_than: str | None = Field(None, description="leave out files over this size, such as 500M")
    one_file_system: bool | None = Field(None, description="do not cross into other file systems")
    keep: Keep | None = Field(None, description="the policy of `forget`")

    @field_validator("exclude_larger_than")
    @classmethod
    def _size(cls, value: str | None) -> str | None:
        if value is not None:
            parse_bytes(value)
        return value

    @field_validator("retry_lock")
    @classmethod
    def _seconds(cls, value: str | None) -> str | None:
        if value is not None:
            parse_seconds(value)
        return value


class Sync(_Table):
    """Where the device of sync is that commands mean. All else of it stands in its own ``sync.toml``, which commands write."""

    home: Name | None = Field(None, description="the home of sync, as --home; its sync.toml holds devices and folders")


class File(_Table):
    """A whole ``obhut.toml``."""

    default_profile: Name | None = Field(None, description="the profile that is used when none is named")
    profiles: dict[Name, Profile] = Field(default_factory=dict, description="profiles by name")
    sync: Sync | None = Field(None, description="the device of sync")
