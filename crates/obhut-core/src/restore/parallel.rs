//! One stage over numbered tasks on several threads: ends at the first error, panics become errors.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::job::{Control, guarded};

/// How a stage is spread.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Threads at most.
    pub threads: usize,
    /// Neighbouring tasks that one thread takes at a time.
    pub chunk: usize,
}

/// Runs `work` for 0..`count`, each thread with a state of its own, made for its number (from 0). Checks for a
/// cancel before each task. In the end no thread works on anything, which the display is told.
pub fn each<S>(
    control: &Control,
    spread: Spread,
    count: usize,
    make: impl Fn(usize) -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<()> + Sync,
) -> Result<()> {
    each_then(control, spread, count, make, work, |_| Ok(()))
}

/// [`each`], and `end` for the state of each thread for which no task is left.
pub fn each_then<S>(
    control: &Control,
    spread: Spread,
    count: usize,
    make: impl Fn(usize) -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<()> + Sync,
    end: impl Fn(S) -> Result<()> + Sync,
) -> Result<()> {
    let chunk = spread.chunk.max(1);
    let threads = spread.threads.clamp(1, count.div_ceil(chunk).max(1));
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let first: Mutex<Option<Error>> = Mutex::new(None);
    let turn = &|worker: usize| {
        let ended = guarded(|| {
            let mut state = make(worker);
            loop {
                let start = next.fetch_add(chunk, Relaxed);
                if start >= count {
                    return end(state);
                }
                for task in start..count.min(start + chunk) {
                    control.check()?;
                    if stop.load(Relaxed) {
                        return Ok(());
                    }
                    work(&mut state, task)?;
                }
            }
        });
        if let Err(error) = ended {
            stop.store(true, Relaxed);
            let mut slot = first.lock().unwrap_or_else(PoisonError::into_inner);
            slot.get_or_insert(error);
        }
        control.set_current(worker, b"");
    };
    std::thread::scope(|scope| {
        for number in 1..threads {
            let name = format!("restore-{number}");
            // Fewer threads than wished for is slower, not wrong: this thread works too.
            if std::thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, move || turn(number))
                .is_err()
            {
                break;
            }
        }
        turn(0);
    });
    match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::error::Code;

    const SPREAD: Spread = Spread {
        threads: 3,
        chunk: 4,
    };

    #[test]
    fn does_every_task_once() {
        let sum = AtomicU64::new(0);
        let work = |(): &mut (), task: usize| {
            sum.fetch_add(task as u64, Relaxed);
            Ok(())
        };
        each(&Control::default(), SPREAD, 100, |_| (), work).unwrap();
        assert_eq!(sum.load(Relaxed), 4950);
        each(&Control::default(), SPREAD, 0, |_| (), work).unwrap();
    }

    #[test]
    fn a_panic_is_an_internal_error_and_stops_the_others() {
        let done = AtomicU64::new(0);
        let result = each(
            &Control::default(),
            SPREAD,
            100_000,
            |_| (),
            |(), task| {
                assert_ne!(task, 5, "broken invariant");
                done.fetch_add(1, Relaxed);
                std::thread::sleep(std::time::Duration::from_micros(20));
                Ok(())
            },
        );
        assert_eq!(result.unwrap_err().code(), Code::Internal);
        assert!(done.load(Relaxed) < 50_000);
    }

    #[test]
    fn a_cancel_ends_it() {
        let control = Control::default();
        let result = each(
            &control,
            SPREAD,
            1000,
            |_| (),
            |(), task| {
                if task == 3 {
                    control.cancel();
                }
                Ok(())
            },
        );
        assert_eq!(result.unwrap_err().code(), Code::Cancelled);
    }
}
