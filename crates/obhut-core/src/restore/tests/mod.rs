//! Tests of the restore engine: on directories of the real file system, from repositories in memory.
#![allow(clippy::disallowed_methods)] // tests make files, links and trouble by hand

mod hostile;
mod inplace;
mod kit;
mod roundtrip;
mod target;
mod trouble;

use std::path::Path;
use std::sync::Arc;

use super::files::Files;
use super::meta::{Applier, Meta, XattrFilter};
use super::report::Report;
use super::select::Selection;
use super::target::{Target, error_at};
use super::{RestoreOptions, Run, inspect};
use crate::error::{Code, Error};
use crate::job::Control;

/// Verifies the file `/f` of the kit's target after one of its bytes was flipped.
fn flip_and_verify(
    kit: &kit::Kit,
    options: &mut RestoreOptions,
) -> Vec<(String, &'static str, Code)> {
    options.verify = true;
    let index = kit.index();
    let control = Control::new();
    let run = Run {
        repo: &kit.repo,
        index: &index,
        options,
        selection: Selection::new([&[], &[]], [&[], &[]]).unwrap(),
        target: Target::open(&options.target, true).unwrap(),
        applier: Applier::new(Some(XattrFilter::default())),
        report: Report::new(Arc::clone(&control), false, 0),
        uid: rustix::process::geteuid().as_raw(),
        threads: 1,
    };
    let slots = [&b"first"[..], b"second"].map(|plain| {
        let id = crate::id::Id::of(plain);
        index.slots(crate::id::BlobKind::Data, &id).start
    });
    let mut node = kit::file("f", &[b"first", b"second"]).node;
    let item = super::batch::FileItem {
        place: super::batch::Place {
            dir: Arc::clone(run.target.root()),
            name: b"f"[..].into(),
            first: None,
        },
        meta: Meta::of(&mut node),
        content: slots.into(),
        size: 11,
        linked: false,
    };
    let items = [item];
    let files = Files::new(&run, &items);
    files.decide(0, super::files::Decision::New { replaces: false });
    let mut buffer = vec![0; inspect::STEP];
    files.verify(0, &mut buffer).unwrap();
    assert!(control.drain_errors().is_empty());
    std::fs::write(kit.path("f"), b"firstsEcond").unwrap();
    files.verify(0, &mut buffer).unwrap();
    kit::codes(&control.drain_errors())
}

/// The error of writing to a full device.
fn write_to(path: &Path) -> Error {
    let device = std::fs::File::options().write(true).open(path).unwrap();
    let errno = super::entry::write_all(&device, b"x", 0).unwrap_err();
    let report = Report::new(Control::new(), false, 0);
    report
        .failed(b"/f".to_vec(), "restore", error_at(b"/f", errno))
        .unwrap_err()
}
