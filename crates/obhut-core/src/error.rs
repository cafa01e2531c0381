//! The one error type of the core.
//!
//! An error says *what* failed by a stable [`Code`], *which object* it happened to, and the technical
//! *detail*. The sentences for people (what happened, why, next step) live in Python's catalogue under
//! the code's identifier; the binding converts this type to the one Python exception by one table.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What went wrong. The text form is stable: it is the error id that users, scripts and docs see.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }
        impl Code {
            /// Every code, in order of declaration.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];
            /// The stable identifier, lower case with hyphens.
            pub const fn as_str(self) -> &'static str { match self { $(Code::$name => $text,)* } }
        }
    };
}

codes! {
    /// A defect of Obhut: a panic or a broken invariant.
    Internal = "internal",
    /// The operation was cancelled (SIGINT or SIGTERM).
    Cancelled = "cancelled",
    /// There is no repository at this place (no `config`).
    RepositoryMissing = "repository-missing",
    /// `init` found a config, key or snapshot.
    RepositoryExists = "repository-exists",
    /// `init` found key files of an earlier `init` that it cannot go on with.
    InitUnfinished = "init-unfinished",
    /// `init` found data without a config.
    ConfigLost = "config-lost",
    /// The repository has a version or feature that this program does not know.
    RepositoryUnsupported = "repository-unsupported",
    /// Another process holds a conflicting lock.
    RepositoryLocked = "repository-locked",
    /// Our own lock vanished or could not be refreshed in time; writing has stopped.
    LockLost = "lock-lost",
    /// No key file fits the password.
    WrongPassword = "wrong-password",
    /// More key files than may be tried, and none of those tried fits.
    TooManyKeys = "too-many-keys",
    /// A repository file that must exist does not.
    FileMissing = "file-missing",
    /// A write-once repository file exists already.
    FileExists = "file-exists",
    /// A repository file is truncated, altered or does not parse; the object is named.
    Damaged = "damaged",
    /// A blob is referenced but in no index.
    BlobMissing = "blob-missing",
    /// Re-opening what was just encoded gave other bytes: bad memory or an encoder fault.
    VerifyFailed = "verify-failed",
    /// The storage or file system answered with an error.
    Io = "io",
    /// No space or quota left.
    NoSpace = "no-space",
    /// Not permitted by the file system or storage.
    PermissionDenied = "permission-denied",
    /// The place is read-only.
    ReadOnly = "read-only",
    /// The storage answered too slowly or not at all; another try may help.
    Unavailable = "unavailable",
    /// An argument or option has no meaning here.
    InvalidArgument = "invalid-argument",
    /// A source of a backup does not exist.
    SourceMissing = "source-missing",
    /// Nothing at all could be saved; no snapshot was written.
    NothingSaved = "nothing-saved",
    /// A source file changed or vanished while it was read.
    SourceChanged = "source-changed",
    /// A path inside a snapshot does not exist.
    PathMissing = "path-missing",
    /// A snapshot's tree holds names or links that must not be followed.
    HostileTree = "hostile-tree",
    /// A restored file does not equal what the snapshot holds.
    RestoreMismatch = "restore-mismatch",
    /// A size or count lies over the bound that guards memory.
    LimitExceeded = "limit-exceeded",
    /// The repository changed under a plan; the plan is void.
    PlanVoid = "plan-void",
}

/// The core's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One failure: code, the object it is about (a path, a repository file, an option) and the detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: Code,
    object: String,
    detail: String,
}

impl Error {
    /// A new error about `object`; both texts may be empty.
    pub fn new(code: Code, object: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            code,
            object: object.into(),
            detail: detail.into(),
        }
    }

    /// An I/O failure about `object`, its code chosen from the operating system's number.
    pub fn io(object: impl Into<String>, source: &std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let code = match source.kind() {
            K::StorageFull | K::QuotaExceeded => Code::NoSpace,
            K::PermissionDenied => Code::PermissionDenied,
            K::ReadOnlyFilesystem => Code::ReadOnly,
            K::TimedOut => Code::Unavailable,
            _ => Code::Io,
        };
        Self::new(code, object, source.to_string())
    }

    /// The same for an error number of a direct system call.
    pub fn os(object: impl Into<String>, errno: rustix::io::Errno) -> Self {
        Self::io(object, &std::io::Error::from(errno))
    }

    /// A damaged object.
    pub fn damaged(object: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Code::Damaged, object, detail)
    }

    /// A defect of ours.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(Code::Internal, "", detail)
    }

    /// The operation was cancelled.
    pub fn cancelled() -> Self {
        Self::new(Code::Cancelled, "", "")
    }

    /// What went wrong.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What it is about; may be empty. File names in it are escaped, never raw bytes.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// The technical detail; may be empty.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.as_str())?;
        if !self.object.is_empty() {
            write!(f, ": {}", self.object)?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
