//! The plan as JSON in, JSON out: the door through which the Python reference model judges it.

use serde::{Deserialize, Serialize};

use super::options::{MaxUnused, PruneOptions};
use super::plan::{Action, Copies, Copy, Input, Refusal, decide};
use super::stats::Stats;
use crate::error::{Code, Error, Result};
use crate::id::BlobKind;

#[derive(Deserialize)]
struct Model {
    version: u32,
    pack_size: u64,
    #[serde(default)]
    options: Options,
    packs: Vec<Option<u64>>,
    #[serde(default)]
    unindexed: Vec<u64>,
    blobs: Vec<Blob>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Options {
    max_unused: Option<String>,
    max_repack_bytes: Option<u64>,
    repack_cacheable_only: bool,
    repack_small: bool,
    repack_smaller_than: u64,
    repack_uncompressed: bool,
}

#[derive(Deserialize)]
struct Blob {
    tree: bool,
    used: bool,
    copies: Vec<(usize, u32, bool)>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Plan {
        actions: Vec<&'static str>,
        copy: Vec<usize>,
        stats: Box<Stats>,
    },
    Missing(Vec<usize>),
    Size(usize),
}

/// Plans for a repository given as JSON: `version`, `pack_size`, `options`, `packs` (listed sizes or null),
/// `unindexed` (sizes), `blobs` of `{tree, used, copies: [[pack, length, compressed], …]}`. The answer is
/// `{"plan": {actions, copy (slots in order), stats}}`, `{"missing": [packs]}` or `{"size": pack}`.
pub fn from_json(json: &[u8]) -> Result<Vec<u8>> {
    let wrong = |e: String| Error::new(Code::InvalidArgument, "model", e);
    let model: Model = serde_json::from_slice(json).map_err(|e| wrong(e.to_string()))?;
    let options = model.options.build()?;
    options.validate(model.version, model.pack_size)?;
    let copies = flatten(&model.blobs);
    if copies.iter().any(|copy| copy.pack >= model.packs.len()) {
        return Err(wrong("a blob lies in an unknown pack".to_owned()));
    }
    let answer = match decide(&Input {
        copies: copies.as_slice(),
        packs: &model.packs,
        unindexed: &model.unindexed,
        options: &options,
        version: model.version,
        pack_size: model.pack_size,
    }) {
        Ok(plan) => Answer::Plan {
            actions: plan.actions.iter().map(|action| name(*action)).collect(),
            copy: (0..Copies::len(copies.as_slice()))
                .filter(|&slot| plan.copy.get(slot))
                .collect(),
            stats: Box::new(plan.stats),
        },
        Err(Refusal::Missing(packs)) => Answer::Missing(packs),
        Err(Refusal::Size { pack, .. }) => Answer::Size(pack),
    };
    serde_json::to_vec(&answer).map_err(|e| wrong(e.to_string()))
}

fn flatten(blobs: &[Blob]) -> Vec<Copy> {
    let copies = blobs.iter().flat_map(|blob| {
        let copies = blob.copies.iter().enumerate();
        copies.map(|(n, &(pack, length, compressed))| Copy {
            kind: if blob.tree {
                BlobKind::Tree
            } else {
                BlobKind::Data
            },
            first: n == 0,
            used: blob.used,
            pack,
            length,
            compressed,
        })
    });
    copies.collect()
}

impl Options {
    fn build(&self) -> Result<PruneOptions> {
        let max_unused = match &self.max_unused {
            Some(text) => MaxUnused::parse(text)?,
            None => MaxUnused::default(),
        };
        Ok(PruneOptions {
            max_unused,
            max_repack_bytes: self.max_repack_bytes.unwrap_or(u64::MAX),
            repack_cacheable_only: self.repack_cacheable_only,
            repack_small: self.repack_small,
            repack_smaller_than: self.repack_smaller_than,
            repack_uncompressed: self.repack_uncompressed,
        })
    }
}

const fn name(action: Action) -> &'static str {
    match action {
        Action::Keep => "keep",
        Action::Repack => "repack",
        Action::Delete => "delete",
        Action::Missing => "missing",
    }
}
