//! The header of an age file: who can open it.

use std::io::BufRead;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use curve25519_dalek::MontgomeryPoint;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Identity, KEY, Recipient, derive};
use crate::error::{Code, Error, Result};
use crate::world::Random;

const VERSION: &str = "age-encryption.org/v1";
const INFO: &[u8] = b"age-encryption.org/v1/X25519";
const X25519: &str = "X25519";
/// Bytes of a file's key, and of it wrapped.
const FILE_KEY: usize = 16;
const WRAPPED: usize = FILE_KEY + 16;
/// Columns of a line of a stanza's body.
const COLUMNS: usize = 64;
/// No header that anybody makes is longer.
const LONGEST: usize = 64 << 10;

/// What all of a file is sealed with.
pub(super) struct FileKey(Zeroizing<[u8; FILE_KEY]>);

impl FileKey {
    pub(super) fn random(random: &dyn Random) -> Result<Self> {
        let mut key = Zeroizing::new([0; FILE_KEY]);
        random.fill(&mut *key)?;
        Ok(Self(key))
    }

    /// What the chunks are sealed with.
    pub(super) fn payload(&self, nonce: &[u8]) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&*derive(&*self.0, nonce, b"payload")).into())
    }

    fn mac(&self, header: &[u8]) -> Hmac<Sha256> {
        let key = derive(&*self.0, &[], b"header");
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&*key).expect("any length");
        mac.update(header);
        mac
    }

    /// The whole header of a file with this key.
    pub(super) fn header(&self, recipients: &[Recipient], random: &dyn Random) -> Result<Vec<u8>> {
        let mut lines = vec![VERSION.to_owned()];
        for recipient in recipients {
            let (share, body) = self.wrap(recipient, random)?;
            lines.push(format!("-> {X25519} {}", STANDARD_NO_PAD.encode(share)));
            lines.push(STANDARD_NO_PAD.encode(body));
        }
        lines.push("---".to_owned());
        let signed = lines.join("\n");
        let mac = self.mac(signed.as_bytes()).finalize().into_bytes();
        let header = format!("{signed} {}\n", STANDARD_NO_PAD.encode(mac));
        Ok(header.into_bytes())
    }

    /// The key for one recipient: a share of a secret that is made for it alone, and what that secret seals.
    fn wrap(&self, recipient: &Recipient, random: &dyn Random) -> Result<([u8; KEY], Vec<u8>)> {
        let ephemeral = Identity::random(random)?;
        let share = ephemeral.recipient().0;
        let wrapping = ephemeral.shared(&recipient.0, &share, recipient);
        let wrapping = wrapping.ok_or_else(|| {
            let detail = "a point of small order is nobody's public half";
            Error::new(Code::InvalidArgument, recipient.text(), detail)
        })?;
        let mut body = Vec::with_capacity(WRAPPED);
        body.extend_from_slice(&*self.0);
        wrapping
            .encrypt_in_place(&[0u8; 12].into(), &[], &mut body)
            .expect("so few bytes fit");
        Ok((share, body))
    }

    /// Reads a header to its end; `about` names the file in errors.
    pub(super) fn read(input: &mut impl BufRead, identity: &Identity, about: &str) -> Result<Self> {
        let (stanzas, signed, mac) = parse(input, about)?;
        let found = stanzas
            .iter()
            .find_map(|stanza| stanza.open(identity))
            .ok_or_else(|| {
                let detail = "it was not sealed to this identity";
                Error::new(Code::WrongPassword, about, detail)
            })?;
        found
            .mac(&signed)
            .verify_slice(&mac)
            .map_err(|_| Error::damaged(about, "its header is not the one that was written"))?;
        Ok(found)
    }
}

impl Identity {
    /// What a share and a recipient agree on; nothing for a point of small order.
    fn shared(
        &self,
        point: &[u8; KEY],
        share: &[u8; KEY],
        recipient: &Recipient,
    ) -> Option<ChaCha20Poly1305> {
        let shared = Zeroizing::new(MontgomeryPoint(*point).mul_clamped(**self.0).to_bytes());
        if shared.iter().all(|byte| *byte == 0) {
            return None;
        }
        let salt = [&share[..], &recipient.0[..]].concat();
        Some(ChaCha20Poly1305::new(
            (&*derive(&*shared, &salt, INFO)).into(),
        ))
    }
}

/// A wrapped key of the kind that we know.
struct Stanza {
    share: [u8; KEY],
    body: [u8; WRAPPED],
}

impl Stanza {
    fn open(&self, identity: &Identity) -> Option<FileKey> {
        let wrapping = identity.shared(&self.share, &self.share, &identity.recipient())?;
        let mut body = Zeroizing::new(self.body.to_vec());
        wrapping
            .decrypt_in_place(&[0u8; 12].into(), &[], &mut *body)
            .ok()?;
        let mut key = Zeroizing::new([0; FILE_KEY]);
        key.copy_from_slice(&body);
        Some(FileKey(key))
    }
}

/// Stanzas, the bytes that the MAC is over, and the MAC.
type Parsed = (Vec<Stanza>, Vec<u8>, Vec<u8>);

fn parse(input: &mut impl BufRead, about: &str) -> Result<Parsed> {
    let refused = |detail: &str| Error::damaged(about, format!("no age file: {detail}"));
    let mut lines = Lines {
        input,
        about,
        read: Vec::new(),
    };
    if lines.next()? != VERSION {
        return Err(refused("it does not begin with age-encryption.org/v1"));
    }
    let mut stanzas = Vec::new();
    let mut line = lines.next()?;
    loop {
        if let Some(mac) = line.strip_prefix("--- ") {
            let mac = STANDARD_NO_PAD
                .decode(mac)
                .map_err(|_| refused("its MAC is none"))?;
            let signed = lines.read.len() - line.len() - 1 + "---".len();
            lines.read.truncate(signed);
            return Ok((stanzas, lines.read, mac));
        }
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if words.len() < 2 || words[0] != "->" || words.iter().any(String::is_empty) {
            return Err(refused("a line of its header is none"));
        }
        let body = lines.body()?;
        if words[1] == X25519 {
            let stanza = known(&words[2..], &body);
            stanzas.push(stanza.ok_or_else(|| refused("a stanza is not of the form of X25519"))?);
        }
        line = lines.next()?;
    }
}

fn known(arguments: &[String], body: &[u8]) -> Option<Stanza> {
    let [share] = arguments else { return None };
    let share = STANDARD_NO_PAD.decode(share).ok()?;
    Some(Stanza {
        share: share.try_into().ok()?,
        body: body.try_into().ok()?,
    })
}

struct Lines<'i, 'a, I> {
    input: &'i mut I,
    about: &'a str,
    /// Everything that was read.
    read: Vec<u8>,
}

impl<I: BufRead> Lines<'_, '_, I> {
    /// The next line, without its end.
    fn next(&mut self) -> Result<String> {
        use std::io::Read as _;

        let about = self.about;
        let refused = |detail: &str| Error::damaged(about, format!("no age file: {detail}"));
        let before = self.read.len();
        let mut limited = (&mut *self.input).take((LONGEST - before) as u64);
        limited
            .read_until(b'\n', &mut self.read)
            .map_err(|e| Error::io(self.about, &e))?;
        let line = self.read[before..]
            .strip_suffix(b"\n")
            .ok_or_else(|| refused("its header ends too early, or is too long"))?;
        let text = std::str::from_utf8(line).ok();
        let text = text.filter(|text| text.bytes().all(|byte| (32..127).contains(&byte)));
        text.map(str::to_owned)
            .ok_or_else(|| refused("its header is no text"))
    }

    /// The lines of a stanza: all but the last are full.
    fn body(&mut self) -> Result<Vec<u8>> {
        let about = self.about;
        let refused = || Error::damaged(about, "no age file: a stanza of its header is none");
        let mut body = Vec::new();
        loop {
            let line = self.next()?;
            if line.len() > COLUMNS {
                return Err(refused());
            }
            body.extend(STANDARD_NO_PAD.decode(&line).map_err(|_| refused())?);
            if line.len() < COLUMNS {
                return Ok(body);
            }
        }
    }
}
