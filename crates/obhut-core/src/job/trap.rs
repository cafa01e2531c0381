//! For tests: lets a stage be cancelled, fail or panic at any chosen look at its control or call of its store.

use std::panic::Location;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::Control;
use crate::error::{Code, Error, Result};

/// What happens to the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Cancel,
    Fail,
    Panic,
}

/// Armed with an act and the number of the step at which it happens (from 1).
#[derive(Debug, Default)]
pub(crate) struct Trap {
    armed: AtomicBool,
    steps: AtomicU64,
    plan: Mutex<Option<(Act, u64)>>,
    sprung: Mutex<Option<(Instant, &'static str)>>,
}

impl Trap {
    pub(crate) fn arm(&self, act: Act, at: u64) {
        *self.plan.lock().unwrap() = Some((act, at));
        self.armed.store(true, Relaxed);
    }

    /// When and in which source file it happened.
    pub(crate) fn sprung(&self) -> Option<(Instant, &'static str)> {
        *self.sprung.lock().unwrap()
    }

    /// A look that cannot fail: an error does not happen here.
    #[track_caller]
    pub(super) fn look(&self, control: &Control) {
        if self.armed.load(Relaxed)
            && self
                .plan
                .lock()
                .unwrap()
                .is_some_and(|plan| plan.0 != Act::Fail)
        {
            let _ = self.step(control);
        }
    }

    #[track_caller]
    #[expect(clippy::disallowed_methods, reason = "tests measure real time")]
    pub(crate) fn step(&self, control: &Control) -> Result<()> {
        if !self.armed.load(Relaxed) {
            return Ok(());
        }
        let step = self.steps.fetch_add(1, Relaxed) + 1;
        let plan = *self.plan.lock().unwrap();
        let Some((act, _)) = plan.filter(|(_, at)| *at == step) else {
            return Ok(());
        };
        let file = Location::caller().file();
        let file = file.rsplit_once("src/").map_or(file, |parts| parts.1);
        *self.sprung.lock().unwrap() = Some((Instant::now(), file));
        match act {
            Act::Cancel => {
                control.cancel();
                Ok(())
            }
            Act::Fail => Err(Error::new(Code::Unavailable, "trap", "injected")),
            // Without the hook: a thousand backtraces help nobody.
            Act::Panic => std::panic::resume_unwind(Box::new("injected")),
        }
    }
}
