//! Files of age (age-encryption.org/v1) with X25519 recipients: what an encrypted archive is made of, and what any other
//! program that knows age reads.
//!
//! Layout: a header of text (for each recipient the file's key, wrapped; a MAC), sixteen random bytes, and the content in
//! chunks of 64 KiB, each sealed with its number and with whether it is the last (C2SP `age.md`). What is sealed is
//! opened again before anybody gets it: a fault of memory must not make what nobody can ever read.

mod bech32;
mod files;
mod header;
mod stream;

use std::sync::Arc;

use curve25519_dalek::MontgomeryPoint;
use zeroize::Zeroizing;

use crate::error::{Code, Error, Result};
use crate::world::Random;

pub use files::{Found, Sealing, read_files, seal_files};
pub(crate) use files::{Opened, open};
pub use stream::Opener;

/// Bytes of a secret, of a recipient, of a shared secret.
const KEY: usize = 32;

/// How a recipient's and an identity's text begin.
const RECIPIENT: &str = "age";
const IDENTITY: &str = "age-secret-key-";

/// Whoever can be sealed to: the public half of an [`Identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient([u8; KEY]);

impl Recipient {
    /// From `age1…`; nothing for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        bech32::decode(RECIPIENT, text).map(|bytes| Self(*bytes))
    }

    /// `age1…`
    pub fn text(&self) -> String {
        bech32::encode(RECIPIENT, &self.0)
    }
}

/// The secret half. On the heap, so that moving it leaves no copy; wiped when it is dropped.
pub struct Identity(Box<Zeroizing<[u8; KEY]>>);

impl Identity {
    /// A new one.
    pub fn random(random: &dyn Random) -> Result<Self> {
        let mut secret = Box::new(Zeroizing::new([0; KEY]));
        random.fill(&mut **secret)?;
        Ok(Self(secret))
    }

    /// From `AGE-SECRET-KEY-1…`; nothing for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        // The form is upper case; a text of lower case would be another one of the same bytes.
        if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return None;
        }
        let lower = Zeroizing::new(text.to_ascii_lowercase());
        bech32::decode(IDENTITY, &lower).map(|bytes| Self(Box::new(bytes)))
    }

    /// `AGE-SECRET-KEY-1…`
    pub fn text(&self) -> Zeroizing<String> {
        let lower = Zeroizing::new(bech32::encode(IDENTITY, &self.0));
        Zeroizing::new(lower.to_ascii_uppercase())
    }

    /// Its public half.
    pub fn recipient(&self) -> Recipient {
        Recipient(MontgomeryPoint::mul_base_clamped(**self.0).to_bytes())
    }
}

/// An identity, and everybody to whom is sealed: the identity is one of them.
pub struct Keyring {
    identity: Arc<Identity>,
    recipients: Vec<Recipient>,
}

impl Keyring {
    /// `invalid-argument` unless the identity is one of the recipients.
    pub fn new(identity: Identity, recipients: Vec<Recipient>) -> Result<Self> {
        if recipients.contains(&identity.recipient()) {
            return Ok(Self {
                identity: Arc::new(identity),
                recipients,
            });
        }
        let detail = "the identity is none of the recipients";
        Err(Error::new(Code::InvalidArgument, "", detail))
    }

    /// What opens.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The same, for whoever needs it longer.
    pub fn shared_identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }

    /// Seals bytes.
    pub fn seal(&self, plain: &[u8], random: &dyn Random) -> Result<Vec<u8>> {
        let mut sealer = stream::Sealer::begin(self, random)?;
        let mut file = sealer.head().to_vec();
        let mut rest = plain;
        loop {
            let (chunk, after) = rest.split_at(rest.len().min(stream::CHUNK));
            file.extend_from_slice(sealer.chunk(chunk, after.is_empty())?);
            if after.is_empty() {
                return Ok(file);
            }
            rest = after;
        }
    }

    /// Opens bytes; `about` names them in errors: `damaged`, `wrong-password` if they were not sealed to this identity.
    pub fn open(&self, sealed: &[u8], about: &str) -> Result<Vec<u8>> {
        let mut opener = Opener::begin(sealed, &self.identity, about)?;
        let (mut plain, mut piece) = (Vec::new(), Vec::new());
        while opener.next(&mut piece)? {
            plain.extend_from_slice(&piece);
        }
        Ok(plain)
    }
}

/// HKDF-SHA-256, 32 bytes.
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; KEY]> {
    let mut key = Zeroizing::new([0; KEY]);
    hkdf::Hkdf::<sha2::Sha256>::new(Some(salt), secret)
        .expand(info, &mut *key)
        .expect("one block");
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use crate::world::SystemRandom;

    fn keyring() -> Keyring {
        let identity = Identity::random(&SystemRandom).unwrap();
        let other = Identity::random(&SystemRandom).unwrap();
        let recipients = vec![identity.recipient(), other.recipient()];
        Keyring::new(identity, recipients).unwrap()
    }

    #[test]
    fn identities_have_one_text() {
        let made = keyring();
        let text = made.identity.text();
        assert!(text.starts_with("AGE-SECRET-KEY-1") && text.len() == 74);
        let again = Identity::parse(&text).unwrap();
        assert_eq!(again.recipient(), made.identity.recipient());
        let recipient = again.recipient().text();
        assert_eq!(Recipient::parse(&recipient), Some(again.recipient()));
        assert!(recipient.starts_with("age1") && recipient.len() == 62);
        assert!(Identity::parse(&text.to_ascii_lowercase()).is_none());
        assert!(Identity::parse(&recipient.to_ascii_uppercase()).is_none());
        assert!(Recipient::parse(&recipient.to_ascii_uppercase()).is_none());
        for at in 0..recipient.len() {
            let mut altered = recipient.clone().into_bytes();
            altered[at] = if altered[at] == b'q' { b'p' } else { b'q' };
            assert_eq!(
                Recipient::parse(std::str::from_utf8(&altered).unwrap()),
                None
            );
        }
    }

    /// The public half by openssl (`pkey -pubout`) of the secret 1, 2, … 32.
    #[test]
    fn the_public_half_is_that_of_x25519() {
        let secret: [u8; KEY] = std::array::from_fn(|n| n as u8 + 1);
        let identity = Identity(Box::new(Zeroizing::new(secret)));
        let public = "07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c";
        assert_eq!(Id(identity.recipient().0).hex(), public);
    }

    #[test]
    fn what_was_sealed_opens_at_every_length() {
        let keyring = keyring();
        for length in [0, 1, 15, 1000, 65_535, 65_536, 65_537, 131_072, 200_000] {
            let plain: Vec<u8> = (0..length).map(|n: usize| (n % 251) as u8).collect();
            let sealed = keyring.seal(&plain, &SystemRandom).unwrap();
            assert_eq!(keyring.open(&sealed, "x").unwrap(), plain);
            assert_ne!(keyring.seal(&plain, &SystemRandom).unwrap(), sealed);
            let other = self::keyring();
            let error = other.open(&sealed, "x").unwrap_err();
            assert_eq!(error.code(), Code::WrongPassword);
        }
    }

    #[test]
    fn every_altered_byte_and_every_cut_is_found() {
        let keyring = keyring();
        let plain: Vec<u8> = (0..70_000).map(|n: usize| (n % 251) as u8).collect();
        let sealed = keyring.seal(&plain, &SystemRandom).unwrap();
        let places = (0..500).chain((500..sealed.len()).step_by(997));
        for at in places.chain([sealed.len() - 1]) {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            let error = keyring.open(&altered, "x").map(|_| at).unwrap_err();
            let codes = [Code::Damaged, Code::WrongPassword];
            assert!(codes.contains(&error.code()), "{at}: {error:?}");
            let error = keyring.open(&sealed[..at], "x").map(|_| at).unwrap_err();
            assert_eq!(error.code(), Code::Damaged, "{at}");
        }
        // Cut where a chunk ends, and longer than it was.
        let head = sealed.len() - (70_000 + 2 * 16);
        for length in [head, head + 65_536 + 16] {
            assert!(keyring.open(&sealed[..length], "x").is_err());
        }
        let longer = [&sealed[..], &[0; 20]].concat();
        assert!(keyring.open(&longer, "x").is_err());
    }

    #[test]
    fn the_identity_is_one_of_the_recipients() {
        let one = Identity::random(&SystemRandom).unwrap();
        let other = Identity::random(&SystemRandom).unwrap();
        assert!(Keyring::new(one, vec![other.recipient()]).is_err());
    }
}
