//! Writing with holes: blocks of zeros (aligned in the file) are left out.

use std::os::fd::AsFd;

use super::entry;
use super::target::Os;

/// Unit of holes.
const BLOCK: usize = 4096;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Writes only blocks (aligned in the file) that hold something.
pub fn write(file: impl AsFd, plain: &[u8], at: u64) -> Os<()> {
    let mut start = 0;
    while start < plain.len() {
        let run = block_run(plain, start, at);
        if run.1 {
            entry::write_all(&file, &plain[start..run.0], at + start as u64)?;
        }
        start = run.0;
    }
    Ok(())
}

/// From `start` on: where the run of blocks of one kind ends, and whether it holds anything.
fn block_run(plain: &[u8], start: usize, at: u64) -> (usize, bool) {
    let end_of_block = |from: usize| {
        let into = ((at + from as u64) % BLOCK as u64) as usize;
        plain.len().min(from + BLOCK - into)
    };
    let holds = |from: usize, to: usize| plain[from..to] != ZEROS[..to - from];
    let mut end = end_of_block(start);
    let kind = holds(start, end);
    while end < plain.len() {
        let next = end_of_block(end);
        if holds(end, next) != kind {
            break;
        }
        end = next;
    }
    (end, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_follow_the_blocks_of_the_file() {
        let mut plain = vec![0u8; 3 * BLOCK];
        plain[BLOCK] = 1;
        assert_eq!(block_run(&plain, 0, 0), (BLOCK, false));
        assert_eq!(block_run(&plain, BLOCK, 0), (2 * BLOCK, true));
        // The same bytes 100 bytes into a block: the 1 lies in the block that ends at 2 * BLOCK - 100.
        assert_eq!(block_run(&plain, 0, 100), (BLOCK - 100, false));
        assert_eq!(block_run(&plain, BLOCK - 100, 100), (2 * BLOCK - 100, true));
        assert_eq!(block_run(&[0; 10], 0, 4090), (10, false));
    }
}
