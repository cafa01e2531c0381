//! What `list`, `cat`, `snapshots` and `forget` need of a repository, as rendered lines.

use serde::Serialize;

use crate::error::{Code, Error, Result};
use crate::gojson;
use crate::id::{BlobKind, FileKind, FileName, Id};
use crate::job::Control;
use crate::repo::Repository;

/// A pack larger than this is not shown whole: the format allows 4 GiB.
const MAX_CAT: u64 = 1 << 30;

/// What a removal of snapshots did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Gone now, as hex.
    pub removed: Vec<String>,
    /// Still there; why stands in the item errors.
    pub failed: Vec<String>,
}

impl Repository {
    /// Emits a line a readable snapshot, `{"id":"…","snapshot":{…as stored…}}`; the others are item errors.
    pub fn emit_snapshots(&self, control: &Control) -> Result<u64> {
        let ids = self.list(FileKind::Snapshot)?;
        let lines = self.each_snapshot(&ids, control, &|id, json| {
            let name = FileName::new(FileKind::Snapshot, id).to_string();
            match json.and_then(|json| snapshot_line(&name, id, &json)) {
                Ok(line) => Ok(Some(line)),
                // Removed by somebody since it was listed.
                Err(e) if e.code() == Code::FileMissing => Ok(None),
                Err(e) if e.code() == Code::Cancelled => Err(e),
                Err(e) => {
                    control.item_error(name, "scan", e);
                    Ok(None)
                }
            }
        });
        let mut count = 0;
        for line in lines {
            if let Some(line) = line? {
                control.emit(&line)?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Emits the names of all files of a kind, or of all blobs in the index.
    pub fn emit_list(&self, what: &str, threads: usize, control: &Control) -> Result<()> {
        if what == "blobs" {
            let index = self.load_index(control, threads)?;
            for slot in 0..index.len() {
                let entry = index.entry(slot);
                control.emit(format!("{} {}\n", entry.kind.as_str(), entry.id).as_bytes())?;
            }
            return Ok(());
        }
        for id in self.list(plural_kind(what)?)? {
            control.emit(format!("{id}\n").as_bytes())?;
        }
        Ok(())
    }

    /// One object's plaintext (packs: the stored bytes). `id` is 64 hex digits; config needs none.
    pub fn cat(&self, what: &str, id: &str, control: &Control) -> Result<Vec<u8>> {
        let refuse = |text: &str| Error::new(Code::InvalidArgument, what, text);
        if what == "config" {
            let sealed = self.store().get(FileName::CONFIG)?;
            return super::unpacked::decode("config", self.key(), 1, &sealed);
        }
        if what == "masterkey" {
            return Err(refuse("the master key never leaves the core"));
        }
        let id = Id::parse(id.as_bytes()).ok_or_else(|| refuse("an id has 64 hex digits"))?;
        match what {
            "key" => self.store().get(FileName::new(FileKind::Key, id)),
            "snapshot" => self.load_unpacked(FileKind::Snapshot, &id),
            "index" => self.load_unpacked(FileKind::Index, &id),
            "lock" => self.load_unpacked(FileKind::Lock, &id),
            "pack" => {
                let name = FileName::new(FileKind::Pack, id);
                if self.store().stat(name)? > MAX_CAT {
                    let text = "the pack is over 1 GiB";
                    return Err(Error::new(Code::LimitExceeded, name.to_string(), text));
                }
                self.store().get(name)
            }
            "blob" | "tree" => {
                let index = self.load_index(control, 2)?;
                let data = what == "blob" && index.contains(BlobKind::Data, &id);
                let kind = if data { BlobKind::Data } else { BlobKind::Tree };
                self.load_blob(&mut self.codec(), &index, kind, &id)
            }
            _ => Err(refuse(
                "known: config, key, snapshot, index, lock, pack, blob, tree",
            )),
        }
    }

    /// Deletes snapshot files. One that cannot be deleted is an item error, the others go on.
    pub fn delete_snapshots(&self, ids: &[Id], control: &Control) -> Result<Removed> {
        if self.is_append_only() {
            let text = "the repository is append-only: its config or its storage refuses deletion";
            return Err(Error::new(
                Code::PermissionDenied,
                self.store().location(),
                text,
            ));
        }
        let mut answer = Removed::default();
        for id in ids {
            control.check()?;
            let name = FileName::new(FileKind::Snapshot, *id);
            match self.store().delete(name) {
                Ok(()) => answer.removed.push(id.hex()),
                Err(e) if e.code() == Code::FileMissing => answer.removed.push(id.hex()),
                Err(e) if matches!(e.code(), Code::Cancelled | Code::LockLost) => return Err(e),
                Err(e) => {
                    control.item_error(name.to_string(), "scan", e);
                    answer.failed.push(id.hex());
                }
            }
        }
        Ok(answer)
    }
}

/// The files of a kind by the word of `list`.
fn plural_kind(what: &str) -> Result<FileKind> {
    Ok(match what {
        "keys" => FileKind::Key,
        "snapshots" => FileKind::Snapshot,
        "index" => FileKind::Index,
        "locks" => FileKind::Lock,
        "packs" => FileKind::Pack,
        _ => {
            let text = "known: blobs, packs, index, snapshots, keys, locks";
            return Err(Error::new(
                Code::InvalidArgument,
                gojson::display(what.as_bytes()),
                text,
            ));
        }
    })
}

/// The stored JSON is spliced in unchanged, so that unknown keys and key order survive; it must be one line
/// of valid JSON.
fn snapshot_line(name: &str, id: Id, json: &[u8]) -> Result<Vec<u8>> {
    let raw: &serde_json::value::RawValue =
        serde_json::from_slice(json).map_err(|e| Error::damaged(name, e.to_string()))?;
    crate::snapshot::parse_root(id, json)?;
    let mut line = format!("{{\"id\":\"{id}\",\"snapshot\":").into_bytes();
    // A line break can only stand between tokens, where a space means the same.
    line.extend(
        raw.get()
            .bytes()
            .map(|b| if b == b'\n' || b == b'\r' { b' ' } else { b }),
    );
    line.extend_from_slice(b"}\n");
    Ok(line)
}
