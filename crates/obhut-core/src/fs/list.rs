//! The names in a directory: read into one block of memory that is used again, and sorted there.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::RawDir;
use rustix::io::Errno;

/// Asked of the kernel at a time.
const BUFFER: usize = 64 << 10;
/// Memory beyond this is given back before the next directory: few are so large.
const KEPT: usize = 1 << 20;

/// The names in a directory but `.` and `..`, sorted by bytes, each once.
#[derive(Default)]
pub struct NameList {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    buffer: Vec<MaybeUninit<u8>>,
}

/// Where a name lies.
struct Span {
    /// Its first eight bytes as a number of the same order, zeros after a shorter one (no name has a zero in it):
    /// most comparisons need no more.
    prefix: u64,
    start: usize,
    length: usize,
}

impl Span {
    fn of<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[self.start..self.start + self.length]
    }
}

impl NameList {
    /// The names of `directory` in place of those that were here. After an error there are none.
    pub fn read(&mut self, directory: impl AsFd) -> Result<(), Errno> {
        self.clear();
        self.buffer.resize(BUFFER, MaybeUninit::uninit());
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.fill(&mut RawDir::new(directory.as_fd(), &mut buffer));
        self.buffer = buffer;
        if result.is_err() {
            self.clear();
        }
        let bytes = self.bytes.as_slice();
        self.spans.sort_unstable_by(|a, b| {
            let first = a.prefix.cmp(&b.prefix);
            first.then_with(|| a.of(bytes).cmp(b.of(bytes)))
        });
        // A file system that lists a name twice has one entry of that name all the same.
        self.spans
            .dedup_by(|a, b| a.prefix == b.prefix && a.of(bytes) == b.of(bytes));
        result
    }

    fn fill(&mut self, entries: &mut RawDir<'_, impl AsFd>) -> Result<(), Errno> {
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => {
                    let name = entry.file_name().to_bytes();
                    if name != b"." && name != b".." {
                        self.push(name);
                    }
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn push(&mut self, name: &[u8]) {
        let mut first = [0; 8];
        let shown = name.len().min(8);
        first[..shown].copy_from_slice(&name[..shown]);
        self.spans.push(Span {
            prefix: u64::from_be_bytes(first),
            start: self.bytes.len(),
            length: name.len(),
        });
        self.bytes.extend_from_slice(name);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.spans.clear();
        self.spans.shrink_to(KEPT / size_of::<Span>());
    }

    /// The name of a number in [`NameList::iter`].
    pub fn get(&self, number: usize) -> &[u8] {
        self.spans[number].of(&self.bytes)
    }

    /// All of them in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.spans.iter().map(|span| span.of(&self.bytes))
    }
}

/// The names in one directory.
pub fn list(directory: impl AsFd) -> Result<NameList, Errno> {
    let mut names = NameList::default();
    names.read(directory)?;
    Ok(names)
}
