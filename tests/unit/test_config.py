"""``obhut.toml``: what it may say, and that every mistake is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from obhut.config import Config, cache_base, candidates, line_of, load, merge, parse, schema, user_file
from obhut.errors import ObhutError

GOOD = """\
default_profile = "home"

[profiles.home]
repository = "/mnt/disk/repo"
password_file = "/etc/obhut/home"
pack_size = 32
paths = ["~/Documents", "/etc"]
exclude = ["*.tmp"]
exclude_larger_than = "2G"
retry_lock = "5m"

[profiles.home.keep]
daily = 7
yearly = "unlimited"
within_weekly = "1m"
tag = ["a,b"]

[profiles."other one"]
repository = "/x"
"""


def test_good_file() -> None:
    config = parse(GOOD, Path("f"))
    profile = config.profile(None)
    assert profile is not None
    assert (profile.repository, profile.pack_size, profile.paths[1]) == ("/mnt/disk/repo", 32, "/etc")
    assert profile.keep is not None
    assert (profile.keep.daily, profile.keep.yearly, profile.keep.within_weekly) == (7, "unlimited", "1m")
    other = config.profile("other one")
    assert other is not None
    assert other.repository == "/x"
    with pytest.raises(ObhutError) as missing:
        config.profile("nobody")
    assert missing.value.id == "profile-missing"
    assert "home, other one" in missing.value.detail


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a = \n", 1, ""),
        ("[profiles.x]\nrepository = '/a'\nrepository = '/b'\n", 0, "repository"),
        ("[profiles.x]\n\nrepositroy = '/a'\n", 3, "unknown key"),
        ("[profiles.x]\npack_size = 3\n", 2, "greater than or equal to 4"),
        ("[profiles.x]\nthreads = 'many'\n", 2, "integer"),
        ("[profiles.x]\ncompression = 'zip'\n", 2, "auto"),
        ("[profiles.x]\nrepository = ''\n", 2, "at least 1"),
        ("[profiles.x]\nexclude_larger_than = '2 G'\n", 2, "size"),
        ("[profiles.x.keep]\nlast = -1\n", 2, "unlimited"),
        ("[profiles.x.keep]\nwithin = '3w'\n", 2, "duration"),
        ("[profiles.x]\nkeep.daily = 'x'\n", 2, "unlimited"),
        ("default_profile = 'y'\n[profiles.x]\n", 1, "no profile y"),
        ("[profil.x]\n", 1, "unknown key"),
        ("profiles = 3\n", 1, "dictionary"),
    ],
)
def test_mistakes_have_a_line(text: str, line: int, words: str) -> None:
    with pytest.raises(ObhutError) as failed:
        parse(text, Path("/etc/o.toml"))
    assert failed.value.id == "config-invalid"
    assert failed.value.object == (f"/etc/o.toml, line {line}" if line else "/etc/o.toml")
    assert words in failed.value.detail


def test_values_are_not_repeated_in_errors() -> None:
    with pytest.raises(ObhutError) as failed:
        parse("[profiles.x]\npassword_file = 3\npassword_comand = 'echo c4n4ry'\n", Path("f"))
    assert "c4n4ry" not in str(failed.value)


def test_files(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": "/nowhere"}
    assert load(None, environ).profiles == {} or Path("/etc/obhut/obhut.toml").exists()
    user_file(environ).parent.mkdir()
    user_file(environ).write_text(GOOD)
    assert user_file(environ) in candidates(None, environ)
    assert load(None, environ).default_profile == "home"
    assert candidates("/x", environ) == [Path("/x")]
    assert candidates(None, environ | {"OBHUT_CONFIG": "/y"}) == [Path("/y")]
    with pytest.raises(ObhutError) as missing:
        load(str(tmp_path / "none"), environ)
    assert missing.value.id == "config-invalid"
    (tmp_path / "latin").write_bytes(b"\n# \xe4\n")
    with pytest.raises(ObhutError) as latin:
        load(str(tmp_path / "latin"), environ)
    assert latin.value.object.endswith("line 2")


def test_a_later_file_wins() -> None:
    first, later = parse(GOOD, Path("a")), parse("[profiles.home]\nrepository = '/new'\n", Path("b"))
    merged = merge([first, later])
    home = merged.profile(None)
    assert home is not None
    assert home.repository == "/new"
    assert merged.files == (Path("a"), Path("b"))
    assert merge([]) == Config()


def test_places(tmp_path: Path) -> None:
    assert user_file({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}) == Path("/h/.config/obhut/obhut.toml")
    assert cache_base({"HOME": "/h"}) == b"/h/.cache/restic"
    assert cache_base({"HOME": "/h", "XDG_CACHE_HOME": "/c"}) == b"/c/restic"


def test_line_of_prefers_the_longest_path() -> None:
    text = "[profiles.a]\n[profiles.b]\nkeep = { daily = 3 }\n"
    assert line_of(text, ["profiles", "b", "keep", "daily"]) == 3
    assert line_of(text, ["profiles", "b"]) == 2
    assert line_of(text, ["nothing"]) == 0


def test_schema_names_every_key() -> None:
    text = str(schema())
    for key in ("default_profile", "password_command", "within_monthly", "exclude_if_present"):
        assert key in text
