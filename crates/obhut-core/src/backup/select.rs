//! What is left out: restic's options and their order (formats: restic 16, 23).

use std::collections::HashMap;
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::directory::child;
use super::options::BackupOptions;
use super::targets::{absolute, split};
use crate::error::{Code, Error, Result};
use crate::filter::PatternList;
use crate::fs::{self, Kind, Stat};
use crate::gojson;

/// The signature of the cache directory tagging standard.
const CACHE_TAG: &[u8] = b"CACHEDIR.TAG:Signature: 8a477f597d28d172789f06886806bc55";
/// A header that is longer is a mistake.
const HEADER_LIMIT: usize = 1 << 20;

/// A file whose presence empties its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    name: Vec<u8>,
    header: Vec<u8>,
}

/// All rules of one backup.
pub struct Select {
    excludes: PatternList,
    iexcludes: PatternList,
    tags: Vec<Tag>,
    larger_than: Option<u64>,
    /// Device of each target, if other file systems are left out.
    devices: Option<HashMap<Vec<u8>, u64>>,
    /// Our own cache is never backed up.
    own: Option<Vec<u8>>,
}

/// The rules that hold inside one directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inside {
    /// Names of tag files that are present with the right header: all else is left out.
    tags: Vec<Vec<u8>>,
    /// The device that may be saved, if others may not.
    allowed: Option<u64>,
    /// The directory's own device.
    device: u64,
    /// Our own cache lies in it under this name.
    own: Option<Vec<u8>>,
}

impl Select {
    /// Parses the options; `targets` exist.
    pub fn new(options: &BackupOptions, current: &[u8], targets: &[Vec<u8>]) -> Result<Self> {
        let mut tags = Vec::new();
        let caches = options.exclude_caches.then_some(CACHE_TAG);
        let given = options.exclude_if_present.iter().map(Vec::as_slice);
        for spec in given.chain(caches) {
            tags.push(parse_tag(spec)?);
        }
        let devices = if options.one_file_system {
            Some(devices(current, targets)?)
        } else {
            None
        };
        Ok(Self {
            excludes: PatternList::parse(&options.excludes, false)?,
            iexcludes: PatternList::parse(&options.iexcludes, true)?,
            tags,
            larger_than: (options.exclude_larger_than > 0).then_some(options.exclude_larger_than),
            devices,
            own: options.cache_dir.as_ref().map(|own| {
                absolute(
                    current,
                    std::os::unix::ffi::OsStrExt::as_bytes(own.as_os_str()),
                )
            }),
        })
    }

    /// Whether an entry of `directory` (absolute) is left out by its name. `inside` is of that directory.
    pub fn rejects_name(&self, inside: &Inside, directory: &[u8], name: &[u8]) -> bool {
        if inside.own.as_deref() == Some(name) {
            return true;
        }
        if self.excludes.is_empty() && self.iexcludes.is_empty() {
            return false;
        }
        let path = child(directory, name);
        self.excludes.matches(&path).matched || self.iexcludes.matches(&path).matched
    }

    /// Whether an entry of `directory` (absolute) is left out by its facts. `inside` is of that directory.
    pub fn rejects(&self, inside: &Inside, directory: &[u8], name: &[u8], stat: &Stat) -> bool {
        if let Some(above) = inside.allowed {
            let allowed = self.allowed_at(&child(directory, name)).unwrap_or(above);
            // A mount point is kept as an empty directory: its parent is still on an allowed device.
            let mount_point = stat.kind == Kind::Directory && inside.device == above;
            if stat.device != allowed && !mount_point {
                return true;
            }
        }
        if stat.kind != Kind::Directory && self.larger_than.is_some_and(|most| stat.size > most) {
            return true;
        }
        inside.tags.iter().any(|tag| tag != name)
    }

    /// The rules inside `directory` at `path`; `above` are those of the directory that holds it, `None`
    /// for the directory of a target. Tag files that cannot be judged are handed to `unusable`.
    pub fn inside(
        &self,
        directory: impl AsFd,
        path: &[u8],
        device: u64,
        above: Option<&Inside>,
        mut unusable: impl FnMut(Vec<u8>),
    ) -> Inside {
        let directory = directory.as_fd();
        let mut tags = Vec::new();
        for tag in &self.tags {
            match tag.present(directory) {
                Ok(true) => tags.push(tag.name.clone()),
                Ok(false) => {}
                Err(_) => unusable(child(path, &tag.name)),
            }
        }
        let allowed = self.devices.as_ref().and_then(|devices| {
            let own = devices.get(path).copied();
            own.or_else(|| above.map_or_else(|| nearest(devices, path), |above| above.allowed))
        });
        let own = self.own.as_deref().map(split);
        Inside {
            tags,
            allowed,
            device,
            own: own.and_then(|(above, name)| (above == path).then(|| name.to_vec())),
        }
    }

    fn allowed_at(&self, path: &[u8]) -> Option<u64> {
        self.devices.as_ref()?.get(path).copied()
    }
}

/// The device of the closest target at or above `path`.
fn nearest(devices: &HashMap<Vec<u8>, u64>, path: &[u8]) -> Option<u64> {
    let mut path = path;
    loop {
        if let Some(device) = devices.get(path) {
            return Some(*device);
        }
        if path == b"/" {
            return None;
        }
        path = split(path).0;
    }
}

fn devices(current: &[u8], targets: &[Vec<u8>]) -> Result<HashMap<Vec<u8>, u64>> {
    let mut devices = HashMap::new();
    for target in targets {
        let path = absolute(current, target);
        let stat = fs::stat_path(&path, false)
            .map_err(|errno| Error::os(gojson::display(&path), errno))?;
        devices.insert(path, stat.device);
    }
    Ok(devices)
}

fn parse_tag(spec: &[u8]) -> Result<Tag> {
    let (name, header) = match spec.iter().position(|byte| *byte == b':') {
        Some(colon) => (&spec[..colon], &spec[colon + 1..]),
        None => (spec, &b""[..]),
    };
    if name.is_empty() || name.contains(&b'/') || header.len() > HEADER_LIMIT {
        return Err(Error::new(
            Code::InvalidArgument,
            gojson::display(spec),
            "a tag file is given as NAME or NAME:HEADER",
        ));
    }
    Ok(Tag {
        name: name.to_vec(),
        header: header.to_vec(),
    })
}

impl Tag {
    /// Whether the tag file is there and begins with the header.
    fn present(&self, directory: impl AsFd) -> Result<bool, Errno> {
        let directory = directory.as_fd();
        match fs::stat_at(directory, &self.name) {
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(errno),
            Ok(_) if self.header.is_empty() => return Ok(true),
            Ok(_) => {}
        }
        // A link to a shared tag file counts, so it is followed; a pipe must not block.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(directory, &self.name, flags, Mode::empty())?;
        let mut header = vec![0; self.header.len()];
        let mut read = 0;
        while read < header.len() {
            match rustix::io::read(&file, &mut header[read..]) {
                Ok(0) => return Err(Errno::NODATA),
                Ok(length) => read += length,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        if header == self.header {
            Ok(true)
        } else {
            Err(Errno::INVAL)
        }
    }
}
