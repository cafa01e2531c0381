"""Devices, folders, addresses, versions, and the file that holds them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obhut.errors import ObhutError, converted
from obhut.sync import file, place
from obhut.sync.model import (
    Device,
    Folder,
    Member,
    Settings,
    Versions,
    check_address,
    check_folder_id,
    check_name,
    check_places,
)
from sync_stand_in import device_id, id_of


def canonical(text: str) -> str:
    with converted():
        return device_id(text)


ONE, OTHER = id_of("one"), id_of("other")


@pytest.mark.parametrize(
    "text", ["none", "trash", "trash:30", "simple:5", "simple:5:30", "staggered", "staggered:90", "staggered:0"]
)
def test_versions_come_back(text: str) -> None:
    assert str(Versions.parse(text)) == text


@pytest.mark.parametrize("text", ["", "none:1", "simple", "simple:0", "simple:x", "simple:1:2:3", "all", "trash:-1"])
def test_versions_that_mean_nothing(text: str) -> None:
    with pytest.raises(ValueError, match=r"one of|no number"):
        Versions.parse(text)


def test_versions_for_the_core() -> None:
    assert Versions.parse("simple:5:2").to_core() == {"kind": "simple", "count": 5, "max_age": 2 * 86400}
    assert Versions().to_core() == {"kind": "staggered", "count": 0, "max_age": 365 * 86400}


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("tcp://127.0.0.1:1234", "tcp://127.0.0.1:1234"),
        ("tcp://hub.example.org", "tcp://hub.example.org:22000"),
        ("tcp://[2001:db8::1]:22000", "tcp://[2001:db8::1]:22000"),
        ("tcp://[2001:db8::1]", "tcp://[2001:db8::1]:22000"),
        ("dynamic", "dynamic"),
    ],
)
def test_addresses(text: str, form: str) -> None:
    assert check_address(text) == form


def test_addresses_to_listen_at() -> None:
    assert check_address("tcp://:22000", listen=True) == "tcp://0.0.0.0:22000"
    assert check_address("tcp://127.0.0.1:0", listen=True) == "tcp://127.0.0.1:0"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hub",
        "quic://hub:1",
        "tcp://:1",
        "tcp://hub:0",
        "tcp://hub:x",
        "tcp://a b:1",
        "tcp://::1:5",
        "tcp://h:70000",
    ],
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        check_address(text)


@pytest.mark.parametrize("text", ["", "a b", "a/b", "x" * 65, "a\nb", "a\\b"])
def test_ids_of_folders_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="up to 64"):
        check_folder_id(text)


def test_names_do_not_steer_terminals() -> None:
    assert check_name("Annas Telefon 📱") == "Annas Telefon 📱"
    with pytest.raises(ValueError, match="printable"):
        check_name("a\x1b[31m")


def test_folders_keep_out_of_each_other() -> None:
    def settings(*paths: str) -> Settings:
        return Settings(folders=tuple(Folder(f"f{n}", path) for n, path in enumerate(paths)))

    check_places(settings("/a/b", "/a/bc", "/c"), "/home/h")
    for paths in [("/a", "/a/b"), ("/a/b", "/a"), ("/a", "/a"), ("/home/h",), ("/home/h/x",), ("/home",), ("/",)]:
        with pytest.raises(ObhutError, match="sync-folder-place"):
            check_places(settings(*paths), "/home/h")


def test_changes_of_settings() -> None:
    settings = Settings().with_device(Device(ONE, "phone")).with_device(Device(OTHER)).with_folder(Folder("f", "/f"))
    settings = settings.shared("f", ONE, read_only=False).shared("f", OTHER, read_only=True)
    assert settings.shared("f", ONE, read_only=True).folder("f").members == (Member(OTHER, True), Member(ONE, True))
    assert settings.unshared("f", ONE).folder("f").members == (Member(OTHER, True),)
    assert settings.without_device(OTHER).folder("f").members == (Member(ONE),)
    assert settings.find_device("phone") == settings.find_device(ONE[:7]) == settings.device(ONE)
    for wrong in ("x", ONE[:6], ""):
        with pytest.raises(ObhutError, match="sync-device-unknown"):
            settings.find_device(wrong)
    with pytest.raises(ObhutError, match="sync-folder-unknown"):
        settings.shared("g", ONE, read_only=False)
    core = settings.to_core(OTHER, "host")
    assert (core["name"], core["id"]) == ("host", OTHER)
    assert core["folders"][0]["members"] == [{"device": ONE, "writes": True}, {"device": OTHER, "writes": False}]


NAMES = st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=20).filter(lambda text: text.isprintable())
DEVICES = st.builds(
    Device,
    id=st.sampled_from([id_of(str(n)) for n in range(4)]),
    name=NAMES,
    addresses=st.lists(st.sampled_from(["dynamic", "tcp://h:1"]), min_size=1, unique=True).map(tuple),
    compression=st.sampled_from(["metadata", "always", "never"]),
    paused=st.booleans(),
)


@st.composite
def any_settings(draw: st.DrawFn) -> Settings:
    devices = tuple(draw(st.lists(DEVICES, unique_by=lambda one: one.id, max_size=4)))
    folders = []
    for number in range(draw(st.integers(0, 3))):
        members = [Member(one.id, draw(st.booleans())) for one in devices if draw(st.booleans())]
        folders.append(
            Folder(
                id=f"f{number}",
                path=f"/f{number}",
                label=draw(NAMES),
                direction=draw(st.sampled_from(["both", "send-only", "receive-only"])),
                versions=Versions.parse(draw(st.sampled_from(["none", "trash:3", "simple:2", "staggered:9"]))),
                members=tuple(members),
                paused=draw(st.booleans()),
                rescan=draw(st.integers(0, 9999)),
                ignore_modes=draw(st.booleans()),
                max_conflicts=draw(st.integers(-1, 20)),
            )
        )
    listen = draw(st.sampled_from([(), ("tcp://0.0.0.0:1",)]))
    return Settings(draw(NAMES), listen, devices, tuple(folders))


@given(any_settings(), any_settings())
def test_what_is_written_is_read(first: Settings, second: Settings) -> None:
    text = file.render(first, None)
    assert file.parse(text, "f", canonical) == first
    assert file.render(first, text) == text
    assert file.parse(file.render(second, text), "f", canonical) == second


def test_what_people_wrote_stays() -> None:
    text = f"""# mine
name = "hub"

# the phone
[[devices]]
id = "{ONE}" # Anna's
name = "phone"

[[folders]]
id = "f"
path = "/f"   # a disk
versions = "staggered:365"
"""
    settings = file.parse(text, "f", canonical)
    more = file.render(settings.with_device(Device(OTHER, "new")).shared("f", ONE, read_only=False), text)
    for kept in ("# mine", "# the phone", "# Anna's", "# a disk"):
        assert kept in more
    assert file.parse(more, "f", canonical).device(OTHER).name == "new"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nam = 1", "nam: unknown key"),
        ("name = 1", "name: a text"),
        ("[", ""),
        ("listen = ['udp://x']", "listen: an address"),
        ("[[devices]]\nid = 'x'", "devices[0].id: this is no device id"),
        ("[[devices]]\nname = 'x'", "devices[0].id: is missing"),
        (f"[[devices]]\nid = '{ONE}'\n[[devices]]\nid = '{ONE}'", "twice"),
        ("[[folders]]\nid = 'f'\npath = 'x'", "folders[0].path: an absolute path"),
        ("[[folders]]\nid = 'f'\npath = '/x'\ndirection = 'up'", "folders[0].direction: one of"),
        ("[[folders]]\nid = 'f'\npath = '/x'\nversions = 'all'", "folders[0].versions: one of"),
        ("[[folders]]\nid = 'f'\npath = '/x'\nrescan = -1", "folders[0].rescan"),
        ("[[folders]]\nid = 'f'\npath = '/x'\nrescan = true", "folders[0].rescan"),
        ("[[folders]]\nid = 'f'\npath = '/x'\npaused = 1", "folders[0].paused: true or false"),
        (f"[[folders]]\nid = 'f'\npath = '/x'\nmembers = [{{device = '{ONE}'}}]", "not among the devices"),
        ("[[folders]]\nid = 'f'\npath = '/x'\nmembers = [1]", "folders[0].members[0]: a table"),
        ("folders = 1", "folders: tables"),
        ("[[folders]]\nid = 'f'\npath = '/x'\n[[folders]]\nid = 'f'\npath = '/y'", "twice"),
    ],
)
def test_mistakes_are_named_with_their_place(text: str, words: str) -> None:
    with pytest.raises(ObhutError, match="sync-settings") as caught:
        file.parse(text, "sync.toml", canonical)
    assert words in caught.value.detail


def test_the_marker_is_syncthings(tmp_path: Path) -> None:
    assert place.mark(str(tmp_path), "default", "2026-03-01T12:00:00Z")
    [text] = (tmp_path / ".stfolder").iterdir()
    assert text.name == "syncthing-folder-37a8ee.txt"
    assert "folderID: default\ncreated: 2026-03-01T12:00:00Z\n" in text.read_text()
    assert not place.mark(str(tmp_path), "other", "now")
    assert place.is_marked(str(tmp_path))
    (tmp_path / "file").write_text("")
    for wrong in ("file", "absent"):
        with pytest.raises(ObhutError, match="sync-folder-place"):
            place.resolved(str(tmp_path / wrong))


def test_a_folder_is_found_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert place.resolved(str(tmp_path / "link")) == str(tmp_path / "real")


def test_settings_are_values() -> None:
    assert replace(Settings(), name="x") == Settings("x")
