//! Buffers that are used again: no new memory from the system for each blob, read and pack.
//!
//! Large blocks go back to the system when they are freed ([`crate::process::return_memory`]), so a buffer a
//! blob costs a page fault every 4 KiB: a sixth of the processor time of a check with data.

use std::os::fd::AsFd;

use rustix::io::Errno;

/// A buffer larger than this is given back when what comes next needs less than a quarter of it: one blob of
/// hundreds of megabytes must not stay in memory to the end.
const KEEP: usize = 32 << 20;

/// Empties `out` for `length` bytes to come.
pub fn clear(out: &mut Vec<u8>, length: usize) {
    out.clear();
    if out.capacity() > KEEP && length < out.capacity() / 4 {
        *out = Vec::new();
    }
}

/// [`clear`], and makes room for `length` bytes. The error says that there is no memory.
pub fn reserve(out: &mut Vec<u8>, length: usize) -> Result<(), String> {
    clear(out, length);
    out.try_reserve_exact(length)
        .map_err(|_| format!("no memory for {length} bytes"))
}

/// Reads exactly `length` bytes at `offset` of `file` into `out`, replacing its content; room for them must
/// have been made ([`reserve`]). `None`: the file ends before.
pub fn read_exact_at(
    file: impl AsFd,
    offset: u64,
    length: usize,
    out: &mut Vec<u8>,
) -> Result<Option<()>, Errno> {
    out.clear();
    while out.len() < length {
        let done = out.len();
        let at = offset + done as u64;
        let room = out.spare_capacity_mut();
        let room = room.get_mut(..length - done).ok_or(Errno::NOBUFS)?;
        match rustix::io::pread(&file, room, at) {
            Ok(([], _)) => return Ok(None),
            Ok((read, _)) => {
                let end = done + read.len();
                // SAFETY: the kernel has written every byte up to there, and all of it lies inside the capacity.
                unsafe { out.set_len(end) };
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(Some(()))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> std::fs::File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        file
    }

    #[test]
    fn exactly_what_was_asked_for_whatever_the_buffer_held() {
        let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let file = file(&bytes);
        let mut out = vec![7; 300_000];
        for (offset, length) in [(0, 100_000), (1, 99_999), (99_999, 1), (5, 0), (100_000, 0)] {
            reserve(&mut out, length).expect("memory");
            let read = read_exact_at(&file, offset, length, &mut out).expect("read");
            assert_eq!(read, Some(()));
            assert_eq!(out, bytes[offset as usize..][..length]);
        }
    }

    #[test]
    fn a_short_file_is_told() {
        let file = file(b"short");
        let mut out = Vec::new();
        reserve(&mut out, 6).expect("memory");
        assert_eq!(read_exact_at(&file, 0, 6, &mut out), Ok(None));
        reserve(&mut out, 1).expect("memory");
        assert_eq!(read_exact_at(&file, 5, 1, &mut out), Ok(None));
    }

    #[test]
    fn without_room_nothing_is_written() {
        let file = file(b"content");
        let mut out = Vec::new();
        assert_eq!(read_exact_at(&file, 0, 7, &mut out), Err(Errno::NOBUFS));
        assert!(out.is_empty());
    }

    #[test]
    fn very_large_buffers_do_not_stay() {
        let mut out = Vec::new();
        reserve(&mut out, KEEP * 2).expect("memory");
        reserve(&mut out, KEEP).expect("memory");
        assert!(out.capacity() >= KEEP * 2);
        reserve(&mut out, 100).expect("memory");
        assert!(out.capacity() < KEEP);
        assert!(reserve(&mut out, usize::MAX / 2).is_err());
    }
}
