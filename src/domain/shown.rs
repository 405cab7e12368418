//! Text that others wrote, as a person may be shown it: in a terminal, in a line of a log.
//!
//! Escaped is all that could begin a line, move the cursor, turn the direction of writing, or be there
//! and not be seen; in the form that JSON has. Everything else stays as it is.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

/// Characters of one text that are shown at most, where somebody else decides how long it is.
const MOST_CHARS: usize = 300;

/// One line of it.
pub fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, is_unfit)
}

/// The same of a text that has lines of ours in it: their ends stay.
pub fn shown_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_unfit(c))
}

/// One line of it, in quotation marks, and cut if it is long: so that it cannot be taken for our own
/// words, or push them out of sight.
pub fn quoted(text: &str) -> String {
    let end = text.char_indices().nth(MOST_CHARS).map_or(text.len(), |(at, _)| at);
    let more = if end < text.len() { "…" } else { "" };
    format!("\"{}\"{more}", shown(&text[..end]).replace('"', "\\\""))
}

/// A file's name, in place of `display()`.
pub trait ShowPath {
    /// One line; bytes that are no text as `\xff`.
    fn shown(&self) -> String;
}

impl ShowPath for Path {
    fn shown(&self) -> String {
        let mut name = String::new();
        for chunk in self.as_os_str().as_encoded_bytes().utf8_chunks() {
            name += &shown(chunk.valid());
            for byte in chunk.invalid() {
                let _ = write!(name, "\\x{byte:02x}");
            }
        }
        name
    }
}

fn escaped(text: &str, is_unfit: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_unfit) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unfit(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Control characters (C0, DEL, C1), and what Unicode calls format characters, separators of lines and
/// paragraphs, and letters without a shape: zero-width, bidirectional, tags.
fn is_unfit(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn what_could_deceive_an_eye_is_escaped() {
        for (text, line) in [
            ("plain, grün, 日本, \"quoted\" \\u", "plain, grün, 日本, \"quoted\" \\u"),
            ("a\nb\r\u{b}c\u{85}d\u{2028}e\0", "a\\u000ab\\u000d\\u000bc\\u0085d\\u2028e\\u0000"),
            ("\u{202e}gnp.exe\u{2066}\u{200f}", "\\u202egnp.exe\\u2066\\u200f"),
            ("\u{1b}[31mred\u{7f}\u{9b}2K", "\\u001b[31mred\\u007f\\u009b2K"),
            ("a\u{200b}b\u{feff}c\u{ad}d\u{3164}", "a\\u200bb\\ufeffc\\u00add\\u3164"),
            ("tag\u{e0041}", "tag\\udb40\\udc41"),
        ] {
            assert_eq!(shown(text), line);
        }
        assert_eq!(shown_lines("a\n\u{1b}b\r\n"), "a\n\\u001bb\\u000d\n");
    }

    #[test]
    fn a_quotation_ends_where_it_says() {
        assert_eq!(quoted("a\" said\n"), "\"a\\\" said\\u000a\"");
        let long = quoted(&"ü".repeat(MOST_CHARS + 1));
        assert_eq!(long.chars().count(), MOST_CHARS + 3);
        assert!(long.ends_with("\"…"));
    }

    #[test]
    fn file_names_need_not_be_text() {
        let name = std::ffi::OsStr::from_bytes(b"a\xff\x1b[2K\nb");
        assert_eq!(Path::new(name).shown(), "a\\xff\\u001b[2K\\u000ab");
    }
}
