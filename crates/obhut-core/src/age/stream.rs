//! The content of an age file: chunks of 64 KiB, each sealed with its number and with whether it is the last.

use std::io::{BufRead, BufReader, Read};

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::AeadInOut;

use super::header::FileKey;
use super::{Identity, Keyring};
use crate::error::{Code, Error, Result};
use crate::world::Random;

/// Bytes of a chunk, and of what sealing adds to it.
pub(super) const CHUNK: usize = 64 << 10;
const TAG: usize = 16;
/// Random bytes behind the header.
const NONCE: usize = 16;

/// Number of a chunk, and whether it is the last.
#[derive(Default)]
struct Counter(u64);

impl Counter {
    fn nonce(&mut self, last: bool) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&self.0.to_be_bytes());
        nonce[11] = u8::from(last);
        self.0 += 1;
        nonce
    }
}

/// Seals a content, chunk after chunk.
pub(super) struct Sealer {
    cipher: ChaCha20Poly1305,
    head: Vec<u8>,
    counter: Counter,
    sealed: Vec<u8>,
    again: Vec<u8>,
}

impl Sealer {
    pub(super) fn begin(keyring: &Keyring, random: &dyn Random) -> Result<Self> {
        let key = FileKey::random(random)?;
        let mut head = key.header(&keyring.recipients, random)?;
        let mut nonce = [0; NONCE];
        random.fill(&mut nonce)?;
        head.extend_from_slice(&nonce);
        // From the other side: what the identity gets out of the header is what seals.
        let cipher = Opener::begin(&head[..], &keyring.identity, "what was sealed")?.cipher;
        Ok(Self {
            cipher,
            head,
            counter: Counter::default(),
            sealed: Vec::new(),
            again: Vec::new(),
        })
    }

    /// Header and nonce: what stands before the first chunk.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// One chunk sealed, and opened again. All but the last are [`CHUNK`] long; only a content of nothing has an empty one.
    pub(super) fn chunk(&mut self, plain: &[u8], last: bool) -> Result<&[u8]> {
        let nonce = self.counter.nonce(last).into();
        self.sealed.clear();
        self.sealed.extend_from_slice(plain);
        self.cipher
            .encrypt_in_place(&nonce, &[], &mut self.sealed)
            .map_err(|_| Error::internal("a chunk is too long"))?;
        self.again.clear();
        self.again.extend_from_slice(&self.sealed);
        let opened = self
            .cipher
            .decrypt_in_place(&nonce, &[], &mut self.again)
            .is_ok();
        if opened && self.again == plain {
            return Ok(&self.sealed);
        }
        let detail = "what was sealed does not open again";
        Err(Error::new(Code::VerifyFailed, "", detail))
    }
}

/// Opens an age file, chunk after chunk. Nothing of a chunk is given before all of it is proved.
pub struct Opener<R> {
    cipher: ChaCha20Poly1305,
    input: BufReader<R>,
    counter: Counter,
    ended: bool,
    about: String,
}

impl<R: Read> Opener<R> {
    /// Reads the header. `damaged` for what is no age file, `wrong-password` for one that was not sealed to this identity.
    pub fn begin(input: R, identity: &Identity, about: &str) -> Result<Self> {
        let mut input = BufReader::with_capacity(CHUNK + TAG, input);
        let key = FileKey::read(&mut input, identity, about)?;
        let mut nonce = [0; NONCE];
        input.read_exact(&mut nonce).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => cut(about),
            _ => Error::io(about, &e),
        })?;
        Ok(Self {
            cipher: key.payload(&nonce),
            input,
            counter: Counter::default(),
            ended: false,
            about: about.to_owned(),
        })
    }

    /// The next chunk in the place of what `piece` holds; `false` at the end. Who stops before it has proved nothing of
    /// the end.
    pub fn next(&mut self, piece: &mut Vec<u8>) -> Result<bool> {
        piece.clear();
        if self.ended {
            return Ok(false);
        }
        let failed = |e: std::io::Error| Error::io(&*self.about, &e);
        let limit = (CHUNK + TAG) as u64;
        (&mut self.input)
            .take(limit)
            .read_to_end(piece)
            .map_err(failed)?;
        self.ended = self.input.fill_buf().map_err(failed)?.is_empty();
        let first = self.counter.0 == 0;
        if piece.len() < TAG || (piece.len() == TAG && !first) {
            return Err(cut(&self.about));
        }
        let nonce = self.counter.nonce(self.ended).into();
        self.cipher
            .decrypt_in_place(&nonce, &[], piece)
            .map_err(|_| {
                Error::damaged(&*self.about, "its bytes are not those that were sealed")
            })?;
        Ok(!piece.is_empty())
    }

    /// What was read from: at the end, all of it.
    pub fn into_inner(self) -> R {
        self.input.into_inner()
    }
}

fn cut(about: &str) -> Error {
    Error::damaged(about, "it is cut off")
}
