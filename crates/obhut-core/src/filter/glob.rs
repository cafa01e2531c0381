//! One path component against one shell pattern: the rules of Go's `filepath.Match`, on bytes.
//!
//! `*` any bytes but `/`, `?` one character, `[a-z]` and `[^a-z]` classes, `\x` the character itself.
//! A character is a UTF-8 sequence or one byte of invalid UTF-8, which counts as U+FFFD.
//! (Source of facts: the documentation and observed behaviour of Go's `path/filepath`.)

/// What `[…]` compares with: inclusive ranges of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    AnyCharacter,
    Star,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A parsed pattern for one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    tokens: Vec<Token>,
}

impl Glob {
    /// Parses a pattern; `None` if it is malformed.
    pub fn parse(pattern: &[u8]) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut rest = pattern;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            match byte {
                b'*' => {
                    if tokens.last() != Some(&Token::Star) {
                        tokens.push(Token::Star);
                    }
                }
                b'?' => tokens.push(Token::AnyCharacter),
                b'[' => tokens.push(parse_class(&mut rest)?),
                b'\\' => {
                    let (&escaped, tail) = rest.split_first()?;
                    tokens.push(Token::Byte(escaped));
                    rest = tail;
                }
                other => tokens.push(Token::Byte(other)),
            }
        }
        Some(Self { tokens })
    }

    /// Whether `name` matches as a whole.
    pub fn matches(&self, name: &[u8]) -> bool {
        let (mut token, mut at) = (0, 0);
        // Where to go on after a mismatch: behind the last star, one byte further on.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            match self.tokens.get(token) {
                Some(Token::Star) => {
                    retry = Some((token + 1, at));
                    token += 1;
                    continue;
                }
                Some(single) => {
                    if let Some(length) = single.step(&name[at..]) {
                        token += 1;
                        at += length;
                        continue;
                    }
                }
                None if at == name.len() => return true,
                None => {}
            }
            match &mut retry {
                // A star swallows one byte more, but never a separator.
                Some((after, from)) if *from < name.len() && name[*from] != b'/' => {
                    *from += 1;
                    (token, at) = (*after, *from);
                }
                _ => return false,
            }
        }
    }
}

impl Token {
    /// Bytes of `rest` that this token takes, `None` if it does not match.
    fn step(&self, rest: &[u8]) -> Option<usize> {
        let first = *rest.first()?;
        match self {
            Self::Byte(byte) => (*byte == first).then_some(1),
            Self::AnyCharacter => (first != b'/').then(|| decode(rest).1),
            Self::Class { negated, ranges } => {
                let (character, length) = decode(rest);
                let inside = ranges
                    .iter()
                    .any(|(low, high)| *low <= character && character <= *high);
                (inside != *negated).then_some(length)
            }
            Self::Star => None,
        }
    }
}

/// The class after its `[`; a class needs at least one range, and `]` and `-` in it need a backslash.
fn parse_class(rest: &mut &[u8]) -> Option<Token> {
    let negated = rest.first() == Some(&b'^');
    if negated {
        *rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    loop {
        if rest.first() == Some(&b']') && !ranges.is_empty() {
            *rest = &rest[1..];
            return Some(Token::Class { negated, ranges });
        }
        let low = class_character(rest)?;
        let high = if rest.first() == Some(&b'-') {
            *rest = &rest[1..];
            class_character(rest)?
        } else {
            low
        };
        ranges.push((low, high));
    }
}

fn class_character(rest: &mut &[u8]) -> Option<char> {
    match rest.first()? {
        b'-' | b']' => return None,
        b'\\' => *rest = &rest[1..],
        _ => {}
    }
    let (character, length) = decode(rest);
    if length == 0 || (character == char::REPLACEMENT_CHARACTER && length == 1) {
        return None;
    }
    *rest = &rest[length..];
    // The class is still open: something has to follow.
    (!rest.is_empty()).then_some(character)
}

/// The first character and its length; a byte of invalid UTF-8 is U+FFFD of length 1.
fn decode(bytes: &[u8]) -> (char, usize) {
    let Some(&first) = bytes.first() else {
        return (char::REPLACEMENT_CHARACTER, 0);
    };
    if first < 0x80 {
        return (char::from(first), 1);
    }
    let window = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(window) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&window[..e.valid_up_to()]).unwrap_or_default(),
    };
    valid
        .chars()
        .next()
        .map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, c.len_utf8()))
}
