//! Strings as Go's `encoding/json` and `strconv.Quote` write them (formats: restic 10, 11).

/// Appends `text` as a JSON string with quotes, escaped as Go does (`<>&`, U+2028/9, invalid UTF-8 as `\ufffd`).
pub fn write_string(_text: &[u8], _out: &mut Vec<u8>) {
    todo!()
}

/// Go's `strconv.Quote` of raw bytes without the outer quotes.
pub fn quote(_name: &[u8], _out: &mut Vec<u8>) {
    todo!()
}

/// The inverse of [`quote`]; `None` if it is not a valid quoted text.
pub fn unquote(_quoted: &str) -> Option<Vec<u8>> {
    todo!()
}

/// A name for terminals and messages: printable characters as they are, everything else escaped as in
/// [`quote`] (but `"` and `\` stay as they are when nothing else is escaped).
pub fn display(_name: &[u8]) -> String {
    todo!()
}
