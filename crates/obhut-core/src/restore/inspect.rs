//! Regular files before and after the writing: what exists is compared, what was restored is verified.
//!
//! Both compare blob by blob: the hash of each piece of the file with the blob's name. Existing files are
//! read without moving their access times where we may.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{self, Mode};
use sha2::{Digest, Sha256};

use super::batch::FileItem;
use super::entry;
use super::files::{Decision, Files};
use super::rules::{self, Existing, Wish};
use super::target::error_at;
use crate::error::{Code, Error, Result};
use crate::gojson;

/// Step in which existing files are read.
pub const STEP: usize = 256 << 10;

impl Files<'_> {
    /// Looks at what exists in the place of a file and decides.
    pub fn inspect(&self, number: usize, buffer: &mut [u8]) -> Result<()> {
        match self.examine(&self.items[number], buffer) {
            Ok(decision) => {
                self.decide(number, decision);
                Ok(())
            }
            Err(error) => self.fail(number, error),
        }
    }

    fn examine(&self, item: &FileItem, buffer: &mut [u8]) -> Result<Decision> {
        let run = self.run;
        let at = |e| error_at(&item.place.location(), e);
        let dir = run.target.handle(&item.place.dir).map_err(at)?;
        let Some(stat) = entry::look(&dir, &item.place.name).map_err(at)? else {
            return Ok(Decision::New { replaces: false });
        };
        let seen = rules::seen(&stat);
        if !rules::overwrites(run.options.overwrite, item.meta.mtime, Some(seen.mtime)) {
            return Ok(Decision::Keep);
        }
        let wish = Wish {
            size: item.size,
            mtime: item.meta.mtime,
            linked: item.linked,
            uid: item.meta.uid,
            our_uid: run.uid,
            verify: run.options.verify,
        };
        match rules::existing(run.options.overwrite, &seen, &wish) {
            Existing::Trust => return Ok(Decision::Right),
            Existing::Replace => return Ok(Decision::New { replaces: true }),
            Existing::Compare => {}
        }
        let opened = entry::open_for_reading(&run.target, dir.as_fd(), &item.place.name);
        let Ok((file, stat)) = opened else {
            // It cannot be read (any more): nothing of it is reused.
            return Ok(Decision::New { replaces: true });
        };
        let Some(matches) = self.compare(item, &file, buffer)? else {
            return Ok(Decision::New { replaces: true });
        };
        let size = stat.st_size as u64;
        if size == item.size && matches.iter().all(|m| *m) {
            return Ok(Decision::Right);
        }
        Ok(Decision::Update {
            matches,
            longer: size > item.size,
        })
    }

    /// Which blobs of the file are right; `None` if it cannot be read.
    fn compare(
        &self,
        item: &FileItem,
        file: &OwnedFd,
        buffer: &mut [u8],
    ) -> Result<Option<Vec<bool>>> {
        let mut matches = Vec::with_capacity(item.content.len());
        let mut at = 0;
        for slot in &item.content {
            let blob = self.run.index.entry(*slot);
            let end = at + blob.location.plain_length();
            let mut hash = Sha256::new();
            let mut whole = true;
            while at < end && whole {
                self.run.report.control().check()?;
                let step = buffer.len().min((end - at) as usize);
                let Ok(read) = entry::read_full(file, &mut buffer[..step], at) else {
                    return Ok(None);
                };
                hash.update(&buffer[..read]);
                whole = read == step;
                at += read as u64;
            }
            at = end;
            matches.push(whole && hash.finalize()[..] == blob.id.0[..]);
        }
        Ok(Some(matches))
    }

    /// Reads a restored file again and compares it with the snapshot.
    pub fn verify(&self, number: usize, buffer: &mut [u8]) -> Result<()> {
        let item = &self.items[number];
        let tally = &self.run.report.tally;
        match self.decision(number) {
            None | Some(Decision::Keep) => return Ok(()),
            // Read and found right when it was compared (--verify trusts no times).
            Some(Decision::Right) => {}
            Some(_) => match self.read_back(item, buffer)? {
                Ok(()) => {}
                Err(detail) => {
                    let location = item.place.location();
                    let shown = gojson::display(&location);
                    let error = Error::new(Code::RestoreMismatch, shown, detail);
                    return self.run.report.failed(location, "verify", error);
                }
            },
        }
        tally.verified.fetch_add(1, Relaxed);
        tally.bytes_verified.fetch_add(item.size, Relaxed);
        Ok(())
    }

    fn read_back(
        &self,
        item: &FileItem,
        buffer: &mut [u8],
    ) -> Result<std::result::Result<(), String>> {
        let opened = self.run.target.handle(&item.place.dir).and_then(|dir| {
            entry::open_for_reading(&self.run.target, dir.as_fd(), &item.place.name)
        });
        let (file, stat) = match opened {
            Ok(opened) => opened,
            Err(e) => return Ok(Err(format!("cannot be read: {e}"))),
        };
        if !self.run.target.is_privileged() {
            // Reading may have needed a mode that is not the snapshot's.
            let mode = Mode::from_raw_mode(item.meta.mode);
            if stat.st_mode & 0o777 != item.meta.mode & 0o777 && fs::fchmod(&file, mode).is_err() {
                return Ok(Err("its mode could not be set again".to_owned()));
            }
        }
        if stat.st_size as u64 != item.size {
            let found = stat.st_size;
            return Ok(Err(format!("{found} bytes instead of {}", item.size)));
        }
        match self.compare(item, &file, buffer)? {
            None => Ok(Err("cannot be read".to_owned())),
            Some(matches) => Ok(match matches.iter().position(|m| !m) {
                None => Ok(()),
                Some(blob) => Err(format!("the content differs in piece {}", blob + 1)),
            }),
        }
    }
}
