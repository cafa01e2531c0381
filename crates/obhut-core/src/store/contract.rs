//! The contract of [`Store`] as a program: every backend and wrapper is run through it, the ones in Python
//! too, and whoever writes a backend can run it.
//!
//! It answers with the list of broken rules instead of panicking, so that it can be called across the
//! binding. The store must be a place where files may be made; all of them are removed again.

use super::{Listed, Store};
use crate::error::{Code, Result};
use crate::id::{FileKind, FileName, Id};

/// Every rule that `store` breaks, in words; empty if it keeps the contract.
pub fn violations(store: &dyn Store) -> Vec<String> {
    let mut suite = Suite {
        store,
        broken: Vec::new(),
    };
    suite.create();
    for kind in [FileKind::Config].into_iter().chain(FileKind::LISTED) {
        suite.life_of_a_file(kind);
    }
    suite.ranges();
    suite.lists();
    suite.concurrent_writers();
    suite.broken
}

struct Suite<'s> {
    store: &'s dyn Store,
    broken: Vec<String>,
}

impl Suite<'_> {
    fn expect(&mut self, rule: &str, kept: bool, seen: impl FnOnce() -> String) {
        if !kept {
            self.broken.push(format!("{rule}; seen: {}", seen()));
        }
    }

    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, rule: &str, seen: &Result<T>, want: &T) {
        self.expect(rule, seen.as_ref() == Ok(want), || match seen {
            Ok(value) => brief(value),
            Err(error) => error.to_string(),
        });
    }

    fn fails<T: std::fmt::Debug>(&mut self, rule: &str, seen: &Result<T>, code: Code) {
        let kept = seen.as_ref().is_err_and(|e| e.code() == code);
        self.expect(rule, kept, || match seen {
            Ok(value) => brief(value),
            Err(error) => error.to_string(),
        });
    }

    fn create(&mut self) {
        for round in ["create makes the place ready", "create may be repeated"] {
            let created = self.store.create();
            self.equal(round, &created, &());
        }
        let connections = self.store.capabilities().connections;
        self.expect("at least one connection", connections > 0, || {
            connections.to_string()
        });
    }

    fn life_of_a_file(&mut self, kind: FileKind) {
        let store = self.store;
        let size = if kind == FileKind::Pack {
            100_000
        } else {
            3000
        };
        let content = content(size, kind as u8);
        let name = match kind {
            FileKind::Config => FileName::CONFIG,
            _ => FileName::new(kind, Id::of(&content)),
        };
        let what = |rule: &str| format!("{}: {rule}", kind.noun());
        self.fails(
            &what("stat of a missing file"),
            &store.stat(name),
            Code::FileMissing,
        );
        self.fails(
            &what("get of a missing file"),
            &store.get(name),
            Code::FileMissing,
        );
        let range = store.get_range(name, 0, 1);
        self.fails(
            &what("get_range of a missing file"),
            &range,
            Code::FileMissing,
        );
        self.fails(
            &what("delete of a missing file"),
            &store.delete(name),
            Code::FileMissing,
        );

        self.equal(&what("put saves"), &store.put(name, &content), &());
        self.equal(&what("get gives the bytes"), &store.get(name), &content);
        let size = content.len() as u64;
        self.equal(&what("stat gives the size"), &store.stat(name), &size);
        if kind != FileKind::Config {
            let listed = store.list(kind).map(|all| count(&all, name.id, size));
            self.equal(&what("list names a file once, with its size"), &listed, &1);
        }
        self.fails(
            &what("put is write-once"),
            &store.put(name, b"other"),
            Code::FileExists,
        );
        self.equal(
            &what("a refused put changes nothing"),
            &store.get(name),
            &content,
        );

        if self.store.capabilities().append_only && kind != FileKind::Lock {
            let refused = store.delete(name).is_err() && store.get(name).is_ok();
            self.expect(&what("append-only keeps files"), refused, || {
                "deleted".into()
            });
            return;
        }
        self.equal(&what("delete removes"), &store.delete(name), &());
        self.fails(
            &what("get after delete"),
            &store.get(name),
            Code::FileMissing,
        );
        self.fails(
            &what("delete twice"),
            &store.delete(name),
            Code::FileMissing,
        );
        if kind != FileKind::Config {
            let listed = store.list(kind).map(|all| count(&all, name.id, size));
            self.equal(&what("list forgets a deleted file"), &listed, &0);
        }
        self.equal(
            &what("a deleted name can be saved again"),
            &store.put(name, &content),
            &(),
        );
        self.equal(&what("and removed again"), &store.delete(name), &());
    }

    fn ranges(&mut self) {
        let store = self.store;
        let content = content(100_000, 77);
        let name = FileName::new(FileKind::Pack, Id::of(&content));
        self.equal("ranges: put saves", &store.put(name, &content), &());
        let (size, all) = (content.len() as u64, content.len());
        let mut used = vec![9; 2 * all];
        for (offset, length) in [
            (0, 1),
            (0, all),
            (1, 4096),
            (65_536, 1000),
            (size - 1, 1),
            (5, 0),
        ] {
            let want = content[offset as usize..][..length].to_vec();
            let rule = format!("get_range({offset}, {length}) is exact");
            self.equal(&rule, &store.get_range(name, offset, length), &want);
            let rule = format!("get_range_into({offset}, {length}) replaces what was there");
            let read = store.get_range_into(name, offset, length, &mut used);
            self.equal(&rule, &read.map(|()| used.clone()), &want);
        }
        for (offset, length) in [(0, all + 1), (size - 1, 2), (size + 1, 1), (u64::MAX, 2)] {
            let rule = format!("get_range({offset}, {length}) beyond the end is damaged");
            self.fails(&rule, &store.get_range(name, offset, length), Code::Damaged);
            let read = store.get_range_into(name, offset, length, &mut used);
            self.fails(&rule, &read, Code::Damaged);
        }
        let rule = "get_into replaces what was there";
        let read = store.get_into(name, &mut used);
        self.equal(rule, &read.map(|()| used.clone()), &content);
        self.remove(name);
        let gone = "get_into of what is not there";
        self.fails(gone, &store.get_into(name, &mut used), Code::FileMissing);

        let empty = FileName::new(FileKind::Lock, Id::of(b""));
        self.equal("an empty file can be saved", &store.put(empty, b""), &());
        self.equal("an empty file is empty", &store.get(empty), &Vec::new());
        self.equal("an empty file has size 0", &store.stat(empty), &0);
        self.remove(empty);
    }

    fn lists(&mut self) {
        let store = self.store;
        let contents: Vec<Vec<u8>> = (0..20).map(|n| content(n, 5)).collect();
        let of = |bytes: &Vec<u8>| FileName::new(FileKind::Pack, Id::of(bytes));
        let names: Vec<FileName> = contents.iter().map(of).collect();
        for (bytes, name) in contents.iter().zip(&names) {
            self.equal("lists: put saves", &store.put(*name, bytes), &());
        }
        match store.list(FileKind::Pack) {
            Ok(listed) => {
                for (n, name) in names.iter().enumerate() {
                    let found = count(&listed, name.id, n as u64);
                    self.expect("list is complete", found == 1, || format!("{found} times"));
                }
            }
            Err(error) => self.broken.push(format!("list fails: {error}")),
        }
        let elsewhere = store.list(FileKind::Index).map(|all| {
            let ours = |l: &&Listed| names.iter().any(|n| n.id == l.id);
            all.iter().filter(ours).count()
        });
        self.equal("kinds are kept apart", &elsewhere, &0);
        for name in names {
            self.remove(name);
        }
    }

    /// Many threads save the same name: exactly one succeeds, and its bytes are there whole. Only for
    /// config can the bytes differ: everywhere else the name is their hash.
    fn concurrent_writers(&mut self) {
        let store = self.store;
        let name = FileName::CONFIG;
        if store.stat(name).is_ok() {
            return; // Append-only: it stays from the test before.
        }
        let results: Vec<Result<()>> = std::thread::scope(|scope| {
            let put = |n: u8| store.put(name, &vec![n; 5000]);
            let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || put(n))).collect();
            let died = || Err(crate::error::Error::internal("writer died"));
            let join = |t: std::thread::ScopedJoinHandle<'_, _>| t.join();
            threads
                .into_iter()
                .map(|t| join(t).unwrap_or_else(|_| died()))
                .collect()
        });
        let winners = results.iter().filter(|r| r.is_ok()).count();
        self.expect("one of many writers succeeds", winners == 1, || {
            format!("{results:?}")
        });
        for result in results.iter().filter(|r| r.is_err()) {
            self.fails("the other writers learn it", result, Code::FileExists);
        }
        let winner = results.iter().position(Result::is_ok).unwrap_or(0) as u8;
        self.equal(
            "the winner's bytes stay",
            &store.get(name),
            &vec![winner; 5000],
        );
        self.remove(name);
    }

    fn remove(&mut self, name: FileName) {
        if !self.store.capabilities().append_only || name.kind == FileKind::Lock {
            let deleted = self.store.delete(name);
            self.equal("delete removes", &deleted, &());
        }
    }
}

fn count(all: &[Listed], id: Id, size: u64) -> usize {
    let wanted = Listed { id, size };
    all.iter().filter(|l| **l == wanted).count()
}

fn brief(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.chars().take(80).collect()
}

/// Bytes that differ everywhere, with all values and line ends in them.
fn content(size: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}
