"""The errors of the core, in its order, and those that all parts share."""

from __future__ import annotations

from typing import Final

from obhut.catalogue.entry import Entry


def _core(what: str, why: str, next_step: str, *, thing: str = "it", retry: bool = False, exit_code: int = 1) -> Entry:
    return Entry(what, why, next_step, retry, exit_code, thing, core=True)


COMMON: Final[dict[str, Entry]] = {
    "internal": _core(
        "Obhut made a mistake of its own.",
        "A check inside Obhut failed; your data was not touched after that point.",
        "Run the command again; if it happens again, report it with the log (--log-file) and the detail above.",
        retry=True,
    ),
    "cancelled": _core(
        "The operation was stopped.",
        "It was interrupted (Ctrl-C) or told to end (SIGTERM).",
        "Run the same command again: what was finished is found and not done twice.",
        retry=True,
        exit_code=130,
    ),
    "repository-missing": _core(
        "There is no repository at {object}.",
        "The place holds no file `config`: the path is wrong, the disk is not mounted, or nothing was created yet.",
        "Check the path and the mount; a new repository is created with `obhut backup init -r PLACE`.",
        thing="the given place",
        exit_code=10,
    ),
    "repository-exists": _core(
        "A repository exists already at {object}.",
        "A file `config` was found there, and a repository is never overwritten.",
        "See whether it opens with your password: `obhut backup snapshots -r PLACE`. If so, use it; if not, choose another place.",
        thing="the given place",
    ),
    "init-unfinished": _core(
        "An earlier `init` at {object} did not finish, and its key file cannot be used.",
        "It was killed after it had written a key file, which needs another password than the one given now, or is damaged.",
        "Run `init` again with the password of that time. If nobody knows it: nothing else is stored there, so remove the "
        "files in `keys/` (or choose another place), then run `init` again.",
        thing="the given place",
    ),
    "config-lost": _core(
        "The repository at {object} has lost its file `config`, so no new one is made there.",
        "There is data, but no `config`: it was deleted, or the storage lost it. The keys that are there may still open the data.",
        "Remove nothing. Put `config` back from a copy of this repository. For a new repository choose another place.",
        thing="the given place",
    ),
    "repository-unsupported": _core(
        "This repository uses something that this version does not know: {object}.",
        "It was written by a newer program, or with a feature that is not part of the restic format.",
        "Use a newer Obhut, or the program that wrote the repository.",
        thing="its version",
    ),
    "repository-locked": _core(
        "The repository is locked: {object}.",
        "Another process works on it, or one died and left its lock behind.",
        "Wait, or use --retry-lock 10m. Is no process running any more, remove stale locks with `obhut backup unlock`.",
        thing="another process holds a lock",
        retry=True,
        exit_code=11,
    ),
    "lock-lost": _core(
        "Our lock on the repository was lost, so writing stopped.",
        "Another process removed it, or it could not be refreshed in time (the machine slept, the network was away).",
        "Run the command again; what was already written is used.",
        retry=True,
        exit_code=11,
    ),
    "wrong-password": _core(
        "The password does not open this repository.",
        "None of its keys fits the password that was given.",
        "Check the password and where it comes from (--password-file, OBHUT_PASSWORD, RESTIC_PASSWORD, the profile).",
        exit_code=12,
    ),
    "too-many-keys": _core(
        "None of the keys that were tried fits the password, and there are more keys than may be tried.",
        "A repository with very many keys would take minutes to open.",
        "Name the key with --key-hint ID; `obhut backup list keys` shows the ids to someone who can open the repository.",
        exit_code=12,
    ),
    "file-missing": _core(
        "A file that must be in the repository is missing: {object}.",
        "It was deleted, or the storage lost it.",
        "Run `obhut backup check` to see what is affected; restore the file from a copy of the repository if there is one.",
    ),
    "file-exists": _core(
        "A repository file exists already and is never overwritten: {object}.",
        "Repository files are written once; the same name with other content means damage.",
        "Run `obhut backup check --read-data`.",
    ),
    "damaged": _core(
        "This part of the repository is damaged: {object}.",
        "The file is truncated or was altered: the disk, the transfer or the memory failed, or someone changed it.",
        "Nothing was written. Run `obhut backup check --read-data`, and look at the disk's health.",
        thing="a file",
    ),
    "blob-missing": _core(
        "A piece of data that a snapshot needs is in no index: {object}.",
        "A pack or an index was lost, or a prune was done by a program that ignores locks.",
        "Run `obhut backup check`. Backing up the source again with --force stores what still exists there.",
        thing="a blob",
    ),
    "verify-failed": _core(
        "What was just encoded does not decode to the same bytes: {object}.",
        "The memory or the processor of this machine computes wrongly. It was found before anything was written.",
        "Test the memory (memtest86+) before you trust this machine with a backup.",
        thing="a blob",
    ),
    "io": _core(
        "The file system or the storage reported an error for {object}.",
        "The device, the cable, the network or the file system failed.",
        "Look at the detail and the system's log; then run the command again.",
        thing="an operation",
        retry=True,
    ),
    "no-space": _core(
        "There is no space left: {object}.",
        "The disk or the quota of the target is full. The repository is intact.",
        "Make room (`obhut backup forget … --prune` in the repository), then run the command again.",
        thing="the target",
    ),
    "permission-denied": _core(
        "Access is not permitted: {object}.",
        "The user that runs Obhut lacks the right, or the storage forbids it (an append-only repository refuses deletion).",
        "Run it as the right user, or change the rights of the file or folder.",
        thing="a file",
    ),
    "read-only": _core(
        "This place is read-only: {object}.",
        "The file system is mounted read-only, or the storage does not accept changes.",
        "Mount it writable; commands that only read work with --no-lock.",
        thing="the target",
    ),
    "unavailable": _core(
        "The storage does not answer: {object}.",
        "The network or the server is down or too slow; several tries failed.",
        "Check the connection and run the command again.",
        thing="the repository",
        retry=True,
    ),
    "invalid-argument": _core(
        "This value has no meaning here: {object}.",
        "An argument or an option is malformed or contradicts another one.",
        "See the command's --help for the form and examples.",
        thing="an argument",
    ),
    "source-missing": _core(
        "This source does not exist: {object}.",
        "The path is wrong, or what it lies on is not mounted.",
        "Check the path. Existing sources were backed up; a snapshot with a missing source ends with exit code 3.",
        thing="a source",
    ),
    "nothing-saved": _core(
        "Nothing could be saved, so no snapshot was written.",
        "All sources are missing or none could be read.",
        "Check the paths and the rights of the user that runs the backup.",
    ),
    "source-changed": _core(
        "This file changed or vanished while it was read: {object}.",
        "A program was writing it.",
        "What was read is in the snapshot. Use a file system snapshot or the program's own dump for consistent files.",
        thing="a file",
        retry=True,
    ),
    "path-missing": _core(
        "This path is not in the snapshot: {object}.",
        "It is spelled differently there, or was not part of the backup.",
        "List the snapshot with `obhut backup ls SNAPSHOT`.",
        thing="a path",
    ),
    "hostile-tree": _core(
        "A snapshot holds a name or link that must not be followed: {object}.",
        "No honest backup program writes such entries; the snapshot may be an attack on whoever restores it.",
        "Nothing outside the target was touched. Find out who wrote the snapshot.",
        thing="an entry",
    ),
    "restore-mismatch": _core(
        "A restored file differs from the snapshot: {object}.",
        "It was changed during the restore, or the target's disk returns other bytes than were written.",
        "Run the restore again into the same target: only what differs is written.",
        thing="a file",
        retry=True,
    ),
    "limit-exceeded": _core(
        "A size or count is over the bound that protects memory: {object}.",
        "The file is damaged, or it was made to exhaust this machine.",
        "Run `obhut backup check`; nothing was written.",
        thing="a file",
    ),
    "plan-void": _core(
        "The repository changed while the prune was planned, so nothing was deleted.",
        "Another program removed an index or a snapshot file in between.",
        "Run the prune again.",
        retry=True,
    ),
    # From here on: ids of the Python side.
    "snapshot-missing": Entry(
        "There is no snapshot {object}.",
        "The id is wrong, the snapshot was forgotten, or no snapshot fits the filters (--host, --tag, --path).",
        "List what is there with `obhut backup snapshots`.",
        thing="that fits",
    ),
    "snapshot-ambiguous": Entry(
        "More than one snapshot begins with {object}.",
        "The prefix is too short to mean one snapshot.",
        "Give more digits of the id; `obhut backup snapshots` shows eight.",
        thing="this id",
    ),
    "snapshots-unreadable": Entry(
        "Some snapshots cannot be read: {object}.",
        "Their files are damaged or truncated.",
        "Run `obhut backup check`. Until they are gone or repaired, what would delete data refuses to run, and `latest` "
        "is refused, because one of them may be the latest: name the snapshot that you want by its id.",
        thing="their ids are listed above",
    ),
    "id-missing": Entry(
        "Nothing in the repository has the id {object}.",
        "The id is wrong, or the file was removed.",
        "List the ids with `obhut backup list keys|snapshots|index|locks|packs|blobs`.",
        thing="given",
    ),
    "id-ambiguous": Entry(
        "More than one id begins with {object}.",
        "The prefix is too short to mean one file.",
        "Give more digits of the id.",
        thing="this prefix",
    ),
    "key-in-use": Entry(
        "The key {object} is the one that opened the repository, so it is not removed.",
        "Without it this very command could not have run; removing the last key loses all data.",
        "Open the repository with another key, or change the password with `obhut backup key passwd`.",
        thing="given",
    ),
    "repository-unspecified": Entry(
        "No repository was named.",
        "There is no -r/--repo, no OBHUT_REPOSITORY or RESTIC_REPOSITORY, and no profile with a repository.",
        "Add -r PLACE, or write a profile into obhut.toml.",
    ),
    "source-unspecified": Entry(
        "Nothing was named that could be backed up.",
        "There is no path on the command line, no --files-from list, no --stdin, and no paths in the profile.",
        "Name files or folders: `obhut backup run PATH…`, or write `paths` into the profile.",
    ),
    "password-missing": Entry(
        "There is no password for the repository.",
        "No source gave one and there is no terminal to ask at.",
        "Use one of: --password-file FILE, --password-command COMMAND, --password-keyring NAME, OBHUT_PASSWORD, "
        "OBHUT_PASSWORD_FILE, OBHUT_PASSWORD_COMMAND, the same with RESTIC_, or a profile in obhut.toml.",
        exit_code=12,
    ),
    "password-empty": Entry(
        "The password from {object} is empty.",
        "Its source holds nothing, and an empty password protects nothing.",
        "Check the source. --insecure-no-password allows an empty password on purpose.",
        thing="its source",
        exit_code=12,
    ),
    "password-mismatch": Entry(
        "The two passwords differ.",
        "A password that is set is asked for twice, because a mistyped one loses the repository.",
        "Try again.",
        retry=True,
    ),
    "password-source": Entry(
        "The password could not be read from {object}.",
        "The file is missing or not readable, the command failed, or the keyring has no such entry.",
        "See the detail; test the source by hand.",
        thing="its source",
        exit_code=12,
    ),
    "config-invalid": Entry(
        "The configuration is not valid: {object}.",
        "A key is unknown, a value has the wrong type, or the file is not TOML.",
        "Correct the line; `obhut config schema` prints what is allowed.",
        thing="obhut.toml",
    ),
    "profile-missing": Entry(
        "There is no profile {object}.",
        "No obhut.toml that was read defines it.",
        "See `obhut config show` for the files that are read and the profiles in them.",
        thing="of this name",
    ),
    "location-invalid": Entry(
        "This is no place for a repository that Obhut knows: {object}.",
        "The form of the location is wrong, or this kind of storage is not supported yet.",
        "Use a path, or `local:PATH`.",
        thing="the location",
    ),
    "command-failed": Entry(
        "The command failed, so no snapshot was written: {object}.",
        "A command whose output is backed up must end with exit code 0, or the output may be incomplete.",
        "Run the command by hand and look at its messages.",
        thing="the source command",
        retry=True,
    ),
    "source-list": Entry(
        "A list of sources or patterns cannot be used: {object}.",
        "The file cannot be read, or an entry in it is malformed.",
        "See the detail, and --help for the form of --files-from, --files-from-raw and --exclude-file.",
        thing="the file",
    ),
    "backup-incomplete": Entry(
        "The snapshot was written, but some sources are missing from it.",
        "They do not exist, could not be read, or vanished; they are listed above.",
        "Correct the rights or the paths and run the backup again.",
        exit_code=3,
    ),
    "forget-incomplete": Entry(
        "Some snapshots could not be removed: {object}.",
        "The storage refused the deletion; an append-only repository does.",
        "Run the command where deletion is allowed.",
        thing="they are listed above",
        retry=True,
        exit_code=3,
    ),
    "policy-empty": Entry(
        "No policy was given, so no snapshot is removed.",
        "The command needs to know what to keep (--keep-last 10, --keep-daily 7, …) or which snapshots to remove.",
        "Add a --keep option or snapshot ids; try it with --dry-run first.",
    ),
    "policy-removes-all": Entry(
        "The policy would remove every snapshot of {object}, so nothing was removed.",
        "None of the --keep options matches a snapshot of this group.",
        "Check the policy with --dry-run; snapshots can also be removed by id.",
        thing="a group",
    ),
    "prune-incomplete": Entry(
        "The repository was pruned, but some files that nobody needs could not be removed.",
        "The storage refused the deletion, or failed; the files are listed above. Nothing refers to them.",
        "Run the prune again: it finds and removes them.",
        retry=True,
        exit_code=3,
    ),
    "restore-incomplete": Entry(
        "Not everything could be restored: {object}.",
        "The items are listed above, each with its reason.",
        "Correct the reason and run the same restore again: only what is missing is written.",
        thing="some items failed",
    ),
    "check-failed": Entry(
        "The repository has errors: {object}.",
        "Files are missing or damaged; each is named above.",
        "Do not prune. Keep a copy of the repository as it is, and back up the sources again with --force.",
        thing="they are listed above",
    ),
    "append-only": Entry(
        "This repository may only be added to: {object}.",
        "Its config or its storage forbids deletion, which protects it from an attacker on this machine.",
        "Run forget and prune where the storage allows it.",
        thing="nothing is deleted",
    ),
    "unlock-failed": Entry(
        "Some locks could not be removed: {object}.",
        "The storage refused it.",
        "Look at the rights of the folder `locks` in the repository.",
        thing="they are listed above",
        retry=True,
    ),
    "usage": Entry(
        "The command line is not understood: {object}.",
        "An option or argument is unknown, missing or malformed.",
        "See the command's --help.",
        thing="an argument",
        exit_code=2,
    ),
    "output-closed": Entry(
        "The output was closed before everything was written.",
        "The program that reads it ended.",
        "Nothing needs to be done.",
        exit_code=141,
    ),
}
