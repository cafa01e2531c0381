//! The restore plan as JSON in, JSON out: the door through which the Python reference model judges it.

use serde::{Deserialize, Serialize};

use super::plan::{Limits, Wanted, plan};
use crate::error::{Code, Error, Result};

#[derive(Deserialize)]
struct Model {
    gap: u64,
    part: u64,
    /// slot, pack, offset, length, file, place in the file
    wanted: Vec<(usize, usize, u32, u32, u32, u64)>,
}

#[derive(Serialize)]
struct Read {
    pack: usize,
    offset: u64,
    length: u64,
    pieces: Vec<Piece>,
}

#[derive(Serialize)]
struct Piece {
    slot: usize,
    targets: Vec<(u32, u64)>,
}

/// Plans what JSON describes: `{gap, part, wanted: [[slot, pack, offset, length, file, at], …]}`. The answer
/// is a list of reads in order: `{pack, offset, length, pieces: [{slot, targets: [[file, at], …]}, …]}`.
pub fn from_json(json: &[u8]) -> Result<Vec<u8>> {
    let wrong = |e: serde_json::Error| Error::new(Code::InvalidArgument, "model", e.to_string());
    let model: Model = serde_json::from_slice(json).map_err(wrong)?;
    let wanted = model
        .wanted
        .into_iter()
        .map(|(slot, pack, offset, length, file, at)| Wanted {
            slot,
            pack,
            offset,
            length,
            file,
            at,
        });
    let plan = plan(
        wanted.collect(),
        Limits {
            gap: model.gap,
            part: model.part,
        },
    );
    let piece = |piece: &super::plan::Piece| Piece {
        slot: piece.slot,
        targets: plan.targets[piece.first_target..piece.end_target]
            .iter()
            .map(|target| (target.file, target.at))
            .collect(),
    };
    let reads: Vec<Read> = plan
        .reads
        .iter()
        .map(|read| Read {
            pack: read.pack,
            offset: read.offset,
            length: read.length,
            pieces: plan.pieces[read.first_piece..read.end_piece]
                .iter()
                .map(piece)
                .collect(),
        })
        .collect();
    serde_json::to_vec(&reads).map_err(wrong)
}
