//! Blobs opened and proved, two hashes at a time.
//!
//! Opening is not the expensive part of reading a blob: its SHA-256 is, and that one cannot be split. But two of
//! them together take hardly longer than one ([`crate::sha256`]). So a hash that is not done when its partner is
//! goes on beside the next blob's: an answer comes at most one blob late, and not always in order.

use std::collections::VecDeque;

use super::{Codec, OTHER_CONTENT};
use crate::id::Id;
use crate::sha256::Hasher;

/// Opens blobs one after the other and gives their contents once their hashes are found right. The content of at
/// most one blob waits. `tag` is what the caller knows a blob by.
pub struct Opener<'a, T> {
    beside: Message<&'a [u8]>,
    waiting: Option<Content<T>>,
    done: VecDeque<Opened<T>>,
}

/// A blob whose hash was compared: its content, or what is wrong with it.
pub type Opened<T> = (T, Result<Vec<u8>, String>);

struct Content<T> {
    tag: T,
    id: Id,
    plain: Message<Vec<u8>>,
}

/// Bytes on their way through a hash.
struct Message<B> {
    bytes: B,
    /// So many are hashed.
    at: usize,
    hash: Hasher,
}

impl<T> Default for Opener<'_, T> {
    fn default() -> Self {
        Self::beside(&[])
    }
}

impl<'a, T> Opener<'a, T> {
    /// Hashes `bytes` besides (the pack that the blobs lie in).
    pub fn beside(bytes: &'a [u8]) -> Self {
        Self {
            beside: Message::new(bytes),
            waiting: None,
            done: VecDeque::new(),
        }
    }

    /// Opens a blob; [`Opener::ready`] gives what is ready. Allocates at most `uncompressed` bytes for a compressed
    /// one (0 = raw).
    pub fn open(&mut self, codec: &mut Codec, tag: T, id: &Id, sealed: &[u8], uncompressed: u32) {
        let mut plain = codec.buffer();
        if let Err(detail) = codec.decode(sealed, uncompressed, &mut plain) {
            codec.give_back(plain);
            self.done.push_back((tag, Err(detail)));
            return;
        }
        let mut content = Content {
            tag,
            id: *id,
            plain: Message::new(plain),
        };
        content.plain.advance_beside(&mut self.beside);
        if let Some(mut waiting) = self.waiting.take() {
            content.plain.advance_beside(&mut waiting.plain);
            self.settle(waiting);
        }
        self.settle(content);
    }

    /// A blob that is done. Its buffer can be [given back](Codec::give_back) to the codec.
    pub fn ready(&mut self) -> Option<Opened<T>> {
        self.done.pop_front()
    }

    /// No further blob comes: the one that waits is finished alone.
    pub fn end(&mut self) {
        if let Some(mut waiting) = self.waiting.take() {
            waiting.plain.advance();
            self.settle(waiting);
        }
    }

    /// The hash of the bytes beside, to which more may be added. What waits is forgotten.
    pub fn into_hash(self) -> Hasher {
        let mut beside = self.beside;
        beside.advance();
        beside.hash
    }

    /// Done, or waits for company: never do two wait, since of two that went on together one is done.
    fn settle(&mut self, content: Content<T>) {
        if content.plain.left().is_empty() {
            let right = content.plain.hash.finish() == content.id;
            let plain = content.plain.bytes;
            let opened = right
                .then_some(plain)
                .ok_or_else(|| OTHER_CONTENT.to_owned());
            self.done.push_back((content.tag, opened));
        } else {
            debug_assert!(self.waiting.is_none(), "two wait");
            self.waiting = Some(content);
        }
    }
}

impl<B: AsRef<[u8]>> Message<B> {
    fn new(bytes: B) -> Self {
        Self {
            bytes,
            at: 0,
            hash: Hasher::default(),
        }
    }

    fn left(&self) -> &[u8] {
        &self.bytes.as_ref()[self.at..]
    }

    /// Hashes what is left.
    fn advance(&mut self) {
        self.hash.update(&self.bytes.as_ref()[self.at..]);
        self.at = self.bytes.as_ref().len();
    }

    /// Hashes as many bytes of each as both have left: one of them is done then.
    fn advance_beside<C: AsRef<[u8]>>(&mut self, other: &mut Message<C>) {
        let count = self.left().len().min(other.left().len());
        let mine = &self.bytes.as_ref()[self.at..][..count];
        let theirs = &other.bytes.as_ref()[other.at..][..count];
        self.hash.update_both(mine, &mut other.hash, theirs);
        self.at += count;
        other.at += count;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::blob::{Compression, Encoding, Sealed};
    use crate::crypto::Key;
    use crate::id::BlobKind;
    use crate::world::{Random, SystemRandom};

    fn codec() -> Codec {
        let encoding = Encoding {
            version: 2,
            compression: Compression::Auto,
            verify: true,
        };
        let key = Key::random(&SystemRandom).expect("a key");
        Codec::new(Arc::new(key), Arc::new(SystemRandom), encoding)
    }

    fn content(length: usize, noise: bool) -> Vec<u8> {
        let mut bytes = b"Mandantenakte ".repeat(length / 14 + 1);
        bytes.truncate(length);
        if noise {
            SystemRandom.fill(&mut bytes).expect("randomness");
        }
        bytes
    }

    /// What a test expects of a blob.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Fate {
        Right,
        Flipped,
        Misnamed,
    }

    fn fate() -> impl Strategy<Value = Fate> {
        prop_oneof![6 => Just(Fate::Right), 1 => Just(Fate::Flipped), 1 => Just(Fate::Misnamed)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

        /// Against the plain definition: every blob comes exactly once, with its content or what is wrong with it,
        /// at most one late; the bytes beside have their hash, whatever the blobs were.
        #[test]
        fn every_blob_is_judged_as_if_alone(
            blobs in prop::collection::vec((0..40_000usize, any::<bool>(), fate()), 0..10),
            beside in 0..120_000usize,
        ) {
            let mut codec = codec();
            let beside = content(beside, true);
            let mut opener = Opener::beside(&beside);
            let mut expected = Vec::new();
            let mut seen = Vec::new();
            for (number, (length, noise, fate)) in blobs.into_iter().enumerate() {
                let plain = content(length, noise);
                let id = Id::of(&plain);
                let Sealed { mut bytes, uncompressed } =
                    codec.seal(BlobKind::Data, &id, &plain).expect("sealed");
                let (id, opened) = match fate {
                    Fate::Right => (id, Ok(plain)),
                    Fate::Flipped => {
                        bytes[20] ^= 1;
                        (id, Err("not authentic".to_owned()))
                    }
                    Fate::Misnamed => (Id::ZERO, Err(OTHER_CONTENT.to_owned())),
                };
                expected.push((number, opened));
                opener.open(&mut codec, number, &id, &bytes, uncompressed);
                while let Some((number, opened)) = opener.ready() {
                    seen.push((number, opened));
                }
                prop_assert!(seen.len() + 1 >= expected.len());
            }
            opener.end();
            while let Some((number, opened)) = opener.ready() {
                seen.push((number, opened.inspect(|plain| codec.give_back(plain.clone()))));
            }
            seen.sort_by_key(|(number, _)| *number);
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(opener.into_hash().finish(), Id::of(&beside));
        }
    }

    #[test]
    fn the_longer_one_waits_for_company() {
        let mut codec = codec();
        let mut opener = Opener::default();
        let mut add = |opener: &mut Opener<'_, usize>, length: usize| {
            let plain = content(length, true);
            let id = Id::of(&plain);
            let sealed = codec.seal(BlobKind::Data, &id, &plain).expect("sealed");
            opener.open(&mut codec, length, &id, &sealed.bytes, sealed.uncompressed);
            std::iter::from_fn(|| opener.ready().map(|(tag, opened)| (tag, opened.is_ok())))
                .collect::<Vec<_>>()
        };
        assert_eq!(add(&mut opener, 3000), []);
        assert_eq!(add(&mut opener, 1000), [(1000, true)]);
        assert_eq!(add(&mut opener, 5000), [(3000, true)]);
        assert_eq!(add(&mut opener, 3000), [(5000, true), (3000, true)]);
        assert_eq!(add(&mut opener, 0), [(0, true)]);
        opener.end();
        assert!(opener.ready().is_none());
    }
}
