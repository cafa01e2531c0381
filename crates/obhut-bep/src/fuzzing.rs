//! What the fuzzer does with bytes: they are a connection. The kept corpus runs through it as a test, too.

use crate::{Announce, Compression, Frames, Hello, Message, encode_frame};

/// Bytes of a greeting and of messages, in two pieces; what is understood is written and understood again.
///
/// # Panics
///
/// Where a message does not come back as it was.
pub fn connection(data: &[u8]) {
    let _ = Announce::decode(data);
    let begin = match Hello::decode(data) {
        Ok(Some((hello, length))) => {
            assert_eq!(
                Hello::decode(&hello.encode()).map(|found| found.map(|(again, _)| again)),
                Ok(Some(hello))
            );
            length
        }
        Ok(None) => return,
        Err(_) => 0,
    };
    let mut frames = Frames::new(1 << 20);
    let (one, other) = data[begin..].split_at((data.len() - begin) / 2);
    for piece in [one, other] {
        frames.feed(piece);
        while let Ok(Some(message)) = frames.next() {
            comes_back(&message);
        }
    }
}

fn comes_back(message: &Message) {
    for how in [Compression::Always, Compression::Never] {
        let mut frames = Frames::new(64 << 20);
        frames.feed(&encode_frame(message, how));
        assert_eq!(frames.next().as_ref(), Ok(&Some(message.clone())));
    }
}
