//! Reading a pipe in a way that a cancel can interrupt.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::job::Control;

/// A descriptor that is only read when it has something, so that waiting notices a cancel.
pub struct Interruptible {
    fd: OwnedFd,
    control: Arc<Control>,
}

impl Interruptible {
    /// Reads from `fd` until `control` is cancelled.
    pub fn new(fd: OwnedFd, control: Arc<Control>) -> Self {
        Self { fd, control }
    }
}

impl Read for Interruptible {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let slice = Timespec {
            tv_sec: 0,
            tv_nsec: 200_000_000,
        };
        loop {
            if self.control.is_cancelled() {
                return Err(std::io::Error::other("cancelled"));
            }
            let ready = poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&slice));
            match ready {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(rustix::io::read(self.fd.as_fd(), buffer)?),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Job;
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    #[test]
    fn reads_to_the_end_and_a_cancel_ends_the_wait() {
        let (reader, mut writer) = UnixStream::pair().unwrap();
        writer.write_all(b"abc").unwrap();
        drop(writer);
        let mut text = String::new();
        let mut pipe = Interruptible::new(reader.into(), Control::new());
        assert_eq!(pipe.read_to_string(&mut text).unwrap(), 3);

        let (reader, writer) = UnixStream::pair().unwrap();
        let job = Job::start("t", Control::new(), move |control| {
            let mut pipe = Interruptible::new(reader.into(), Arc::clone(control));
            let _ = pipe.read(&mut [0; 8]);
            control.check()
        });
        let job = job.unwrap();
        assert!(!job.wait(Duration::from_millis(50)));
        job.control().cancel();
        assert!(job.wait(Duration::from_secs(2)));
        drop(writer);
    }
}
