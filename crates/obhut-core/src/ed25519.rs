//! Ed25519 signatures (RFC 8032), as signed notes carry them. A signing key never leaves the core.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::error::Result;
use crate::world::Random;

/// Bytes of a seed and of a public key.
pub const KEY: usize = 32;
/// Bytes of a signature.
pub const SIGNATURE: usize = 64;

/// A key that signs. On the heap, so that moving it leaves no copy; wiped when it is dropped.
pub struct Signer(Box<SigningKey>);

impl Signer {
    /// A new key.
    pub fn random(random: &dyn Random) -> Result<Self> {
        let mut seed = Box::new(Zeroizing::new([0; KEY]));
        random.fill(&mut **seed)?;
        Ok(Self::from_seed(&seed))
    }

    /// The key of a seed.
    pub fn from_seed(seed: &[u8; KEY]) -> Self {
        Self(Box::new(SigningKey::from_bytes(seed)))
    }

    /// The key that checks what this one signs.
    pub fn public(&self) -> [u8; KEY] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs. The same message always gets the same signature.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE] {
        self.0.sign(message).to_bytes()
    }
}

/// Whether `signature` is one of `message` by the owner of `public`. Strict: neither keys of small order nor signatures
/// in other than their one form pass, so that no signature is good for two messages, or two for one.
pub fn verify(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = <[u8; KEY]>::try_from(public)
        .ok()
        .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
    match (key, Signature::from_slice(signature)) {
        (Some(key), Ok(signature)) => key.verify_strict(message, &signature).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::SystemRandom;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
            .collect()
    }

    /// RFC 8032, 7.1, tests 1 to 3.
    #[test]
    fn known_answers() {
        for (seed, public, message, signature) in [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ] {
            let signer = Signer::from_seed(&bytes(seed).try_into().expect("32 bytes"));
            let (message, signature) = (bytes(message), bytes(signature));
            assert_eq!(signer.public()[..], bytes(public));
            assert_eq!(signer.sign(&message)[..], signature);
            assert!(verify(&signer.public(), &message, &signature));
        }
    }

    #[test]
    fn no_flipped_bit_passes() {
        let signer = Signer::random(&SystemRandom).expect("a key");
        let message = b"checkpoint".to_vec();
        let (public, signature) = (signer.public().to_vec(), signer.sign(&message).to_vec());
        assert!(verify(&public, &message, &signature));
        for part in 0..3 {
            let mut parts = [public.clone(), message.clone(), signature.clone()];
            for bit in 0..parts[part].len() * 8 {
                parts[part][bit / 8] ^= 1 << (bit % 8);
                assert!(!verify(&parts[0], &parts[1], &parts[2]), "{part} {bit}");
                parts[part][bit / 8] ^= 1 << (bit % 8);
            }
        }
        assert!(!verify(&public[1..], &message, &signature));
        assert!(!verify(&public, &message, &signature[1..]));
    }

    /// The point of order one "signs" everything for a lenient checker.
    #[test]
    fn a_key_of_small_order_vouches_for_nothing() {
        let mut public = [0; KEY];
        public[0] = 1;
        let mut signature = [0; SIGNATURE];
        signature[0] = 1;
        assert!(!verify(&public, b"anything", &signature));
    }
}
