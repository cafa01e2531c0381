//! How much of what came in lies with the engine.

use std::sync::Arc;

use obhut_bep::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of a message that the engine has. They count until this is dropped.
#[derive(Debug)]
pub struct Held(#[allow(dead_code)] Option<OwnedSemaphorePermit>);

/// What the engine may have of one connection.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    bytes: Arc<Semaphore>,
    all: usize,
}

impl Budget {
    pub fn new(bytes: usize) -> Self {
        let all = bytes
            .clamp(1, u32::MAX as usize)
            .min(Semaphore::MAX_PERMITS);
        Self {
            bytes: Arc::new(Semaphore::new(all)),
            all,
        }
    }

    /// Waits until there is room. A message that is larger than all of it waits until it is alone.
    pub async fn take(&self, message: &Message) -> Held {
        let wanted = weight(message).min(self.all) as u32;
        // Fails only if it was closed, which nobody does.
        Held(self.bytes.clone().acquire_many_owned(wanted).await.ok())
    }
}

/// About as many bytes as a message takes in memory.
fn weight(message: &Message) -> usize {
    const EACH: usize = 256;
    EACH + match message {
        Message::Response(response) => response.data.len(),
        Message::Index(index) => index
            .files
            .iter()
            .map(|file| {
                let hashes = file.blocks.hashes().len();
                let counters = 16 * file.version.counters().len();
                let texts = file.name.len() + file.symlink_target.len() + file.platform.len();
                EACH + hashes + counters + texts
            })
            .sum(),
        Message::ClusterConfig(config) => config
            .folders
            .iter()
            .map(|folder| EACH * (1 + folder.devices.len()))
            .sum(),
        _ => 0,
    }
}
