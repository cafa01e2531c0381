//! What people, disks, clocks and wires do meanwhile.

use std::sync::Arc;

use obhut_sync::internal::is_temporary;
use obhut_sync::io::{Command, Doubt, FactsKind, Input};

use crate::world::{FOLDER, World};

const DIRECTORIES: [&str; 5] = ["", "a/", "b/", "a/c/", "a-b/"];
const FILES: [&str; 6] = ["x.txt", "y", "z.d", "c", "no.ign", "a"];

impl World {
    fn some_name(&mut self) -> String {
        let (directory, file) = (*self.rng.pick(&DIRECTORIES), *self.rng.pick(&FILES));
        // A directory that holds something ignored cannot go: that is said to people, and no fault.
        if is_ignored(file) {
            file.to_owned()
        } else {
            format!("{directory}{file}")
        }
    }

    fn some_content(&mut self) -> Vec<u8> {
        let number = self.rng.next();
        if self.rng.once_in(40) {
            return Vec::new();
        }
        let mut content = format!("{number:x}").into_bytes();
        if self.rng.once_in(12) {
            content.resize(300_000, (number % 251) as u8);
        }
        content
    }

    fn some_file(&mut self, at: usize) -> Option<String> {
        let files: Vec<String> = self.devices[at]
            .disk
            .tree()
            .iter()
            .filter(|(_, node)| node.kind == FactsKind::File)
            .map(|(name, _)| (*name).to_owned())
            .collect();
        (!files.is_empty()).then(|| self.rng.pick(&files).clone())
    }

    fn some_item(&mut self, at: usize) -> Option<String> {
        let names: Vec<String> = self.devices[at]
            .disk
            .tree()
            .keys()
            .map(|name| (*name).to_owned())
            .collect();
        (!names.is_empty()).then(|| self.rng.pick(&names).clone())
    }

    /// What people take away themselves is theirs to lose.
    fn release(&mut self, at: usize, name: &str) {
        let disk = &self.devices[at].disk;
        let mut gone = disk.below(name);
        gone.push(name.to_owned());
        let contents: Vec<Vec<u8>> = gone
            .iter()
            .filter_map(|name| disk.nodes.get(name))
            .filter(|node| node.kind == FactsKind::File)
            .map(|node| (*node.content).clone())
            .collect();
        self.released.extend(contents);
    }

    fn put(&mut self, at: usize, name: &str, content: Vec<u8>) {
        let time = self.clock(at).wall;
        let mut directory = String::new();
        for part in name
            .split('/')
            .collect::<Vec<_>>()
            .split_last()
            .map(|(_, rest)| rest.to_vec())
            .unwrap_or_default()
        {
            directory = if directory.is_empty() {
                part.to_owned()
            } else {
                format!("{directory}/{part}")
            };
            let disk = &mut self.devices[at].disk;
            disk.make(&directory, FactsKind::Directory, Vec::new(), 0o755, time);
        }
        let kind = self.devices[at].disk.nodes.get(name).map(|node| node.kind);
        match kind {
            Some(FactsKind::File) => {
                self.release(at, name);
                self.devices[at].disk.overwrite(name, content.clone(), time);
            }
            Some(_) => return,
            None => {
                if !self.devices[at]
                    .disk
                    .make(name, FactsKind::File, content.clone(), 0o644, time)
                {
                    return;
                }
            }
        }
        self.released.remove(&content);
        if !is_ignored(name) && !content.is_empty() {
            self.written.insert(content);
        }
    }

    /// A change by people.
    pub fn edit(&mut self, at: usize) {
        let what = self.rng.below(16);
        let now = self.now;
        for device in &mut self.devices {
            device.disk.now = now;
        }
        let noticed = match what {
            0..=5 => Some(self.people_write(at)),
            6 | 7 => self.people_overwrite(at),
            8 | 9 => self.people_remove(at),
            10 | 11 => self.people_rename(at),
            12 => self.people_chmod(at),
            13 => self.people_make(at, FactsKind::Symlink),
            14 => self.people_make(at, FactsKind::Directory),
            _ => self.people_copy(at),
        };
        if let Some((at, names)) = noticed
            && self.alive(at)
            && !self.rng.once_in(4)
        {
            let folder = Arc::from(FOLDER);
            self.give(
                at,
                Input::Noticed {
                    folder,
                    names: Some(names),
                },
            );
        }
    }

    fn people_write(&mut self, at: usize) -> (usize, Vec<String>) {
        let (name, content) = (self.some_name(), self.some_content());
        self.say(|| format!("d{at}: people write {name}"));
        self.put(at, &name, content);
        self.count("people: write");
        (at, vec![name])
    }

    fn people_overwrite(&mut self, at: usize) -> Option<(usize, Vec<String>)> {
        let name = self.some_file(at)?;
        let content = self.some_content();
        self.say(|| format!("d{at}: people overwrite {name}"));
        self.put(at, &name, content);
        self.count("people: overwrite");
        Some((at, vec![name]))
    }

    fn people_remove(&mut self, at: usize) -> Option<(usize, Vec<String>)> {
        let name = self.some_item(at)?;
        self.say(|| format!("d{at}: people remove {name}"));
        self.release(at, &name);
        self.devices[at].disk.remove(&name);
        self.count("people: remove");
        Some((at, vec![name]))
    }

    fn people_rename(&mut self, at: usize) -> Option<(usize, Vec<String>)> {
        let from = self.some_item(at)?;
        let to = self.some_name();
        self.say(|| format!("d{at}: people rename {from} to {to}"));
        if is_ignored(&from) != is_ignored(&to) {
            return None;
        }
        if self.devices[at].disk.rename(&from, &to) {
            self.count("people: rename");
        }
        Some((at, vec![from, to]))
    }

    fn people_chmod(&mut self, at: usize) -> Option<(usize, Vec<String>)> {
        let name = self.some_item(at)?;
        let mode = *self.rng.pick(&[0o755, 0o700, 0o644, 0o600]);
        self.say(|| format!("d{at}: people chmod {name} {mode:o}"));
        self.devices[at].disk.chmod(&name, mode);
        self.count("people: chmod");
        Some((at, vec![name]))
    }

    /// A link or a directory.
    fn people_make(&mut self, at: usize, kind: FactsKind) -> Option<(usize, Vec<String>)> {
        let name = self.some_name();
        if is_ignored(&name) {
            return None;
        }
        let target = match kind {
            FactsKind::Symlink => self.some_content().into_iter().take(20).collect(),
            _ => Vec::new(),
        };
        let time = self.clock(at).wall;
        self.say(|| format!("d{at}: people make {name}, a {kind:?}"));
        self.devices[at].disk.make(&name, kind, target, 0o755, time);
        self.count(&format!("people: make a {kind:?}"));
        Some((at, vec![name]))
    }

    /// The same content on another device, under the same name: no conflict.
    fn people_copy(&mut self, at: usize) -> Option<(usize, Vec<String>)> {
        let name = self.some_file(at)?;
        let content = (*self.devices[at].disk.nodes[&name].content).clone();
        let other = self.rng.below(self.devices.len());
        self.say(|| format!("d{other}: people copy {name} from d{at}"));
        self.put(other, &name, content);
        self.count("people: copy between devices");
        Some((other, vec![name]))
    }

    /// People say that a folder is empty on purpose. False if nobody asks.
    pub fn confirm(&mut self) -> bool {
        for at in 0..self.devices.len() {
            let asked = self.devices[at].engine.as_mut().is_some_and(|engine| {
                engine
                    .status()
                    .iter()
                    .any(|status| status.doubt == Some(Doubt::Emptied))
            });
            if asked {
                self.count("people: confirm that all is gone");
                let told = Input::Told {
                    folder: Arc::from(FOLDER),
                    command: Command::Emptied,
                };
                self.give(at, told);
                return true;
            }
        }
        false
    }

    /// Something else that happens to machines.
    pub fn mishap(&mut self) {
        let at = self.rng.below(self.devices.len());
        let other = self.rng.below(self.devices.len());
        match self.rng.below(14) {
            0..=4 if at != other => self.connect(at, other),
            5 | 6 => self.cut_some(),
            7 => self.clock_steps(at),
            8 if self.alive(at) => {
                self.give(
                    at,
                    Input::Noticed {
                        folder: Arc::from(FOLDER),
                        names: None,
                    },
                );
            }
            9 | 10 if self.alive(at) => {
                self.count("crash");
                self.crash(at);
            }
            11 | 12 if !self.alive(at) => {
                self.come_back(at);
            }
            13 => {
                let device = &mut self.devices[at];
                let snapshot = (device.disk.clone(), device.store.clone());
                device.snapshots.push(snapshot);
            }
            _ => {}
        }
    }

    fn clock_steps(&mut self, at: usize) {
        let step = *self
            .rng
            .pick(&[-31_536_000, -3_600, -2, 2, 3_600, 31_536_000]);
        self.say(|| format!("d{at}: its clock steps by {step} s"));
        self.devices[at].ahead = (self.devices[at].ahead + step).clamp(-60_000_000, 60_000_000);
        self.count("clock: step");
    }

    /// A device starts again, perhaps with an old memory, none, or as an old copy of itself.
    fn come_back(&mut self, at: usize) {
        let old = self.devices[at].snapshots.pop();
        match (self.rng.below(8), old) {
            (0, Some((_, store))) => {
                self.say(|| format!("d{at}: its store is an old one"));
                self.devices[at].store = store;
                self.forgetful = true;
                self.count("restored: store");
            }
            (1, Some((disk, store))) => {
                self.say(|| format!("d{at}: it is an old copy of itself"));
                let now: Vec<Vec<u8>> = contents(&self.devices[at].disk);
                self.released.extend(now);
                for content in contents(&disk) {
                    self.released.remove(&content);
                }
                self.devices[at].disk = disk;
                self.devices[at].store = store;
                self.forgetful = true;
                self.count("restored: device");
            }
            (2, _) => {
                self.say(|| format!("d{at}: its store is gone"));
                self.devices[at].store = crate::store::Store::default();
                self.forgetful = true;
                self.count("lost: store");
            }
            _ => {}
        }
        self.start(at);
    }
}

/// What the simulated devices leave alone: `*.ign`.
pub fn is_ignored(name: &str) -> bool {
    name.strip_suffix(".ign").is_some()
}

/// What a disk holds: files and versions; what is still gathered does not count.
pub fn contents(disk: &crate::disk::Disk) -> Vec<Vec<u8>> {
    disk.nodes
        .iter()
        .filter(|(name, node)| node.kind == FactsKind::File && !is_temporary(name))
        .map(|(_, node)| (*node.content).clone())
        .collect()
}
