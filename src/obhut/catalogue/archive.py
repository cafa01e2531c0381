"""The errors of archives."""

from __future__ import annotations

from typing import Final

from obhut.catalogue.entry import Entry

ARCHIVE: Final[dict[str, Entry]] = {
    "archive-unspecified": Entry(
        "No archive was named.",
        "There is no --store on the command line and no variable OBHUT_ARCHIVE.",
        "Name its folder: `--store DIR`.",
        exit_code=2,
    ),
    "archive-missing": Entry(
        "There is no archive at {object}.",
        "The folder holds no file `archive.json`: the path is wrong, the disk is not mounted, or nothing was created yet.",
        "Check the path and the mount; a new archive is created with `obhut archive init --store DIR --name ORIGIN`.",
        thing="the given place",
        exit_code=10,
    ),
    "archive-exists": Entry(
        "An archive exists already at {object}.",
        "A file `archive.json` was found there, and an archive is never overwritten.",
        "Use it, or choose another folder.",
        thing="the given place",
    ),
    "archive-place": Entry(
        "No archive can be at {object}.",
        "An archive needs a folder of its own, new or empty, in a folder that exists.",
        "Choose another place; see the detail.",
        thing="the given place",
    ),
    "archive-unsupported": Entry(
        "The archive at {object} has a format that this version does not know.",
        "It was written by a newer Obhut.",
        "Use that version.",
        thing="the given place",
    ),
    "archive-damaged": Entry(
        "Something in the archive is not what it was: {object}.",
        "It was altered, lost or damaged on its medium, or another key signed it.",
        "Change nothing. Run `obhut archive verify` to see what is affected, and compare with a copy of the archive.",
        thing="a file",
    ),
    "archive-faulty": Entry(
        "The archive is not as it was logged: {object}.",
        "Files are missing or altered; each is named above.",
        "Change nothing, and keep the archive as it is. Compare the named files with a copy of the archive, or with the documents' source.",
        thing="the faults are listed above",
    ),
    "archive-raced": Entry(
        "Another program wrote to the archive at {object} meanwhile.",
        "Two programs with the log's key were at work; the one that came second states nothing.",
        "Run the command again, and let one program write at a time. What was shown with an id is archived, nothing else is.",
        thing="the given place",
        retry=True,
    ),
    "store-unreachable": Entry(
        "The storage cannot be used: {object}.",
        "It does not answer, answers with an error, or its address and keys are missing.",
        "See the detail. For S3: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION.",
        thing="the given one",
        retry=True,
    ),
    "archive-key": Entry(
        "The key of the archive's log cannot be used: {object}.",
        "The file is missing, may not be read, holds no key, or holds that of another log.",
        "Name the right file with --key-file, or put it back from the copy that was kept elsewhere. Reading and verifying need no key.",
        thing="its file",
    ),
    "archive-identity": Entry(
        "Nothing here opens what is sealed: {object}.",
        "The file is missing, may not be read, holds no identity of age (X25519), or that of another archive.",
        "Name the right file with --identity: that of the archive, or the one to recover with. `obhut archive key check` tries it.",
        thing="no identity was named",
    ),
    "archive-key-exists": Entry(
        "There is a key already at {object}, and it is never overwritten.",
        "Another archive of the same name uses it. Two logs signed by one key would be two histories.",
        "Give the new archive another name, or its key another place with --key-file.",
        thing="that place",
    ),
    "class-unknown": Entry(
        "There is no class of retention of this name: {object}.",
        "It is misspelt, or belongs to another country than the archive: then its name begins with that, like ch/record.",
        "See `obhut archive classes`.",
        thing="the given one",
    ),
    "event-unknown": Entry(
        "It is not known when the years of this class begin: {object}.",
        "Its event comes after the document, like the end of a contract, so the date of the file says nothing.",
        "Say the day with --event-date DAY, or that it has not come with --event-open; later `obhut archive event ID --date DAY`.",
        thing="the given one",
    ),
    "document-missing": Entry(
        "This document cannot be archived: {object}.",
        "It does not exist, is no regular file, or may not be read.",
        "Check the path and its rights. What was shown with an id before is archived, nothing else is.",
        thing="a file",
    ),
    "document-changed": Entry(
        "This document changed while it was read: {object}.",
        "A program was writing it.",
        "Close it there and archive it again. What was shown with an id before is archived, nothing else is.",
        thing="a file",
        retry=True,
    ),
    "document-unknown": Entry(
        "The archive has no document {object}.",
        "The id is misspelt, or is of another archive.",
        "See `obhut archive list`.",
        thing="of this id",
    ),
    "document-locked": Entry(
        "This cannot be removed yet: {object}.",
        "Its lock has not ended, or somebody holds it.",
        "See `obhut archive show ID`.",
        thing="a document",
    ),
    "disposal-credential": Entry(
        "There is no credential here that deletes from the archive at {object}.",
        "The credential of the intake must not delete, so disposal has one of its own, and none was named, or it cannot be used.",
        "Name a profile of AWS that holds it: `--disposal-profile NAME`. `obhut archive policy disposal` prints the rights that it needs.",
        thing="the given place",
    ),
    "disposal-refused": Entry(
        "The storage does not let the credential of disposal delete: {object}.",
        "It lacks the right to delete versions of objects there, is misspelt or expired; or the storage's clock is behind and a lock has not ended for it.",
        "Give it the rights that `obhut archive policy disposal` prints, and run the command again: what is gone already is certified then.",
        thing="an object",
    ),
    "intake-deletes": Entry(
        "The credential of the intake may delete from the archive at {object}.",
        "Whoever takes it could delete without any signature what a lock has released, or what only a hold keeps. Nothing was disposed of.",
        "Give it the rights that `obhut archive policy intake` prints, and no more; `obhut archive probe` tells whether that is so.",
        thing="the given place",
    ),
    "lock-broken": Entry(
        "The locks of {object} do not hold.",
        "The storage did what a lock has to refuse, or says that it did.",
        "See the detail. If only a version that nothing locks was deleted, the intake has too many rights (`obhut archive policy intake`); else do not rely on this storage: mirror the archive to another one, and tell whoever runs it.",
        thing="this storage",
    ),
    "probe-useless": Entry(
        "A folder has no locks that could be probed: {object}.",
        "Its files are read-only and dated, which keeps accidents away; whoever owns them can undo both.",
        "Where that is not enough, keep the archive, or a mirror of it, in a bucket with Object Lock.",
        thing="the given one",
    ),
    "hold-unknown": Entry(
        "The archive has no hold {object}.",
        "The id is misspelt, or is that of something else.",
        "See `obhut archive status`.",
        thing="of this id",
    ),
    "person-unknown": Entry(
        "Nobody is enrolled as {object}.",
        "The name is misspelt, or was dismissed.",
        "See `obhut archive status`; people are enrolled with `obhut archive enrol`.",
        thing="this name",
    ),
    "person-key": Entry(
        "This key cannot be enrolled: {object}.",
        "It has to be the public half of an Ed25519 key of SSH, a file like `id_ed25519.pub`.",
        "Make one with `ssh-keygen -t ed25519`, and name the file that ends in .pub.",
        thing="the file",
    ),
    "signature-refused": Entry(
        "There is no signature by this key: {object}.",
        "The program ssh-keygen did not sign, or the file holds no signature.",
        "See the detail. `--print` shows the text, for somebody who signs it on another machine.",
        thing="the given one",
    ),
    "unlawful": Entry(
        "The rules of the archive do not allow this {object}.",
        "See the detail: what stands in the log decides, and it says otherwise.",
        "Nothing was written. See `obhut archive status`.",
        thing="statement",
    ),
    "authority-missing": Entry(
        "The archive {object} knows no time-stamping authority.",
        "None was named yet.",
        "Name one: `obhut archive stamp --authority NAME --url URL --certificates FILE`.",
        thing="named here",
    ),
    "stamp-refused": Entry(
        "There is no time stamp by {object}.",
        "The authority did not answer, or its answer does not fit the question or its certificates.",
        "See the detail. Nothing was kept of it; try again later.",
        thing="this authority",
        retry=True,
    ),
    "openssl-missing": Entry(
        "The program openssl is not installed.",
        "It checks time stamps.",
        "Install it (Debian: apt-get install openssl).",
    ),
    "proposal-unknown": Entry(
        "The archive has no proposal {object}.",
        "The id is misspelt, or is that of something else.",
        "See `obhut archive status`.",
        thing="of this id",
    ),
    "proposal-unapproved": Entry(
        "The proposal {object} is not approved yet.",
        "What vanishes needs the signatures of two people.",
        "Have it signed: `obhut archive approve ID --as NAME --sign-with KEY`.",
        thing="of this id",
    ),
    "second-clock": Entry(
        "Nobody else says what day it is.",
        "Whoever can set this machine's clock could end every retention: a second clock has to agree, and none was named.",
        "Name a checkpoint that a witness signed lately: `--checkpoint FILE --witness WITNESS.vkey`.",
    ),
    "output-exists": Entry(
        "There is a file already: {object}.",
        "It was not made by this command, and is not overwritten.",
        "Choose another name.",
        thing="at that place",
    ),
    "log-rolled-back": Entry(
        "The log of {object} is shorter than it was.",
        "Its end was cut off, or an old copy was put in its place: entries that existed are gone.",
        "Change nothing. Compare the archive with a copy; who has the log's key could have done this on purpose.",
        thing="this archive",
    ),
    "log-forked": Entry(
        "The log of {object} was written anew: it does not go on from what is known of it.",
        "Entries were changed and signed again with the log's key, or two programs wrote to two copies of one archive.",
        "Change nothing. Compare the archive with a copy; who has the log's key could have done this on purpose.",
        thing="this archive",
    ),
    "checkpoint-unusable": Entry(
        "This checkpoint cannot be used: {object}.",
        "The file cannot be read, is neither a signed checkpoint nor a receipt, or was not signed by whom it has to be.",
        "See the detail. A file that somebody altered proves nothing, neither for nor against the archive.",
        thing="the file",
    ),
    "witness-missing": Entry(
        "There is no witness at {object}.",
        "The folder holds no file `witness.vkey`.",
        "Check the path; a new witness is made with `--name NAME`.",
        thing="the given folder",
        exit_code=10,
    ),
    "witness-other-key": Entry(
        "The log of {object} has another key than when it was seen first.",
        "Somebody put another log in its place, or it is another archive of the same name.",
        "Ask whoever runs the archive, in another way than through it.",
        thing="this archive",
    ),
}
