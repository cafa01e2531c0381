//! What this machine does a second on one core (CPU time): `cargo run --release --example rates [FILE]`.
//!
//! The byte work of a backup, stage by stage. `FILE` is what compression is measured with (else this program).

use std::hint::black_box;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use obhut_core::blob::{Codec, Compression, Encoding};
use obhut_core::chunker::{ChunkReader, Chunker};
use obhut_core::crypto::Key;
use obhut_core::id::{BlobKind, Id};
use obhut_core::polynomial::Polynomial;
use obhut_core::sha256::Hasher;
use obhut_core::world::{Random, SystemRandom};

const MIB: usize = 1 << 20;

/// Seconds of CPU time of this process: other programs on a busy machine do not count.
#[expect(
    clippy::disallowed_methods,
    reason = "measuring is what this program is for"
)]
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Calls `work` for at least half a second and prints how much of `bytes` a call goes by a second.
fn rate(name: &str, bytes: usize, mut work: impl FnMut()) {
    work();
    let start = cpu_seconds();
    let mut calls = 0;
    let mut taken = 0.0;
    while taken < 0.5 {
        work();
        calls += 1;
        taken = cpu_seconds() - start;
    }
    let rate = (bytes * calls) as f64 / taken / 1e6;
    line(&format!("{name:<40} {rate:>8.0} MB/s"));
}

fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn cuts(mut data: &[u8], cut: impl Fn(&[u8]) -> usize) -> usize {
    let mut chunks = 0;
    while !data.is_empty() {
        data = &data[cut(data)..];
        chunks += 1;
    }
    chunks
}

fn codec(key: &Arc<Key>, compression: Compression, verify: bool) -> Codec {
    let encoding = Encoding {
        version: 2,
        compression,
        verify,
    };
    Codec::new(Arc::clone(key), Arc::new(SystemRandom), encoding)
}

fn chunking(noise: &[u8]) {
    let chunker = Arc::new(Chunker::new(Polynomial(0x3D_A335_8B4D_C173)));
    rate("chunker, one lane, noise", noise.len(), || {
        black_box(cuts(noise, |data| chunker.cut_serially(data)));
    });
    rate("chunker, four lanes, noise", noise.len(), || {
        black_box(cuts(noise, |data| chunker.cut(data)));
    });
    // Searched to the end, nothing skipped: a chunk of the largest size.
    let quiet = vec![1; 8 * MIB];
    rate("chunker, one lane, no cut in 8 MiB", quiet.len(), || {
        black_box(chunker.cut_serially(&quiet));
    });
    rate("chunker, four lanes, no cut in 8 MiB", quiet.len(), || {
        black_box(chunker.cut(&quiet));
    });
    let mut reader = ChunkReader::new(chunker);
    rate("chunk reader, from memory", noise.len(), || {
        let mut source = noise;
        reader.begin();
        while let Ok(Some(chunk)) = reader.next_chunk(&mut source) {
            black_box(chunk);
        }
    });
}

fn sealing(key: &Key, noise: &[u8]) -> Result<(), obhut_core::error::Error> {
    let blob = &noise[..MIB];
    rate("SHA-256", MIB, || {
        black_box(Id::of(blob));
    });
    let other = &noise[MIB..2 * MIB];
    rate("SHA-256, two at once", 2 * MIB, || {
        let (mut one, mut two) = (Hasher::default(), Hasher::default());
        one.update_both(blob, &mut two, other);
        black_box((one.finish(), two.finish()));
    });
    let mut sealed = Vec::new();
    rate("seal (AES-256-CTR, Poly1305)", MIB, || {
        sealed.clear();
        let _ = key.seal(&SystemRandom, blob, &mut sealed);
    });
    sealed.clear();
    key.seal(&SystemRandom, blob, &mut sealed)?;
    let mut out = Vec::new();
    rate("open", MIB, || {
        black_box(key.open_into(&sealed, &mut out));
    });
    Ok(())
}

fn encoding(key: &Arc<Key>, text: &[u8], noise: &[u8]) -> Result<(), obhut_core::error::Error> {
    use Compression::{Auto, Better, Fastest, Max, Off};
    for (name, data) in [("file", text), ("noise", &noise[..MIB])] {
        let id = Id::of(data);
        for compression in [Off, Fastest, Auto, Better, Max] {
            let mut codec = codec(key, compression, true);
            let sealed = codec.seal(BlobKind::Data, &id, data)?;
            let size = sealed.bytes.len() * 100 / data.len();
            let label = format!("encode {name} {compression:?} to {size} %");
            rate(&label, data.len(), || {
                black_box(codec.seal(BlobKind::Data, &id, data).is_ok());
            });
        }
        let mut quick = codec(key, Auto, false);
        rate(
            &format!("encode {name} Auto, not verified"),
            data.len(),
            || {
                black_box(quick.seal(BlobKind::Data, &id, data).is_ok());
            },
        );
        let sealed = quick.seal(BlobKind::Data, &id, data)?;
        let mut out = Vec::new();
        rate(&format!("decode {name} Auto"), data.len(), || {
            let opened = quick.open_into(&id, &sealed.bytes, sealed.uncompressed, &mut out);
            black_box(opened.is_ok());
        });
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut noise = vec![0; 64 * MIB];
    SystemRandom.fill(&mut noise)?;
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let mut text = std::fs::read(file.map_or_else(std::env::current_exe, Ok)?)?;
    // A chunk from the middle: the largest and the usual size lie around it.
    let start = text.len().saturating_sub(2 * MIB) / 2;
    text = text.split_off(start);
    text.truncate(2 * MIB);
    let key = Arc::new(Key::random(&SystemRandom)?);
    chunking(&noise);
    sealing(&key, &noise)?;
    encoding(&key, &text, &noise)?;
    Ok(())
}
