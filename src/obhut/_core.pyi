"""The Rust core. Paths, names and passwords cross as bytes, results as JSON bytes, listings as batches of lines."""

from typing import Final, final

__version__: Final[str]
#: Whether the binary was built without optimisation.
DEBUG_BUILD: Final[bool]
#: Every error code, in the order of the core's table.
ERROR_CODES: Final[tuple[str, ...]]

class CoreError(Exception):
    """The one exception of the core: a stable code, the object it is about, and the technical detail."""

    code: str
    object: str
    detail: str
    def __init__(self, code: str, object: str, detail: str) -> None: ...

@final
class Store:
    """A place for repository files. Opaque; wrappers give a new one."""

    @staticmethod
    def local(path: bytes) -> Store: ...
    @staticmethod
    def python(backend: object) -> Store:
        """A backend that exists only in Python; see ``obhut.storage.adapter`` for its methods."""

    def with_retry(self, max_seconds: float) -> Store: ...
    def with_one_writer(self) -> Store:
        """One thread makes every change; only over a folder."""

    def with_limits(self, upload_bytes_per_second: int, download_bytes_per_second: int) -> Store:
        """0 = unlimited."""

    def with_cache(self, base: bytes) -> Store:
        """Reads of index, snapshot and tree packs go through restic's local cache layout below ``base``; takes effect when a repository is opened."""

    def with_fault(self, fault: str, call: int) -> Store:
        """Call number ``call`` (from 1; 0 = none) goes wrong, for tests; ``fault``: fail, gone, tear, lose, lost-ack, stale-list, slow."""

    def fault_calls(self) -> int:
        """How many calls the store of ``with_fault`` has seen."""

    def location(self) -> str: ...
    def is_local(self) -> bool: ...

@final
class Signer:
    """An Ed25519 key that signs; its secret never leaves the core."""

    #: The key that checks what this one signs, 32 bytes.
    public: bytes

    @staticmethod
    def from_seed(seed: bytes) -> Signer:
        """The key of 32 bytes; ``ValueError`` for another number."""

    def sign(self, message: bytes) -> bytes:
        """64 bytes; the same message always gets the same."""

@final
class AgeKeyring:
    """An identity of age (X25519), and everybody to whom is sealed; the identity is one of them."""

    def __new__(cls, identity: str, recipients: list[str]) -> AgeKeyring:
        """``AGE-SECRET-KEY-1…`` and ``age1…``; ``invalid-argument`` for anything else."""

    def seal(self, plain: bytes) -> bytes:
        """An age file, opened again before it is given."""

    def open(self, sealed: bytes, about: str) -> bytes:
        """What an age file holds; ``damaged``, or ``wrong-password`` if it was not sealed to this identity. ``about`` names it."""

    def seal_files(self, items: list[tuple[bytes, str, int, bytes]], threads: int) -> list[tuple[str, int]]:
        """Source, its SHA-256 in hex, its size, new file (which need not last); gives SHA-256 and size of each new file."""

    def read_files(self, paths: list[bytes], threads: int) -> list[tuple[tuple[str, int], tuple[str, int]]]:
        """SHA-256 in hex and size of what each age file holds, and of the file itself."""

    def copy_out(self, root: bytes, key: str, source: bytes, digest: str, size: int, mode: int) -> None:
        """Puts what an age file holds under a new key, durably; ``source-changed`` if it is not that."""

def age_identity() -> str:
    """A new identity: ``AGE-SECRET-KEY-1…``."""

def age_recipient(identity: str) -> str | None:
    """The recipient (``age1…``) of an identity; nothing for what is none."""

def is_age_recipient(text: str) -> bool:
    """Whether that is a recipient (``age1…``)."""

@final
class Job:
    """A running operation. The watcher polls; nothing is called back."""

    def wait(self, seconds: float) -> bool:
        """Waits with the GIL released; ``True`` once it has ended."""

    def cancel(self) -> None: ...
    def progress(self) -> dict[str, int]:
        """``phase`` and the counters of ``obhut_core::job::Counters``."""

    def current(self) -> list[bytes]: ...
    def errors(self) -> list[tuple[bytes, str, str, str, str]]:
        """Drains item errors: (item, during, code, object, detail)."""

    def output(self) -> bytes:
        """Drains rendered output: whole lines."""

    def result(self) -> bytes:
        """The JSON result; raises ``CoreError`` if the operation failed. Only after ``wait`` gave ``True``."""

@final
class Lock:
    """A held lock; refreshed by the core; released by ``release`` or when the object dies."""

    def share(self) -> None:
        """Turns an exclusive lock into a shared one, without a moment in which none is held."""

    def release(self) -> None: ...

@final
class Repository:
    """An opened repository; holds the master key, which never leaves the core."""

    id: str
    version: int
    key_id: str

    @staticmethod
    def init(
        store: Store,
        password: bytes,
        *,
        version: int = 2,
        username: str,
        hostname: str,
        chunker_from: Repository | None = None,
    ) -> Repository:
        """Creates a repository: key file, then config."""

    @staticmethod
    def open(
        store: Store,
        password: bytes,
        *,
        username: str,
        hostname: str,
        key_hint: str | None = None,
        compression: str = "auto",
        pack_size: int = 0,
        extra_verify: bool = True,
        threads: int = 0,
    ) -> Repository:
        """Finds the key that the password opens; ``pack_size`` in bytes, 0 = default (16 MiB); ``threads`` 0 = processors."""

    def location(self) -> str: ...
    def warnings(self) -> list[tuple[str, str, str]]:
        """What was odd while opening, e.g. a damaged key file that was skipped: (code, object, detail)."""

    def store_is_append_only(self) -> bool:
        """Whether config says ``append_only`` (rustic) or the storage refuses deletion."""

    def prefetch_index(self, threads: int) -> None:
        """Begins to load the index in the background (0 threads: one a processor). The next job that needs the index takes it if
        the index files are still the same then; otherwise, and after an error, it loads the index itself."""
    def lock(self, *, exclusive: bool, retry_seconds: float) -> Job:
        """Takes a lock; when it has ended, ``take_lock`` gives it.

        Output while it waits: ``{"lock", "exclusive", "hostname", "username", "pid", "time", "stale", "seconds"}``, a line for each
        process that it waits for; ``stale``: it looks left behind; ``seconds``: how long it waits at most."""

    def take_lock(self, job: Job) -> Lock: ...
    def unlock(self, *, remove_all: bool) -> Job:
        """Removes stale (or all) locks. Result: ``{"removed": n}``."""

    def snapshots(self) -> Job:
        """Output: a line a snapshot, ``{"id": …, "snapshot": {…as stored…}}``. An unreadable file is an item error."""

    def save_snapshot(self, json: bytes) -> str: ...
    def delete_snapshots(self, ids: list[str]) -> Job:
        """Result: ``{"removed": [ids], "failed": [ids]}``."""

    def list_files(self, kind: str) -> Job:
        """``kind``: keys, snapshots, index, locks, packs, blobs. Output: a line each: id (``blobs``: kind id)."""

    def cat(self, what: str, id: str) -> bytes:
        """``what``: config, key, snapshot, index, lock, pack, blob, tree, masterkey is refused. The plaintext."""

    def keys(self) -> bytes:
        """JSON array: ``{"current", "id", "userName", "hostName", "created"}``, as ``restic key list --json``."""

    def add_key(self, password: bytes, *, username: str, hostname: str) -> str:
        """Adds a key file, opens it again to be sure, gives its id."""

    def remove_key(self, id: str) -> None: ...
    def change_password(self, password: bytes, *, username: str, hostname: str) -> str:
        """Adds the new key, verifies it, then removes the one in use."""

    def backup(
        self,
        targets: list[bytes],
        *,
        parent_tree: str | None,
        parent_snapshot: str | None,
        excludes: list[bytes],
        iexcludes: list[bytes],
        exclude_if_present: list[bytes],
        exclude_caches: bool,
        exclude_larger_than: int,
        one_file_system: bool,
        ignore_ctime: bool,
        ignore_inode: bool,
        with_atime: bool,
        dry_run: bool,
        verbose: int,
        json: bool,
        cache_dir: bytes | None,
        threads: int,
        scan: bool = True,
    ) -> Job:
        """Reads the targets and writes trees and blobs; no snapshot yet. ``cache_dir``: base of the disposable directory cache, ``None`` = off.

        Result: ``{"tree", "files_new", "files_changed", "files_unmodified", "dirs_new", "dirs_changed", "dirs_unmodified",
        "data_blobs", "tree_blobs", "data_added", "data_added_packed", "total_files_processed", "total_bytes_processed",
        "missing_targets": [..], "cache_token": ".."}``. Verbose lines come as output (JSON lines or text)."""

    def commit_cache(self, token: str, snapshot: str) -> None:
        """Binds what a backup learned about directories to the snapshot that was saved for it."""

    def backup_stream(self, fd: int, name: bytes, *, dry_run: bool, json: bool, threads: int) -> Job:
        """Backs up one stream (stdin or a command's output) read from ``fd`` until its end, as file ``/name``. Result as ``backup``."""

    def restore(
        self,
        tree: str,
        subpath: bytes,
        target: bytes,
        *,
        includes: list[bytes],
        iincludes: list[bytes],
        excludes: list[bytes],
        iexcludes: list[bytes],
        overwrite: str,
        delete: bool,
        dry_run: bool,
        sparse: bool,
        verify: bool,
        sync: bool,
        xattrs: bool,
        include_xattrs: list[bytes],
        exclude_xattrs: list[bytes],
        owners_by_name: bool,
        verbose: int,
        json: bool,
        threads: int,
    ) -> Job:
        """Result: ``{"total_files", "files_restored", "files_skipped", "files_deleted", "total_bytes", "bytes_restored", "bytes_skipped",
        "unknown_owners": [..]}``."""

    def ls(
        self,
        tree: str,
        *,
        paths: list[bytes],
        recursive: bool,
        format: str,
        human: bool,
        sort: str = "name",
        reverse: bool = False,
    ) -> Job:
        """``format``: names, long, json, ncdu. ``sort``: name, size, time (= mtime), atime, ctime, extension. Output: rendered lines."""

    def check(self, *, read_data: bool, subset: str, threads: int, only: list[str] | None = None) -> Job:
        """``only``: ids of the snapshots to check, ``None`` = all. ``subset``: "" or ``n/m``, ``x%``, bytes. Output: hints, a line each. Errors: item errors.

        Result: ``{"num_errors", "broken_packs": [], "suggest_repair_index", "suggest_prune", "snapshots", "packs_read", "bytes_read", ...}``."""

    def plan_prune(
        self,
        *,
        max_unused: str,
        max_repack_bytes: int,
        repack_cacheable_only: bool,
        repack_small: bool,
        repack_smaller_than: int,
        repack_uncompressed: bool,
        ignore_snapshots: list[str],
        threads: int,
    ) -> Job:
        """Under a shared lock: marks what all snapshots use and decides per pack. ``max_unused``: ``5%``, bytes, ``unlimited``.

        Result: ``{"plan": number, "blobs": {...}, "bytes": {...}, "packfiles": {...}, "delayed": bool}``."""

    def repack(self, plan: int, *, threads: int) -> Job:
        """Step 1, under the shared lock: copies used blobs out of packs to repack; saves the new index."""

    def swap_index(self, plan: int, *, threads: int) -> Job:
        """Step 2, under the exclusive lock: looks at snapshots again, spares what they use, swaps the index files."""

    def delete_packs(self, plan: int) -> Job:
        """Step 3, without lock held exclusively: deletes the packs that no index names any more."""

def selftest() -> None:
    """Checks crypto, hash and chunker against fixed vectors; raises ``CoreError`` (``internal``) if the machine computes wrongly."""

def verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is one of ``message`` by the owner of ``public``; strict (no keys of small order)."""

def durable_write(path: bytes, data: bytes, mode: int) -> None:
    """Writes a file atomically and durably (the core's one durable-write module)."""

def durable_remove(path: bytes) -> None:
    """Removes a file; its name is gone from the medium when the call returns."""

def make_folder(path: bytes, mode: int) -> None:
    """Makes a folder and its missing parents, each durable."""

def put_files(root: bytes, items: list[tuple[str, bytes]], mode: int, *, replace: bool, until: int | None) -> None:
    """Puts bytes under their keys below ``root``, durably, together.

    Unless they may be replaced, a key that has other bytes already is ``file-exists``. ``until`` (seconds since 1970) becomes
    the time of last change of new files.
    """

def random_bytes(count: int) -> bytes:
    """So many bytes that nobody can guess."""

def copy_files(root: bytes, items: list[tuple[str, bytes, str, int]], mode: int, *, until: int | None) -> None:
    """Copies of files, nothing replaced: key, path, SHA-256 in hex, size; ``source-changed`` if a file is not that any more."""

@final
class StagedFiles:
    """Copies of files that are on the medium and have no names yet; those that get none are removed with this."""

    @staticmethod
    def take(root: bytes, folder: str, paths: list[bytes], mode: int, *, until: int | None) -> StagedFiles:
        """Takes copies below ``folder`` of ``root``, hashed on the way; ``source-changed`` if a file changes meanwhile."""

    def hashes(self) -> list[tuple[str, int]]:
        """SHA-256 in hex and size of each."""

    def name(self, items: list[tuple[int, str]]) -> None:
        """Gives some of them, by their numbers, their keys, durably; ``file-exists`` where other bytes lie already."""

    def discard(self) -> None:
        """Removes those without names."""

def postpone_files(root: bytes, items: list[tuple[str, int]]) -> None:
    """Moves times of last change (seconds since 1970) to later ones, durably; what is later already stays."""

def sync_folders(paths: list[bytes]) -> None:
    """Makes the names in folders last."""

def hash_files(paths: list[bytes], threads: int) -> list[tuple[str, int]]:
    """SHA-256 in hex and size of each file, in the order of the paths; 0 threads are several a processor."""

def display_name(name: bytes) -> str:
    """A file name escaped for terminals and messages."""

def harden_process() -> None:
    """Core dumps off, not dumpable: passwords must not reach a crash report."""

def exclude_match(pattern: bytes, path: bytes, *, ignore_case: bool) -> bool:
    """Whether an exclude pattern matches ``path`` or one of its parents (restic's rules); raises ``CoreError`` on a bad pattern."""

def prune_plan_model(input: bytes) -> bytes:
    """The prune plan on plain JSON, for the reference model in the tests."""

def restore_plan_model(input: bytes) -> bytes:
    """The restore plan on plain JSON, for the reference model in the tests."""

def _store_contract(store: object) -> list[str]:
    """What a store, or a backend in Python, breaks of the store contract: nothing, or a line a violation. For tests."""

def sync_identity(home: str) -> str:
    """The device id of the certificate in ``home`` (``cert.pem``, ``key.pem``), in its one form; they are made, durably, if there are none."""

def sync_device_id(text: str) -> str:
    """The one form of a device id: eight groups of seven. ``invalid-argument`` for what is none, and for nobody's (an empty text)."""

def sync_ignore_test(root: bytes, lines: list[str], names: list[str]) -> list[bool]:
    """Which names these lines of an ignore file ignore; ``#include`` is read below ``root``. ``invalid-argument`` for lines that mean nothing."""

def sync_versions_list(root: bytes) -> str:
    """JSON: ``[{"name", "version", "made", "bytes"}]``. ``version`` is the name below ``.stversions``, ``made`` local time as RFC 3339, or null of the trash."""

def sync_versions_restore(root: bytes, version: str, into: str | None) -> str:
    """Copies a version to the name it had, or to ``into``, which must be free; what is there becomes a version first. Gives the name."""

def sync_versions_prune(root: bytes, keep: str) -> str:
    """Removes what a policy does not keep (``{"kind", "count", "max_age"}``, as in the configuration). JSON: the versions that went."""

@final
class SyncDaemon:
    """A running engine with its network, disks and stores.

    ``config`` (JSON): ``{"id", "name", "devices": [{"id", "name", "addresses": ["dynamic" or "tcp://HOST:PORT"], "compression":
    "metadata"|"always"|"never", "paused"}], "folders": [{"id", "label", "path", "direction": "both"|"send-only"|"receive-only",
    "versions": {"kind": "none"|"trash"|"simple"|"staggered", "count", "max_age" (seconds, 0 = any)}, "members": [{"device",
    "writes"}], "paused", "rescan" (milliseconds, 0 = never), "ignore_modes", "max_conflicts" (null = any number)}]}``.
    Indexes lie in ``HOME/index/FOLDER.sqlite``.
    """

    def __new__(cls, home: str, config: str, listen: list[str]) -> SyncDaemon:
        """Starts; ``listen``: ``tcp://HOST:PORT``, port 0 for any."""

    def configure(self, config: str) -> None:
        """Takes another configuration."""

    def status(self) -> str:
        """JSON: ``{"id", "folders": [{"id", "label", "state": "idle"|"scanning"|"syncing"|"stopped"|"paused"|"starting", "doubt": null or
        {"kind": "marker-missing"|"root-missing"|"other-file-system"|"emptied"|"ignores"|"other", "text"}, "local": {"files",
        "directories", "bytes", "deleted"}, "global": the same, "need": {"items", "bytes"}, "troubles": [{"name", "why"}], "unnamed":
        [name], "members": [{"device", "completion": {"items", "bytes"}, "shares"}]}], "devices": [{"id", "name", "connected",
        "address", "error", "client"}]}``; ``completion`` is what the member lacks. A device may have ``paused`` and ``last_seen``."""

    def events(self, timeout_ms: int) -> str:
        """JSON: ``[{"event", ...}]``; waits so long for the first, without the interpreter's lock.

        ``connected`` {device}, ``disconnected`` {device, reason}, ``stranger`` {device, name, address}, ``offered`` {device, folder,
        label}, ``stopped`` {folder, doubt or null}, ``state`` {folder, state}, ``changed`` and ``took`` {folder, name, deleted},
        ``conflict`` {folder, name, copy}, ``trouble`` {folder, name, why}, ``refused`` {folder, name}."""

    def command(self, folder: str, command: str) -> None:
        """``scan``, ``emptied`` (of a folder that stopped for it: it is meant), ``override`` or ``revert``; does not wait for the end of it."""

    def listening(self) -> list[str]:
        """Where connections are taken, with the ports that were got."""

    def stop(self) -> None:
        """Ends connections and work, and waits until everything that was announced is kept. A second time does nothing."""
