//! What every text must be to be written down, wherever it comes from: a body, a path, a header.

/// Whether a text may be written down; the error says what it holds.
///
/// Bytes that are not UTF-8 and halves of surrogate pairs are no text in the first place. NUL is one, but
/// ends a text for many that read it: what stands behind it would be hidden from them.
pub fn check(text: &str) -> Result<(), &'static str> {
    if text.contains('\0') { Err("holds the NUL character (\\u0000)") } else { Ok(()) }
}
