//! A made store: what was committed, and nothing else, comes back.

use std::collections::BTreeMap;
use std::sync::Arc;

use obhut_bep::{DeviceId, FileInfo};
use obhut_sync::io::{Change, Facts, Meta};

#[derive(Debug, Clone, Default)]
pub struct Store {
    meta: Option<Meta>,
    local: BTreeMap<String, (Arc<FileInfo>, Option<Facts>)>,
    lives: BTreeMap<DeviceId, u64>,
    remote: BTreeMap<(DeviceId, String), Arc<FileInfo>>,
}

impl Store {
    pub fn commit(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Meta(meta) => self.meta = Some(meta),
                Change::Local { info, observed } => {
                    self.local.insert(info.name.clone(), (info, observed));
                }
                Change::Observed { name, observed } => {
                    if let Some(known) = self.local.get_mut(&name) {
                        known.1 = Some(observed);
                    }
                }
                Change::Remote { device, info } => {
                    self.remote.insert((device, info.name.clone()), info);
                }
                Change::RemoteReset { device, index_id } => {
                    self.remote.retain(|(known, _), _| *known != device);
                    self.lives.insert(device, index_id);
                }
            }
        }
    }

    pub fn load(&self) -> Vec<Change> {
        let lives = self
            .lives
            .iter()
            .map(|(&device, &index_id)| Change::RemoteReset { device, index_id });
        let remote = self
            .remote
            .iter()
            .map(|((device, _), info)| Change::Remote {
                device: *device,
                info: Arc::clone(info),
            });
        let local = self.local.values().map(|(info, observed)| Change::Local {
            info: Arc::clone(info),
            observed: observed.clone(),
        });
        self.meta
            .clone()
            .map(Change::Meta)
            .into_iter()
            .chain(lives)
            .chain(remote)
            .chain(local)
            .collect()
    }
}
