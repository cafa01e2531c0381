//! The same work on many items with several scoped threads: first error stops all, panics become errors.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::error::{Error, Result};
use crate::job::{Control, guarded};

/// The number of threads meant by an option: 0 = one a processor.
pub fn threads(wanted: usize) -> usize {
    if wanted > 0 {
        return wanted;
    }
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Calls `work` for every item, in no stated order, with a state per thread made by `state`. With one
/// thread everything happens in the caller's. Checks `control` before each item; the first error is given
/// and no further item is begun.
pub fn each<T: Sync, S>(
    items: &[T],
    threads: usize,
    control: &Control,
    state: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, &T) -> Result<()> + Sync,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let run = || -> Result<()> {
        let mut state = state()?;
        while let Some(item) = items.get(next.fetch_add(1, Relaxed)) {
            control.check()?;
            work(&mut state, item)?;
        }
        Ok(())
    };
    let threads = threads.clamp(1, items.len().max(1));
    if threads == 1 {
        return run();
    }
    let stopping = || {
        let result = guarded(run);
        if result.is_err() {
            next.store(items.len(), Relaxed);
        }
        result
    };
    join_all(threads, stopping)
}

/// Runs `work` in `threads` scoped threads and gives the first error, if any.
pub fn join_all(threads: usize, work: impl Fn() -> Result<()> + Sync) -> Result<()> {
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        handles
            .into_iter()
            .map(|handle| {
                handle
                    .join()
                    .unwrap_or_else(|_| Err(Error::internal("worker thread died")))
            })
            .collect()
    });
    results.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn every_item_is_worked_on_once() {
        let items: Vec<u64> = (0..100).collect();
        for threads in [1, 4] {
            let sum = AtomicU64::new(0);
            let add = |(): &mut (), n: &u64| {
                sum.fetch_add(*n, Relaxed);
                Ok(())
            };
            each(&items, threads, &Control::default(), || Ok(()), add).unwrap();
            assert_eq!(sum.load(Relaxed), 4950);
        }
    }

    #[test]
    fn errors_panics_and_cancel_end_it() {
        let items: Vec<u64> = (0..100).collect();
        let control = Control::default();
        for threads in [1, 3] {
            let fail = |(): &mut (), n: &u64| match n {
                7 => Err(Error::damaged("seven", "")),
                _ => Ok(()),
            };
            let error = each(&items, threads, &control, || Ok(()), fail).unwrap_err();
            assert_eq!(error.object(), "seven");
        }
        let panics = |(): &mut (), _: &u64| panic!("injected");
        let error = each(&items, 3, &control, || Ok(()), panics).unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        control.cancel();
        let error = each(&items, 3, &control, || Ok(()), |(), _| Ok(())).unwrap_err();
        assert_eq!(error.code(), Code::Cancelled);
    }
}
