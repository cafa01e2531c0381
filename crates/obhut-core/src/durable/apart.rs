//! One system call in a child process, so that waiting for it can be broken off.
//!
//! A thread inside `syncfs` cannot be interrupted, not even by the end of its process. A forked child can be left
//! behind: it has the same open file (so the same write-back errors are its to see), makes the call, says the errno
//! over a socket, and ends.

use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::error::{Error, Result};
use crate::job::Control;
use crate::pipe::Interruptible;

/// What the child does with the descriptor; the result is an errno or 0. It must be async-signal-safe.
pub type Call = fn(RawFd) -> i32;

/// `syncfs`, as a [`Call`].
pub fn sync_file_system(fd: RawFd) -> i32 {
    loop {
        // SAFETY: a system call on a number; an invalid one gives EBADF.
        let done = unsafe { libc::syncfs(fd) };
        // SAFETY: the address of errno is this thread's own and always valid.
        let errno = unsafe { *libc::__errno_location() };
        match (done, errno) {
            (0, _) => return 0,
            (_, libc::EINTR) => {}
            (_, errno) => return errno,
        }
    }
}

/// Makes the call in a child and gives its errno (0 = none); `None` if there is no child to be had or it died, so
/// that the caller has to make the call itself. A cancel ends the wait, not the call.
pub fn run(fd: BorrowedFd<'_>, control: &Arc<Control>, call: Call) -> Result<Option<i32>> {
    control.check()?;
    let (ours, theirs) = UnixStream::pair().map_err(|e| Error::io("socket pair", &e))?;
    // SAFETY: other threads may hold any lock at this moment, so the child may only make async-signal-safe calls
    // until `_exit`: `in_child` allocates nothing, takes no lock and never returns.
    let child = match unsafe { libc::fork() } {
        0 => in_child(fd.as_raw_fd(), theirs.as_raw_fd(), call),
        pid => Pid::from_raw(pid).filter(|_| pid > 0),
    };
    drop(theirs);
    let Some(child) = child else { return Ok(None) };
    let mut said = [0; 4];
    let heard = Interruptible::new(OwnedFd::from(ours), Arc::clone(control)).read_exact(&mut said);
    if let (Err(_), Err(cancelled)) = (&heard, control.check()) {
        let _ = kill_process(child, Signal::KILL);
        // Reaped by a thread that the process does not wait for, or by init.
        let _ =
            std::thread::Builder::new().spawn(move || waitpid(Some(child), WaitOptions::empty()));
        return Err(cancelled);
    }
    // Where SIGCHLD is ignored there is nothing to reap; the answer came over the socket.
    let _ = waitpid(Some(child), WaitOptions::empty());
    Ok(heard.ok().map(|()| i32::from_ne_bytes(said)))
}

/// The child's whole life.
fn in_child(fd: RawFd, out: RawFd, call: Call) -> ! {
    // Whoever reads the program's output must see its end when the program ends, not when the disk is done.
    let (low, high) = (fd.min(out), fd.max(out));
    close_range(0, low - 1);
    close_range(low + 1, high - 1);
    close_range(high + 1, RawFd::MAX);
    let said = call(fd).to_ne_bytes();
    // SAFETY: writes four bytes of this function's own; `_exit` runs no destructor and no exit handler.
    unsafe {
        libc::write(out, said.as_ptr().cast(), said.len());
        libc::_exit(0)
    }
}

/// Closes a range of descriptors; on kernels before 5.9 only those of the three streams.
fn close_range(first: RawFd, last: RawFd) {
    if first > last {
        return;
    }
    // SAFETY: plain system calls on numbers; the child owns none of these descriptors as Rust values that it drops.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, last, 0) == -1 {
            for fd in first.max(0)..=last.min(2) {
                libc::close(fd);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::error::Code;
    use crate::job::Job;

    fn nap(_: RawFd) -> i32 {
        // SAFETY: a plain call.
        unsafe { libc::sleep(20) };
        0
    }

    fn die(_: RawFd) -> i32 {
        // SAFETY: a plain call.
        unsafe { libc::_exit(0) }
    }

    #[test]
    fn the_answer_is_the_calls_own() {
        let place = tempfile::tempdir().unwrap();
        let folder = std::fs::File::open(place.path()).unwrap();
        let control = Control::new();
        assert_eq!(run(folder.as_fd(), &control, sync_file_system), Ok(Some(0)));
        assert_eq!(run(folder.as_fd(), &control, |_| 5), Ok(Some(5)));
        assert_eq!(run(folder.as_fd(), &control, die), Ok(None));
        control.cancel();
        let stopped = run(folder.as_fd(), &control, |_| 0);
        assert_eq!(stopped.unwrap_err().code(), Code::Cancelled);
    }

    #[test]
    fn a_cancel_leaves_the_call_behind_and_holds_no_stream_open() {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        let began = Instant::now();
        let job = Job::start("t", Control::new(), |control| {
            let folder = std::fs::File::open("/").unwrap();
            run(folder.as_fd(), control, nap)
        });
        let job = job.unwrap();
        assert!(!job.wait(Duration::from_millis(300)));
        drop(writer);
        // The child sleeps on, yet nobody holds the other end any more.
        assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
        job.control().cancel();
        assert_eq!(job.join().unwrap_err().code(), Code::Cancelled);
        assert!(began.elapsed() < Duration::from_secs(2));
    }
}
