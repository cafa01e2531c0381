//! Loading all index files of a repository with several threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::error::Result;
use crate::id::{FileKind, FileName, Id};
use crate::index::{Index, IndexBuilder, file};
use crate::job::Control;

/// Loads the index files `ids` by `read` (plaintext of one file). Stops at the first error: an index that is
/// not whole must not decide anything. `version` is the repository's.
pub fn load(
    ids: &[Id],
    version: u32,
    threads: usize,
    control: &Control,
    read: &(dyn Fn(&Id) -> Result<Vec<u8>> + Sync),
) -> Result<Index> {
    let next = AtomicUsize::new(0);
    let builder = Mutex::new(IndexBuilder::default());
    let work = || -> Result<()> {
        while let Some(id) = ids.get(next.fetch_add(1, Relaxed)) {
            control.check()?;
            let object = FileName::new(FileKind::Index, *id).to_string();
            let parsed = file::parse(&object, &read(id)?)?;
            file::check_version(&object, version, &parsed)?;
            let mut builder = builder
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            builder.add_file(*id, &parsed.packs);
        }
        Ok(())
    };
    let threads = threads.clamp(1, ids.len().max(1));
    let stop_others = |result: Result<()>| {
        if result.is_err() {
            next.store(ids.len(), Relaxed);
        }
        result
    };
    if threads == 1 {
        work()?;
    } else {
        std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| stop_others(crate::job::guarded(work))))
                .collect();
            handles.into_iter().map(join).collect::<Result<Vec<()>>>()
        })?;
    }
    Ok(builder
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .finish())
}

fn join(handle: std::thread::ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    handle
        .join()
        .unwrap_or_else(|_| Err(crate::error::Error::internal("index loader died")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Error};
    use crate::id::BlobKind;
    use crate::pack::PackedBlob;

    fn file_for(n: u8, uncompressed: u32) -> Vec<u8> {
        let blob = PackedBlob {
            kind: BlobKind::Data,
            id: Id::of(&[n]),
            offset: 0,
            length: 50,
            uncompressed,
        };
        file::encode(&[(Id::of(&[n, n]), vec![blob])])
    }

    #[test]
    fn all_files_are_merged_whatever_the_number_of_threads() {
        let ids: Vec<Id> = (0..20).map(|n| Id([n; 32])).collect();
        for threads in [1, 2, 7] {
            let control = Control::default();
            let read = |id: &Id| Ok(file_for(id.0[0], 20));
            let index = load(&ids, 2, threads, &control, &read).unwrap();
            assert_eq!((index.len(), index.packs().len()), (20, 20));
            assert_eq!(index.files(), ids);
        }
    }

    #[test]
    fn one_bad_file_or_a_cancel_fails_the_whole() {
        let ids: Vec<Id> = (0..20).map(|n| Id([n; 32])).collect();
        let control = Control::default();
        let read = |id: &Id| match id.0[0] {
            13 => Err(Error::damaged("index 13", "")),
            n => Ok(file_for(n, 20)),
        };
        assert_eq!(
            load(&ids, 2, 3, &control, &read).unwrap_err().code(),
            Code::Damaged
        );
        let panics = |_: &Id| -> Result<Vec<u8>> { panic!("injected") };
        assert_eq!(
            load(&ids, 2, 3, &control, &panics).unwrap_err().code(),
            Code::Internal
        );
        control.cancel();
        let read = |id: &Id| Ok(file_for(id.0[0], 20));
        assert_eq!(
            load(&ids, 2, 3, &control, &read).unwrap_err().code(),
            Code::Cancelled
        );
    }

    #[test]
    fn version_1_holds_nothing_compressed() {
        let control = Control::default();
        let ids = [Id([1; 32])];
        let read = |_: &Id| Ok(file_for(1, 20));
        assert_eq!(
            load(&ids, 1, 1, &control, &read).unwrap_err().code(),
            Code::Damaged
        );
    }
}
