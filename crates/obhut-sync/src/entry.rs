//! Entries and facts: how what a disk shows becomes what a device says, and when two of them are the same.

use std::sync::Arc;

use obhut_bep::{Blocks, FileInfo, HASH, Kind, ShortId, Vector};

use crate::conflict::Content;
use crate::io::{Facts, FactsKind, Hashed};

/// Bits of a mode that travel.
pub const MODE: u32 = 0o777;

/// What an entry says of its content.
pub fn content(info: &FileInfo) -> Option<[u8; HASH]> {
    (info.is_content() && !info.blocks.is_empty()).then(|| info.blocks.hash_of_all())
}

/// Whether both stand for the same thing on a disk, times and modes aside.
pub fn same_content(one: &FileInfo, other: &FileInfo) -> bool {
    if one.deleted || other.deleted {
        return one.deleted && other.deleted;
    }
    one.kind == other.kind
        && match one.kind {
            Kind::File => one.size == other.size && same_blocks(one, other),
            Kind::Directory => true,
            Kind::Symlink => one.symlink_target == other.symlink_target,
        }
}

/// Blocks of one content may have two sizes; then only reading can tell that it is the same.
fn same_blocks(one: &FileInfo, other: &FileInfo) -> bool {
    one.blocks.hashes() == other.blocks.hashes()
}

/// Whether a disk need not be touched to make one into the other.
pub fn same_facts(one: &FileInfo, other: &FileInfo, ignore_modes: bool) -> bool {
    let mode = ignore_modes
        || one.no_permissions
        || other.no_permissions
        || one.kind == Kind::Symlink
        || one.permissions == other.permissions;
    mode && (one.kind != Kind::File || one.modified == other.modified)
}

/// Whether newer facts say nothing that older ones did not: of directories, times change with what is in them.
pub fn unchanged(before: &Facts, now: &Facts) -> bool {
    if before.kind == FactsKind::Directory && now.kind == FactsKind::Directory {
        return before.mode == now.mode && before.inode == now.inode;
    }
    before == now
}

/// Whether a name shows a file that was seen under another one: everything but the time of its last change of any kind,
/// which renaming changes.
pub fn same_file(before: &Facts, now: &Facts) -> bool {
    now.inode != 0
        && now.kind == FactsKind::File
        && Facts {
            changed: now.changed,
            mode: now.mode,
            ..before.clone()
        } == *now
}

/// Whether an entry of ours is a change that stays here: one of a receive-only folder. It is nobody's business, so it never
/// wins: it has no version, and others are told that nobody can have it.
pub fn stays_here(info: &FileInfo) -> bool {
    info.invalid && info.version.is_empty()
}

/// Whether an entry of ours says what is on the disk.
pub fn says_disk(info: &FileInfo) -> bool {
    !info.deleted && (!info.invalid || stays_here(info))
}

/// What we say of an item that is there.
pub fn of_disk(
    name: &str,
    facts: &Facts,
    hashed: Option<(&Blocks, u32)>,
    ignore_modes: bool,
) -> FileInfo {
    let kind = match facts.kind {
        FactsKind::Directory => Kind::Directory,
        FactsKind::Symlink => Kind::Symlink,
        FactsKind::File | FactsKind::Other => Kind::File,
    };
    let (blocks, block_size) = hashed.map_or_else(
        || (Blocks::default(), obhut_bep::SMALLEST_BLOCK),
        |(blocks, size)| (blocks.clone(), size),
    );
    FileInfo {
        name: name.to_owned(),
        kind,
        size: if kind == Kind::File { facts.size } else { 0 },
        permissions: if kind == Kind::Symlink {
            0
        } else {
            facts.mode & MODE
        },
        no_permissions: ignore_modes || kind == Kind::Symlink,
        modified: facts.modified,
        block_size,
        blocks,
        symlink_target: facts.target.clone(),
        ..FileInfo::default()
    }
}

/// What we say of a file that was read.
pub fn of_hashed(name: &str, hashed: &Hashed, ignore_modes: bool) -> FileInfo {
    of_disk(
        name,
        &hashed.facts,
        Some((&hashed.blocks, hashed.block_size)),
        ignore_modes,
    )
}

/// What we say of an item that is gone.
pub fn tombstone(before: &FileInfo, at: (i64, i32)) -> FileInfo {
    FileInfo {
        name: before.name.clone(),
        kind: before.kind,
        deleted: true,
        modified: at,
        block_size: obhut_bep::SMALLEST_BLOCK,
        no_permissions: before.no_permissions,
        permissions: before.permissions,
        ..FileInfo::default()
    }
}

/// What conflicts are judged by. The hashes have to live longer than what is made of them.
pub fn claim<'a>(
    version: &'a Vector,
    blocks_hash: &'a Option<[u8; HASH]>,
    previous: &'a Option<[u8; HASH]>,
) -> Content<'a> {
    Content {
        version,
        blocks_hash: blocks_hash.as_ref(),
        previous_blocks_hash: previous.as_ref(),
    }
}

/// The entry with another version, by another device.
pub fn versioned(mut info: FileInfo, version: Vector, by: ShortId) -> Arc<FileInfo> {
    info.version = version;
    info.modified_by = by;
    Arc::new(info)
}
