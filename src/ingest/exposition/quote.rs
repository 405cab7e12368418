//! Text between quotes as Go prints it with `%q`: a Pushgateway's sentences have it.

use std::fmt::Write;

/// Bytes in double quotes, as Go prints them with `%q`.
pub fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::from('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_quoted(&mut quoted, character, '"');
        }
        for byte in chunk.invalid() {
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted.push('"');
    quoted
}

/// A byte in single quotes, as Go prints it with `%q`.
pub(super) fn quote_byte(byte: u8) -> String {
    let mut quoted = String::from('\'');
    push_quoted(&mut quoted, char::from(byte), '\'');
    quoted.push('\'');
    quoted
}

fn push_quoted(quoted: &mut String, character: char, delimiter: char) {
    match character {
        '\\' => quoted.push_str("\\\\"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\u{7}' => quoted.push_str("\\a"),
        '\u{8}' => quoted.push_str("\\b"),
        '\u{b}' => quoted.push_str("\\v"),
        '\u{c}' => quoted.push_str("\\f"),
        other if other == delimiter => {
            quoted.push('\\');
            quoted.push(other);
        }
        other if other < ' ' || other == '\u{7f}' => {
            let _ = write!(quoted, "\\x{:02x}", u32::from(other));
        }
        other if other.is_control() => {
            let _ = write!(quoted, "\\u{:04x}", u32::from(other));
        }
        other => quoted.push(other),
    }
}
