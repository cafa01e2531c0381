//! Strings as Go's `encoding/json` and `strconv.Quote` write them (formats: restic 10, 11).
//!
//! File names are bytes: a name is first quoted (nothing is lost, bytes that are not UTF-8 become `\xNN`),
//! and the quoted text, which is always valid UTF-8, is then a JSON string. Both steps must give exactly
//! Go's bytes, because they are hashed into tree ids.

mod isprint;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `text` as a JSON string with quotes, escaped as Go does (`<>&`, U+2028/9, invalid UTF-8 as `\ufffd`).
pub fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    write_escaped(text, out);
    out.push(b'"');
}

/// [`write_string`] without the quotes.
fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    loop {
        let plain = rest.iter().take_while(|&&byte| is_json_plain(byte)).count();
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        let Some(&first) = rest.first() else { return };
        if first < 0x80 {
            escape_ascii(first, out);
            rest = &rest[1..];
            continue;
        }
        match decode(rest) {
            None => {
                out.extend_from_slice(br"\ufffd");
                rest = &rest[1..];
            }
            Some((c, length)) => {
                match c {
                    '\u{2028}' => out.extend_from_slice(br"\u2028"),
                    '\u{2029}' => out.extend_from_slice(br"\u2029"),
                    _ => out.extend_from_slice(&rest[..length]),
                }
                rest = &rest[length..];
            }
        }
    }
}

/// ASCII that JSON text holds as it is.
fn is_json_plain(byte: u8) -> bool {
    (0x20..0x80).contains(&byte) && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
}

fn escape_ascii(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(br"\u00");
            push_hex(u32::from(byte), 2, out);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends a name as trees hold it: quoted, and that as a JSON string with quotes. `scratch` is a buffer
/// that is overwritten.
pub fn write_name(name: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    if name.iter().all(|&byte| is_json_plain(byte) && byte != 0x7f) {
        out.push(b'"');
        out.extend_from_slice(name);
        out.push(b'"');
        return;
    }
    scratch.clear();
    quote(name, scratch);
    write_string(scratch, out);
}

/// Go's `strconv.Quote` of raw bytes without the outer quotes.
pub fn quote(name: &[u8], out: &mut Vec<u8>) {
    let mut rest = name;
    while !rest.is_empty() {
        let Some((c, length)) = decode(rest) else {
            out.extend_from_slice(br"\x");
            push_hex(u32::from(rest[0]), 2, out);
            rest = &rest[1..];
            continue;
        };
        if matches!(c, '"' | '\\') {
            out.extend_from_slice(&[b'\\', rest[0]]);
        } else if is_print(c) {
            out.extend_from_slice(&rest[..length]);
        } else {
            quote_unprintable(c, out);
        }
        rest = &rest[length..];
    }
}

fn quote_unprintable(c: char, out: &mut Vec<u8>) {
    let short = match c {
        '\u{7}' => b'a',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        '\u{b}' => b'v',
        _ => {
            let code = u32::from(c);
            let (letter, digits) = match code {
                0..=0x1f | 0x7f => (b'x', 2),
                0x20..=0xffff => (b'u', 4),
                _ => (b'U', 8),
            };
            out.extend_from_slice(&[b'\\', letter]);
            push_hex(code, digits, out);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

fn push_hex(value: u32, digits: u32, out: &mut Vec<u8>) {
    for at in (0..digits).rev() {
        out.push(HEX[(value >> (at * 4) & 15) as usize]);
    }
}

/// Whether Go's `strconv.IsPrint` holds: letters, marks, numbers, punctuation, symbols and U+0020.
pub fn is_print(c: char) -> bool {
    let code = u32::from(c);
    if code < 0x7f {
        return code >= 0x20;
    }
    let passed = isprint::BOUNDARIES.partition_point(|&boundary| boundary <= code);
    passed % 2 == 0
}

/// The first code point and its length, or `None` if the first byte belongs to no valid one.
fn decode(bytes: &[u8]) -> Option<(char, usize)> {
    let first = *bytes.first()?;
    let length = match first {
        0..=0x7f => return Some((char::from(first), 1)),
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    // The standard library refuses overlong forms, surrogates and what lies above U+10FFFF, as Go does.
    let text = std::str::from_utf8(bytes.get(..length)?).ok()?;
    Some((text.chars().next()?, length))
}

/// The inverse of [`quote`]; `None` if it is not a valid quoted text.
///
/// Accepts what Go's `strconv.Unquote` accepts between double quotes, which is more than [`quote`] writes
/// (octal escapes, upper-case digits).
pub fn unquote(quoted: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(quoted.len());
    let mut rest = quoted.as_bytes();
    loop {
        let plain = rest
            .iter()
            .take_while(|byte| !matches!(byte, b'\\' | b'"' | b'\n'))
            .count();
        out.extend_from_slice(&rest[..plain]);
        match &rest[plain..] {
            [] => return Some(out),
            [b'\\', escaped @ ..] => rest = unescape(escaped, &mut out)?,
            _ => return None,
        }
    }
}

/// Appends what the escape at the start of `escaped` (after the backslash) means; gives what follows it.
fn unescape<'a>(escaped: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (&letter, rest) = escaped.split_first()?;
    let byte = match letter {
        b'"' | b'\\' => letter,
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'x' => number(rest.get(..2)?, 16)? as u8,
        b'0'..=b'7' => u8::try_from(number(escaped.get(..3)?, 8)?).ok()?,
        b'u' | b'U' => {
            let digits = if letter == b'u' { 4 } else { 8 };
            let c = char::from_u32(number(rest.get(..digits)?, 16)?)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(&rest[digits..]);
        }
        _ => return None,
    };
    out.push(byte);
    let digits = match letter {
        b'x' | b'0'..=b'7' => 2,
        _ => 0,
    };
    Some(&rest[digits..])
}

/// The number that `digits` write; a sign or anything else that is no digit is refused.
fn number(digits: &[u8], radix: u32) -> Option<u32> {
    digits.iter().try_fold(0u32, |value, &digit| {
        let digit = char::from(digit).to_digit(radix)?;
        value.checked_mul(radix)?.checked_add(digit)
    })
}

/// A name for terminals and messages: printable characters as they are, everything else escaped as in
/// [`quote`] (but `"` and `\` stay as they are when nothing else is escaped).
pub fn display(name: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(name)
        && text.chars().all(is_print)
    {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(name.len() + 16);
    quote(name, &mut out);
    // Quoted text is valid UTF-8 by construction; the lossy form never replaces anything.
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests;
