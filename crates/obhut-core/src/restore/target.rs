//! The restore target: directories as handles, every name resolved one component at a time.
//!
//! Invariants:
//! - Nothing is ever opened, made or removed by an absolute path or by a path of several components: each
//!   step is one name, checked by [`check_name`], relative to a directory handle, and resolved beneath
//!   it without following symbolic or magic links (`openat2`; where a kernel or a sandbox does not know
//!   that call, `O_NOFOLLOW` on the single component says the same). A directory that somebody swaps for
//!   a symbolic link during the restore gives an error and no write elsewhere. Paths may be longer than
//!   `PATH_MAX`.
//! - A directory that the restore makes is 0700 until its content is complete.
//! - At most [`HANDLES`] directory handles stay open; others are opened again through their parents.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::error::{Code, Error, Result};
use crate::gojson;

/// Directory handles kept open (plus those that threads hold at the moment).
const HANDLES: usize = 256;

/// Result of a system call.
pub type Os<T> = std::result::Result<T, Errno>;

/// Refuses what is no name of a directory entry.
pub fn check_name(name: &[u8]) -> std::result::Result<(), &'static str> {
    match name {
        b"" => Err("empty name"),
        b"." | b".." => Err("the name is a reference to a directory"),
        _ if name.contains(&b'/') => Err("the name holds a slash"),
        _ if name.contains(&0) => Err("the name holds a NUL byte"),
        _ => Ok(()),
    }
}

/// What is known about a directory once it exists.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Made by this run: nothing can be in it but what we put there.
    pub fresh: bool,
    /// A new file in it gets our own owner and group, and no access list from its directory.
    pub plain: bool,
    /// It has a default access list, which new entries inherit.
    pub inherits: bool,
}

#[derive(Default)]
struct State {
    facts: Option<Facts>,
    handle: Option<Arc<OwnedFd>>,
}

/// A directory of the target, possibly not made yet.
pub struct Dir {
    parent: Option<Arc<Dir>>,
    name: Vec<u8>,
    state: Mutex<State>,
}

impl Dir {
    /// The path below the target, from `/` on; the target itself is `/`.
    pub fn location(&self) -> Vec<u8> {
        let mut names = Vec::new();
        let mut at = self;
        while let Some(parent) = &at.parent {
            names.push(&at.name);
            at = parent;
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        path
    }

    /// The path of an entry, from `/` on.
    pub fn location_of(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.location();
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    /// The directory above; `None` for the target.
    pub fn parent(&self) -> Option<&Arc<Dir>> {
        self.parent.as_ref()
    }

    /// What is known; `None` until it exists.
    pub fn facts(&self) -> Option<Facts> {
        self.lock().facts
    }

    /// Lets go of its handle when nothing below it comes any more.
    pub fn release(&self) {
        if self.parent.is_some() {
            self.lock().handle = None;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Dir {
    /// Lets go of the chain of parents in a loop: trees can be deeper than a thread's stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(dir) = next {
            next = match Arc::into_inner(dir) {
                Some(mut dir) => dir.parent.take(),
                None => None,
            };
        }
    }
}

/// What may be done to something that is in the way of a directory.
pub type MayReplace<'a> = &'a dyn Fn(&Stat) -> bool;

/// The target directory and the handles below it.
pub struct Target {
    root: Arc<Dir>,
    path: Vec<u8>,
    open: Mutex<VecDeque<Arc<Dir>>>,
    no_openat2: AtomicBool,
    /// Whether we may do what only root may.
    privileged: bool,
}

impl Target {
    /// Opens the target, making it (and what lies above) 0700 if it is missing and `make` says so.
    /// `Ok` with an unopened root if it is missing and must not be made.
    pub fn open(path: &[u8], make: bool) -> Result<Self> {
        let shown = gojson::display(path);
        let os_path = Path::new(std::ffi::OsStr::from_bytes(path));
        if make {
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder
                .create(os_path)
                .map_err(|e| Error::io(shown.clone(), &e))?;
        }
        let root = Arc::new(Dir {
            parent: None,
            name: Vec::new(),
            state: Mutex::default(),
        });
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match fs::open(os_path, flags, Mode::empty()) {
            Ok(handle) => {
                let facts = facts_of(&handle, false).map_err(|e| Error::os(shown, e))?;
                let mut state = root.lock();
                state.facts = Some(facts);
                state.handle = Some(Arc::new(handle));
            }
            Err(Errno::NOENT) if !make => {}
            Err(e) => return Err(Error::os(shown, e)),
        }
        Ok(Self {
            root,
            path: path.to_vec(),
            open: Mutex::default(),
            no_openat2: AtomicBool::new(false),
            privileged: rustix::process::geteuid().is_root(),
        })
    }

    /// The target directory itself.
    pub fn root(&self) -> &Arc<Dir> {
        &self.root
    }

    /// Its path as given.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Whether this process is root.
    pub fn is_privileged(&self) -> bool {
        self.privileged
    }

    /// A directory below `parent`, not made yet. `name` must have passed [`check_name`].
    pub fn child(parent: &Arc<Dir>, name: &[u8]) -> Arc<Dir> {
        Arc::new(Dir {
            parent: Some(Arc::clone(parent)),
            name: name.to_vec(),
            state: Mutex::default(),
        })
    }

    /// Makes sure that `dir` and everything above it exists. What is in the way of a directory is
    /// removed if `replace` allows it (never followed, never emptied), else the answer is `EEXIST`.
    pub fn ensure(&self, dir: &Arc<Dir>, replace: MayReplace<'_>) -> Os<Facts> {
        let mut missing = Vec::new();
        let mut at = dir;
        loop {
            if let Some(facts) = at.facts() {
                if missing.is_empty() {
                    return Ok(facts);
                }
                break;
            }
            missing.push(at);
            at = at.parent().ok_or(Errno::NOENT)?;
        }
        let mut last = Err(Errno::NOENT);
        for dir in missing.into_iter().rev() {
            last = Ok(self.make(dir, replace)?);
        }
        last
    }

    /// Looks at an existing directory without changing anything (dry run); `None` if there is none.
    pub fn look(&self, dir: &Arc<Dir>) -> Os<Option<Facts>> {
        let Some(parent) = dir.parent() else {
            return Ok(dir.facts());
        };
        if dir.facts().is_some() || parent.facts().is_none() {
            return Ok(dir.facts());
        }
        let above = self.handle(parent)?;
        match self.open_directory(&above, &dir.name) {
            Ok(handle) => {
                let facts = facts_of(&handle, false)?;
                self.keep(dir, facts, handle);
                Ok(Some(facts))
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn make(&self, dir: &Arc<Dir>, replace: MayReplace<'_>) -> Os<Facts> {
        let parent = dir.parent().ok_or(Errno::NOENT)?;
        let above = self.handle(parent)?;
        let fresh = match fs::mkdirat(&above, &dir.name[..], Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => {
                let stat = fs::statat(&above, &dir.name[..], AtFlags::SYMLINK_NOFOLLOW)?;
                let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                if !is_dir {
                    if !replace(&stat) {
                        return Err(Errno::EXIST);
                    }
                    fs::unlinkat(&above, &dir.name[..], AtFlags::empty())?;
                    fs::mkdirat(&above, &dir.name[..], Mode::RWXU)?;
                }
                !is_dir
            }
            Err(e) => return Err(e),
        };
        let handle = match self.open_directory(&above, &dir.name) {
            Err(Errno::ACCESS) if !fresh && !self.privileged => {
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                let path = self.open_entry(&above, &dir.name, flags, Mode::empty())?;
                open_up(&path)?;
                self.open_directory(&above, &dir.name)?
            }
            other => other?,
        };
        if !fresh && !self.privileged {
            open_up(&handle)?;
        }
        let facts = facts_of(&handle, fresh)?;
        self.keep(dir, facts, handle);
        Ok(facts)
    }

    /// A handle of an existing directory, opened again through its parents if it was closed.
    pub fn handle(&self, dir: &Arc<Dir>) -> Os<Arc<OwnedFd>> {
        let mut closed = Vec::new();
        let mut at = dir;
        let mut handle = loop {
            if let Some(handle) = &at.lock().handle {
                break Arc::clone(handle);
            }
            closed.push(at);
            at = at.parent().ok_or(Errno::NOENT)?;
        };
        for dir in closed.into_iter().rev() {
            let facts = dir.facts().ok_or(Errno::NOENT)?;
            let opened = self.open_directory(&handle, &dir.name)?;
            handle = self.keep(dir, facts, opened);
        }
        Ok(handle)
    }

    fn keep(&self, dir: &Arc<Dir>, facts: Facts, handle: OwnedFd) -> Arc<OwnedFd> {
        let handle = Arc::new(handle);
        {
            let mut state = dir.lock();
            state.facts = Some(facts);
            state.handle = Some(Arc::clone(&handle));
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push_back(Arc::clone(dir));
        while open.len() > HANDLES {
            let oldest = open.pop_front();
            if let Some(oldest) = oldest {
                oldest.lock().handle = None;
            }
        }
        handle
    }

    /// Opens the directory `name` in `above`, beneath it and through no link.
    fn open_directory(&self, above: impl AsFd, name: &[u8]) -> Os<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.open_entry(above, name, flags, Mode::empty())
    }

    /// Opens one entry of a directory; a symbolic link in its place is an error (`ELOOP`, `ENOTDIR`).
    pub fn open_entry(
        &self,
        above: impl AsFd,
        name: &[u8],
        flags: OFlags,
        mode: Mode,
    ) -> Os<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let mut tries = if self.no_openat2.load(Relaxed) { 0 } else { 8 };
        while tries > 0 {
            match fs::openat2(&above, name, flags, mode, resolve) {
                // Not known here, or forbidden by a sandbox.
                Err(Errno::NOSYS | Errno::PERM) => break,
                // Somebody renames directories at this moment: the kernel asks to try again.
                Err(Errno::AGAIN | Errno::INTR) => tries -= 1,
                other => return other,
            }
        }
        // `name` is a single component (check_name), so `O_NOFOLLOW` leaves no link to follow.
        let opened = fs::openat(&above, name, flags, mode)?;
        self.no_openat2.store(true, Relaxed);
        Ok(opened)
    }
}

/// The error of something that happened to `location` in the target.
pub fn error_at(location: &[u8], errno: Errno) -> Error {
    if errno == Errno::LOOP {
        let detail = "a symbolic link took the place of what was being restored";
        return Error::new(Code::HostileTree, gojson::display(location), detail);
    }
    Error::os(gojson::display(location), errno)
}

/// A user who is not root can only work in directories that he may enter and write. Their own mode comes
/// back when they are complete. (By the name in `/proc`: it serves handles on closed directories too.)
fn open_up(handle: &OwnedFd) -> Os<()> {
    let stat = fs::fstat(handle)?;
    let wanted = stat.st_mode | 0o700;
    if wanted != stat.st_mode && stat.st_uid == rustix::process::geteuid().as_raw() {
        let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
        fs::chmod(path.as_str(), Mode::from_raw_mode(wanted & 0o7777))?;
    }
    Ok(())
}

fn facts_of(handle: &OwnedFd, fresh: bool) -> Os<Facts> {
    let stat = fs::fstat(handle)?;
    let mut probe = [0u8; 4];
    let inherits = match fs::fgetxattr(handle, "system.posix_acl_default", &mut probe) {
        Ok(_) | Err(Errno::RANGE) => true,
        Err(_) => false,
    };
    let ours = stat.st_uid == rustix::process::geteuid().as_raw()
        && stat.st_gid == rustix::process::getegid().as_raw();
    Ok(Facts {
        fresh,
        plain: fresh && ours && !inherits && stat.st_mode & 0o2000 == 0,
        inherits,
    })
}
