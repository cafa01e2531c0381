"""The errors of sync."""

from __future__ import annotations

from typing import Final

from obhut.catalogue.entry import Entry

SYNC: Final[dict[str, Entry]] = {
    "sync-home-missing": Entry(
        "There is no device of sync at {object}.",
        "The folder holds no certificate with its key: the path is wrong, or nothing was made yet.",
        "Check --home and OBHUT_SYNC_HOME; a new device is made with `obhut sync init`.",
        thing="the given place",
        exit_code=10,
    ),
    "sync-home-exists": Entry(
        "There is a device of sync already at {object}.",
        "Its certificate and key are there, and they are never overwritten: others know the device by them.",
        "Use it (`obhut sync id`), or choose another place with --home.",
        thing="the given place",
    ),
    "sync-settings": Entry(
        "The settings of sync cannot be used: {object}.",
        "A key is unknown, a value is wrong, or the file is not TOML.",
        "Correct the place that the detail names; docs/guide/first-sync.md shows every key.",
        thing="sync.toml",
    ),
    "sync-running": Entry(
        "A process runs already for the device at {object}.",
        "One home is one device; two processes with the same certificate would harm each other.",
        "Use the one that runs (`obhut sync status`), or stop it first.",
        thing="the given place",
        exit_code=11,
    ),
    "sync-not-running": Entry(
        "No process runs for the device at {object}.",
        "It was not started, or has ended; nothing is synchronized meanwhile.",
        "Start it: `obhut sync run`, or its service (`obhut sync unit` prints one).",
        thing="the given place",
        retry=True,
    ),
    "sync-device-unknown": Entry(
        "There is no device {object} here.",
        "It was not added, or has another name; the beginning of an id needs seven letters.",
        "List the devices with `obhut sync device list`; add one with `obhut sync device add ID`.",
        thing="of this name",
    ),
    "sync-device-exists": Entry(
        "There is a device {object} already.",
        "An id or a name stands for one device.",
        "Change it with `obhut sync device set`, or choose another name.",
        thing="of this name",
    ),
    "sync-folder-unknown": Entry(
        "There is no folder {object} here.",
        "It was not added, or has another id.",
        "List the folders with `obhut sync folder list`; add one with `obhut sync folder add PATH --id F`.",
        thing="of this id",
    ),
    "sync-folder-exists": Entry(
        "There is a folder {object} already.",
        "An id stands for one folder.",
        "Change it with `obhut sync folder set`, or choose another id.",
        thing="of this id",
    ),
    "sync-folder-place": Entry(
        "This cannot be a folder: {object}.",
        "A folder is a directory that is there, can be written to, and lies neither in another folder nor in the home of sync.",
        "Choose another directory; see the detail.",
        thing="the path",
    ),
    "sync-nothing-offered": Entry(
        "No device that knocks and no folder that is offered is called {object}.",
        "The other device is not connected, or offers nothing; what was offered is forgotten when the process ends.",
        "See what is there with `obhut sync accept`.",
        thing="so",
        retry=True,
    ),
    "sync-direction": Entry(
        "This is not for a folder of this direction: {object}.",
        "For folders that only send there is `override`, for those that only receive `revert`: elsewhere they would undo what others did.",
        "See the direction with `obhut sync folder list`.",
        thing="the folder",
    ),
    "sync-no-conflict": Entry(
        "There is no conflict of a file {object}.",
        "The name is relative to the folder; the conflict may have been settled on another device.",
        "List what is there with `obhut sync conflicts list`.",
        thing="of this name",
    ),
    "sync-no-version": Entry(
        "There is no version {object}.",
        "Nothing of this name was replaced or removed by others, or it was not kept any longer.",
        "List what is there with `obhut sync versions list F`.",
        thing="of this name",
    ),
    "sync-ignores": Entry(
        "The ignore patterns cannot be read or changed: {object}.",
        "The file .stignore cannot be read, or has no such line.",
        "See them with `obhut sync ignore list F`.",
        thing=".stignore",
    ),
    "sync-import": Entry(
        "This is no home of Syncthing that can be taken over: {object}.",
        "A home has config.xml, cert.pem and key.pem, as Syncthing wrote them.",
        "Find it with `syncthing paths`. Nothing was changed, here or there.",
        thing="the folder",
    ),
}
